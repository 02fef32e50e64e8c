// SPDX-License-Identifier: GPL-2.0

//! Reaching a super block from background work.
//!
//! Whoever works for a mount without being called by its users holds a [`Mounted`]. The super block is lent through it from
//! the end of the mount call to the beginning of the unmount, which waits for those that have it: later, an inode that
//! somebody still holds would outlive its super block.
//!
//! Locks: one mutex, outside the locks of inodes and inside `s_umount`.

use super::{FileSystem, SuperBlock};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{new_mutex, prelude::*, sync::Mutex};

/// A super block, while it is mounted.
///
/// # Invariants
///
/// What the mutex holds is a super block of `T` that is mounted.
#[pin_data]
pub(crate) struct Mounted<T: FileSystem> {
    #[pin]
    sb: Mutex<Option<Pointer>>,
    _fs: PhantomData<T>,
}

struct Pointer(NonNull<bindings::super_block>);

// SAFETY: Super blocks are shared between threads.
unsafe impl Send for Pointer {}

impl<T: FileSystem> Mounted<T> {
    /// Nothing is mounted yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: It holds none.
        pin_init!(Self {
            sb <- new_mutex!(None, "vfs::Mounted"),
            _fs: PhantomData,
        })
    }

    /// Runs `work` with the super block, unless its unmount has begun. The unmount waits for the end of `work`, which must
    /// not wait for the server.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&SuperBlock<T>) -> R) -> Option<R> {
        let sb = self.sb.lock();
        sb.as_ref().map(|sb| {
            // SAFETY: By the type invariant; `close` waits for the lock.
            work(unsafe { SuperBlock::from_raw(sb.0.as_ptr()) })
        })
    }

    /// Lends the super block out.
    ///
    /// # Safety
    ///
    /// `sb` is a super block of `T` whose private data is set, and [`Self::close`] is called before its inodes are evicted.
    pub(super) unsafe fn open(&self, sb: *mut bindings::super_block) {
        // INVARIANT: By the caller's promise.
        *self.sb.lock() = NonNull::new(sb).map(Pointer);
    }

    /// The unmount begins. Waits for those that have the super block.
    pub(super) fn close(&self) {
        *self.sb.lock() = None;
    }
}
