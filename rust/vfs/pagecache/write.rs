// SPDX-License-Identifier: GPL-2.0

//! Writes that stay in the page cache until they are written back.
//!
//! iomap fills the folios, one at a time and locked, marks them dirty, moves the file's end, and has who writes faster than
//! the server takes it wait, killably. Only parts of blocks are read before, into memory of our own: a server whose
//! reader was killed must not write into a folio later.

use super::{Operations, Wrap};
use crate::{
    bindings,
    vfs::{
        file::File,
        iter::{from_len, Write},
        to_int, Inode,
    },
};
use kernel::{error::to_result, prelude::*};

impl<T: Operations> Wrap<T> {
    const WRITE_CACHED: bindings::iomap_write_ops = bindings::iomap_write_ops {
        read_folio_range: Some(Self::read_part),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For iomap only, called by [`Write::page_cache`]: the iterator's private pointer is the file, and the folio is locked and
    /// holds the piece, which is not valid yet.
    unsafe extern "C" fn read_part(
        iter: *const bindings::iomap_iter,
        folio: *mut bindings::folio,
        pos: bindings::loff_t,
        len: usize,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, file) = unsafe {
            (
                Inode::<T>::from_raw((*iter).inode),
                File::<T>::from_raw((*iter).private.cast()),
            )
        };
        to_int(
            T::read_part(inode, file, pos as u64, len).map(|(pages, got)| {
                let mut at = 0;
                // SAFETY: The folio is mapped, as the kernel is 64-bit, and locked; nobody looks at what is not valid.
                unsafe {
                    let start = bindings::rust_fuse_folio_pos(folio);
                    let to = bindings::rust_fuse_folio_address(folio)
                        .cast::<u8>()
                        .add((pos - start) as usize);
                    for chunk in pages.chunks(got.min(len)) {
                        to.add(at)
                            .copy_from_nonoverlapping(chunk.as_ptr(), chunk.len());
                        at += chunk.len();
                    }
                    to.add(at).write_bytes(0, len - at);
                }
            }),
        )
    }
}

impl<T: Operations> Write<'_, T> {
    /// Writes into the page cache. The inode lock is held for writing.
    ///
    /// # Errors
    ///
    /// `EFAULT`, `ENOMEM`; what reading a part of a block failed with; `EINTR` on a fatal signal.
    pub(crate) fn page_cache(&mut self) -> Result<usize> {
        let file = self.file().as_raw();
        if self.file().inode().is_dax() {
            return Err(EIO);
        }
        // SAFETY: By the type invariant; the mapping is one of `Wrap`, as every one without DAX, and the file stays open.
        from_len(unsafe {
            bindings::iomap_file_buffered_write(
                self.iocb,
                self.iter(),
                &Wrap::<T>::MAP,
                &Wrap::<T>::WRITE_CACHED,
                file.cast(),
            )
        })
    }

    /// Sets modification and change time to the present, where the client keeps them.
    pub(crate) fn update_time(&mut self) -> Result {
        // SAFETY: The file is open.
        to_result(unsafe { bindings::file_update_time(self.file().as_raw()) })
    }
}
