// SPDX-License-Identifier: GPL-2.0

//! What a server says about the page cache without being asked: data for it, and from it. The lock of one folio is taken at
//! a time.

use crate::{
    bindings,
    vfs::{page::Pages, FileSystem, Inode},
};
use kernel::prelude::*;

impl<T: FileSystem> Inode<T> {
    /// Copies the first `len` bytes of `pages` into the page cache at `pos`; the first page has what belongs into the first page
    /// from `pos` on. With `ends` the file ends behind them. Waits, where no signal helps, for folios that are being read.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a DAX file, which has no page cache; `ENOMEM`.
    pub(crate) fn store(&self, pos: u64, pages: &Pages, len: usize, ends: bool) -> Result {
        if self.is_dax() {
            return Err(EINVAL);
        }
        let mut done = 0;
        for chunk in pages.chunks(len) {
            let mut rest = chunk;
            while !rest.is_empty() {
                let at = pos + done as u64;
                let last = ends && done + rest.len() == len;
                // SAFETY: An inode always has a mapping; the bytes are ours.
                let n = unsafe {
                    bindings::rust_fuse_store_folio(
                        (*self.as_raw()).i_mapping,
                        at as i64,
                        rest.as_ptr().cast(),
                        rest.len(),
                        last,
                    )
                };
                if n < 0 {
                    return Err(Error::from_errno(n as c_int));
                }
                done += n as usize;
                rest = rest.get(n as usize..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Copies what is cached and up to date at `pos`, up to the first gap, into `pages`; gives how many bytes.
    pub(crate) fn retrieve(&self, pos: u64, pages: &mut Pages, len: usize) -> usize {
        if self.is_dax() {
            return 0;
        }
        let mut done = 0;
        for chunk in pages.chunks_mut(len) {
            let mut rest = chunk;
            while !rest.is_empty() {
                // SAFETY: As in `store`; the room is ours.
                let n = unsafe {
                    bindings::rust_fuse_retrieve_folio(
                        (*self.as_raw()).i_mapping,
                        (pos + done as u64) as i64,
                        rest.as_mut_ptr().cast(),
                        rest.len(),
                    )
                };
                if n == 0 {
                    return done;
                }
                done += n;
                rest = rest.get_mut(n..).unwrap_or_default();
            }
        }
        done
    }
}
