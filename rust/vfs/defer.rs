// SPDX-License-Identifier: GPL-2.0

//! Read and write calls that end later (libaio, io_uring).
//!
//! A process ends when its libaio calls have, and io_destroy(2) when those of its context have; no signal shortens that. So the
//! kernel asks each to end. One does that the file system can take back ([`Recall`]), so that nothing touches the memory of the
//! call any more. Another can only where its process is gone, with all who share its memory: it ends without the answer, and
//! what was sent goes on with the memory that it has. Both are done by a work item, as they cannot be where libaio asks for
//! it, under a spinlock of its own. No locks here.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/aio.h`](srctree/include/linux/aio.h)

use super::{
    file::{AnyFile, File},
    fs::Common,
    iter::Io,
    FileSystem,
};
use crate::{bindings, errno};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::code::EIOCBQUEUED,
    impl_has_work, new_work,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Full, Relaxed},
        Arc, ArcBorrow,
    },
    workqueue::{Work, WorkItem},
};

/// How a call is taken back.
pub(crate) trait Recall: Send + Sync {
    /// The call is given up: lets go of what would end it, and of its memory, as soon as that can be. Process context; does not
    /// wait.
    fn recall(&self);
}

/// The end of a call, which comes once.
///
/// # Invariants
///
/// The control block belongs to a call that does not end before it is completed, and is valid until then; only who sets `ended`
/// completes it. `mm` is null, or one count of it is ours, and one of this is the control block's.
#[pin_data(PinnedDrop)]
struct Ending {
    iocb: NonNull<bindings::kiocb>,
    /// The memory of a libaio call.
    mm: *mut bindings::mm_struct,
    recall: Option<Arc<dyn Recall>>,
    ended: AtomicFlag,
    #[pin]
    work: Work<Ending>,
}

// SAFETY: A control block may be completed by every task, and a memory map be let go.
unsafe impl Send for Ending {}
// SAFETY: As above; what `&Ending` changes is atomic.
unsafe impl Sync for Ending {}

impl_has_work! {
    impl HasWork<Self> for Ending { self.work }
}

impl WorkItem for Ending {
    type Pointer = Arc<Ending>;

    fn run(this: Arc<Ending>) {
        if let Some(recall) = &this.recall {
            recall.recall();
        }
        if this.is_orphan() {
            this.end(i64::from(errno::ecanceled().to_errno()));
        }
    }
}

impl Ending {
    /// Whether every process is gone that had the memory of the call.
    fn is_orphan(&self) -> bool {
        // SAFETY: By the type invariant one count of it is ours, if there is one.
        !self.mm.is_null() && unsafe { bindings::rust_fuse_mm_is_unused(self.mm) }
    }

    /// Ends the call, unless that was done before: bytes, or a negative errno.
    fn end(&self, result: i64) {
        if self.ended.xchg(true, Full) {
            return;
        }
        // SAFETY: By the type invariant. Once it is completed nobody looks for this through the control block, whose count
        // so is ours; the caller has another.
        unsafe {
            if result > 0 {
                (*self.iocb.as_ptr()).ki_pos += result;
            }
            bindings::rust_fuse_iocb_complete(self.iocb.as_ptr(), result as c_long);
            if !self.mm.is_null() {
                drop(Arc::from_raw(self));
            }
        }
    }

    /// Has libaio tell when the call is to be given up.
    fn arm<T: FileSystem>(this: &Arc<Self>) {
        if this.mm.is_null() {
            return;
        }
        let private = Arc::into_raw(this.clone());
        // SAFETY: The call has not ended. The function is for files of `T`, as the call's is, and the control block has one count
        // of this until it is completed.
        unsafe {
            bindings::rust_fuse_iocb_arm(
                this.iocb.as_ptr(),
                private.cast_mut().cast(),
                Some(Self::cancel::<T>),
            )
        };
    }

    /// # Safety
    ///
    /// For libaio only: the call was armed for files of `T`, and is not completed before this returns.
    unsafe extern "C" fn cancel<T: FileSystem>(iocb: *mut bindings::kiocb) -> c_int {
        // SAFETY: As this function requires; the file and so its super block are in use.
        let (this, common) = unsafe {
            let inode = (*(*iocb).ki_filp).f_inode;
            (
                ArcBorrow::<Self>::from_raw((*iocb).private.cast::<Self>().cast_const()),
                Common::<T>::of((*(*inode).i_sb).s_type),
            )
        };
        if this.recall.is_none() && !this.is_orphan() {
            // Somebody would see that the server reads or writes what belongs to the call, after its end.
            return EINVAL.to_errno();
        }
        let _ = common.queue().enqueue(Arc::from(this));
        0
    }
}

#[pinned_drop]
impl PinnedDrop for Ending {
    fn drop(self: Pin<&mut Self>) {
        if !self.mm.is_null() {
            // SAFETY: By the type invariant.
            unsafe { bindings::rust_fuse_mmdrop(self.mm) };
        }
    }
}

/// A call that ends when the last reference to this is dropped, or when its process is gone.
pub(crate) struct Deferred<T: FileSystem> {
    ending: Arc<Ending>,
    /// The open file, which may be needed when the call has ended.
    file: AnyFile,
    /// Bytes, or a negative errno.
    result: Atomic<i64>,
    _fs: PhantomData<fn(T)>,
}

impl<T: FileSystem> Deferred<T> {
    /// The open file.
    pub(crate) fn file(&self) -> &File<T> {
        // SAFETY: The call was on a file of `T`, which is referenced.
        unsafe { File::from_raw(self.file.as_raw()) }
    }

    /// Says how the call ends.
    pub(crate) fn set_result(&self, result: Result<usize>) {
        let result = result.map_or_else(|e| i64::from(e.to_errno()), |n| n as i64);
        self.result.store(result, Relaxed);
    }
}

impl<T: FileSystem> Drop for Deferred<T> {
    fn drop(&mut self) {
        self.ending.end(self.result.load(Relaxed));
    }
}

impl<T: FileSystem, const WRITE: bool> Io<'_, T, WRITE> {
    /// Whether the caller waits for the end of the call itself.
    pub(crate) fn is_sync(&mut self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_is_sync_kiocb(self.iocb) }
    }

    /// Lets the call end when the last reference to what `start` is given is dropped, but not before `start` returns. `recall`
    /// is asked to see to that early, at any time from then on, also while `start` runs.
    ///
    /// # Errors
    ///
    /// `EIOCBQUEUED` for the caller of the call, which says that it goes on. `EINVAL` for a call that is not of this kind,
    /// and `ENOMEM`: then `start` was not called.
    pub(crate) fn defer(
        &mut self,
        recall: Option<Arc<dyn Recall>>,
        start: impl FnOnce(&mut Self, &Arc<Deferred<T>>),
    ) -> Result<usize> {
        if self.is_sync() {
            return Err(EINVAL);
        }
        let iocb = NonNull::new(self.iocb).ok_or(EINVAL)?;
        // SAFETY: By the type invariant. The count of the file goes over.
        let file =
            unsafe { AnyFile::from_raw(bindings::rust_fuse_get_file((*self.iocb).ki_filp))? };
        // The memory first: once there is a value, dropping it completes the call.
        let place = kernel::sync::UniqueArc::<Deferred<T>>::new_uninit(GFP_KERNEL)?;
        // INVARIANT: The call is not synchronous, and its caller is told that it goes on. The shim raises a count, and `arm`
        // gives another one of this away.
        let ending = Arc::pin_init(
            pin_init!(Ending {
                iocb,
                // SAFETY: By the type invariant of the call.
                mm: unsafe { bindings::rust_fuse_iocb_mm(iocb.as_ptr()) },
                recall,
                ended: AtomicFlag::new(false),
                work <- new_work!("vfs::Deferred"),
            }),
            GFP_KERNEL,
        )?;
        Ending::arm::<T>(&ending);
        let deferred: Arc<_> = place
            .write(Deferred {
                ending,
                file,
                result: Atomic::new(i64::from(EIO.to_errno())),
                _fs: PhantomData,
            })
            .into();
        start(self, &deferred);
        drop(deferred);
        Err(EIOCBQUEUED)
    }
}
