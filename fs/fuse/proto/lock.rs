// SPDX-License-Identifier: GPL-2.0

//! File locks: GETLK, SETLK, SETLKW.

use super::{
    flags::LkFlags,
    ids::{
        Fh,
        LockOwner, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// A lock on a range of a file (`struct fuse_file_lock`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FileLock {
    /// First byte.
    pub start: u64,
    /// Last byte, included; `OFFSET_MAX` for all up to the end.
    pub end: u64,
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK` (C's `type`).
    pub typ: u32,
    /// Thread group id of the holder.
    pub pid: u32,
}

/// Body of GETLK, SETLK and SETLKW (`struct fuse_lk_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct LkIn {
    /// The open file.
    pub fh: Fh,
    /// Who asks.
    pub owner: LockOwner,
    /// The lock.
    pub lk: FileLock,
    /// Whether it is a BSD lock.
    pub lk_flags: LkFlags,
    /// Zero.
    pub padding: u32,
}

/// Reply to GETLK (`struct fuse_lk_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct LkOut {
    /// A lock in the way, or one of type `F_UNLCK`.
    pub lk: FileLock,
}
