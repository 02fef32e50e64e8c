// SPDX-License-Identifier: GPL-2.0

//! Something that is done every so often, in a work item, until it is dropped.
//!
//! `kernel::workqueue` has delayed work, but no way to be sure that it is over. Dropping waits for the end of what runs, so it must
//! not be done by the work itself, or where nothing may sleep.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::marker::PhantomPinned;
use kernel::{prelude::*, time::msecs_to_jiffies, time::Msecs, types::Opaque};

/// A function that is called every so often, as long as it returns true.
#[pin_data(PinnedDrop)]
pub(crate) struct Ticker {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    period: c_ulong,
    tick: KBox<dyn Fn() -> bool + Send + Sync>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Work items are made for use from every thread, and so is the function.
unsafe impl Send for Ticker {}
// SAFETY: As above.
unsafe impl Sync for Ticker {}

impl Ticker {
    /// Calls `tick` every `period` milliseconds, for the first time when one has passed.
    pub(crate) fn new(
        period: Msecs,
        tick: KBox<dyn Fn() -> bool + Send + Sync>,
    ) -> Result<Pin<KBox<Self>>> {
        let this = KBox::pin_init(
            pin_init!(Self {
                // SAFETY: The place is valid for writes; the function gets the work of a `Ticker` only.
                work <- Opaque::ffi_init(|work| unsafe {
                    bindings::rust_fuse_init_delayed_work(work, Some(Self::run))
                }),
                period: msecs_to_jiffies(period) as c_ulong,
                tick,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        this.start();
        Ok(this)
    }

    fn start(&self) {
        // SAFETY: The work is initialised and pinned, and over before it goes away.
        unsafe { bindings::rust_fuse_queue_delayed_work(self.work.get(), self.period) };
    }

    /// # Safety
    ///
    /// For the work queue only: `work` is that of a live `Ticker`.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: As this function requires; `Opaque` is transparent.
        let this = unsafe {
            let work = kernel::container_of!(work, bindings::delayed_work, work);
            &*kernel::container_of!(Opaque::cast_from(work), Self, work)
        };
        if (this.tick)() {
            this.start();
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Ticker {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The work is initialised. This also keeps it from starting itself again.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }
}
