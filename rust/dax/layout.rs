// SPDX-License-Identifier: GPL-2.0

//! Breaking layouts: taking page tables and DAX entries of a part of a file away, so that the memory below it can be used
//! for something else.
//!
//! An entry is taken away as a whole. Who does so must have taken all of its pages out of page tables, which the kernel does not look
//! after: it counts mapped pages as idle. So a part is widened to whole entries first.
//!
//! The invalidate lock is held for writing, which the type of the guard proves; while a page is pinned the lock is let go
//! and taken again.
//!
//! Such a page is looked at from time to time. The kernel's own wait ends when nobody uses the page at all, which may never be, as
//! others can have it in their page tables again meanwhile.

use crate::{
    bindings,
    vfs::{inode::Invalidate, FileSystem, Inode},
};
use kernel::{current, error::to_result, page::PAGE_SHIFT, prelude::*, time::Msecs};

/// Milliseconds after which pinned pages are looked at again: at first, and at last.
const PAUSE: Msecs = 1;
const PAUSE_MAX: Msecs = 50;

impl<T: FileSystem> Invalidate<'_, T> {
    /// Takes everything from `start` to `end` (inclusive, in bytes; `u64::MAX` for the end of the file) out of page tables
    /// and forgets where it was, with the rest of entries of which a part lies there. Waits for pinned pages.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a signal arrives while a page is pinned.
    pub(crate) fn break_layout(&mut self, start: u64, end: u64) -> Result {
        let mut pause = PAUSE;
        loop {
            match self.try_break_layout(start, end) {
                Err(e) if e == ERESTARTSYS => (),
                done => return done,
            }
            self.let_in(pause)?;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Lets faults in for a while.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` on a signal.
    fn let_in(&mut self, ms: Msecs) -> Result {
        let inode = self.inode().as_raw();
        // SAFETY: The lock is held for writing, and is again at the end. This is process context.
        unsafe {
            bindings::rust_fuse_filemap_invalidate_unlock(inode);
            kernel::bindings::msleep_interruptible(ms);
            bindings::rust_fuse_filemap_invalidate_lock(inode);
        }
        if current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        Ok(())
    }

    /// As [`Self::break_layout`], but leaves everything as it is when a page is pinned.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` when a page is pinned.
    pub(crate) fn try_break_layout(&mut self, start: u64, end: u64) -> Result {
        let (start, end) = (
            start & !(self.entry_at(start) - 1),
            end | (self.entry_at(end) - 1),
        );
        let (start, end) = (
            i64::try_from(start).unwrap_or(i64::MAX),
            i64::try_from(end).unwrap_or(i64::MAX),
        );
        let inode: &Inode<T> = self.inode();
        // SAFETY: The inode is valid and the invalidate lock is held for writing.
        to_result(unsafe { bindings::dax_break_layout(inode.as_raw(), start, end, None) })
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
}
