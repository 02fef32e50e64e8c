// SPDX-License-Identifier: GPL-2.0

//! The two locks of an inode: the inode lock and, inside it, the invalidate lock of its mapping.
//!
//! Both sleep, and both can be held for reading or writing. The inode lock orders what changes the file; the invalidate
//! lock keeps faults and the removal of what they map apart. A guard gives its lock back when it is dropped, and stays with
//! the task that took it.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{FileSystem, Inode};
use crate::bindings;
use kernel::{prelude::*, types::NotThreadSafe};

impl<T: FileSystem> Inode<T> {
    /// Takes the inode lock for writing.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn lock_killable(&self) -> Result<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_inode_lock_killable(self.as_raw()) } != 0 {
            return Err(EINTR);
        }
        Ok(Locked::new(self, bindings::rust_fuse_inode_unlock))
    }

    /// Takes the inode lock for writing if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_inode_trylock(self.as_raw()) }
            .then(|| Locked::new(self, bindings::rust_fuse_inode_unlock))
    }

    /// Takes the inode lock for reading.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn lock_shared_killable(&self) -> Result<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_inode_lock_shared_killable(self.as_raw()) } != 0 {
            return Err(EINTR);
        }
        Ok(Locked::new(self, bindings::rust_fuse_inode_unlock_shared))
    }

    /// Keeps faults out: the invalidate lock for writing. For files that are reached by DAX, where nobody who has it waits
    /// for the server.
    pub(crate) fn invalidate_lock(&self) -> Invalidate<'_, T> {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_filemap_invalidate_lock(self.as_raw()) };
        Invalidate(self, NotThreadSafe)
    }

    /// As [`Self::invalidate_lock`], for every file.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn invalidate_lock_killable(&self) -> Result<Invalidate<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_filemap_invalidate_lock_killable(self.as_raw()) } != 0 {
            return Err(EINTR);
        }
        Ok(Invalidate(self, NotThreadSafe))
    }

    /// Keeps invalidation out: the invalidate lock for reading.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn invalidate_lock_shared_killable(&self) -> Result<InvalidateShared<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_filemap_invalidate_lock_shared_killable(self.as_raw()) }
            != 0
        {
            return Err(EINTR);
        }
        Ok(InvalidateShared(self, NotThreadSafe))
    }
}

/// The inode lock, held for reading or writing.
pub(crate) struct Locked<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    unlock: unsafe extern "C" fn(*mut bindings::inode),
    _here: NotThreadSafe,
}

impl<'a, T: FileSystem> Locked<'a, T> {
    fn new(inode: &'a Inode<T>, unlock: unsafe extern "C" fn(*mut bindings::inode)) -> Self {
        Self {
            inode,
            unlock,
            _here: NotThreadSafe,
        }
    }
}

impl<T: FileSystem> Locked<'_, T> {
    /// Whether this is the lock of `inode`.
    pub(crate) fn is_of(&self, inode: &Inode<T>) -> bool {
        core::ptr::eq(self.inode, inode)
    }
}

impl<T: FileSystem> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock was taken by this task when the guard was made, in the way that `unlock` undoes.
        unsafe { (self.unlock)(self.inode.as_raw()) };
    }
}

/// The invalidate lock, held for reading.
pub(crate) struct InvalidateShared<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> InvalidateShared<'_, T> {
    /// Whether this is the lock of `inode`.
    pub(crate) fn is_of(&self, inode: &Inode<T>) -> bool {
        core::ptr::eq(self.0, inode)
    }
}

impl<T: FileSystem> Drop for InvalidateShared<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken by `invalidate_lock_shared_killable`.
        unsafe { bindings::rust_fuse_filemap_invalidate_unlock_shared(self.0.as_raw()) };
    }
}

/// The invalidate lock, held for writing.
pub(crate) struct Invalidate<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<'a, T: FileSystem> Invalidate<'a, T> {
    /// The inode that is locked.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        self.0
    }
}

impl<T: FileSystem> Drop for Invalidate<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken when the guard was made.
        unsafe { bindings::rust_fuse_filemap_invalidate_unlock(self.0.as_raw()) };
    }
}
