// SPDX-License-Identifier: GPL-2.0

//! Names that are cached, for those who hear that they changed without having been asked for.
//!
//! Nothing here needs the lock of a directory: a name may change or go meanwhile, as it may at any time.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{
    dentry::{Belief, Cached},
    inode::Ref,
    FileSystem, Inode,
};
use crate::bindings;
use core::{ops::Deref, ptr::NonNull};

/// A counted reference to a cached name.
///
/// # Invariants
///
/// One count of a dentry of `T` is ours.
pub(crate) struct Name<T: FileSystem>(NonNull<Cached<T>>);

impl<T: FileSystem> Deref for Name<T> {
    type Target = Cached<T>;

    fn deref(&self) -> &Cached<T> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: FileSystem> Drop for Name<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::dput(self.as_raw()) };
    }
}

impl<T: FileSystem> Name<T> {
    /// Takes the name and all below it out of the cache, with what is mounted there.
    pub(crate) fn invalidate(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::d_invalidate(self.as_raw()) };
    }

    /// Whether something is mounted on it.
    pub(crate) fn is_mountpoint(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_d_mountpoint(self.as_raw()) }
    }

    /// Takes what is unused below a directory out of the cache. True when names that exist are left.
    pub(crate) fn is_used_below(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::shrink_dcache_parent(self.as_raw());
            bindings::simple_empty(self.as_raw()) == 0
        }
    }

    /// Allows no more mounts on it.
    pub(crate) fn forbid_mounts(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_dont_mount(self.as_raw()) };
    }

    /// The inode, if the name is known to exist.
    pub(crate) fn inode_ref(&self) -> Option<Ref<T>> {
        let inode = NonNull::new(self.inode()?.as_raw())?;
        // SAFETY: A dentry that is counted by others than who deletes it keeps its inode, which so has a count; one more is
        // taken and goes over.
        unsafe {
            bindings::rust_fuse_ihold(inode.as_ptr());
            Some(Ref::from_raw(inode))
        }
    }
}

impl<T: FileSystem> Inode<T> {
    /// Finds a name of this directory in the cache.
    pub(crate) fn cached_name(&self, name: &[u8]) -> Option<Name<T>> {
        let len = u32::try_from(name.len()).ok()?;
        // SAFETY: The inode is valid. What is found is counted, and the directory's own name is let go; the bytes of the name are
        // only read.
        unsafe {
            let dir = NonNull::new(bindings::d_find_alias(self.as_raw()))?;
            let found = bindings::rust_fuse_d_lookup(dir.as_ptr(), name.as_ptr().cast(), len);
            bindings::dput(dir.as_ptr());
            // INVARIANT: The count that the search raised.
            Some(Name(NonNull::new(found)?.cast()))
        }
    }

    /// Takes the names in this directory out of the cache that nobody uses and that are not believed in `epoch`.
    pub(crate) fn drop_unbelieved(&self, epoch: usize) {
        // SAFETY: The inode is valid. INVARIANT: The count that the search raised.
        let Some(dir) = NonNull::new(unsafe { bindings::d_find_alias(self.as_raw()) })
            .map(|dir| Name::<T>(dir.cast()))
        else {
            return;
        };
        let mut last: Option<Name<T>> = None;
        loop {
            let before = last.as_ref().map_or(core::ptr::null_mut(), |n| n.as_raw());
            // SAFETY: Both are counted, if there are both.
            let next = unsafe { bindings::rust_fuse_next_child(dir.as_raw(), before) };
            // INVARIANT: The count that was raised.
            let next = NonNull::new(next).map(|next| Name::<T>(next.cast()));
            // Only now, as its place was needed. With the last count goes what is not believed.
            if let Some(name) = last.take().filter(|name| !name.belief().holds(epoch)) {
                name.believe(Belief::NONE);
            }
            if next.is_none() {
                return;
            }
            last = next;
            // SAFETY: No lock is held.
            unsafe { bindings::rust_fuse_cond_resched() };
        }
    }

    /// Takes its names out of the cache that nobody uses.
    pub(crate) fn prune_names(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::d_prune_aliases(self.as_raw()) };
    }

    /// Says that a directory was removed: nothing can be made in it any more.
    pub(crate) fn set_removed(&self) {
        // SAFETY: The inode is valid; the flag is set atomically.
        unsafe { bindings::rust_fuse_inode_set_dead(self.as_raw()) };
    }

    /// Says that no name is left. Callers serialise with others who set the number by the private data's lock.
    pub(crate) fn clear_links(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::clear_nlink(self.as_raw()) };
    }
}
