// SPDX-License-Identifier: GPL-2.0

//! Extended attributes: bodies, and the list of names that LISTXATTR returns.

use super::{
    flags::SetxattrFlags,
    reply::BadReply, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`SetxattrIn`] without [`InitFlags::SETXATTR_EXT`]
/// (`FUSE_COMPAT_SETXATTR_IN_SIZE`).
///
/// [`InitFlags::SETXATTR_EXT`]: super::flags::InitFlags::SETXATTR_EXT
pub const COMPAT_SETXATTR_IN_SIZE: usize = 8;

/// Body of SETXATTR; name, NUL and value follow (`struct fuse_setxattr_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SetxattrIn {
    /// Length of the value in bytes.
    pub size: u32,
    /// Flags of `setxattr(2)`, `XATTR_*`.
    pub flags: u32,
    /// Flags of the protocol.
    pub setxattr_flags: SetxattrFlags,
    /// Zero.
    pub padding: u32,
}

/// Body of GETXATTR and LISTXATTR; in the former name and NUL follow (`struct fuse_getxattr_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct GetxattrIn {
    /// Most bytes to return; 0 asks for the length.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to GETXATTR and LISTXATTR that asked for the length (`struct fuse_getxattr_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct GetxattrOut {
    /// Length in bytes of the value or of the list.
    pub size: u32,
    /// Ignored.
    pub padding: u32,
}

/// Checks that a reply to LISTXATTR is a sequence of names, none empty, each with its NUL.
///
/// # Errors
///
/// [`BadReply::BadNameLen`] for an empty name or one without its NUL.
pub fn check_list(list: &[u8]) -> Result<(), BadReply> {
    let mut last = 0;
    for &byte in list {
        if byte == 0 && last == 0 {
            return Err(BadReply::BadNameLen);
        }
        last = byte;
    }
    if last == 0 {
        Ok(())
    } else {
        Err(BadReply::BadNameLen)
    }
}
