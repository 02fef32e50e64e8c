// SPDX-License-Identifier: GPL-2.0

//! The memory of a read or write call itself, for a device to use: nothing is copied.
//!
//! Pages of users are pinned until the device has given them back, however long that takes and whoever waits.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    iter::{from_len, Io},
    page::{Memory, Piece, WritableMemory},
    FileSystem,
};
use crate::bindings;
use core::ptr;
use kernel::{page::PAGE_SIZE, prelude::*};

/// Pieces that a page's worth of bytes has at most, where they lie in a row.
const FEW: usize = 3;

/// Pieces of memory that a call names.
///
/// # Invariants
///
/// The first `count` entries, of `list` where it has some and else of `few`, describe pages of the linear map that a device can
/// reach, and that stay while this exists: with `pinned` by a pin of ours on each page. An offset is less than a page.
pub(crate) struct UserPages {
    list: KVec<bindings::bio_vec>,
    /// In place of the list, for a call that is small.
    few: [bindings::bio_vec; FEW],
    count: usize,
    bytes: usize,
    pinned: bool,
}

// SAFETY: Pins may be given back by every task.
unsafe impl Send for UserPages {}

impl UserPages {
    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    fn pieces(&self) -> &[bindings::bio_vec] {
        let all: &[_] = if self.list.is_empty() {
            &self.few
        } else {
            &self.list
        };
        all.get(..self.count).unwrap_or_default()
    }

    /// Gives the memory back after a device has written to it. May sleep.
    pub(crate) fn written(mut self) {
        self.release(true);
    }

    fn release(&mut self, dirty: bool) {
        if self.pinned {
            let all = self.pieces();
            // SAFETY: By the type invariant; each pin is given back once, here.
            unsafe { bindings::rust_fuse_unpin_bvecs(all.as_ptr(), all.len(), dirty) };
        }
        self.count = 0;
    }
}

impl Drop for UserPages {
    fn drop(&mut self) {
        self.release(false);
    }
}

// SAFETY: By the type invariant.
unsafe impl Memory for UserPages {
    fn each<F: FnMut(Piece) -> Result>(&self, mut f: F) -> Result {
        self.pieces().iter().try_for_each(|bv| {
            f(Piece {
                page: bv.bv_page,
                offset: bv.bv_offset as usize,
                len: bv.bv_len as usize,
            })
        })
    }
}

// SAFETY: Only made of memory that the call's direction allows to be used in that way; see `Io::user_pages`.
unsafe impl WritableMemory for UserPages {}

impl<T: FileSystem, const WRITE: bool> Io<'_, T, WRITE> {
    /// Takes the memory of the next bytes, at most `bytes` in at most `pieces` pieces. `None` when it has to be copied: a
    /// device cannot reach it, or it would not stay where it is for a caller that leaves early. With `stays` the caller
    /// does not leave before the device is done.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the memory is not there.
    pub(crate) fn user_pages(
        &mut self,
        bytes: usize,
        pieces: usize,
        stays: bool,
    ) -> Result<Option<UserPages>> {
        // SAFETY: The iterator is valid.
        let (pinned, bvec) = unsafe {
            (
                bindings::rust_fuse_iov_iter_pins(self.iter()),
                bindings::rust_fuse_iov_iter_is_bvec(self.iter()),
            )
        };
        let lasts = pinned || (stays && bvec);
        if !lasts {
            return Ok(None);
        }
        let bytes = bytes.min(self.len());
        let most = pieces.min(bytes / PAGE_SIZE + 2);
        let mut few = [const { pin_init::zeroed::<bindings::bio_vec>() }; FEW];
        let mut list = KVec::<bindings::bio_vec>::new();
        let all = if most > FEW {
            list.reserve(most, GFP_KERNEL)?;
            list.spare_capacity_mut().as_mut_ptr().cast()
        } else {
            few.as_mut_ptr()
        };
        let (mut done, mut n, mut reachable, mut failed) = (0, 0, true, None);
        while reachable && done < bytes && n < most {
            // SAFETY: The array has room for `most` entries, of which the first `n` are in use.
            let rest = unsafe { Rest::new(all.add(n), most - n) };
            match rest.extract(self, bytes - done) {
                Ok((0, ..)) => break,
                Ok((len, pieces, good)) => {
                    done += len;
                    n += pieces;
                    reachable = good;
                }
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        if most > FEW {
            // SAFETY: There is room for `most` entries, and the first `n` are set.
            unsafe { list.inc_len(n) };
        }
        self.count_taken(done);
        // INVARIANT: As the iterator gave them; given back at once where a device cannot reach them.
        let pages = UserPages {
            list,
            few,
            count: n,
            bytes: done,
            pinned,
        };
        if let (0, Some(e)) = (done, failed) {
            return Err(e);
        }
        if !reachable || done == 0 {
            drop(pages);
            self.revert(done);
            return Ok(None);
        }
        Ok(Some(pages))
    }
}

/// Room for pieces, none of which is set yet. What has to be known of pages is put at its end while they are made of it.
///
/// # Invariants
///
/// `at` is a place for `most` entries, at least one, that nobody else uses.
struct Rest {
    at: *mut bindings::bio_vec,
    most: usize,
}

/// Pages that the room of one piece takes the numbers of.
const IN_PLACE: usize = size_of::<bindings::bio_vec>() / size_of::<*mut bindings::page>();

impl Rest {
    /// # Safety
    ///
    /// `at` is a place for `most` entries, at least one, that nobody else uses while this exists.
    unsafe fn new(at: *mut bindings::bio_vec, most: usize) -> Self {
        // INVARIANT: The caller's promise.
        Self { at, most }
    }

    /// Takes at most `bytes` from the iterator: says how many they are, in how many pieces, and whether devices can reach
    /// them all. Pages side by side are one piece.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the memory is not there.
    fn extract<T: FileSystem, const WRITE: bool>(
        self,
        io: &mut Io<'_, T, WRITE>,
        bytes: usize,
    ) -> Result<(usize, usize, bool)> {
        const { assert!(IN_PLACE >= 2) };
        // SAFETY: By the type invariant: the last `most` places of the room, each of a page.
        let pages: *mut *mut bindings::page = unsafe {
            self.at
                .cast::<*mut bindings::page>()
                .add(self.most * (IN_PLACE - 1))
        };
        let (mut array, mut offset) = (pages, 0);
        // SAFETY: There is room for `most` pages; the iterator is valid.
        let len = from_len(unsafe {
            bindings::iov_iter_extract_pages(
                io.iter(),
                &mut array,
                bytes,
                self.most as c_uint,
                0,
                &mut offset,
            )
        })?;
        let count = (offset + len).div_ceil(PAGE_SIZE);
        let (mut left, mut used, mut reachable) = (len, 0, true);
        let mut piece = bindings::bio_vec::default();
        let mut next = ptr::null_mut();
        for i in 0..count {
            // SAFETY: The iterator has set `count` of them, and fewer than `i` pieces are set: they end before this one.
            let page = unsafe { pages.add(i).read() };
            // SAFETY: The page stays.
            reachable &= unsafe { bindings::rust_fuse_page_reachable(page) };
            let n = left.min(PAGE_SIZE - offset);
            if page == next {
                piece.bv_len += n as c_uint;
            } else {
                if i > 0 {
                    // SAFETY: There is room for `most` pieces, and no more of them than pages.
                    unsafe { self.at.add(used).write(piece) };
                    used += 1;
                }
                piece = bindings::bio_vec {
                    bv_page: page,
                    bv_offset: offset as c_uint,
                    bv_len: n as c_uint,
                };
            }
            // Only there do neighbours in this array stand for neighbours in memory.
            if cfg!(CONFIG_SPARSEMEM_VMEMMAP) {
                next = page.wrapping_add(1);
            }
            offset = 0;
            left -= n;
        }
        if count > 0 {
            // SAFETY: As above.
            unsafe { self.at.add(used).write(piece) };
            used += 1;
        }
        Ok((len, used, reachable))
    }
}
