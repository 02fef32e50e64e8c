// SPDX-License-Identifier: GPL-2.0

//! Bodies of notifications, the messages that a server starts; their codes are [`NotifyCode`].
//!
//! [`NotifyCode`]: super::header::NotifyCode

use super::{
    flags::InvalEntryFlags,
    ids::{
        NodeId,
        PollHandle,
        Unique, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// A polled file may have become ready (`struct fuse_notify_poll_wakeup_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyPollWakeupOut {
    /// Handle from the POLL.
    pub kh: PollHandle,
}

/// Attributes and cached data of an inode are stale (`struct fuse_notify_inval_inode_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyInvalInodeOut {
    /// The inode.
    pub ino: NodeId,
    /// First byte of the stale data; negative for attributes only.
    pub off: i64,
    /// Length of the stale data; 0 or negative for all up to the end.
    pub len: i64,
}

/// A name is stale; the name and a NUL follow (`struct fuse_notify_inval_entry_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyInvalEntryOut {
    /// The directory.
    pub parent: NodeId,
    /// Length of the name in bytes, without the NUL.
    pub namelen: u32,
    /// Whether expiring is enough.
    pub flags: InvalEntryFlags,
}

/// A name was removed; the name and a NUL follow (`struct fuse_notify_delete_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyDeleteOut {
    /// The directory.
    pub parent: NodeId,
    /// What the name stood for.
    pub child: NodeId,
    /// Length of the name in bytes, without the NUL.
    pub namelen: u32,
    /// Ignored.
    pub padding: u32,
}

/// Data for the page cache; `size` bytes follow (`struct fuse_notify_store_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyStoreOut {
    /// The inode.
    pub nodeid: NodeId,
    /// Where the data goes, in bytes.
    pub offset: u64,
    /// Number of bytes that follow.
    pub size: u32,
    /// Ignored.
    pub padding: u32,
}

/// Data is wanted from the page cache (`struct fuse_notify_retrieve_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyRetrieveOut {
    /// Id under which NOTIFY_REPLY brings it.
    pub notify_unique: Unique,
    /// The inode.
    pub nodeid: NodeId,
    /// Where to start, in bytes.
    pub offset: u64,
    /// Most bytes that are wanted.
    pub size: u32,
    /// Ignored.
    pub padding: u32,
}

/// Body of NOTIFY_REPLY; `size` bytes follow, and it is as long as the body of a WRITE (`struct
/// fuse_notify_retrieve_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyRetrieveIn {
    /// Zero.
    pub dummy1: u64,
    /// Where the data starts, in bytes.
    pub offset: u64,
    /// Number of bytes that follow.
    pub size: u32,
    /// Zero.
    pub dummy2: u32,
    /// Zero.
    pub dummy3: u64,
    /// Zero.
    pub dummy4: u64,
}

/// Inodes are to be dropped if they are not in use; `count` node ids follow (`struct
/// fuse_notify_prune_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct NotifyPruneOut {
    /// Number of node ids.
    pub count: u32,
    /// Ignored.
    pub padding: u32,
    /// Ignored.
    pub spare: u64,
}
