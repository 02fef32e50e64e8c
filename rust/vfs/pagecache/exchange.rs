// SPDX-License-Identifier: GPL-2.0

//! Filling folios that are read by putting others into their place.
//!
//! A folio that is being read is locked, and nobody looks at it. So one that has its data already, and that belongs to nobody
//! else, can take its place in the page cache. Who waits for the lock of the old one finds that it is in no file any more,
//! and looks again. Not so who had a single folio read: he expects the data in that very one, so only what is read ahead is
//! exchanged. This goes page by page: both folios are single pages, and no state of blocks hangs at them.
//!
//! Locks: both folios are locked; that of the mapping's array for the exchange.

use super::ReadParts;
use crate::{
    bindings,
    vfs::{page::Piece, FileSystem},
};
use core::ptr::NonNull;
use kernel::{page::PAGE_SIZE, prelude::*};

/// The place of a page in a page cache.
///
/// # Invariants
///
/// The folio is a single page in a page cache, with nothing attached, neither mapped nor dirty nor being written back; it is
/// locked to be read, by us. Whoever has the place takes for granted what is there, not which folio that is.
pub(crate) struct Place<'a>(&'a mut NonNull<bindings::folio>);

impl Place<'_> {
    /// Puts `folio` there. It then has a reference of the page cache's, besides that of the caller.
    ///
    /// # Safety
    ///
    /// It is a single page that is in no page cache and not mapped, of which the caller has the only reference and the lock; the
    /// lock goes over. `listed` says whether it is among those that the kernel reclaims.
    pub(crate) unsafe fn put(self, folio: NonNull<bindings::folio>, listed: bool) {
        // SAFETY: By the type invariant and the caller's promise.
        unsafe { bindings::rust_fuse_folio_exchange(self.0.as_ptr(), folio.as_ptr(), listed) };
        // INVARIANT: The new one is what the old one was.
        *self.0 = folio;
    }
}

/// What folios are filled from.
pub(crate) trait Source {
    /// Copies as many bytes as the piece has.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them come, and what reading them gave.
    ///
    /// # Safety
    ///
    /// The piece lies in the linear map and may be written.
    unsafe fn copy(&mut self, to: Piece) -> Result;

    /// Puts the next page into a place if it can; else it has done nothing.
    fn exchange(&mut self, place: Place<'_>) -> bool;
}

impl<T: FileSystem> ReadParts<T> {
    /// Fills the first `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Source::copy`].
    pub(crate) fn fill(&mut self, len: usize, from: &mut impl Source) -> Result {
        let mut left = len;
        for part in &mut self.parts.list {
            let piece = part.piece().first(left);
            if piece.len == 0 {
                break;
            }
            left -= piece.len;
            // SAFETY: By the type invariant the folio is locked and there.
            let alone = unsafe { bindings::rust_fuse_folio_exchangeable(part.folio.as_ptr()) };
            // INVARIANT: The shim looks at what `Place` promises. A piece of a whole page is all that is read of it.
            if self.ahead
                && piece.len == PAGE_SIZE
                && alone
                && from.exchange(Place(&mut part.folio))
            {
                continue;
            }
            // SAFETY: As `Memory` and `WritableMemory` say of this.
            unsafe { from.copy(piece) }?;
        }
        Ok(())
    }
}
