// SPDX-License-Identifier: GPL-2.0

//! Mappings of the page cache: faults, the first write to a page, and the end of a mapping.

use super::{Operations, Wrap};
use crate::{
    bindings,
    vfs::file::{self, File, Mmap},
};
use core::marker::PhantomData;
use kernel::sync::{Arc, ArcBorrow};

impl<T: Operations + file::Operations> Wrap<T> {
    const VM: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(bindings::filemap_fault),
        map_pages: Some(bindings::filemap_map_pages),
        // It does not wait for the page to be written back: nothing needs its contents to be stable, and what is stored
        // meanwhile makes it dirty again. So nobody waits for the server here.
        page_mkwrite: Some(bindings::filemap_page_mkwrite),
        close: Some(Self::close),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the mm only: the mapping is of a file of `T` and ends.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: As this function requires; the file is open until this returns.
        let file = unsafe { File::<T>::from_raw((*vma).vm_file) };
        if !file.inode().is_bad() {
            T::unmapped(file);
        }
    }
}

/// As [`Wrap`], for mappings that hold something: an `Arc<G>` in `vm_private_data` for each part that a mapping was split into
/// or that was inherited.
struct Holding<T, G>(PhantomData<(T, G)>);

impl<T: Operations + file::Operations, G: Send + Sync + 'static> Holding<T, G> {
    const VM: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        ..Wrap::<T>::VM
    };

    /// # Safety
    ///
    /// For the mm only: the mapping is a copy of one whose private data is an `Arc<G>`.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The original mapping still has its reference, so another one can be made.
        let original = unsafe { ArcBorrow::from_raw((*vma).vm_private_data.cast::<G>()) };
        // The copy has the address already.
        let _ = Arc::into_raw(Arc::from(original));
    }

    /// # Safety
    ///
    /// For the mm only: the mapping is of a file of `T`, its private data is an `Arc<G>`, and it ends.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: As this function requires.
        unsafe {
            Wrap::<T>::close(vma);
            drop(Arc::<G>::from_raw((*vma).vm_private_data.cast()));
        }
    }
}

impl<T: Operations + file::Operations> Mmap<'_, T> {
    /// Maps the page cache, and keeps `held` until the mapping is gone, with all that it was split into and that was inherited.
    pub(crate) fn use_page_cache_with<G: Send + Sync + 'static>(self, held: Arc<G>) {
        // SAFETY: As below; the table's functions give the reference back.
        unsafe {
            (*self.vma).vm_private_data = Arc::into_raw(held).cast_mut().cast();
            bindings::rust_fuse_vma_set_cached(self.vma, &Holding::<T, G>::VM);
        }
    }

    /// Maps the page cache.
    pub(crate) fn use_page_cache(self) {
        // SAFETY: The VMA is being made and locked for writing; the table handles files of `T` without DAX.
        unsafe { bindings::rust_fuse_vma_set_cached(self.vma, &Wrap::<T>::VM) };
    }
}
