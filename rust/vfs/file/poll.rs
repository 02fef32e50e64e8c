// SPDX-License-Identifier: GPL-2.0

//! Waiting for open files by poll(2) and its kin. No locks.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use super::File;
use crate::{bindings, sync::WaitQueue, vfs::FileSystem};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Polling of regular files.
pub(crate) trait PollOperations: FileSystem {
    /// What is woken when the state of the file changes; without one it is always ready. It is part of what the file, its inode
    /// or its super block hold, so it lives as long as the file.
    fn poll_queue(_file: &File<Self>) -> Option<&WaitQueue> {
        None
    }

    /// Which of `events` (`POLL*`) are there. `waits` says whether somebody waits for a change. `None`: it is always ready.
    fn poll(_file: &File<Self>, _events: u32, _waits: bool) -> Result<Option<u32>> {
        Ok(None)
    }
}

/// Wrappers of [`PollOperations`].
pub(super) struct Wrap<T: PollOperations>(PhantomData<T>);

impl<T: PollOperations> Wrap<T> {
    /// Readable and writable (`DEFAULT_POLLMASK`).
    const ALWAYS: bindings::__poll_t = 0x0001 | 0x0004 | 0x0040 | 0x0100;
    /// `EPOLLERR`.
    const ERROR: bindings::__poll_t = 0x0008;

    /// # Safety
    ///
    /// For the VFS only: both are valid for the call; the file is open and belongs to `T`.
    pub(super) unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: As this function requires.
        let this = unsafe { File::<T>::from_raw(file) };
        if this.inode().is_bad() {
            return Self::ERROR;
        }
        let Some(queue) = T::poll_queue(this) else {
            return Self::ALWAYS;
        };
        // SAFETY: File and table are valid for the call. The queue is part of something that goes with the file at the
        // earliest, and by then the poll table is torn down.
        let (events, waits) = unsafe {
            bindings::rust_fuse_poll_wait(file, queue.as_raw(), table);
            (
                bindings::rust_fuse_poll_requested(table),
                bindings::rust_fuse_waitqueue_active(queue.as_raw()),
            )
        };
        match T::poll(this, events, waits) {
            // SAFETY: Every number may be passed.
            Ok(Some(events)) => unsafe { bindings::rust_fuse_poll_result(events) },
            Ok(None) => Self::ALWAYS,
            Err(_) => Self::ERROR,
        }
    }
}
