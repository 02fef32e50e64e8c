// SPDX-License-Identifier: GPL-2.0

//! Memory mappings of files that are being made.
//!
//! The caller holds the mmap lock for writing around everything here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{FileSystem, Inode};
use crate::bindings;
use core::marker::PhantomData;

/// A memory mapping that is being made.
pub(crate) struct Mmap<'a, T: FileSystem> {
    pub(super) file: *mut bindings::file,
    pub(in crate::vfs) vma: *mut bindings::vm_area_struct,
    pub(super) _fs: PhantomData<(&'a (), T)>,
}

impl<T: FileSystem> Mmap<'_, T> {
    /// The inode of the file that is mapped.
    pub(crate) fn inode(&self) -> &Inode<T> {
        // SAFETY: The file is open for as long as this lives, and belongs to `T`.
        unsafe { Inode::from_raw((*self.file).f_inode) }
    }

    /// Makes it a DAX mapping whose faults `ops` handles.
    ///
    /// # Safety
    ///
    /// The file is reached by DAX, and `ops` handles the faults of such files of `T`.
    pub(crate) unsafe fn set_dax_ops(self, ops: &'static bindings::vm_operations_struct) {
        // SAFETY: By the caller's promise. The VMA is being made and locked for writing.
        unsafe { bindings::rust_fuse_vma_set_dax(self.vma, ops) };
    }

    /// Whether stores would be seen by others, now or after `mprotect`.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: The VMA is being made and locked for writing.
        unsafe { bindings::rust_fuse_vma_may_share(self.vma) }
    }

    /// Whether stores will reach the file, now or after `mprotect`.
    pub(crate) fn may_write(&self) -> bool {
        // SAFETY: The VMA is being made and locked for writing.
        self.is_shared() && unsafe { bindings::rust_fuse_vma_may_write(self.vma) }
    }
}
