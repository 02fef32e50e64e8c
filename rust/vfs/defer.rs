// SPDX-License-Identifier: GPL-2.0

//! Read and write calls that end later (libaio, io_uring).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{file::File, iter::Io, FileSystem};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::code::EIOCBQUEUED,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, UniqueArc,
    },
};

/// A call that ends when the last reference to this is dropped.
///
/// # Invariants
///
/// The control block belongs to a call on a file of `T` and is valid until it is completed, which only the drop does.
pub(crate) struct Deferred<T: FileSystem> {
    iocb: NonNull<bindings::kiocb>,
    /// Bytes, or a negative errno.
    result: Atomic<i64>,
    _fs: PhantomData<T>,
}

// SAFETY: A control block may be completed by every task.
unsafe impl<T: FileSystem> Send for Deferred<T> {}
// SAFETY: `&Deferred` only reads the control block.
unsafe impl<T: FileSystem> Sync for Deferred<T> {}

impl<T: FileSystem> Deferred<T> {
    /// The open file.
    pub(crate) fn file(&self) -> &File<T> {
        // SAFETY: By the type invariant; the file is open until the call is completed.
        unsafe { File::from_raw((*self.iocb.as_ptr()).ki_filp) }
    }

    /// Says how the call ends.
    pub(crate) fn set_result(&self, result: Result<usize>) {
        let result = result.map_or_else(|e| i64::from(e.to_errno()), |n| n as i64);
        self.result.store(result, Relaxed);
    }
}

impl<T: FileSystem> Drop for Deferred<T> {
    fn drop(&mut self) {
        let result = self.result.load(Relaxed);
        // SAFETY: By the type invariant; completed once, here.
        unsafe {
            if result > 0 {
                (*self.iocb.as_ptr()).ki_pos += result;
            }
            bindings::rust_fuse_iocb_complete(self.iocb.as_ptr(), result as c_long);
        }
    }
}

impl<T: FileSystem, const WRITE: bool> Io<'_, T, WRITE> {
    /// Whether the caller waits for the end of the call itself.
    pub(crate) fn is_sync(&mut self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_is_sync_kiocb(self.iocb) }
    }

    /// Lets the call end when the last reference to what `start` is given is dropped, but not before `start` returns.
    ///
    /// # Errors
    ///
    /// `EIOCBQUEUED` for the caller of the call, which says that it goes on. `EINVAL` for a call that is not of this kind,
    /// and `ENOMEM`: then `start` was not called.
    pub(crate) fn defer(
        &mut self,
        start: impl FnOnce(&mut Self, &Arc<Deferred<T>>),
    ) -> Result<usize> {
        if self.is_sync() {
            return Err(EINVAL);
        }
        // The memory first: once there is a value, dropping it completes the call.
        let place = UniqueArc::<Deferred<T>>::new_uninit(GFP_KERNEL)?;
        let iocb = NonNull::new(self.iocb).ok_or(EINVAL)?;
        // INVARIANT: The call is not synchronous, and its caller is told that it goes on.
        let deferred: Arc<_> = place
            .write(Deferred {
                iocb,
                result: Atomic::new(i64::from(EIO.to_errno())),
                _fs: PhantomData,
            })
            .into();
        start(self, &deferred);
        drop(deferred);
        Err(EIOCBQUEUED)
    }
}
