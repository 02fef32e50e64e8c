// SPDX-License-Identifier: GPL-2.0

//! Page faults on DAX mappings.
//!
//! Locks: the mapping's own, or the memory map's (held by the caller), then the super block's freeze protection for writes,
//! then what the file system takes: the invalidate lock for reading around [`Fault::handle`], and nothing around its waits.
//!
//! C headers: [`include/linux/dax.h`](srctree/include/linux/dax.h), [`include/linux/mm.h`](srctree/include/linux/mm.h)

use super::iomap;
use crate::{
    bindings,
    vfs::{
        file::{File, Mmap},
        inode::InvalidateShared,
        Inode,
    },
};
use core::marker::PhantomData;
use kernel::{page::PAGE_SHIFT, prelude::*};

/// A fault to be handled.
pub(crate) struct Fault<'a, T: Operations> {
    vmf: *mut bindings::vm_fault,
    order: u32,
    write: bool,
    _fs: PhantomData<(&'a mut (), T)>,
}

/// How a fault ended: `VM_FAULT_*` bits.
pub(crate) struct Outcome(bindings::vm_fault_t);

impl Outcome {
    /// The access gets `SIGBUS` (`EFAULT` inside a system call).
    pub(crate) const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);
    /// Not as a huge page: the same fault comes again for one page.
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);
    /// No memory.
    pub(crate) const OOM: Self = Self(bindings::vm_fault_reason_VM_FAULT_OOM);
}

/// Handling of faults.
pub(crate) trait Operations: iomap::Operations {
    /// Handles one fault.
    fn fault(inode: &Inode<Self>, fault: Fault<'_, Self>) -> Outcome;
}

impl<T: Operations> Fault<'_, T> {
    /// The first byte of the very page that was touched.
    pub(crate) fn touched(&self) -> u64 {
        // SAFETY: The fault is valid for the call.
        (unsafe { (*self.vmf).__bindgen_anon_1.pgoff } as u64) << PAGE_SHIFT
    }

    /// Whether more than one page is to be mapped.
    pub(crate) fn is_huge(&self) -> bool {
        self.order > 0
    }

    /// Whether the page is wanted for writing.
    pub(crate) fn write(&self) -> bool {
        self.write
    }

    /// The file that is mapped.
    pub(crate) fn file(&self) -> &File<T> {
        // SAFETY: The mapping holds its file, which belongs to this file system.
        unsafe { File::from_raw((*(*self.vmf).__bindgen_anon_1.vma).vm_file) }
    }

    /// Handles the fault with what [`iomap::Operations::extent`] says. `locked` keeps invalidation out.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when `extent` answered that: nothing was changed, the fault can be handled again. `EINVAL` for the lock of
    /// another inode.
    pub(crate) fn handle(&mut self, locked: &InvalidateShared<'_, T>) -> Result<Outcome> {
        if !locked.is_of(self.file().inode()) {
            return Err(EINVAL);
        }
        let mut pfn: c_ulong = 0;
        let mut error: c_int = 0;
        // SAFETY: The fault is valid for the call and invalidation is kept out.
        let r = unsafe {
            bindings::dax_iomap_fault(
                self.vmf,
                self.order,
                &mut pfn,
                &mut error,
                &iomap::Wrap::<T>::TABLE,
            )
        };
        // A huge fault hides the error; the page below it will meet it again.
        if r & bindings::RUST_FUSE_VM_FAULT_ERROR != 0 && error == EAGAIN.to_errno() {
            return Err(EAGAIN);
        }
        Ok(Outcome(r))
    }
}

/// The table of a DAX mapping.
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        map_pages: Some(Self::map_pages),
        page_mkwrite: Some(Self::mkwrite),
        pfn_mkwrite: Some(Self::mkwrite),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// `vmf` is a fault on a mapping of a file of this file system.
    unsafe fn run(vmf: *mut bindings::vm_fault, order: u32, write: bool) -> bindings::vm_fault_t {
        // SAFETY: By the caller's promise.
        unsafe {
            let file = (*(*vmf).__bindgen_anon_1.vma).vm_file;
            let inode = Inode::<T>::from_raw((*file).f_inode);
            let sb = inode.sb().as_raw();
            if write {
                bindings::rust_fuse_sb_start_pagefault(sb);
            }
            let outcome = T::fault(
                inode,
                Fault {
                    vmf,
                    order,
                    write,
                    _fs: PhantomData,
                },
            );
            if write {
                bindings::rust_fuse_sb_end_pagefault(sb);
            }
            outcome.0
        }
    }

    /// # Safety
    ///
    /// For memory management only: `vmf` is a fault on a mapping that has this table.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As this function requires; the table is for mappings of this file system.
        unsafe { Self::run(vmf, 0, is_write(vmf)) }
    }

    /// # Safety
    ///
    /// For memory management only: `vmf` is a fault on a mapping that has this table.
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // SAFETY: As in `fault`.
        unsafe { Self::run(vmf, order, is_write(vmf)) }
    }

    /// Maps nothing around a fault. That there is such a function says that faults may be served under the lock of their own
    /// mapping: else each comes twice, the second time under the lock of the whole memory map, which a fault that waits for the
    /// server would keep from everybody else.
    ///
    /// # Safety
    ///
    /// None is needed.
    unsafe extern "C" fn map_pages(
        _vmf: *mut bindings::vm_fault,
        _first: c_ulong,
        _last: c_ulong,
    ) -> bindings::vm_fault_t {
        0
    }

    /// # Safety
    ///
    /// For memory management only: `vmf` is a fault on a mapping that has this table. It is shared.
    unsafe extern "C" fn mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As in `fault`.
        unsafe { Self::run(vmf, 0, true) }
    }
}

/// Whether the fault is for writing to the file. A private mapping reads the file, and writes to a copy.
///
/// # Safety
///
/// `vmf` is valid.
unsafe fn is_write(vmf: *const bindings::vm_fault) -> bool {
    // SAFETY: By the caller's promise.
    unsafe {
        (*vmf).flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0
            && bindings::rust_fuse_vma_is_shared((*vmf).__bindgen_anon_1.vma)
    }
}

impl<T: Operations> Mmap<'_, T> {
    /// Maps the file by DAX.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a file that is not reached by DAX.
    pub(crate) fn use_dax(self) -> Result {
        if !self.inode().is_dax() {
            return Err(EINVAL);
        }
        // SAFETY: The file is reached by DAX, and the table is for such files of `T`.
        unsafe { self.set_dax_ops(&Wrap::<T>::TABLE) };
        Ok(())
    }
}
