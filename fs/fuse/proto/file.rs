// SPDX-License-Identifier: GPL-2.0

//! Open files: opening and closing, reading and writing, and everything else that needs a handle.
//!
//! Offsets and lengths are in bytes.

use super::{
    flags::{
        FopenFlags,
        FsyncFlags,
        IoctlFlags,
        OpenInFlags,
        PollFlags,
        ReadFlags,
        ReleaseFlags,
        WriteFlags, //
    },
    ids::{
        Fh,
        LockOwner,
        NodeId,
        PollHandle, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`WriteIn`] and [`ReadIn`] before protocol 7.9 (`FUSE_COMPAT_WRITE_IN_SIZE`).
pub const COMPAT_WRITE_IN_SIZE: usize = 24;

/// Most vectors, in and out together, of an unrestricted ioctl (`FUSE_IOCTL_MAX_IOV`).
pub const IOCTL_MAX_IOV: usize = 256;

/// Body of OPEN and OPENDIR (`struct fuse_open_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct OpenIn {
    /// Flags of `open(2)`, `O_*`.
    pub flags: u32,
    /// Flags of the protocol.
    pub open_flags: OpenInFlags,
}

/// Body of CREATE and TMPFILE; the name follows (`struct fuse_create_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CreateIn {
    /// Flags of `open(2)`, `O_*`.
    pub flags: u32,
    /// Type and permissions, `S_*`.
    pub mode: u32,
    /// File mode creation mask of the caller.
    pub umask: u32,
    /// Flags of the protocol.
    pub open_flags: OpenInFlags,
}

/// Reply to OPEN and OPENDIR; in the reply to CREATE it follows the entry (`struct fuse_open_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct OpenOut {
    /// The open file.
    pub fh: Fh,
    /// How the file is to be treated.
    pub open_flags: FopenFlags,
    /// Backing file, positive with [`FopenFlags::PASSTHROUGH`].
    pub backing_id: i32,
}

/// Body of RELEASE and RELEASEDIR (`struct fuse_release_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ReleaseIn {
    /// The open file, not valid afterwards.
    pub fh: Fh,
    /// Flags of `open(2)`, `O_*`.
    pub flags: u32,
    /// What else to do.
    pub release_flags: ReleaseFlags,
    /// Owner of the locks to drop.
    pub lock_owner: LockOwner,
}

/// Body of FLUSH (`struct fuse_flush_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FlushIn {
    /// The open file.
    pub fh: Fh,
    /// Zero.
    pub unused: u32,
    /// Zero.
    pub padding: u32,
    /// Owner whose POSIX locks end with the close.
    pub lock_owner: LockOwner,
}

/// Body of READ, READDIR and READDIRPLUS (`struct fuse_read_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ReadIn {
    /// The open file.
    pub fh: Fh,
    /// Where to start; in a directory the `off` of the last entry seen.
    pub offset: u64,
    /// Most bytes to return.
    pub size: u32,
    /// Whether `lock_owner` is valid.
    pub read_flags: ReadFlags,
    /// Owner of the locks that the read must respect.
    pub lock_owner: LockOwner,
    /// Flags of `open(2)` and `fcntl(2)`, `O_*`.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of WRITE; the data follows (`struct fuse_write_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct WriteIn {
    /// The open file.
    pub fh: Fh,
    /// Where to start.
    pub offset: u64,
    /// Number of bytes that follow.
    pub size: u32,
    /// What kind of write it is.
    pub write_flags: WriteFlags,
    /// Owner of the locks that the write must respect.
    pub lock_owner: LockOwner,
    /// Flags of `open(2)` and `fcntl(2)`, `O_*`.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to WRITE and COPY_FILE_RANGE (`struct fuse_write_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct WriteOut {
    /// Number of bytes written.
    pub size: u32,
    /// Ignored.
    pub padding: u32,
}

/// Body of FSYNC and FSYNCDIR (`struct fuse_fsync_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FsyncIn {
    /// The open file.
    pub fh: Fh,
    /// Whether data is enough.
    pub fsync_flags: FsyncFlags,
    /// Zero.
    pub padding: u32,
}

/// Body of SYNCFS (`struct fuse_syncfs_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SyncfsIn {
    /// Zero.
    pub padding: u64,
}

/// Body of FALLOCATE (`struct fuse_fallocate_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct FallocateIn {
    /// The open file.
    pub fh: Fh,
    /// Start of the range.
    pub offset: u64,
    /// Length of the range.
    pub length: u64,
    /// What to do, `FALLOC_FL_*`.
    pub mode: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of LSEEK (`struct fuse_lseek_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct LseekIn {
    /// The open file.
    pub fh: Fh,
    /// Where to start.
    pub offset: u64,
    /// `SEEK_DATA` or `SEEK_HOLE`.
    pub whence: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to LSEEK (`struct fuse_lseek_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct LseekOut {
    /// What was found.
    pub offset: u64,
}

/// Body of COPY_FILE_RANGE and COPY_FILE_RANGE_64; the request's node is the source (`struct
/// fuse_copy_file_range_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CopyFileRangeIn {
    /// Open file to copy from.
    pub fh_in: Fh,
    /// Where to start in the source.
    pub off_in: u64,
    /// Inode to copy to.
    pub nodeid_out: NodeId,
    /// Open file to copy to.
    pub fh_out: Fh,
    /// Where to start in the target.
    pub off_out: u64,
    /// Most bytes to copy.
    pub len: u64,
    /// Flags of `copy_file_range(2)`.
    pub flags: u64,
}

/// Reply to COPY_FILE_RANGE_64 (`struct fuse_copy_file_range_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CopyFileRangeOut {
    /// Number of bytes copied.
    pub bytes_copied: u64,
}

/// Body of BMAP (`struct fuse_bmap_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BmapIn {
    /// Block of the file, in units of `blocksize`.
    pub block: u64,
    /// Block size in bytes.
    pub blocksize: u32,
    /// Zero.
    pub padding: u32,
}

/// Reply to BMAP (`struct fuse_bmap_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BmapOut {
    /// Block of the device.
    pub block: u64,
}

/// Body of IOCTL; `in_size` bytes follow (`struct fuse_ioctl_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct IoctlIn {
    /// The open file.
    pub fh: Fh,
    /// What kind of ioctl it is.
    pub flags: IoctlFlags,
    /// Command.
    pub cmd: u32,
    /// Argument.
    pub arg: u64,
    /// Number of bytes that follow.
    pub in_size: u32,
    /// Most bytes that the reply may carry.
    pub out_size: u32,
}

/// A piece of the caller's memory that a retried ioctl needs (`struct fuse_ioctl_iovec`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct IoctlIovec {
    /// Address in the caller.
    pub base: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Reply to IOCTL; data or [`IoctlIovec`]s follow (`struct fuse_ioctl_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct IoctlOut {
    /// What the ioctl returns.
    pub result: i32,
    /// Whether to retry.
    pub flags: IoctlFlags,
    /// Number of vectors to read from the caller, on retry.
    pub in_iovs: u32,
    /// Number of vectors to write to the caller, on retry.
    pub out_iovs: u32,
}

/// Body of POLL (`struct fuse_poll_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct PollIn {
    /// The open file.
    pub fh: Fh,
    /// What a wake-up notification must name.
    pub kh: PollHandle,
    /// Whether a notification is wanted.
    pub flags: PollFlags,
    /// Events that are waited for, `EPOLL*`.
    pub events: u32,
}

/// Reply to POLL (`struct fuse_poll_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct PollOut {
    /// Events that are there, `EPOLL*`.
    pub revents: u32,
    /// Ignored.
    pub padding: u32,
}
