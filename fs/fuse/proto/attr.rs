// SPDX-License-Identifier: GPL-2.0

//! Attributes: what LOOKUP and everything that makes an inode return, GETATTR, SETATTR, STATX.
//!
//! Times are seconds since 1970 and nanoseconds below 1 000 000 000; the seconds are signed numbers
//! in unsigned fields. A validity is a relative time from the moment of the request.

use super::{
    flags::{
        AttrFlags,
        GetattrFlags,
        SetattrValid, //
    },
    ids::{
        Fh,
        Generation,
        LockOwner,
        NodeId, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`EntryOut`] before protocol 7.9, without `blksize` and `flags`
/// (`FUSE_COMPAT_ENTRY_OUT_SIZE`).
pub const COMPAT_ENTRY_OUT_SIZE: usize = 120;

/// Length in bytes of [`AttrOut`] before protocol 7.9, without `blksize` and `flags`
/// (`FUSE_COMPAT_ATTR_OUT_SIZE`).
pub const COMPAT_ATTR_OUT_SIZE: usize = 96;

/// Attributes of an inode (`struct fuse_attr`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Attr {
    /// Inode number that users see; not a node id.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Seconds of the last access.
    pub atime: u64,
    /// Seconds of the last change of the data.
    pub mtime: u64,
    /// Seconds of the last change of the inode.
    pub ctime: u64,
    /// Nanoseconds of the last access.
    pub atimensec: u32,
    /// Nanoseconds of the last change of the data.
    pub mtimensec: u32,
    /// Nanoseconds of the last change of the inode.
    pub ctimensec: u32,
    /// Type and permissions, `S_*`.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, in the kernel's 32-bit form.
    pub rdev: u32,
    /// Preferred block size in bytes; 0 for no preference.
    pub blksize: u32,
    /// Flags; zero before protocol 7.32.
    pub flags: AttrFlags,
}

/// An inode and the name that led to it (`struct fuse_entry_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct EntryOut {
    /// The inode, or [`NodeId::NONE`]: no such name, and that may be cached.
    pub nodeid: NodeId,
    /// Tells lives of the node id apart.
    pub generation: Generation,
    /// Seconds for which the name may be cached.
    pub entry_valid: u64,
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds added to `entry_valid`.
    pub entry_valid_nsec: u32,
    /// Nanoseconds added to `attr_valid`.
    pub attr_valid_nsec: u32,
    /// Attributes of the inode.
    pub attr: Attr,
}

/// Body of GETATTR (`struct fuse_getattr_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct GetattrIn {
    /// Whether `fh` is valid.
    pub getattr_flags: GetattrFlags,
    /// Zero.
    pub dummy: u32,
    /// Open file to ask through.
    pub fh: Fh,
}

/// Reply to GETATTR and SETATTR (`struct fuse_attr_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AttrOut {
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds added to `attr_valid`.
    pub attr_valid_nsec: u32,
    /// Ignored.
    pub dummy: u32,
    /// The attributes.
    pub attr: Attr,
}

/// Body of SETATTR (`struct fuse_setattr_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SetattrIn {
    /// Which fields count.
    pub valid: SetattrValid,
    /// Zero.
    pub padding: u32,
    /// Open file to change through.
    pub fh: Fh,
    /// Size in bytes.
    pub size: u64,
    /// Owner of the locks that a truncate must respect.
    pub lock_owner: LockOwner,
    /// Seconds of the access time.
    pub atime: u64,
    /// Seconds of the modification time.
    pub mtime: u64,
    /// Seconds of the change time.
    pub ctime: u64,
    /// Nanoseconds of the access time.
    pub atimensec: u32,
    /// Nanoseconds of the modification time.
    pub mtimensec: u32,
    /// Nanoseconds of the change time.
    pub ctimensec: u32,
    /// Type and permissions, `S_*`.
    pub mode: u32,
    /// Zero.
    pub unused4: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Zero.
    pub unused5: u32,
}

/// A time of [`Statx`] (`struct fuse_sx_time`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SxTime {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds.
    pub tv_nsec: u32,
    /// Ignored (`__reserved`).
    pub reserved: i32,
}

/// Attributes in the layout of `statx(2)` (`struct fuse_statx`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Statx {
    /// Which fields are valid, `STATX_*`.
    pub mask: u32,
    /// Preferred block size in bytes.
    pub blksize: u32,
    /// Flags, `STATX_ATTR_*`.
    pub attributes: u64,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Type and permissions, `S_*`.
    pub mode: u16,
    /// Ignored (`__spare0`).
    pub spare0: [u16; 1],
    /// Inode number that users see.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Space in use, in units of 512 bytes.
    pub blocks: u64,
    /// Which of `attributes` the server knows.
    pub attributes_mask: u64,
    /// Last access.
    pub atime: SxTime,
    /// Creation.
    pub btime: SxTime,
    /// Last change of the inode.
    pub ctime: SxTime,
    /// Last change of the data.
    pub mtime: SxTime,
    /// Major number of a device node.
    pub rdev_major: u32,
    /// Minor number of a device node.
    pub rdev_minor: u32,
    /// Major number of the device that holds the file.
    pub dev_major: u32,
    /// Minor number of the device that holds the file.
    pub dev_minor: u32,
    /// Ignored (`__spare2`).
    pub spare2: [u64; 14],
}

/// Body of STATX (`struct fuse_statx_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct StatxIn {
    /// Whether `fh` is valid.
    pub getattr_flags: GetattrFlags,
    /// Zero.
    pub reserved: u32,
    /// Open file to ask through.
    pub fh: Fh,
    /// How to synchronise, `AT_STATX_*`.
    pub sx_flags: u32,
    /// Which fields are wanted, `STATX_*`.
    pub sx_mask: u32,
}

/// Reply to STATX (`struct fuse_statx_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct StatxOut {
    /// Seconds for which the attributes may be cached.
    pub attr_valid: u64,
    /// Nanoseconds added to `attr_valid`.
    pub attr_valid_nsec: u32,
    /// No flag is defined.
    pub flags: u32,
    /// Ignored.
    pub spare: [u64; 2],
    /// The attributes.
    pub stat: Statx,
}
