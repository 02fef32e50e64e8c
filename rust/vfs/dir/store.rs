// SPDX-License-Identifier: GPL-2.0

//! A store of bytes for each directory, in memory that the kernel may take back: the pages of its mapping.
//!
//! Each page is locked while it is read or written; the lock is given back before this returns.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use crate::{
    bindings,
    vfs::{FileSystem, Inode},
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::page::{PAGE_SHIFT, PAGE_SIZE};

/// One page of the store.
///
/// # Invariants
///
/// The folio is one page of the linear map, locked and referenced by us.
struct Locked<'a>(NonNull<bindings::folio>, PhantomData<&'a ()>);

impl Locked<'_> {
    /// Finds or, with `create`, makes the page `index`.
    fn get<T: FileSystem>(dir: &Inode<T>, index: u64, create: bool) -> Option<Self> {
        // Nobody else touches the pages of a directory; those of a file may be mapped.
        if !dir.is_dir() {
            return None;
        }
        // SAFETY: The inode and its mapping are valid.
        let folio = unsafe {
            let mapping = (*dir.as_raw()).i_mapping;
            bindings::rust_fuse_lock_folio(mapping, index as usize, create)
        };
        // INVARIANT: It comes locked and referenced. Mappings of directories are not set up for larger folios.
        NonNull::new(folio).map(|folio| Self(folio, PhantomData))
    }

    /// Whether there is something in it.
    fn filled(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_folio_test_uptodate(self.0.as_ptr()) }
    }

    /// Makes it a page of zeroes.
    fn clear(&mut self) {
        self.bytes().fill(0);
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_folio_mark_uptodate(self.0.as_ptr()) };
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant it is mapped, and nobody else looks at it without the lock.
        unsafe {
            let start = bindings::rust_fuse_folio_address(self.0.as_ptr());
            core::slice::from_raw_parts_mut(start.cast(), PAGE_SIZE)
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_unlock_folio(self.0.as_ptr()) };
    }
}

/// The pieces of `[at, at + len)` that are in one page each: page, offset in it, and offset from `at` with length.
fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, core::ops::Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let pos = at + done as u64;
        let offset = pos as usize % PAGE_SIZE;
        let n = (PAGE_SIZE - offset).min(len - done);
        let piece = done..done + n;
        done += n;
        (n > 0).then_some((pos >> PAGE_SHIFT, offset, piece))
    })
}

impl<T: FileSystem> Inode<T> {
    /// Keeps `bytes` at `at`, where what stands before them is kept as well. For directories only. `allowed` is asked with
    /// each page locked. False when not all was kept.
    pub(crate) fn keep(&self, at: u64, bytes: &[u8], allowed: impl Fn() -> bool) -> bool {
        pieces(at, bytes.len()).all(|(index, offset, piece)| {
            let Some(mut page) = Locked::get(self, index, offset == 0) else {
                return false;
            };
            if !allowed() {
                return false;
            }
            if offset == 0 {
                page.clear();
            }
            if !page.filled() {
                return false;
            }
            let n = piece.len();
            match (page.bytes().get_mut(offset..offset + n), bytes.get(piece)) {
                (Some(to), Some(from)) => to.copy_from_slice(from),
                _ => return false,
            }
            true
        })
    }

    /// Reads what was kept at `at`. False where a part of it was taken back.
    pub(crate) fn kept(&self, at: u64, bytes: &mut [u8]) -> bool {
        pieces(at, bytes.len()).all(|(index, offset, piece)| {
            let Some(mut page) = Locked::get(self, index, false) else {
                return false;
            };
            if !page.filled() {
                return false;
            }
            let n = piece.len();
            match (bytes.get_mut(piece), page.bytes().get(offset..offset + n)) {
                (Some(to), Some(from)) => to.copy_from_slice(from),
                _ => return false,
            }
            true
        })
    }

    /// Gives back what was kept behind `end`.
    pub(crate) fn keep_until(&self, end: u64) {
        let end = end.next_multiple_of(PAGE_SIZE as u64);
        // SAFETY: The inode and its mapping are valid.
        unsafe { bindings::truncate_inode_pages((*self.as_raw()).i_mapping, end as i64) };
    }
}
