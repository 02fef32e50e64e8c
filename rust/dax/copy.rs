// SPDX-License-Identifier: GPL-2.0

//! Copying between the user's memory and a place in a window, for who keeps that place what it is.
//!
//! Unlike `dax_iomap_rw` this does not want the inode lock for writing around a write, so that overwrites of one file can run
//! together. Takes the DAX core's read lock (SRCU), which the removal of a device waits for.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::device::Window;
use crate::{
    bindings,
    errno::enotconn,
    vfs::{iter::Io, FileSystem},
};
use kernel::{
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
};

/// The DAX core's read lock: while it is held, a device that can be reached stays.
struct ReadLock(c_int);

impl ReadLock {
    fn new() -> Self {
        // SAFETY: May be called in process context.
        Self(unsafe { bindings::dax_read_lock() })
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        // SAFETY: Taken by `new`.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}

/// Page faults are off for this task while this lives.
struct NoFaults;

impl NoFaults {
    fn new() -> Self {
        // SAFETY: Always allowed; `drop` undoes it.
        unsafe { bindings::rust_fuse_pagefault_disable() };
        Self
    }
}

impl Drop for NoFaults {
    fn drop(&mut self) {
        // SAFETY: Switched off by `new`.
        unsafe { bindings::rust_fuse_pagefault_enable() };
    }
}

impl Window {
    /// Copies up to `len` bytes between the user's memory and `addr`, in bytes from the start of the window, and moves the
    /// position. The user's memory is not faulted in, see [`Io::fault_in`].
    ///
    /// # Errors
    ///
    /// `EFAULT` when not one byte could be copied because the user's memory is not present; `ENOTCONN` when the device is
    /// gone.
    pub(crate) fn copy<T: FileSystem, const WRITE: bool>(
        &self,
        addr: u64,
        len: usize,
        io: &mut Io<'_, T, WRITE>,
    ) -> Result<usize> {
        let len = len.min(io.len());
        let offset = (addr & (PAGE_SIZE as u64 - 1)) as usize;
        let pages = (offset + len).div_ceil(PAGE_SIZE);
        let _alive = ReadLock::new();
        let mut kaddr = core::ptr::null_mut();
        // SAFETY: The device lives as long as `self`, and stays usable while the lock is held.
        let got = unsafe {
            bindings::dax_direct_access(
                self.as_raw(),
                (addr >> PAGE_SHIFT) as c_ulong,
                pages as c_long,
                bindings::dax_access_mode_DAX_ACCESS,
                &mut kaddr,
                core::ptr::null_mut(),
            )
        };
        let room = usize::try_from(got).map_err(|_| enotconn())? * PAGE_SIZE;
        let n = len.min(room.checked_sub(offset).ok_or(EINVAL)?);
        let _no_faults = NoFaults::new();
        // SAFETY: `n` bytes from there on are in the window, whose memory others may access as well, as they may any DAX
        // memory; the iterator is valid and of the right direction.
        let copied = unsafe {
            let at = kaddr.byte_add(offset);
            if WRITE {
                bindings::_copy_from_iter(at, n, io.iter())
            } else {
                bindings::_copy_to_iter(at, n, io.iter())
            }
        };
        if copied == 0 && n > 0 {
            return Err(EFAULT);
        }
        io.set_pos(io.pos() + copied as u64);
        Ok(copied)
    }
}
