// SPDX-License-Identifier: GPL-2.0

//! Mounts inside a file system: a directory in which another file system of the same server begins.
//!
//! Whoever walks into such a directory makes the VFS mount a super block of its own there, so that it has its own device
//! number. It serves what the directory's inode stands for and shares with its parent what the file system wants shared.
//! These mounts go with the one that they are in. `s_umount` of a new super block is held while it is filled.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::{
    context::{both, drop_candidate, find_or_fill},
    err_ptr, from_err_ptr,
    inode::New,
    super_block, to_int, FileSystem, Inode,
};
use crate::{bindings, errno};
use core::marker::PhantomData;
use kernel::prelude::*;

impl<T: FileSystem> New<T> {
    /// Has the VFS mount [`FileSystem::submount`] in this directory when somebody walks into it.
    pub(crate) fn set_automount(&self) {
        // SAFETY: Nobody else uses the inode yet.
        unsafe { (*self.as_raw()).i_flags |= bindings::RUST_FUSE_S_AUTOMOUNT };
    }
}

impl<T: FileSystem> Inode<T> {
    /// Whether another file system begins here.
    pub(crate) fn is_automount(&self) -> bool {
        // SAFETY: The flag is set before the inode becomes visible and never changes.
        unsafe { (*self.as_raw()).i_flags & bindings::RUST_FUSE_S_AUTOMOUNT != 0 }
    }
}

/// Whether `fc` was made by [`automount`].
///
/// # Safety
///
/// `fc` is valid.
pub(super) unsafe fn is_for(fc: *mut bindings::fs_context) -> bool {
    // SAFETY: By the caller's promise.
    let purpose = unsafe { bindings::rust_fuse_fs_context_purpose(fc) };
    purpose == bindings::fs_context_purpose_FS_CONTEXT_FOR_SUBMOUNT as c_int
}

/// Sets up the context of such a mount.
///
/// # Safety
///
/// `fc` is new, and of a type of `T`.
pub(super) unsafe fn init<T: FileSystem>(fc: *mut bindings::fs_context) {
    // SAFETY: By the caller's promise it is ours to fill.
    unsafe { (*fc).ops = Context::<T>::OPS };
}

/// A mount call of the kernel's own. `fs_private` is the directory's inode, which its walker holds.
struct Context<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Context<T> {
    const OPS: &'static bindings::fs_context_operations = &bindings::fs_context_operations {
        free: Some(Self::free),
        dup: None,
        parse_param: None,
        parse_monolithic: None,
        get_tree: Some(Self::get_tree),
        reconfigure: None,
    };

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by [`init`], and ends.
    unsafe extern "C" fn free(fc: *mut bindings::fs_context) {
        // SAFETY: As this function requires; only `get_tree` sets a candidate.
        unsafe { drop_candidate::<T>(fc) };
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` was set up by [`init`], is locked, and has no root yet.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: As this function requires.
        to_int(unsafe { Self::try_get_tree(fc) })
    }

    /// # Safety
    ///
    /// As for [`Self::get_tree`].
    unsafe fn try_get_tree(fc: *mut bindings::fs_context) -> Result {
        // SAFETY: By the caller's promise; only `automount` sets the pointer, to an inode of `T` that stays for the call.
        let at = unsafe {
            let at = (*fc).fs_private;
            if at.is_null() {
                return Err(EINVAL);
            }
            Inode::<T>::from_raw(at.cast())
        };
        if at.is_bad() {
            return Err(errno::estale());
        }
        let candidate = T::submount(at)?;
        // SAFETY: By the caller's promise; the super block is locked, and new or filled.
        unsafe {
            find_or_fill::<T>(fc, candidate, test::<T>, |sb| {
                if (*sb).s_root.is_null() {
                    super_block::fill_below::<T>(sb, at)
                } else {
                    Ok(())
                }
            })
        }
    }
}

/// Whether the candidate in `fc` is served by `sb` already.
///
/// # Safety
///
/// For `sget_fc` only: `sb` is a super block of `T` and `fc` a context of [`init`] with its candidate. Runs under a spinlock.
unsafe extern "C" fn test<T: FileSystem>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    // SAFETY: By the caller's promise.
    let (existing, candidate) = unsafe { both::<T>(sb, fc) };
    c_int::from(T::same_submount(existing, candidate))
}

/// Makes the mount for a directory.
///
/// # Safety
///
/// For the VFS only: `path` leads to an inode of `T` and is held by the caller.
pub(super) unsafe extern "C" fn automount<T: FileSystem>(
    path: *mut bindings::path,
) -> *mut bindings::vfsmount {
    // SAFETY: By the caller's promise. The context is ours until it is put; the inode is only used meanwhile.
    unsafe {
        let fs = (*(*(*path).mnt).mnt_sb).s_type;
        let fc = match from_err_ptr(bindings::fs_context_for_submount(fs, (*path).dentry)) {
            Ok(fc) => fc,
            Err(e) => return err_ptr(e),
        };
        (*fc).fs_private = (*(*path).dentry).d_inode.cast();
        let mount = bindings::fc_mount(fc);
        bindings::put_fs_context(fc);
        mount
    }
}
