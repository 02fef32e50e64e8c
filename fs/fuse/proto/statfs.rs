// SPDX-License-Identifier: GPL-2.0

//! STATFS.

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`StatfsOut`] before protocol 7.4 (`FUSE_COMPAT_STATFS_SIZE`).
pub const COMPAT_STATFS_SIZE: usize = 48;

/// Totals of a file system (`struct fuse_kstatfs`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Kstatfs {
    /// Size, in units of `frsize`.
    pub blocks: u64,
    /// Free space, in units of `frsize`.
    pub bfree: u64,
    /// Free space for unprivileged users, in units of `frsize`.
    pub bavail: u64,
    /// Number of inodes.
    pub files: u64,
    /// Number of free inodes.
    pub ffree: u64,
    /// Preferred block size in bytes.
    pub bsize: u32,
    /// Longest name in bytes.
    pub namelen: u32,
    /// Unit of the block counts in bytes.
    pub frsize: u32,
    /// Ignored.
    pub padding: u32,
    /// Ignored.
    pub spare: [u32; 6],
}

/// Reply to STATFS (`struct fuse_statfs_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct StatfsOut {
    /// The totals.
    pub st: Kstatfs,
}
