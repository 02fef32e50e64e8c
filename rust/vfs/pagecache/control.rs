// SPDX-License-Identifier: GPL-2.0

//! What a file system does to the page cache of its files: starting writeback, and throwing parts away.

use crate::{
    bindings,
    vfs::{inode::Invalidate, FileSystem, Inode},
};
use kernel::{error::to_result, page::PAGE_SHIFT, prelude::*};

impl<T: FileSystem> Inode<T> {
    fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: An inode always has a mapping.
        unsafe { (*self.as_raw()).i_mapping }
    }

    /// Whether the file may become `size` bytes long, by the caller's limits and the file system's.
    ///
    /// # Errors
    ///
    /// `EFBIG`, with `SIGXFSZ`; `ETXTBSY` for a swap file.
    pub(crate) fn may_grow_to(&self, size: u64) -> Result {
        let size = i64::try_from(size).map_err(|_| EFBIG)?;
        // SAFETY: The inode is valid.
        to_result(unsafe { bindings::inode_newsize_ok(self.as_raw(), size) })
    }

    /// Whether there are cached pages.
    pub(crate) fn has_pages(&self) -> bool {
        // SAFETY: The mapping is valid; the word is read whole.
        unsafe { (&raw const (*self.mapping()).nrpages).read_volatile() != 0 }
    }

    /// Drops cached pages of `[start, start + len)` bytes that are clean, unused and unlocked. Does not wait.
    pub(crate) fn forget_pages(&self, start: u64, len: u64) {
        let last = start.saturating_add(len.saturating_sub(1)) >> PAGE_SHIFT;
        if len > 0 && self.has_pages() {
            // SAFETY: The mapping is valid.
            unsafe {
                bindings::invalidate_mapping_pages(
                    self.mapping(),
                    (start >> PAGE_SHIFT) as usize,
                    last as usize,
                )
            };
        }
    }

    /// Whether there are pages that are dirty or being written back.
    pub(crate) fn has_dirty_pages(&self) -> bool {
        // SAFETY: The mapping is valid.
        unsafe { bindings::rust_fuse_mapping_dirty(self.mapping()) }
    }

    /// Starts to write back what is dirty in `[start, end]`, but pages that are being written back already. It waits for none
    /// of them, as the kernel's own functions for a sync do, where no signal helps.
    pub(crate) fn start_write_back(&self, start: u64, end: u64) -> Result {
        let end = end.min(i64::MAX as u64) as i64;
        // SAFETY: The mapping is valid; its table, if it writes back, is one of `Wrap`.
        to_result(unsafe { bindings::rust_fuse_write_range(self.mapping(), start as i64, end) })
    }

    /// Takes an error of writeback that nobody was told yet.
    pub(crate) fn take_write_error(&self) -> Result {
        // SAFETY: The mapping is valid.
        to_result(unsafe { bindings::filemap_check_errors(self.mapping()) })
    }

    /// Calls `f` with each folio of `[start, last]` bytes that is cached, and a reference to it, until that gives an error.
    fn each_folio(
        &self,
        start: u64,
        last: u64,
        mut f: impl FnMut(*mut bindings::folio) -> Result,
    ) -> Result {
        let mut next = (start >> PAGE_SHIFT) as usize;
        let last = (last >> PAGE_SHIFT) as usize;
        loop {
            let mut batch = bindings::folio_batch::default();
            // SAFETY: The mapping is valid, and the batch empty.
            let n = unsafe {
                bindings::filemap_get_folios(self.mapping(), &mut next, last, &mut batch)
            };
            if n == 0 {
                return Ok(());
            }
            // Each is called with, as each has a reference that goes over.
            let mut result = Ok(());
            for folio in batch.folios.into_iter().take(n as usize) {
                let done = f(folio);
                result = result.and(done);
            }
            result?;
        }
    }

    /// Waits until no cached page of `[start, last]` bytes is being read or written back. The kernel's own functions that drop
    /// pages wait as well, but no signal ends that; a server may never answer. What begins meanwhile is not waited for.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn settle_pages(&self, start: u64, last: u64) -> Result {
        if self.is_dax() || !self.has_pages() {
            return Ok(());
        }
        self.each_folio(start, last, |folio| {
            // SAFETY: The folio came with a reference, which is given up.
            to_result(unsafe { bindings::rust_fuse_folio_settle(folio) }).map_err(|_| EINTR)
        })
    }

    /// Keeps faults out while no cached page of `[start, last]` bytes is being read, so that pages can be dropped without
    /// waiting. Who writes back has to be kept out before.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn lock_settled(&self, start: u64, last: u64) -> Result<Invalidate<'_, T>> {
        loop {
            self.settle_pages(start, last)?;
            let lock = self.invalidate_lock_killable()?;
            if self.is_dax() || !self.has_pages() {
                return Ok(lock);
            }
            let settled = self.each_folio(start, last, |folio| {
                // SAFETY: As above.
                match unsafe { bindings::rust_fuse_folio_is_settled(folio) } {
                    true => Ok(()),
                    false => Err(EBUSY),
                }
            });
            if settled.is_ok() {
                return Ok(lock);
            }
        }
    }

    /// Drops cached pages of `[start, start + len)` bytes that are clean and unused, and unmaps the others.
    ///
    /// # Errors
    ///
    /// `EBUSY` when a page could not be dropped; `EINTR` on a fatal signal.
    pub(crate) fn invalidate_pages(&self, start: u64, len: u64) -> Result {
        // A DAX file has no pages of its own, and what its entries stand for may be pinned.
        if len == 0 || self.is_dax() {
            return Ok(());
        }
        let last = start.saturating_add(len - 1);
        self.settle_pages(start, last)?;
        let last = last >> PAGE_SHIFT;
        // SAFETY: The mapping is valid.
        to_result(unsafe {
            bindings::invalidate_inode_pages2_range(
                self.mapping(),
                (start >> PAGE_SHIFT) as usize,
                last as usize,
            )
        })
    }

    /// Drops all cached pages that are clean and unused, and unmaps the others; not for a task that is killed meanwhile.
    pub(crate) fn invalidate_all_pages(&self) {
        if self.is_dax() || self.settle_pages(0, i64::MAX as u64).is_err() {
            return;
        }
        // SAFETY: The mapping is valid.
        let _ = unsafe { bindings::invalidate_inode_pages2(self.mapping()) };
    }
}

impl<T: FileSystem> Invalidate<'_, T> {
    /// Drops pages and page tables beyond `size`. For a DAX file the layout beyond it must be broken first.
    pub(crate) fn truncate_pages(&mut self, size: u64) {
        // SAFETY: The inode is valid and faults are kept out.
        unsafe { bindings::truncate_pagecache(self.inode().as_raw(), size as i64) };
    }

    /// Drops cached pages that `[start, start + len)` bytes touch, whatever is in them. For a DAX file the layout must be
    /// broken first.
    pub(crate) fn drop_pages(&mut self, start: u64, len: u64) {
        let page = kernel::page::PAGE_SIZE as u64;
        let end = start.saturating_add(len).next_multiple_of(page);
        // SAFETY: The mapping is valid.
        unsafe {
            bindings::truncate_inode_pages_range(
                self.inode().mapping(),
                (start & !(page - 1)) as i64,
                end.saturating_sub(1),
            )
        };
    }
}
