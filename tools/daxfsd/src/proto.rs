// SPDX-License-Identifier: GPL-2.0

//! The FUSE wire format, protocol 7.45, as far as the device speaks it: opcodes, flags and structs, named as in
//! `include/uapi/linux/fuse.h`. Every struct is padded by hand there, so `IntoBytes` doubles as a layout check.

#![allow(missing_docs)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub const KERNEL_VERSION: u32 = 7;
pub const KERNEL_MINOR_VERSION: u32 = 45;
pub const ROOT_ID: u64 = 1;

pub const FATTR_MODE: u32 = 1 << 0;
pub const FATTR_UID: u32 = 1 << 1;
pub const FATTR_GID: u32 = 1 << 2;
pub const FATTR_SIZE: u32 = 1 << 3;
pub const FATTR_ATIME: u32 = 1 << 4;
pub const FATTR_MTIME: u32 = 1 << 5;
pub const FATTR_FH: u32 = 1 << 6;
pub const FATTR_ATIME_NOW: u32 = 1 << 7;
pub const FATTR_MTIME_NOW: u32 = 1 << 8;
pub const FATTR_KILL_SUIDGID: u32 = 1 << 11;

pub const FOPEN_DIRECT_IO: u32 = 1 << 0;
pub const FOPEN_KEEP_CACHE: u32 = 1 << 1;
pub const FOPEN_CACHE_DIR: u32 = 1 << 3;
pub const FOPEN_NOFLUSH: u32 = 1 << 5;
pub const FOPEN_PARALLEL_DIRECT_WRITES: u32 = 1 << 6;

/// A flag of an open file by its name.
pub fn fopen_flag_by_name(name: &str) -> Option<u32> {
    match name {
        "DIRECT_IO" => Some(FOPEN_DIRECT_IO),
        "KEEP_CACHE" => Some(FOPEN_KEEP_CACHE),
        "NOFLUSH" => Some(FOPEN_NOFLUSH),
        "PARALLEL_DIRECT_WRITES" => Some(FOPEN_PARALLEL_DIRECT_WRITES),
        _ => None,
    }
}

pub const GETATTR_FH: u32 = 1 << 0;
pub const WRITE_CACHE: u32 = 1 << 0;
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
pub const FSYNC_FDATASYNC: u32 = 1 << 0;
pub const ATTR_SUBMOUNT: u32 = 1 << 0;
pub const ATTR_DAX: u32 = 1 << 1;
pub const OPEN_KILL_SUIDGID: u32 = 1 << 0;
pub const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;
pub const EXT_GROUPS: u32 = 32;
pub const LK_FLOCK: u32 = 1 << 0;

pub const IOCTL_RETRY: u32 = 1 << 2;

pub const SETUPMAPPING_FLAG_WRITE: u64 = 1 << 0;
pub const SETUPMAPPING_FLAG_READ: u64 = 1 << 1;

/// Declares the INIT flags together with a table of their names, for the command line and the control socket.
macro_rules! init_flags {
    ($($name:ident = $bit:expr,)*) => {
        pub mod init {
            $(pub const $name: u64 = 1 << $bit;)*
            pub const NAMES: &[(&str, u64)] = &[$((stringify!($name), $name)),*];
        }
    };
}

init_flags! {
    ASYNC_READ = 0,
    POSIX_LOCKS = 1,
    ATOMIC_O_TRUNC = 3,
    EXPORT_SUPPORT = 4,
    BIG_WRITES = 5,
    DONT_MASK = 6,
    SPLICE_WRITE = 7,
    SPLICE_MOVE = 8,
    SPLICE_READ = 9,
    FLOCK_LOCKS = 10,
    HAS_IOCTL_DIR = 11,
    AUTO_INVAL_DATA = 12,
    DO_READDIRPLUS = 13,
    READDIRPLUS_AUTO = 14,
    ASYNC_DIO = 15,
    WRITEBACK_CACHE = 16,
    NO_OPEN_SUPPORT = 17,
    PARALLEL_DIROPS = 18,
    HANDLE_KILLPRIV = 19,
    POSIX_ACL = 20,
    ABORT_ERROR = 21,
    MAX_PAGES = 22,
    CACHE_SYMLINKS = 23,
    NO_OPENDIR_SUPPORT = 24,
    EXPLICIT_INVAL_DATA = 25,
    MAP_ALIGNMENT = 26,
    SUBMOUNTS = 27,
    HANDLE_KILLPRIV_V2 = 28,
    SETXATTR_EXT = 29,
    INIT_EXT = 30,
    SECURITY_CTX = 32,
    HAS_INODE_DAX = 33,
    CREATE_SUPP_GROUP = 34,
    HAS_EXPIRE_ONLY = 35,
    DIRECT_IO_ALLOW_MMAP = 36,
    PASSTHROUGH = 37,
    NO_EXPORT_SUPPORT = 38,
    HAS_RESEND = 39,
    ALLOW_IDMAP = 40,
    OVER_IO_URING = 41,
    REQUEST_TIMEOUT = 42,
}

/// Declares the opcodes together with a table of their names.
macro_rules! opcodes {
    ($($name:ident = $value:expr,)*) => {
        pub mod op {
            $(pub const $name: u32 = $value;)*
            pub const NAMES: &[(&str, u32)] = &[$((stringify!($name), $name)),*];
        }
    };
}

opcodes! {
    LOOKUP = 1,
    FORGET = 2,
    GETATTR = 3,
    SETATTR = 4,
    READLINK = 5,
    SYMLINK = 6,
    MKNOD = 8,
    MKDIR = 9,
    UNLINK = 10,
    RMDIR = 11,
    RENAME = 12,
    LINK = 13,
    OPEN = 14,
    READ = 15,
    WRITE = 16,
    STATFS = 17,
    RELEASE = 18,
    FSYNC = 20,
    SETXATTR = 21,
    GETXATTR = 22,
    LISTXATTR = 23,
    REMOVEXATTR = 24,
    FLUSH = 25,
    INIT = 26,
    OPENDIR = 27,
    READDIR = 28,
    RELEASEDIR = 29,
    FSYNCDIR = 30,
    GETLK = 31,
    SETLK = 32,
    SETLKW = 33,
    ACCESS = 34,
    CREATE = 35,
    INTERRUPT = 36,
    BMAP = 37,
    DESTROY = 38,
    IOCTL = 39,
    POLL = 40,
    NOTIFY_REPLY = 41,
    BATCH_FORGET = 42,
    FALLOCATE = 43,
    READDIRPLUS = 44,
    RENAME2 = 45,
    LSEEK = 46,
    COPY_FILE_RANGE = 47,
    SETUPMAPPING = 48,
    REMOVEMAPPING = 49,
    SYNCFS = 50,
    TMPFILE = 51,
    STATX = 52,
    COPY_FILE_RANGE_64 = 53,
}

/// The name of an opcode, without the FUSE_ prefix.
pub fn op_name(opcode: u32) -> Option<&'static str> {
    op::NAMES
        .iter()
        .find(|(_, v)| *v == opcode)
        .map(|(n, _)| *n)
}

/// The opcode of a name, with or without the FUSE_ prefix, in any case.
pub fn op_by_name(name: &str) -> Option<u32> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("FUSE_").unwrap_or(&name);
    op::NAMES.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// The INIT flag of a name, with or without the FUSE_ prefix, in any case.
pub fn init_flag_by_name(name: &str) -> Option<u64> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("FUSE_").unwrap_or(&name);
    init::NAMES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, v)| *v)
}

/// Declares plain wire structs.
macro_rules! wire {
    ($($name:ident { $($field:ident: $ty:ty,)* })*) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
            pub struct $name { $(pub $field: $ty,)* }
        )*
    };
}

wire! {
    InHeader {
        len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16,
    }
    OutHeader { len: u32, error: i32, unique: u64, }
    Attr {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32,
        ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
    }
    SxTime { tv_sec: i64, tv_nsec: u32, reserved: i32, }
    Statx {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, spare0: u16, ino: u64,
        size: u64, blocks: u64, attributes_mask: u64, atime: SxTime, btime: SxTime, ctime: SxTime, mtime: SxTime,
        rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, spare2: [u64; 14],
    }
    EntryOut {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32,
        attr: Attr,
    }
    ForgetIn { nlookup: u64, }
    ForgetOne { nodeid: u64, nlookup: u64, }
    BatchForgetIn { count: u32, dummy: u32, }
    GetattrIn { getattr_flags: u32, dummy: u32, fh: u64, }
    AttrOut { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: Attr, }
    StatxIn { getattr_flags: u32, reserved: u32, fh: u64, sx_flags: u32, sx_mask: u32, }
    StatxOut { attr_valid: u64, attr_valid_nsec: u32, flags: u32, spare: [u64; 2], stat: Statx, }
    MknodIn { mode: u32, rdev: u32, umask: u32, padding: u32, }
    MkdirIn { mode: u32, umask: u32, }
    RenameIn { newdir: u64, }
    Rename2In { newdir: u64, flags: u32, padding: u32, }
    LinkIn { oldnodeid: u64, }
    SetattrIn {
        valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64,
        atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32,
    }
    OpenIn { flags: u32, open_flags: u32, }
    CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    OpenOut { fh: u64, open_flags: u32, backing_id: i32, }
    ReleaseIn { fh: u64, flags: u32, release_flags: u32, lock_owner: u64, }
    FlushIn { fh: u64, unused: u32, padding: u32, lock_owner: u64, }
    ReadIn {
        fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    WriteIn {
        fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32,
    }
    WriteOut { size: u32, padding: u32, }
    StatfsOut {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32,
        padding: u32, spare: [u32; 6],
    }
    FsyncIn { fh: u64, fsync_flags: u32, padding: u32, }
    SetxattrIn { size: u32, flags: u32, }
    SetxattrExtIn { size: u32, flags: u32, setxattr_flags: u32, padding: u32, }
    GetxattrIn { size: u32, padding: u32, }
    GetxattrOut { size: u32, padding: u32, }
    InitIn { major: u32, minor: u32, max_readahead: u32, flags: u32, }
    InitExtIn { flags2: u32, unused: [u32; 11], }
    InitOut {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
        max_write: u32, time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32,
        request_timeout: u16, unused: [u16; 11],
    }
    IoctlIn { fh: u64, flags: u32, cmd: u32, arg: u64, in_size: u32, out_size: u32, }
    IoctlOut { result: i32, flags: u32, in_iovs: u32, out_iovs: u32, }
    Fsxattr { xflags: u32, extsize: u32, nextents: u32, projid: u32, cowextsize: u32, pad: [u8; 8], }
    InterruptIn { unique: u64, }
    FileLock { start: u64, end: u64, typ: u32, pid: u32, }
    LkIn { fh: u64, owner: u64, lk: FileLock, lk_flags: u32, padding: u32, }
    FallocateIn { fh: u64, offset: u64, length: u64, mode: u32, padding: u32, }
    Dirent { ino: u64, off: u64, namelen: u32, typ: u32, }
    LseekIn { fh: u64, offset: u64, whence: u32, padding: u32, }
    LseekOut { offset: u64, }
    CopyFileRangeIn {
        fh_in: u64, off_in: u64, nodeid_out: u64, fh_out: u64, off_out: u64, len: u64, flags: u64,
    }
    CopyFileRangeOut { bytes_copied: u64, }
    SetupmappingIn { fh: u64, foffset: u64, len: u64, flags: u64, moffset: u64, }
    RemovemappingIn { count: u32, }
    RemovemappingOne { moffset: u64, len: u64, }
    ExtHeader { size: u32, typ: u32, }
}

/// Most entries of one REMOVEMAPPING (a page full of them).
pub const REMOVEMAPPING_MAX_ENTRY: u32 = 4096 / 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn sizes_of_the_c_header() {
        assert_eq!(size_of::<InHeader>(), 40);
        assert_eq!(size_of::<OutHeader>(), 16);
        assert_eq!(size_of::<Attr>(), 88);
        assert_eq!(size_of::<EntryOut>(), 128);
        assert_eq!(size_of::<AttrOut>(), 104);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(size_of::<StatxOut>(), 288);
        assert_eq!(size_of::<SetattrIn>(), 88);
        assert_eq!(size_of::<InitIn>() + size_of::<InitExtIn>(), 64);
        assert_eq!(size_of::<InitOut>(), 64);
        assert_eq!(size_of::<StatfsOut>(), 80);
        assert_eq!(size_of::<Dirent>(), 24);
        assert_eq!(size_of::<IoctlIn>(), 32);
        assert_eq!(size_of::<IoctlOut>(), 16);
        assert_eq!(size_of::<Fsxattr>(), 28);
        assert_eq!(size_of::<SetupmappingIn>(), 40);
        assert_eq!(size_of::<RemovemappingOne>(), 16);
        assert_eq!(size_of::<CopyFileRangeIn>(), 56);
        assert_eq!(size_of::<LkIn>(), 48);
    }

    #[test]
    fn names_work_both_ways() {
        assert_eq!(op_by_name("fuse_read"), Some(op::READ));
        assert_eq!(op_by_name("SETUPMAPPING"), Some(op::SETUPMAPPING));
        assert_eq!(op_by_name("nonsense"), None);
        assert_eq!(op_name(op::STATX), Some("STATX"));
        assert_eq!(
            init_flag_by_name("FUSE_HAS_INODE_DAX"),
            Some(init::HAS_INODE_DAX)
        );
    }
}
