// SPDX-License-Identifier: GPL-2.0

//! A work queue that belongs to the module: dropping it waits for every item, so that none runs when the module's text
//! is gone. It may be used for freeing memory (`WQ_MEM_RECLAIM`).
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{ops::Deref, ptr::NonNull};
use kernel::{prelude::*, str::CStr, workqueue::Queue};

/// An owned `workqueue_struct`.
///
/// # Invariants
///
/// The pointer is a live work queue that nothing else destroys.
pub(crate) struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Work queues are made for use from every thread.
unsafe impl Send for OwnedQueue {}
// SAFETY: As above.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Allocates a queue; its items run concurrently.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        // SAFETY: `name` is NUL-terminated; the shim passes it as an argument of "%s".
        let wq = unsafe { bindings::rust_fuse_alloc_workqueue(name.as_char_ptr()) };
        // INVARIANT: Just made, ours alone.
        Ok(Self(NonNull::new(wq).ok_or(ENOMEM)?))
    }

    /// Waits until every item that is queued now has run. Must not be called by such an item.
    pub(crate) fn flush(&self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_flush_workqueue(self.0.as_ptr()) };
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant the queue lives as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr().cast()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; this drains the queue first.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}
