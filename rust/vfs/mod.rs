// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions of the virtual file system, enough to write a file system without `unsafe`.
//!
//! A file system is one type that implements [`FileSystem`] (the super block) and one trait for each table
//! of operations that it offers: [`inode::Operations`], [`dir::Operations`], [`file::Operations`],
//! [`pagecache::Operations`]. Every C table is built once, as a constant generic over that type, so a wrapper that is handed
//! an object by the VFS knows by the table it came through which private data it carries. Each way to mount it is an
//! [`fs::Type`].
//!
//! The shortest way in is `samples/tinyfs`, a read-only file system of 190 lines. In steps:
//!
//! 1. A type implements [`FileSystem`]: what its super blocks, inodes and open files hold. Another (or the same) implements
//!    [`fs::Type`]: `prepare` makes what a super block holds, `fill_super` its root inode.
//! 2. Inodes come from [`SuperBlock::get_inode`] by a number of the file system's own. A new one is told what it is
//!    ([`inode::New::init`]), gets its tables (`set_dir`, `set_file`, `set_link`, `set_plain`) and becomes visible by
//!    [`inode::New::done`].
//! 3. `set_dir` asks for [`dir::Operations`] and [`file::DirOperations`], `set_file` for [`file::Operations`], `set_link` for
//!    [`inode::LinkOperations`]. What a method does where it is left out is "there is no such thing", in the errno that
//!    users expect.
//! 4. A [`Registration`] of the type lives in the module.
//!
//! What is handed over is checked where a mistake would hurt: an inode of another super block, a name that was made for
//! nothing, pages of a file where those of a directory are meant.
//!
//! Locks that the VFS holds around a call are not repeated; locks that the file system takes itself are guards
//! ([`inode::Locked`], [`inode::Invalidate`]).

pub(crate) mod acl;
pub(crate) mod backing;
pub(crate) mod context;
pub(crate) mod cred;
pub(crate) mod defer;
pub(crate) mod dentry;
pub(crate) mod dir;
pub(crate) mod export;
pub(crate) mod file;
pub(crate) mod fileattr;
pub(crate) mod fs;
pub(crate) mod inode;
pub(crate) mod iter;
pub(crate) mod mounted;
pub(crate) mod names;
pub(crate) mod page;
pub(crate) mod pagecache;
pub(crate) mod pids;
mod submount;
pub(crate) mod super_block;
pub(crate) mod time;
pub(crate) mod tree;
pub(crate) mod user_pages;
pub(crate) mod xattr;

pub(crate) use fs::{Common, FileSystem, Registration};
pub(crate) use inode::Inode;
pub(crate) use mounted::Mounted;
pub(crate) use super_block::SuperBlock;

use kernel::prelude::*;

/// Turns a result into what a C operation returns: 0 or a negative errno.
pub(crate) fn to_int(r: Result) -> c_int {
    match r {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// As [`to_int`], for operations that return a count.
pub(crate) fn to_len(r: Result<usize>) -> isize {
    match r {
        Ok(n) => n as isize,
        Err(e) => e.to_errno() as isize,
    }
}

/// A random number.
pub(crate) fn random() -> u64 {
    // SAFETY: May be called in every context.
    unsafe { crate::bindings::rust_fuse_random_u64() }
}

/// Reads an `ERR_PTR` result.
pub(crate) fn from_err_ptr<T>(p: *mut T) -> Result<*mut T> {
    let v = p as isize;
    if (-4095..0).contains(&v) {
        return Err(Error::from_errno(v as c_int));
    }
    Ok(p)
}

/// Makes an `ERR_PTR`.
pub(crate) fn err_ptr<T>(e: Error) -> *mut T {
    e.to_errno() as isize as *mut T
}

/// Whether a message may be printed now: at most ten in five seconds.
pub(crate) fn ratelimit() -> bool {
    // SAFETY: May be called in every context.
    unsafe { crate::bindings::rust_fuse_ratelimit() }
}
