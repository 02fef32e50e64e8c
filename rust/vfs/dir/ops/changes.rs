// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of directories when names are made, given to something else, or taken away.
//!
//! The VFS holds the directory's inode lock for writing, and for what goes away or is linked that inode's as well. Nothing is locked
//! here.

use super::{Dentry, Inode, Node, Operations, Rename, Wrap};
use crate::{
    bindings,
    vfs::{cred::Idmap, to_int},
};
use kernel::{prelude::*, str::CStr};

impl<T: Operations> Wrap<T> {
    /// # Safety
    ///
    /// For the VFS only: the directory and the name belong to `T`; the directory is locked for
    /// writing, and `dentry` is negative.
    pub(super) unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        _excl: bool,
    ) -> c_int {
        // SAFETY: As this function requires.
        unsafe { Self::make_plain(idmap, dir, dentry, mode.into(), 0) }
    }

    /// # Safety
    ///
    /// As for [`Self::create`].
    pub(super) unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        rdev: bindings::dev_t,
    ) -> c_int {
        // SAFETY: As in `create`.
        unsafe {
            let rdev = bindings::rust_fuse_new_encode_dev(rdev);
            Self::make_plain(idmap, dir, dentry, mode.into(), rdev)
        }
    }

    /// # Safety
    ///
    /// As for [`Self::create`].
    pub(super) unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // SAFETY: As in `create`.
        unsafe { Self::make(idmap, dir, dentry, Node::Directory { mode: mode.into() }) }
    }

    /// # Safety
    ///
    /// As for `create`; the text ends with a NUL.
    pub(super) unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        // SAFETY: As this function requires.
        Self::end_plain(unsafe {
            let target = CStr::from_char_ptr(target).to_bytes();
            Self::make(idmap, dir, dentry, Node::Symlink { target })
        })
    }

    /// # Safety
    ///
    /// As for `create`; `old` is positive, and its inode is locked.
    pub(super) unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As this function requires.
        Self::end_plain(unsafe {
            let inode = Inode::<T>::from_raw((*old).d_inode);
            Self::make_with(dir, dentry, |dir, name| T::link(dir, name.name(), inode))
        })
    }

    /// # Safety
    ///
    /// For the VFS only: all four belong to `T`; both directories are locked.
    pub(super) unsafe extern "C" fn rename(
        idmap: *mut bindings::mnt_idmap,
        old_dir: *mut bindings::inode,
        old: *mut bindings::dentry,
        new_dir: *mut bindings::inode,
        new: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: As this function requires.
        let rename = unsafe {
            Rename {
                old_dir: Inode::from_raw(old_dir),
                old: Dentry::from_raw(old),
                new_dir: Inode::from_raw(new_dir),
                new: Dentry::from_raw(new),
                flags,
                idmap: Idmap::from_raw(idmap),
            }
        };
        if rename.old_dir.is_bad() || rename.new_dir.is_bad() {
            return EIO.to_errno();
        }
        to_int(T::rename(&rename))
    }

    /// # Safety
    ///
    /// For the VFS only: the directory and the name belong to `T`; the directory and what `dentry`
    /// leads to are locked.
    pub(super) unsafe extern "C" fn unlink(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As this function requires.
        unsafe { Self::remove(dir, dentry, T::unlink) }
    }

    /// # Safety
    ///
    /// As for [`Self::unlink`].
    pub(super) unsafe extern "C" fn rmdir(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: As in `unlink`.
        unsafe { Self::remove(dir, dentry, T::rmdir) }
    }

    /// # Safety
    ///
    /// Both belong to this file system and are locked; `dentry` is positive.
    unsafe fn remove(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        op: fn(&Inode<T>, &[u8], &Inode<T>) -> Result,
    ) -> c_int {
        // SAFETY: By the caller's promise.
        let (dir, dentry) = unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(dentry)) };
        let Some(victim) = dentry.inode() else {
            return ENOENT.to_errno();
        };
        if dir.is_bad() {
            return EIO.to_errno();
        }
        to_int(op(dir, dentry.name(), victim))
    }
}
