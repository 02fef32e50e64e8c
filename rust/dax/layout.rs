// SPDX-License-Identifier: GPL-2.0

//! Breaking layouts: taking page tables and DAX entries of a part of a file away, so that the memory below it can be used
//! for something else.
//!
//! An entry is taken away as a whole. Who does so must have taken all of its pages out of page tables, which the kernel does not look
//! after: it counts mapped pages as idle. So a part is widened to whole entries first.
//!
//! The invalidate lock is held for writing, which the type of the guard proves; while a page is pinned the lock is let go
//! and taken again.

use crate::{
    bindings,
    vfs::{inode::Invalidate, FileSystem, Inode},
};
use kernel::{error::to_result, page::PAGE_SHIFT, prelude::*};

/// Bytes of the largest entry.
const HUGE: u64 = bindings::RUST_FUSE_PMD_SIZE;

/// Waits once, with faults let in.
///
/// # Safety
///
/// For `dax_break_layout` only: the invalidate lock of the inode is held for writing, by this task.
unsafe extern "C" fn wait_for_page(inode: *mut bindings::inode) {
    // SAFETY: Called by `dax_break_layout` with the lock held, which is held again at the end.
    unsafe {
        bindings::rust_fuse_filemap_invalidate_unlock(inode);
        kernel::bindings::schedule();
        bindings::rust_fuse_filemap_invalidate_lock(inode);
    }
}

impl<T: FileSystem> Invalidate<'_, T> {
    /// Takes everything from `start` to `end` (inclusive, in bytes; `u64::MAX` for the end of the file) out of page tables
    /// and forgets where it was, with the rest of entries of which a part lies there. Waits for pinned pages.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a signal arrives while a page is pinned.
    pub(crate) fn break_layout(&mut self, start: u64, end: u64) -> Result {
        if self.try_break_layout(start, end).is_ok() {
            return Ok(());
        }
        // While a page is waited for, faults may make a huge entry of what are small ones now.
        self.break_with(start & !(HUGE - 1), end | (HUGE - 1), Some(wait_for_page))
    }

    /// As [`Self::break_layout`], but leaves everything as it is when a page is pinned.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a page is pinned.
    pub(crate) fn try_break_layout(&mut self, start: u64, end: u64) -> Result {
        self.break_with(
            start & !(self.entry_at(start) - 1),
            end | (self.entry_at(end) - 1),
            None,
        )
    }

    /// Bytes of the entry in which the byte at `pos` lies, or of a page.
    fn entry_at(&self, pos: u64) -> u64 {
        // SAFETY: The inode and its mapping are valid.
        let order = unsafe {
            bindings::rust_fuse_dax_entry_order(
                (*self.inode().as_raw()).i_mapping,
                (pos >> PAGE_SHIFT) as usize,
            )
        };
        1 << (PAGE_SHIFT as u32 + order)
    }

    /// Takes the whole file out of page tables, and nothing else: what was forgotten comes back by faults, if they succeed.
    pub(crate) fn unmap(&mut self) {
        // SAFETY: The inode and its mapping are valid.
        unsafe { bindings::unmap_mapping_pages((*self.inode().as_raw()).i_mapping, 0, 0, false) };
    }

    fn break_with(
        &mut self,
        start: u64,
        end: u64,
        wait: Option<unsafe extern "C" fn(*mut bindings::inode)>,
    ) -> Result {
        let (start, end) = (
            i64::try_from(start).unwrap_or(i64::MAX),
            i64::try_from(end).unwrap_or(i64::MAX),
        );
        let inode: &Inode<T> = self.inode();
        // SAFETY: The inode is valid and the invalidate lock is held for writing.
        to_result(unsafe { bindings::dax_break_layout(inode.as_raw(), start, end, wait) })
    }
}
