// SPDX-License-Identifier: GPL-2.0

//! Breaking layouts: taking page tables and DAX entries of a part of a file away, so that the memory below it can be used
//! for something else.
//!
//! The invalidate lock is held for writing, which the type of the guard proves; while a page is pinned the lock is let go
//! and taken again.

use crate::{
    bindings,
    vfs::{inode::Invalidate, FileSystem, Inode},
};
use kernel::{error::to_result, page::PAGE_SHIFT, prelude::*};

/// So many entries are looked at to find out where they lie.
const FEW: usize = 8;

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
    /// and forgets where it was. Waits for pinned pages.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a signal arrives while a page is pinned.
    pub(crate) fn break_layout(&mut self, start: u64, end: u64) -> Result {
        self.break_with(start, end, Some(wait_for_page))
    }

    /// As [`Self::break_layout`], but leaves everything as it is when a page is pinned.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a page is pinned.
    pub(crate) fn try_break_layout(&mut self, start: u64, end: u64) -> Result {
        match self.touched(start, end) {
            Some((start, end)) => self.break_with(start, end, None),
            None => Ok(()),
        }
    }

    /// Where there are DAX entries from `start` to `end`: only there can be something in page tables, as both are made by
    /// faults, which the lock keeps out. Page tables of 2 MiB are walked page by page, so where a fault or two were served
    /// knowing these places saves most of the work; where there were many, all of it is said.
    fn touched(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let mut index = (start >> PAGE_SHIFT) as c_ulong;
        let last = (end >> PAGE_SHIFT) as c_ulong;
        // SAFETY: The inode and its mapping are valid; entries are looked at by address only.
        let pages = unsafe { &raw mut (*(*self.inode().as_raw()).i_mapping).i_pages };
        let present = bindings::RUST_FUSE_XA_PRESENT;
        // SAFETY: The array is initialised as long as the inode lives.
        if unsafe { bindings::xa_find(pages, &mut index, last, present) }.is_null() {
            return None;
        }
        let first = index;
        for _ in 0..FEW {
            let upto = index;
            // SAFETY: As above.
            if unsafe { bindings::xa_get_order(pages, index) } > 0 {
                break;
            }
            // SAFETY: As above.
            if unsafe { bindings::xa_find_after(pages, &mut index, last, present) }.is_null() {
                let end = (upto as u64 + 1) << PAGE_SHIFT;
                return Some(((first as u64) << PAGE_SHIFT, end - 1));
            }
        }
        Some((start, end))
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
