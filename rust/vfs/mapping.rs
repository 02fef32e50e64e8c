// SPDX-License-Identifier: GPL-2.0

//! The page cache of a file: filling it, and throwing parts of it away.
//!
//! C header: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h)

use super::{
    file::File,
    inode::{Invalidate, New},
    page::ReadFolio,
    to_int, FileSystem, Inode,
};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{page::PAGE_SHIFT, prelude::*};

/// Folios that are to be read together: adjacent, in order, and locked.
///
/// # Invariants
///
/// The control is valid and used by nobody else for `'a`.
pub(crate) struct Batch<'a>(
    NonNull<bindings::readahead_control>,
    PhantomData<&'a mut ()>,
);

impl Iterator for Batch<'_> {
    type Item = ReadFolio;

    fn next(&mut self) -> Option<ReadFolio> {
        // SAFETY: By the type invariant; the folio is locked, and its lock becomes ours.
        unsafe { ReadFolio::new(bindings::rust_fuse_readahead_folio(self.0.as_ptr())) }
    }
}

/// Operations on the page cache of regular files.
pub(crate) trait Operations: FileSystem {
    /// Reads one folio. `file` is missing when the kernel itself asks.
    fn read_folio(inode: &Inode<Self>, file: Option<&File<Self>>, folio: ReadFolio) -> Result;

    /// Reads ahead as much as it likes; folios that are dropped are read later, one by one.
    fn readahead(inode: &Inode<Self>, file: Option<&File<Self>>, batch: &mut Batch<'_>);
}

/// Wrappers of [`Operations`].
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    /// Table of files that are cached.
    const CACHED: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(Self::read_folio),
        readahead: Some(Self::readahead),
        // Allows O_DIRECT; the file operations look at the flag themselves.
        direct_IO: Some(bindings::noop_direct_IO),
        dirty_folio: Some(bindings::filemap_dirty_folio),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// Table of files that are reached by DAX.
    const DAX: bindings::address_space_operations = bindings::address_space_operations {
        direct_IO: Some(bindings::noop_direct_IO),
        dirty_folio: Some(bindings::noop_dirty_folio),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the page cache only: `folio` is locked, not up to date, and in the mapping of an inode of `T`, which `file`, if any, is
    /// open at.
    unsafe extern "C" fn read_folio(
        file: *mut bindings::file,
        folio: *mut bindings::folio,
    ) -> c_int {
        // SAFETY: The folio belongs to a mapping of this file system; it is locked, and its lock becomes ours.
        unsafe {
            let inode = Inode::<T>::from_raw((*bindings::rust_fuse_folio_mapping(folio)).host);
            let file = (!file.is_null()).then(|| File::from_raw(file));
            let Some(folio) = ReadFolio::new(folio) else {
                return EINVAL.to_errno();
            };
            to_int(T::read_folio(inode, file, folio))
        }
    }

    /// # Safety
    ///
    /// For the page cache only: the mapping is that of an inode of `T`, which the file, if any, is open at, and the control is the
    /// caller's own.
    unsafe extern "C" fn readahead(rac: *mut bindings::readahead_control) {
        // SAFETY: The control is valid for the call and its mapping belongs to this file system.
        unsafe {
            let inode = Inode::<T>::from_raw((*(*rac).mapping).host);
            let file = (*rac).file;
            let file = (!file.is_null()).then(|| File::from_raw(file));
            // INVARIANT: As this function requires.
            let mut batch = Batch(NonNull::new_unchecked(rac), PhantomData);
            T::readahead(inode, file, &mut batch);
        }
    }
}

impl<T: Operations> New<T> {
    /// Gives a regular file its page cache, or none with `dax`: then its data is reached by DAX.
    pub(crate) fn set_mapping(&self, dax: bool) {
        self.set_dax(dax);
        self.set_mapping_ops(if dax {
            &Wrap::<T>::DAX
        } else {
            &Wrap::<T>::CACHED
        });
    }
}

impl<T: FileSystem> Inode<T> {
    /// Whether the file may become `size` bytes long, by the caller's limits and the file system's.
    ///
    /// # Errors
    ///
    /// `EFBIG`, with `SIGXFSZ`; `ETXTBSY` for a swap file.
    pub(crate) fn may_grow_to(&self, size: u64) -> Result {
        let size = i64::try_from(size).map_err(|_| EFBIG)?;
        // SAFETY: The inode is valid.
        kernel::error::to_result(unsafe { bindings::inode_newsize_ok(self.as_raw(), size) })
    }

    /// Drops cached pages of `[start, start + len)` bytes that are clean and unused, and unmaps the others.
    ///
    /// # Errors
    ///
    /// `EBUSY` when a page could not be dropped.
    pub(crate) fn invalidate_pages(&self, start: u64, len: u64) -> Result {
        // A DAX file has no pages of its own, and what its entries stand for may be pinned.
        if len == 0 || self.is_dax() {
            return Ok(());
        }
        let last = start.saturating_add(len - 1) >> PAGE_SHIFT;
        // SAFETY: The inode and its mapping are valid.
        kernel::error::to_result(unsafe {
            bindings::invalidate_inode_pages2_range(
                (*self.as_raw()).i_mapping,
                (start >> PAGE_SHIFT) as usize,
                last as usize,
            )
        })
    }

    /// Drops cached pages that `[start, start + len)` bytes touch, whatever is in them, with faults kept out by the caller's
    /// choice. For a DAX file the layout must be broken first.
    pub(crate) fn drop_pages(&self, start: u64, len: u64) {
        let page = kernel::page::PAGE_SIZE as u64;
        let end = start.saturating_add(len).next_multiple_of(page);
        // SAFETY: The inode and its mapping are valid.
        unsafe {
            bindings::truncate_inode_pages_range(
                (*self.as_raw()).i_mapping,
                (start & !(page - 1)) as i64,
                end.saturating_sub(1),
            )
        };
    }

    /// Drops all cached pages that are clean and unused, and unmaps the others.
    pub(crate) fn invalidate_all_pages(&self) {
        if self.is_dax() {
            return;
        }
        // SAFETY: The inode and its mapping are valid.
        let _ = unsafe { bindings::invalidate_inode_pages2((*self.as_raw()).i_mapping) };
    }
}

impl<T: FileSystem> Invalidate<'_, T> {
    /// Drops pages and page tables beyond `size`. For a DAX file the layout beyond it must be broken first.
    pub(crate) fn truncate_pages(&mut self, size: u64) {
        // SAFETY: The inode is valid and faults are kept out.
        unsafe { bindings::truncate_pagecache(self.inode().as_raw(), size as i64) };
    }
}
