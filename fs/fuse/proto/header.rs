// SPDX-License-Identifier: GPL-2.0

//! What every message starts with, and the codes of notifications.

use super::ids::{
    NodeId,
    Unique, //
};
use super::opcode::Opcode;
use core::fmt;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// The uid and gid that stand for an id without a mapping on an idmapped mount
/// (`FUSE_INVALID_UIDGID`).
pub const INVALID_UIDGID: u32 = u32::MAX;

/// Start of a request (`struct fuse_in_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InHeader {
    /// Length of the request in bytes: header, body, data and extensions.
    pub len: u32,
    /// What is asked for.
    pub opcode: Opcode,
    /// Id that the reply repeats.
    pub unique: Unique,
    /// Inode that is asked about.
    pub nodeid: NodeId,
    /// File system user id of the caller, in the server's user namespace.
    pub uid: u32,
    /// File system group id of the caller, in the server's user namespace.
    pub gid: u32,
    /// Thread id of the caller, in the server's pid namespace.
    pub pid: u32,
    /// Length of the extensions at the end, in units of 8 bytes.
    pub total_extlen: u16,
    /// Zero.
    pub padding: u16,
}

/// Start of a reply or of a notification (`struct fuse_out_header`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct OutHeader {
    /// Length of the message in bytes, with this header.
    pub len: u32,
    /// Zero or a negative errno; in a notification its code.
    pub error: i32,
    /// Id of the request, or [`Unique::NOTIFICATION`].
    pub unique: Unique,
}

impl OutHeader {
    /// The code, if this starts a notification.
    #[inline]
    pub fn notify_code(&self) -> Option<NotifyCode> {
        (self.unique == Unique::NOTIFICATION).then_some(NotifyCode(self.error))
    }
}

/// What a notification tells (`enum fuse_notify_code`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotifyCode(i32);

impl NotifyCode {
    /// A polled file may have become ready.
    pub const POLL: Self = Self(1);
    /// Attributes and cached data of an inode are stale.
    pub const INVAL_INODE: Self = Self(2);
    /// A name is stale.
    pub const INVAL_ENTRY: Self = Self(3);
    /// Data for the page cache.
    pub const STORE: Self = Self(4);
    /// Data is wanted from the page cache.
    pub const RETRIEVE: Self = Self(5);
    /// A name was removed.
    pub const DELETE: Self = Self(6);
    /// Pending requests are to be sent again.
    pub const RESEND: Self = Self(7);
    /// All entries and attributes that are cached are stale.
    pub const INC_EPOCH: Self = Self(8);
    /// Inodes are to be dropped if they are not in use.
    pub const PRUNE: Self = Self(9);

    /// Makes the code from its number on the wire.
    #[inline]
    pub const fn new(raw: i32) -> Self {
        Self(raw)
    }

    /// The number on the wire.
    #[inline]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The name without its prefix, as in `POLL`; `UNKNOWN` for a code that is not in the header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::POLL => "POLL",
            Self::INVAL_INODE => "INVAL_INODE",
            Self::INVAL_ENTRY => "INVAL_ENTRY",
            Self::STORE => "STORE",
            Self::RETRIEVE => "RETRIEVE",
            Self::DELETE => "DELETE",
            Self::RESEND => "RESEND",
            Self::INC_EPOCH => "INC_EPOCH",
            Self::PRUNE => "PRUNE",
            _ => "UNKNOWN",
        }
    }
}

impl fmt::Debug for NotifyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}
