// SPDX-License-Identifier: GPL-2.0

//! Mappings of the page cache: faults, the first write to a page, and the end of a mapping.

use super::{Operations, Wrap};
use crate::{
    bindings,
    vfs::file::{self, File, Mmap},
};

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

impl<T: Operations + file::Operations> Mmap<'_, T> {
    /// Maps the page cache.
    pub(crate) fn use_page_cache(self) {
        // SAFETY: The VMA is being made and locked for writing; the table handles files of `T` without DAX.
        unsafe { bindings::rust_fuse_vma_set_cached(self.vma, &Wrap::<T>::VM) };
    }
}
