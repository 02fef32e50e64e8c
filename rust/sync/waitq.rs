// SPDX-License-Identifier: GPL-2.0

//! Wait queues with waits that a signal ends. Waking is allowed in every context; waiting sleeps.
//!
//! There is no uninterruptible wait here on purpose: whatever a file system waits for may never come.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::bindings;
use core::marker::PhantomPinned;
use kernel::{
    prelude::*,
    str::CStr,
    sync::LockClassKey,
    time::{msecs_to_jiffies, Msecs},
    types::Opaque,
};

/// The timeout of a wait that has none, `MAX_SCHEDULE_TIMEOUT`.
const FOREVER: c_long = c_long::MAX;

/// Milliseconds after which a task that ends looks whether it was killed.
const EXIT_SLICE: Msecs = 200;
/// How often it looks, before it ends without what it waits for: nobody can kill a process that ends by itself.
const EXIT_SLICES: u32 = 50;

/// The state of a task that only a fatal signal wakes.
const KILLABLE: u32 = bindings::RUST_FUSE_TASK_KILLABLE;

/// A `wait_queue_head`.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A wait queue head may be used from every thread.
unsafe impl Send for WaitQueue {}
// SAFETY: A wait queue head is made for concurrent use.
unsafe impl Sync for WaitQueue {}

/// Takes a wait queue entry off its queue when the wait ends, however it ends.
struct Entry<'a> {
    queue: &'a WaitQueue,
    entry: &'a Opaque<bindings::wait_queue_entry>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        // SAFETY: Both were initialised by `wait_as` and outlive this guard.
        unsafe { bindings::finish_wait(self.queue.head.get(), self.entry.get()) };
    }
}

impl WaitQueue {
    pub(crate) fn as_raw(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Makes a wait queue; use [`new_waitq!`].
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes; name and key are static.
            head <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr().cast())
            }),
            _pin: PhantomPinned,
        })
    }

    /// Sleeps until `ready` gives a value. `ready` runs with the task state set, so it must not sleep itself.
    ///
    /// A task that ends (and closes its files) is woken by no signal, and if its process ends by itself it gets none. It waits
    /// for 10 seconds, and not for long if it ends since it was killed.
    ///
    /// # Errors
    ///
    /// `EINTR` when a fatal signal arrived first, or the time of a task that ends is over.
    pub(crate) fn wait_killable<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Result<R> {
        if !exiting() {
            return self.wait(KILLABLE, FOREVER, ready)?.ok_or(EINTR);
        }
        for _ in 0..EXIT_SLICES {
            let left = msecs_to_jiffies(EXIT_SLICE) as c_long;
            if let Some(r) = self.wait(KILLABLE, left, &mut ready)? {
                return Ok(r);
            }
            if dying() || killed() {
                break;
            }
        }
        Err(EINTR)
    }

    /// As [`Self::wait_killable`], but every signal that the task does not ignore ends the wait.
    ///
    /// # Errors
    ///
    /// `EINTR` when a signal arrived first.
    pub(crate) fn wait_interruptible<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Result<R> {
        loop {
            let state = bindings::RUST_FUSE_TASK_INTERRUPTIBLE;
            if let Some(r) = self.wait(state, FOREVER, &mut ready)? {
                return Ok(r);
            }
        }
    }

    /// As [`Self::wait_interruptible`], but waiters of this kind are woken one at a time: one that leaves with a value must wake
    /// the next if there is more.
    pub(crate) fn wait_one<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Result<R> {
        loop {
            let state = bindings::RUST_FUSE_TASK_INTERRUPTIBLE;
            let flags = bindings::WQ_FLAG_EXCLUSIVE;
            let r = self.wait_as(state, flags, FOREVER, &mut ready);
            if let Some(r) = r.map_err(|_| ERESTARTSYS)? {
                return Ok(r);
            }
        }
    }

    /// Sleeps until `ready` gives a value, for `left` jiffies at most.
    fn wait<R>(
        &self,
        state: u32,
        left: c_long,
        ready: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        self.wait_as(state, 0, left, ready)
    }

    /// As [`Self::wait`], on the queue with `flags`.
    fn wait_as<R>(
        &self,
        state: u32,
        flags: u32,
        mut left: c_long,
        mut ready: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        if let Some(r) = ready() {
            return Ok(Some(r));
        }
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes and stays in place until `guard` takes it off the queue.
        unsafe { bindings::init_wait_entry(entry.get(), flags as c_int) };
        let _guard = Entry {
            queue: self,
            entry: &entry,
        };
        loop {
            // SAFETY: Both are initialised; the entry is taken off the queue by the guard.
            let signal = unsafe {
                bindings::prepare_to_wait_event(self.head.get(), entry.get(), state as c_int)
            };
            if let Some(r) = ready() {
                return Ok(Some(r));
            }
            if signal != 0 {
                return Err(EINTR);
            }
            if left == 0 {
                return Ok(None);
            }
            // SAFETY: May be called in process context, where all waits are.
            unsafe {
                if left == FOREVER {
                    kernel::bindings::schedule();
                } else {
                    left = kernel::bindings::schedule_timeout(left);
                }
            }
            // Who was woken for this is off the queue already, and need not go there again to find out.
            if let Some(r) = ready() {
                return Ok(Some(r));
            }
        }
    }

    /// As [`Self::wait_killable`], for `ms` milliseconds at most; [`None`] when they are over.
    ///
    /// # Errors
    ///
    /// `EINTR` when a fatal signal arrived first.
    pub(crate) fn wait_killable_for<R>(
        &self,
        ms: Msecs,
        ready: impl FnMut() -> Option<R>,
    ) -> Result<Option<R>> {
        self.wait(KILLABLE, msecs_to_jiffies(ms) as c_long, ready)
    }

    /// Sleeps until `ready` gives a value, for `ms` milliseconds at most, whatever signals come.
    pub(crate) fn wait_for<R>(&self, ms: Msecs, ready: impl FnMut() -> Option<R>) -> Option<R> {
        let left = msecs_to_jiffies(ms) as c_long;
        // Without a signal that counts there is no error.
        self.wait(bindings::RUST_FUSE_TASK_IDLE, left, ready)
            .ok()
            .flatten()
    }

    /// Wakes every waiter, but of those that are woken one at a time only one.
    pub(crate) fn wake_one(&self) {
        // SAFETY: The head is initialised.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::RUST_FUSE_TASK_NORMAL,
                1,
                core::ptr::null_mut(),
            )
        };
    }

    /// Wakes every waiter; each looks at its condition again.
    pub(crate) fn wake_all(&self) {
        // SAFETY: The head is initialised. Waiting mode "normal" reaches killable sleepers.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::RUST_FUSE_TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }
}

/// Whether the current task ends.
pub(crate) fn exiting() -> bool {
    // SAFETY: Reads the current task.
    unsafe { bindings::rust_fuse_exiting() }
}

/// Whether the current process was killed.
fn killed() -> bool {
    // SAFETY: Reads the current task.
    unsafe { bindings::rust_fuse_killed() }
}

/// Whether the current task ends because it was killed. A killable wait that begins then does not see the signal any more.
pub(crate) fn dying() -> bool {
    // SAFETY: Reads the current task.
    unsafe { bindings::rust_fuse_dying() }
}

/// Makes a [`WaitQueue`] with a lock class of its own.
macro_rules! new_waitq {
    ($name:literal) => {
        $crate::sync::WaitQueue::new(kernel::c_str!($name), kernel::static_lock_class!())
    };
}
pub(crate) use new_waitq;
