// SPDX-License-Identifier: GPL-2.0

//! Symbolic links: what they say is asked of the file system, or kept with the inode. Nothing is locked here; who follows a
//! link may be inside a lockless walk.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    ops::{Operations, Wrap},
    Inode, New,
};
use crate::{bindings, vfs::err_ptr};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Operations on symbolic links.
pub(crate) trait LinkOperations: Operations {
    /// What the link says, without a NUL, and whether that holds for as long as the inode is in memory.
    fn read_link(inode: &Inode<Self>) -> Result<(KVec<u8>, bool)>;
}

/// Wrappers of [`LinkOperations`].
struct LinkWrap<T: LinkOperations>(PhantomData<T>);

impl<T: LinkOperations> LinkWrap<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        // Links have no access control lists: nothing is checked by them.
        get_inode_acl: None,
        get_acl: None,
        set_acl: None,
        ..Wrap::<T>::TABLE
    };

    /// # Safety
    ///
    /// For the VFS only: the inode is a link of `T`, and `done` is used once, after the result was read.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            return err_ptr::<c_char>(ECHILD);
        }
        // SAFETY: As this function requires.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if this.is_bad() {
            return err_ptr::<c_char>(EIO);
        }
        let text = T::read_link(this).and_then(|(mut text, keep)| {
            if text.is_empty() || text.contains(&0) {
                return Err(EIO);
            }
            text.push(0, GFP_KERNEL)?;
            Ok((text, keep))
        });
        match text {
            Ok((text, keep)) => {
                if keep {
                    this.keep_link(&text);
                }
                let (p, _, _) = text.into_raw_parts();
                // SAFETY: The memory came from kmalloc; `kfree_link` gives it back when the VFS is done with it.
                unsafe {
                    (*done).fn_ = Some(bindings::kfree_link);
                    (*done).arg = p.cast();
                }
                p.cast_const().cast()
            }
            Err(e) => err_ptr::<c_char>(e),
        }
    }
}

impl<T: LinkOperations> New<T> {
    /// Makes it a symbolic link.
    pub(crate) fn set_link(&self) {
        self.set_inode_ops(&LinkWrap::<T>::TABLE);
    }
}

impl<T: LinkOperations> Inode<T> {
    /// Forgets what the link says. From now on it is asked for each time.
    pub(crate) fn forget_link(&self) {
        if self.mode() & bindings::S_IFMT == bindings::S_IFLNK {
            // SAFETY: The inode is a link. The text stays for those who have found it.
            unsafe {
                (&raw mut (*self.as_raw()).__bindgen_anon_5.i_link)
                    .write_volatile(core::ptr::null_mut());
            }
        }
    }

    /// Keeps what the link says, with its NUL. From now on the VFS asks no more, also in lockless walks.
    fn keep_link(&self, text: &[u8]) {
        let mut kept = KVec::new();
        // Others may have been faster, and without memory it is asked for again.
        if kept.extend_from_slice(text, GFP_KERNEL).is_err() || !self.slot().link.populate(kept) {
            return;
        }
        if let Some(kept) = self.slot().link.as_ref() {
            kernel::sync::barrier::smp_wmb();
            // SAFETY: The inode is a link. The text lives as long as the inode's memory, which is given back after lockless
            // walks have ended; who sees the pointer sees the text, as its reader depends on the address.
            unsafe {
                (&raw mut (*self.as_raw()).__bindgen_anon_5.i_link)
                    .write_volatile(kept.as_ptr().cast_mut().cast());
            }
        }
    }
}
