// SPDX-License-Identifier: GPL-2.0

//! Writes that go to the server at once, by way of the page cache: what is read afterwards is there already.

use super::{held::Held, Limit, Operations, Part, Parts};
use crate::{
    bindings,
    vfs::{
        from_err_ptr,
        iter::Write,
        page::{Memory, Piece, SharedMemory},
        FileSystem,
    },
};
use kernel::prelude::*;

/// Adjacent pieces of folios that a write was copied into. Dropping them says that the server may not have the data.
///
/// # Invariants
///
/// Each folio is referenced. When `locked`, the last one is locked by us.
pub(crate) struct Filled<T: FileSystem> {
    parts: Parts,
    locked: bool,
    /// Given up after the lock, as in [`ReadParts`](super::ReadParts).
    _held: Option<Held<T>>,
}

// SAFETY: The lock of a folio may be released by another task than the one that took it.
unsafe impl<T: FileSystem> Send for Filled<T> {}

impl<T: FileSystem> Filled<T> {
    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.parts.bytes
    }

    /// Says that the server has the first `written` bytes.
    pub(crate) fn end(mut self, written: usize) {
        self.finish(written);
    }

    fn finish(&mut self, written: usize) {
        let mut list = core::mem::take(&mut self.parts.list);
        let locked = core::mem::take(&mut self.locked);
        let last = list.len().wrapping_sub(1);
        let mut left = written;
        for (i, part) in list.drain_all().enumerate() {
            // SAFETY: By the type invariant; each reference is dropped once, here.
            unsafe {
                bindings::rust_fuse_write_end(
                    part.folio.as_ptr(),
                    left >= part.len,
                    locked && i == last,
                );
            }
            left = left.saturating_sub(part.len);
        }
    }
}

impl<T: FileSystem> Drop for Filled<T> {
    fn drop(&mut self) {
        self.finish(0);
    }
}

// SAFETY: By the type invariant the folios are referenced, and the kernel is 64-bit.
unsafe impl<T: FileSystem> Memory for Filled<T> {
    fn each<F: FnMut(Piece) -> Result>(&self, mut f: F) -> Result {
        self.parts.list.iter().try_for_each(|part| f(part.piece()))
    }
}

// SAFETY: As above.
unsafe impl<T: FileSystem> SharedMemory for Filled<T> {}

/// What became of an attempt to copy into one folio.
enum Copied {
    /// So many bytes; whether another folio may follow.
    Some(usize, bool),
    /// None: the user's memory is not there.
    Nothing,
}

impl<T: Operations> Write<'_, T> {
    /// Copies what the user writes into the page cache, as far as one request carries. The inode lock is held for writing.
    ///
    /// # Errors
    ///
    /// `EFAULT` when nothing could be copied; `EINTR` on a fatal signal; `ENOMEM`.
    pub(crate) fn fill_cache(&mut self, limit: Limit) -> Result<Filled<T>> {
        let mut filled = Filled {
            parts: Parts::new(),
            locked: false,
            _held: Held::new(self.file().inode()),
        };
        let start = self.pos();
        while self.len() > 0 && filled.len() < limit.bytes && filled.parts.list.len() < limit.parts
        {
            let pos = start + filled.len() as u64;
            let most = self.len().min(limit.bytes - filled.len());
            match self.fill_folio(&mut filled, pos, most) {
                Ok(Copied::Some(n, more)) => {
                    self.count_taken(n);
                    if !more {
                        break;
                    }
                }
                // Faulting it in may need what is locked or not written yet.
                _ if filled.len() > 0 => break,
                Ok(Copied::Nothing) if self.fault_in(most) => (),
                Ok(Copied::Nothing) => return Err(EFAULT),
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// Copies up to `most` bytes into the folio at `pos`.
    fn fill_folio(&mut self, filled: &mut Filled<T>, pos: u64, most: usize) -> Result<Copied> {
        filled.parts.list.reserve(1, GFP_KERNEL)?;
        let inode = self.file().inode().as_raw();
        // SAFETY: The inode is valid. The folio that comes is referenced and locked by us.
        let folio = from_err_ptr(unsafe {
            bindings::rust_fuse_write_begin((*inode).i_mapping, pos as i64, most)
        })?;
        // SAFETY: As above; `pos` lies in the folio.
        let whole = unsafe {
            let start = bindings::rust_fuse_folio_pos(folio) as u64;
            bindings::rust_fuse_folio_size(folio) - (pos - start) as usize
        };
        let mut still_locked = false;
        // SAFETY: The folio is locked and holds that many bytes at `pos`; the iterator is a valid source. The lock is given
        // up unless `still_locked` says otherwise, and without a byte the reference too.
        let copied = unsafe {
            bindings::rust_fuse_write_copy(
                folio,
                pos as i64,
                whole.min(most),
                self.iter(),
                &mut still_locked,
            )
        };
        if copied == 0 {
            return Ok(Copied::Nothing);
        }
        // SAFETY: The folio is referenced; that goes over to `filled`.
        let part = unsafe { Part::new(folio, pos, copied) }.ok_or(EIO)?;
        // INVARIANT: Referenced; it is the last, and `locked` says whether it is locked.
        filled.parts.push(part, pos, copied)?;
        filled.locked = still_locked;
        Ok(Copied::Some(copied, !still_locked && copied == whole))
    }
}
