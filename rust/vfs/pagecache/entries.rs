// SPDX-License-Identifier: GPL-2.0

//! Files that are reached by DAX. They have no pages here, only entries that say where faults found the data.
//!
//! A fault for writing marks its entry dirty and the inode with it, for devices whose caches must be flushed. Here what is stored
//! is in the server's page cache at once, and fsync(2) is a request whatever is marked. So there is nothing to write back;
//! but what stays marked would have the flusher come back to the inode for ever.
//!
//! Locks: that of the mapping's array, for a few entries at a time.

use super::{Operations, Wrap};
use crate::bindings;
use kernel::prelude::*;

/// So many marks are taken away at a time: interrupts are off meanwhile.
const AT_A_TIME: usize = 64;

impl<T: Operations> Wrap<T> {
    /// Table of files that are reached by DAX.
    pub(super) const DAX: bindings::address_space_operations = bindings::address_space_operations {
        writepages: Some(Self::clean),
        direct_IO: Some(bindings::noop_direct_IO),
        dirty_folio: Some(bindings::noop_dirty_folio),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// Takes the marks of all entries away. Page tables stay as they are, so later stores through them need no fault.
    ///
    /// # Safety
    ///
    /// For the VFS only: the mapping is that of an inode of `T`.
    unsafe extern "C" fn clean(
        mapping: *mut bindings::address_space,
        _wbc: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: As this function requires.
        let entries = unsafe { &raw mut (*mapping).i_pages };
        let dirty = bindings::RUST_FUSE_TAG_DIRTY;
        let mut index = 0;
        loop {
            // SAFETY: The array is initialised as long as the inode lives. The lock is held around the change, entries are
            // looked at by address only, and nothing sleeps meanwhile.
            let more = unsafe {
                bindings::rust_fuse_xa_lock_irq(entries);
                let more = (0..AT_A_TIME).all(|_| {
                    let entry = bindings::xa_find(entries, &mut index, c_ulong::MAX, dirty);
                    if !entry.is_null() {
                        bindings::__xa_clear_mark(entries, index, dirty);
                    }
                    !entry.is_null()
                });
                bindings::rust_fuse_xa_unlock_irq(entries);
                more
            };
            if !more {
                return 0;
            }
            // SAFETY: Called where it may sleep, with no lock of its own.
            unsafe { bindings::rust_fuse_cond_resched() };
        }
    }
}
