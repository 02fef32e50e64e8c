// SPDX-License-Identifier: GPL-2.0

//! What a server's answer must satisfy before anybody reads it.
//!
//! The server is not trusted: an answer that breaks a rule is a [`BadReply`], which callers count
//! and turn into `EIO`.

use super::{
    header::OutHeader,
    ids::Unique, //
};
use core::{
    fmt,
    mem::size_of, //
};

/// Length of a reply without payload, in bytes.
pub const HEADER_LEN: usize = size_of::<OutHeader>();

/// Errors lie above this number (C's `-512`, the first of the kernel's own codes, which must not
/// come from outside).
const ERRNO_LIMIT: i32 = -512;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReply {
    /// Shorter than its header, or than what the operation returns at least.
    TooShort,
    /// Longer than what the operation returns at most, or an error that carries a payload.
    TooLong,
    /// The answer to another request.
    WrongUnique,
    /// The length in the header is not the number of bytes that came.
    LengthMismatch,
    /// An error that is positive, or no errno.
    BadErrno,
    /// A directory entry whose name has no byte, or too many.
    BadNameLen,
    /// A name with a slash or a NUL.
    BadName,
    /// A value in the payload that the operation cannot return.
    BadValue,
}

impl BadReply {
    /// Says in words what is wrong.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort => "reply too short",
            Self::TooLong => "reply too long",
            Self::WrongUnique => "reply to another request",
            Self::LengthMismatch => "reply length differs from its header",
            Self::BadErrno => "reply with an invalid errno",
            Self::BadNameLen => "directory entry with an invalid name length",
            Self::BadName => "name with a slash or a NUL",
            Self::BadValue => "reply with an invalid value",
        }
    }
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks the header of a reply of `used` bytes to the request `unique` whose payload has `min` to
/// `max` bytes.
///
/// The outer result is about the server's manners; the inner one is the operation's: the length of
/// the payload in bytes, or the negative errno that the server returned.
///
/// # Errors
///
/// The first rule that the reply breaks, in the order of the checks.
pub fn check(
    header: &OutHeader,
    used: usize,
    unique: Unique,
    min: usize,
    max: usize,
) -> Result<Result<usize, i32>, BadReply> {
    let payload = used.checked_sub(HEADER_LEN).ok_or(BadReply::TooShort)?;
    if usize::try_from(header.len) != Ok(used) {
        return Err(BadReply::LengthMismatch);
    }
    if header.unique != unique {
        return Err(BadReply::WrongUnique);
    }
    if header.error > 0 || header.error <= ERRNO_LIMIT {
        return Err(BadReply::BadErrno);
    }
    if header.error < 0 {
        return if payload == 0 {
            Ok(Err(header.error))
        } else {
            Err(BadReply::TooLong)
        };
    }
    if payload < min {
        return Err(BadReply::TooShort);
    }
    if payload > max {
        return Err(BadReply::TooLong);
    }
    Ok(Ok(payload))
}
