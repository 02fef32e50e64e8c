// SPDX-License-Identifier: GPL-2.0

//! Pages of our own that carry data between a user and the server, and folios of the page cache that a request fills.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{page::PAGE_SIZE, prelude::*};

/// Pages that belong to us alone.
///
/// # Invariants
///
/// Each is an allocated page of the linear map with one reference, ours.
pub(crate) struct Pages(KVec<NonNull<bindings::page>>);

// SAFETY: The pages belong to us alone, in whichever thread.
unsafe impl Send for Pages {}
// SAFETY: `&Pages` only reads.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates pages for `len` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let n = len.div_ceil(PAGE_SIZE);
        let mut pages = Self(KVec::with_capacity(n, GFP_KERNEL)?);
        for _ in 0..n {
            // SAFETY: May sleep, as the caller may.
            let page = unsafe { bindings::rust_fuse_alloc_page() };
            // INVARIANT: Just allocated.
            pages
                .0
                .push(NonNull::new(page).ok_or(ENOMEM)?, GFP_KERNEL)?;
        }
        Ok(pages)
    }

    /// The first `len` bytes, in pieces of at most a page.
    pub(crate) fn chunks(&self, len: usize) -> impl Iterator<Item = &[u8]> {
        self.0.iter().enumerate().map_while(move |(i, page)| {
            let n = len.checked_sub(i * PAGE_SIZE)?.min(PAGE_SIZE);
            // SAFETY: By the type invariant the page is mapped and readable, and nobody writes to it while we are borrowed.
            (n > 0).then(|| unsafe {
                let p = bindings::rust_fuse_page_address(page.as_ptr()).cast::<u8>();
                core::slice::from_raw_parts(p, n)
            })
        })
    }

    /// As [`Self::chunks`], for writing.
    pub(crate) fn chunks_mut(&mut self, len: usize) -> impl Iterator<Item = &mut [u8]> {
        self.0.iter_mut().enumerate().map_while(move |(i, page)| {
            let n = len.checked_sub(i * PAGE_SIZE)?.min(PAGE_SIZE);
            // SAFETY: By the type invariant the page is mapped and ours; each page is handed out once.
            (n > 0).then(|| unsafe {
                let p = bindings::rust_fuse_page_address(page.as_ptr()).cast::<u8>();
                core::slice::from_raw_parts_mut(p, n)
            })
        })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        for page in &self.0 {
            // SAFETY: By the type invariant the reference is ours.
            unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
        }
    }
}

/// A folio of the page cache that is locked for reading into. Dropping it ends the read without success.
///
/// # Invariants
///
/// The folio is locked by us and referenced.
pub(crate) struct ReadFolio(NonNull<bindings::folio>);

// SAFETY: The folio's lock may be released by another task than the one that took it.
unsafe impl Send for ReadFolio {}

impl ReadFolio {
    /// Takes over a locked folio, with a reference of its own.
    ///
    /// # Safety
    ///
    /// `folio` is locked, not up to date, and the caller gives the lock away.
    pub(super) unsafe fn new(folio: *mut bindings::folio) -> Option<Self> {
        let folio = NonNull::new(folio)?;
        // SAFETY: The folio is valid; the reference is dropped with `self`.
        unsafe { bindings::rust_fuse_folio_get(folio.as_ptr()) };
        // INVARIANT: By the caller's promise.
        Some(Self(folio))
    }

    /// Position in the file, in bytes.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_folio_pos(self.0.as_ptr()) as u64 }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_folio_size(self.0.as_ptr()) }
    }

    /// The memory, in the linear map, for a device to write into.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        let len = self.size();
        // SAFETY: By the type invariant the folio is locked and not up to date, so nobody else looks at its contents; the
        // kernel is 64-bit, so it is mapped.
        unsafe {
            let page = bindings::rust_fuse_folio_page(self.0.as_ptr(), 0);
            core::slice::from_raw_parts_mut(bindings::rust_fuse_page_address(page).cast(), len)
        }
    }

    /// Ends the read with success: `valid` bytes came, the rest reads as zeroes.
    pub(crate) fn end(self, valid: usize) {
        let size = self.size();
        let valid = valid.min(size);
        // SAFETY: By the type invariant; the lock is given up once, here.
        unsafe {
            if valid < size {
                bindings::rust_fuse_folio_zero_range(self.0.as_ptr(), valid, size - valid);
            }
            bindings::folio_end_read(self.0.as_ptr(), true);
            bindings::rust_fuse_folio_put(self.0.as_ptr());
        }
        core::mem::forget(self);
    }
}

impl Drop for ReadFolio {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe {
            bindings::folio_end_read(self.0.as_ptr(), false);
            bindings::rust_fuse_folio_put(self.0.as_ptr());
        }
    }
}
