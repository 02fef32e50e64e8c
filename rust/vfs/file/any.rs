// SPDX-License-Identifier: GPL-2.0

//! Open files of whatever kind, as users hand them in by descriptor. No locks.
//!
//! C header: [`include/linux/file.h`](srctree/include/linux/file.h)

use crate::{bindings, vfs::from_err_ptr};
use core::ptr::NonNull;
use kernel::prelude::*;

/// A counted reference to an open file.
///
/// # Invariants
///
/// One count is ours.
pub(crate) struct AnyFile(NonNull<bindings::file>);

// SAFETY: Open files are shared between threads, and their counts may be raised and dropped by every thread.
unsafe impl Send for AnyFile {}
// SAFETY: As above.
unsafe impl Sync for AnyFile {}

impl AnyFile {
    /// The file behind a descriptor of the current task.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub(crate) fn from_descriptor(fd: u32) -> Result<Self> {
        // SAFETY: May be called for any number.
        let file = unsafe { bindings::fget(fd) };
        // INVARIANT: The count that `fget` raised.
        NonNull::new(file).map(Self).ok_or(EBADF)
    }

    /// As [`Self::from_descriptor`], also one that was opened for its path only.
    ///
    /// # Errors
    ///
    /// `EBADF`.
    pub(crate) fn from_any_descriptor(fd: u32) -> Result<Self> {
        // SAFETY: May be called for any number.
        let file = unsafe { bindings::fget_raw(fd) };
        // INVARIANT: The count that `fget_raw` raised.
        NonNull::new(file).map(Self).ok_or(EBADF)
    }

    /// # Safety
    ///
    /// `file` is an error pointer, or one count of it goes over.
    pub(in crate::vfs) unsafe fn from_raw(file: *mut bindings::file) -> Result<Self> {
        // INVARIANT: By the caller's promise.
        NonNull::new(from_err_ptr(file)?).map(Self).ok_or(EBADF)
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::file {
        self.0.as_ptr()
    }
}

impl Drop for AnyFile {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::fput(self.as_raw()) };
    }
}
