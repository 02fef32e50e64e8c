// SPDX-License-Identifier: GPL-2.0

//! Inodes that stay in memory while the server has some of their pages.
//!
//! Whoever ends an inode (the last close, an unmount, who frees memory) waits for each page that is being read or written
//! back, and no signal ends that wait. So what is under way keeps the inode, and the last of it ends the inode in its place.
//! An unmount waits for all of it first, as for every user of [`Mounted`](crate::vfs::Mounted), where signals help.
//!
//! Nothing is locked here; an inode's spinlock and that of its `Mounted` are taken for a moment.

use crate::{
    bindings,
    vfs::{FileSystem, Inode, SuperBlock},
};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

/// An inode that is kept, and with it its mount.
///
/// # Invariants
///
/// One count of the inode, which is of `T`, is ours, and its mount counts us as a user.
pub(super) struct Held<T: FileSystem>(NonNull<bindings::inode>, PhantomData<T>);

// SAFETY: Counts may be raised and dropped by every thread.
unsafe impl<T: FileSystem> Send for Held<T> {}

impl<T: FileSystem> Held<T> {
    /// Keeps `inode`; `None` when it, or its mount, is about to end. Then that waits for its pages.
    pub(super) fn new(inode: &Inode<T>) -> Option<Self> {
        let mounted = T::mounted(inode.sb().data())?;
        if !mounted.enter(inode.sb()) {
            return None;
        }
        // SAFETY: The inode is valid.
        match NonNull::new(unsafe { bindings::igrab(inode.as_raw()) }) {
            // INVARIANT: Both were raised just now.
            Some(inode) => Some(Self(inode, PhantomData)),
            None => {
                mounted.leave();
                None
            }
        }
    }
}

impl<T: FileSystem> Deref for Held<T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: By the type invariant.
        unsafe { Inode::from_raw(self.0.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the count is ours, and the super block stays until its `Mounted` is left.
        let sb = unsafe {
            let sb = SuperBlock::<T>::from_raw((*self.0.as_ptr()).i_sb);
            bindings::rust_fuse_iput_not_writing(self.0.as_ptr());
            sb
        };
        if let Some(mounted) = T::mounted(sb.data()) {
            mounted.leave();
        }
    }
}
