// SPDX-License-Identifier: GPL-2.0

//! Flag words on the wire, one type each (`srctree/include/uapi/linux/fuse.h`).
//!
//! A flag word has the layout of its integer and keeps bits that have no name here.

use super::flag_words::{
    self,
    flag_words, //
};
use core::fmt;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

flag_words! {
    /// Features offered in INIT and taken up in its reply (`FUSE_*`), the two words of the wire put
    /// together.
    InitFlags(u64) {
        /// Reads may be sent while others are in flight.
        ASYNC_READ = 0,
        /// The server keeps POSIX locks.
        POSIX_LOCKS = 1,
        /// `fstat(2)` and the like carry the file handle; not used by the kernel.
        FILE_OPS = 2,
        /// The server handles `O_TRUNC` in OPEN.
        ATOMIC_O_TRUNC = 3,
        /// The server looks up `.` and `..`, as NFS export needs.
        EXPORT_SUPPORT = 4,
        /// Writes may be larger than 4 KiB.
        BIG_WRITES = 5,
        /// The server applies the umask; the kernel must not.
        DONT_MASK = 6,
        /// The device can be written by `splice(2)`.
        SPLICE_WRITE = 7,
        /// Splicing may move pages.
        SPLICE_MOVE = 8,
        /// The device can be read by `splice(2)`.
        SPLICE_READ = 9,
        /// The server keeps BSD locks.
        FLOCK_LOCKS = 10,
        /// Ioctls on directories are passed on.
        HAS_IOCTL_DIR = 11,
        /// A changed mtime or size drops cached pages.
        AUTO_INVAL_DATA = 12,
        /// READDIRPLUS is understood.
        DO_READDIRPLUS = 13,
        /// READDIRPLUS is used where lookups follow.
        READDIRPLUS_AUTO = 14,
        /// Direct io may be submitted asynchronously.
        ASYNC_DIO = 15,
        /// Buffered writes stay in the page cache and are written back later.
        WRITEBACK_CACHE = 16,
        /// A server without OPEN may say ENOSYS.
        NO_OPEN_SUPPORT = 17,
        /// Lookups and readdirs in one directory may run in parallel.
        PARALLEL_DIROPS = 18,
        /// The server clears suid, sgid and capabilities on write, chown and truncate.
        HANDLE_KILLPRIV = 19,
        /// POSIX ACLs are supported and checked by the kernel.
        POSIX_ACL = 20,
        /// Reading the device after an abort gives `ECONNABORTED`.
        ABORT_ERROR = 21,
        /// `max_pages` of the reply is valid.
        MAX_PAGES = 22,
        /// Symbolic links may be cached.
        CACHE_SYMLINKS = 23,
        /// A server without OPENDIR may say ENOSYS.
        NO_OPENDIR_SUPPORT = 24,
        /// Cached pages are dropped on explicit request only.
        EXPLICIT_INVAL_DATA = 25,
        /// `map_alignment` of the reply is valid.
        MAP_ALIGNMENT = 26,
        /// Directories may be mount points of the server.
        SUBMOUNTS = 27,
        /// As [`Self::HANDLE_KILLPRIV`], by the rules of the VFS.
        HANDLE_KILLPRIV_V2 = 28,
        /// SETXATTR has its long form.
        SETXATTR_EXT = 29,
        /// INIT has its long form; `flags2` is valid.
        INIT_EXT = 30,
        /// Reserved.
        INIT_RESERVED = 31,
        /// Requests that make inodes carry a security context.
        SECURITY_CTX = 32,
        /// DAX is chosen per inode.
        HAS_INODE_DAX = 33,
        /// Requests that make inodes carry the group that matches the parent's.
        CREATE_SUPP_GROUP = 34,
        /// Entries may be expired without being invalidated.
        HAS_EXPIRE_ONLY = 35,
        /// Files in direct io mode may be mapped shared (once `FUSE_DIRECT_IO_RELAX`).
        DIRECT_IO_ALLOW_MMAP = 36,
        /// Reads and writes may go to a backing file.
        PASSTHROUGH = 37,
        /// The file system must not be exported.
        NO_EXPORT_SUPPORT = 38,
        /// Pending requests can be sent again, see `Unique::RESEND`.
        HAS_RESEND = 39,
        /// Mounts may be idmapped.
        ALLOW_IDMAP = 40,
        /// Requests may go over io_uring.
        OVER_IO_URING = 41,
        /// `request_timeout` of the reply is valid.
        REQUEST_TIMEOUT = 42,
    }

    /// Flags of CUSE_INIT.
    CuseInitFlags(u32) {
        /// Ioctls are not restricted to well-formed ones.
        UNRESTRICTED_IOCTL = 0,
    }

    /// What the server says about a file it has opened (`FOPEN_*`).
    FopenFlags(u32) {
        /// Bypass the page cache.
        DIRECT_IO = 0,
        /// Keep what is in the page cache.
        KEEP_CACHE = 1,
        /// The file cannot seek.
        NONSEEKABLE = 2,
        /// The directory may be cached.
        CACHE_DIR = 3,
        /// The file has no position.
        STREAM = 4,
        /// No FLUSH on close, unless in writeback mode.
        NOFLUSH = 5,
        /// Direct writes to one inode may run in parallel.
        PARALLEL_DIRECT_WRITES = 6,
        /// Read and write the backing file.
        PASSTHROUGH = 7,
    }

    /// Flags of an inode in its attributes (`FUSE_ATTR_*`).
    AttrFlags(u32) {
        /// The root of a submount.
        SUBMOUNT = 0,
        /// DAX is wanted for this file, in per-inode mode.
        DAX = 1,
    }

    /// Which fields of a SETATTR count (`FATTR_*`).
    SetattrValid(u32) {
        /// `mode`.
        MODE = 0,
        /// `uid`.
        UID = 1,
        /// `gid`.
        GID = 2,
        /// `size`.
        SIZE = 3,
        /// `atime`, `atimensec`.
        ATIME = 4,
        /// `mtime`, `mtimensec`.
        MTIME = 5,
        /// `fh`.
        FH = 6,
        /// The server's time is taken for `atime`.
        ATIME_NOW = 7,
        /// The server's time is taken for `mtime`.
        MTIME_NOW = 8,
        /// `lock_owner`.
        LOCKOWNER = 9,
        /// `ctime`, `ctimensec`.
        CTIME = 10,
        /// Clear suid and sgid.
        KILL_SUIDGID = 11,
    }

    /// Flags of GETATTR and STATX (`FUSE_GETATTR_*`).
    GetattrFlags(u32) {
        /// `fh` is valid.
        FH = 0,
    }

    /// Flags of READ (`FUSE_READ_*`).
    ReadFlags(u32) {
        /// `lock_owner` is valid.
        LOCKOWNER = 1,
    }

    /// Flags of WRITE (`FUSE_WRITE_*`).
    WriteFlags(u32) {
        /// Written back from the page cache; the file handle is a guess.
        CACHE = 0,
        /// `lock_owner` is valid.
        LOCKOWNER = 1,
        /// Clear suid and sgid (once `FUSE_WRITE_KILL_PRIV`).
        KILL_SUIDGID = 2,
    }

    /// Flags of OPEN and CREATE (`FUSE_OPEN_*`).
    OpenInFlags(u32) {
        /// Clear suid and sgid if the file is executable.
        KILL_SUIDGID = 0,
    }

    /// Flags of RELEASE (`FUSE_RELEASE_*`).
    ReleaseFlags(u32) {
        /// Flush first.
        FLUSH = 0,
        /// Drop the BSD locks of `lock_owner`.
        FLOCK_UNLOCK = 1,
    }

    /// Flags of FSYNC and FSYNCDIR (`FUSE_FSYNC_*`).
    FsyncFlags(u32) {
        /// Data only, no metadata.
        FDATASYNC = 0,
    }

    /// Flags of GETLK, SETLK and SETLKW (`FUSE_LK_*`).
    LkFlags(u32) {
        /// A BSD lock.
        FLOCK = 0,
    }

    /// Flags of IOCTL and its reply (`FUSE_IOCTL_*`).
    IoctlFlags(u32) {
        /// A 32-bit ioctl on a 64-bit machine.
        COMPAT = 0,
        /// Not restricted to well-formed ioctls; a retry is allowed.
        UNRESTRICTED = 1,
        /// Retry with the vectors of the reply.
        RETRY = 2,
        /// The server's ioctl is a 32-bit one.
        IOCTL_32BIT = 3,
        /// On a directory.
        DIR = 4,
        /// An x32 ioctl: 32-bit pointers, 64-bit times.
        COMPAT_X32 = 5,
    }

    /// Flags of POLL (`FUSE_POLL_*`).
    PollFlags(u32) {
        /// Tell by a notification when the state changes.
        SCHEDULE_NOTIFY = 0,
    }

    /// Flags of SETXATTR's long form (`FUSE_SETXATTR_*`).
    SetxattrFlags(u32) {
        /// Clear sgid when `system.posix_acl_access` is set.
        ACL_KILL_SGID = 0,
    }

    /// Flags of SETUPMAPPING (`FUSE_SETUPMAPPING_FLAG_*`).
    SetupmappingFlags(u64) {
        /// The mapping is for writing.
        WRITE = 0,
        /// The mapping is for reading.
        READ = 1,
    }

    /// Flags of a notification that invalidates an entry.
    InvalEntryFlags(u32) {
        /// Only expire the entry, so that it is looked up again.
        EXPIRE_ONLY = 0,
    }
}

impl InitFlags {
    /// Puts the two words of the wire together; `flags2` counts only with [`Self::INIT_EXT`] in the
    /// first.
    #[inline]
    pub const fn from_words(flags: u32, flags2: u32) -> Self {
        let low = Self(flags as u64);
        if low.contains(Self::INIT_EXT) {
            Self(low.0 | ((flags2 as u64) << 32))
        } else {
            low
        }
    }

    /// The first word of the wire, `flags`.
    #[inline]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The second word of the wire, `flags2`.
    #[inline]
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}
