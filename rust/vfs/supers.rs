// SPDX-License-Identifier: GPL-2.0

//! The super blocks of a file system type that are mounted, for those who come from below: a driver whose device goes.
//!
//! Locks: one mutex around the list, taken under `s_umount`, with nothing inside; the super block's list of inodes has a
//! spinlock, with the inode's own inside.

use super::{inode::Ref, FileSystem, SuperBlock};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

/// The super blocks that are mounted.
///
/// # Invariants
///
/// Each is a super block of `T` with its private data set; it is taken off the list before it ends.
#[pin_data]
pub(crate) struct Supers<T: FileSystem> {
    #[pin]
    list: Mutex<KVec<NonNull<SuperBlock<T>>>>,
}

// SAFETY: Super blocks are shared between threads.
unsafe impl<T: FileSystem> Send for Supers<T> {}
// SAFETY: As above; the list has a lock.
unsafe impl<T: FileSystem> Sync for Supers<T> {}

impl<T: FileSystem> Supers<T> {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(KVec::new(), "vfs::Supers::list"),
            }),
            GFP_KERNEL,
        )
    }

    /// # Safety
    ///
    /// `sb` must be taken off with [`Self::remove`] before it ends.
    pub(super) unsafe fn add(&self, sb: &SuperBlock<T>) -> Result {
        // INVARIANT: By the caller's promise.
        Ok(self.list.lock().push(NonNull::from(sb), GFP_KERNEL)?)
    }

    /// Takes a super block off, if it is there.
    pub(super) fn remove(&self, sb: *mut bindings::super_block) {
        self.list.lock().retain(|other| other.as_ptr() != sb.cast());
    }

    /// Finds a super block by its private data and keeps it mounted. One whose unmount has begun is not found.
    pub(crate) fn find(&self, is_it: impl Fn(&T::Super) -> bool) -> Option<Active<T>> {
        let list = self.list.lock();
        list.iter().copied().find_map(|sb| {
            // SAFETY: By the type invariant it is valid while it is on the list.
            let found = unsafe {
                let sb = sb.as_ref();
                is_it(sb.data()) && bindings::rust_fuse_sb_grab_active(sb.as_raw())
            };
            // INVARIANT: One active reference was just taken.
            found.then_some(Active(sb))
        })
    }
}

/// A super block that stays mounted, even when the last user unmounts it: then dropping this ends it.
///
/// # Invariants
///
/// One active reference is ours.
pub(crate) struct Active<T: FileSystem>(NonNull<SuperBlock<T>>);

impl<T: FileSystem> Active<T> {
    /// Calls `f` for the inodes in memory. May leave out those that come meanwhile; leaves out those that are leaving.
    pub(crate) fn for_each_inode(&self, mut f: impl FnMut(&Ref<T>)) {
        let mut last = None;
        while let Some(inode) = self.inode_after(last.as_ref()) {
            f(&inode);
            // The one before is given up only now: its place in the list was needed.
            last = Some(inode);
        }
    }

    /// The inode that follows in the list; the first one without `last`.
    fn inode_after(&self, last: Option<&Ref<T>>) -> Option<Ref<T>> {
        // SAFETY: By the type invariant the super block is valid.
        let sb = unsafe { self.0.as_ref() }.as_raw();
        // SAFETY: The list is walked under its lock. `last` is on it, as inodes leave it with their last reference. What is on
        // it is an inode of `T`, set up since it was allocated.
        unsafe {
            bindings::rust_fuse_inode_list_lock(sb);
            let head = &raw mut (*sb).s_inodes;
            let mut at = match last {
                Some(inode) => (*inode.as_raw()).i_sb_list.next,
                None => (*head).next,
            };
            let mut found = None;
            while at != head && found.is_none() {
                let inode = kernel::container_of!(at, bindings::inode, i_sb_list);
                found = NonNull::new(bindings::igrab(inode)).map(|inode| Ref::from_raw(inode));
                at = (*at).next;
            }
            bindings::rust_fuse_inode_list_unlock(sb);
            found
        }
    }
}

impl<T: FileSystem> Drop for Active<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours.
        unsafe { bindings::deactivate_super(self.0.as_ref().as_raw()) };
    }
}
