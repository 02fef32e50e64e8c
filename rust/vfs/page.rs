// SPDX-License-Identifier: GPL-2.0

//! Memory that carries data to the server and back: pages of our own, and what else a device can be told to use.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    alloc::flags::{__GFP_NOWARN, __GFP_ZERO},
    page::PAGE_SIZE,
    prelude::*,
};

/// Memory that is described to devices by its address, because others may look at it or change it meanwhile.
///
/// # Safety
///
/// What [`Self::each`] tells of lies in the linear map and may be read by a device for as long as the value exists.
pub(crate) unsafe trait Memory {
    /// Tells `f` of each piece, in order.
    fn each<F: FnMut(Piece) -> Result>(&self, f: F) -> Result;
}

/// Memory in a row: `len` bytes, `offset` bytes behind the beginning of `page`. It may go on in the pages behind.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) page: *mut bindings::page,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl Piece {
    /// Its first `len` bytes.
    pub(crate) fn first(self, len: usize) -> Self {
        let len = self.len.min(len);
        Self { len, ..self }
    }

    /// Where it lies in the linear map.
    ///
    /// # Safety
    ///
    /// The page is there and has a place in the linear map.
    pub(crate) unsafe fn address(self) -> *mut u8 {
        // SAFETY: By the caller's promise.
        let page = unsafe { bindings::rust_fuse_page_address(self.page) };
        page.cast::<u8>().wrapping_add(self.offset)
    }
}

/// Memory that may be handed on without a copy.
///
/// # Safety
///
/// As for [`Memory`], and the pieces lie in pages of the page cache: references of them may be taken, and given to others who
/// look at them later, even when the value is gone.
pub(crate) unsafe trait SharedMemory: Memory {}

/// Memory that a device may also write to.
///
/// # Safety
///
/// As for [`Memory`], and it may be written.
pub(crate) unsafe trait WritableMemory: Memory {}

/// Bytes in one piece, all of them zero: by the allocator, which takes a fraction of what a loop over them does. That there are
/// none is not worth a report where fewer would do.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn zeroed_bytes(len: usize) -> Result<KVec<u8>> {
    let quiet = if len > PAGE_SIZE {
        GFP_KERNEL | __GFP_NOWARN
    } else {
        GFP_KERNEL
    };
    let mut bytes = KVec::with_capacity(len, quiet | __GFP_ZERO)?;
    // SAFETY: There is room for `len` bytes, and the allocator has set them.
    unsafe { bytes.inc_len(len) };
    Ok(bytes)
}

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
