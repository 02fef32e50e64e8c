// SPDX-License-Identifier: GPL-2.0

//! The memory of a read or write call itself, for a device to use: nothing is copied.
//!
//! Pages of users are pinned until the device has given them back, however long that takes and whoever waits.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{
    iter::{from_len, Io},
    page::{Memory, WritableMemory},
    FileSystem,
};
use crate::bindings;
use kernel::prelude::*;

/// Pieces that a page's worth of bytes has at most, where they lie in a row.
const FEW: usize = 3;

/// Pieces of memory that a call names.
///
/// # Invariants
///
/// The first `count` entries, of `list` where it has some and else of `few`, describe pages of the linear map that a device can reach, and that stay while this exists: with `pinned` by
/// a pin of ours on each page.
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
            for bv in self.pieces() {
                // SAFETY: By the type invariant; each pin is given back once, here.
                unsafe { bindings::rust_fuse_unpin_bvec(bv, dirty) };
            }
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
    fn each(&self, f: &mut dyn FnMut(*mut u8, usize) -> Result) -> Result {
        self.pieces().iter().try_for_each(|bv| {
            // SAFETY: By the type invariant the page is mapped, and the piece lies in one folio.
            let address = unsafe {
                bindings::rust_fuse_page_address(bv.bv_page)
                    .cast::<u8>()
                    .add(bv.bv_offset as usize)
            };
            f(address, bv.bv_len as usize)
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
        let most = pieces.min(bytes / kernel::page::PAGE_SIZE + 2);
        let mut few = [const { pin_init::zeroed::<bindings::bio_vec>() }; FEW];
        let mut list = KVec::new();
        if most > FEW {
            list.reserve(most, GFP_KERNEL)?;
            for _ in 0..most {
                list.push(pin_init::zeroed::<bindings::bio_vec>(), GFP_KERNEL)?;
            }
        }
        let all: &mut [_] = if most > FEW { &mut list } else { &mut few };
        let (mut done, mut n, mut reachable, mut failed) = (0, 0, true, None);
        while done < bytes && (n as usize) < most {
            let before = n as usize;
            // SAFETY: The vector has `most` entries, of which the first `n` are in use; the iterator is valid.
            let got = from_len(unsafe {
                bindings::iov_iter_extract_bvecs(
                    self.iter(),
                    all.as_mut_ptr(),
                    bytes - done,
                    &mut n,
                    most as c_ushort,
                    0,
                    0,
                )
            });
            match got {
                Ok(got) if got > 0 => done += got,
                Ok(_) => break,
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
            for bv in all.get(before..n as usize).unwrap_or_default() {
                // SAFETY: The entry describes a page that stays.
                reachable &= unsafe { bindings::rust_fuse_page_reachable(bv.bv_page) };
            }
        }
        self.count_taken(done);
        // INVARIANT: As the iterator gave them; given back at once where a device cannot reach them.
        let pages = UserPages {
            list,
            few,
            count: n as usize,
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
