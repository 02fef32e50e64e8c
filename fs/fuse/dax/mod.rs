// SPDX-License-Identifier: GPL-2.0

//! DAX: file data in the window that the device shares.
//!
//! The window is cut into ranges of 2 MiB ([`ranges`]: which is free, which maps what). An inode knows which range each of
//! its parts is in ([`map`]). Before data is touched, its range is pinned ([`pin`]), which maps it where necessary; while it
//! is pinned it stays where it is. [`io`] reads and writes, [`fault`] serves page faults, [`reclaim`] takes ranges back.
//!
//! Locks: an inode's map and the table of ranges each have a spinlock; neither is held inside the other, nor while anything
//! waits. No lock of this module is held while the server is asked; who needs a range that is on its way waits for the
//! window to change, killably, holding nothing but what the VFS holds for it.

pub(crate) mod fault;
pub(crate) mod io;
pub(crate) mod map;
pub(crate) mod pin;
pub mod ranges;
pub(crate) mod reclaim;

use crate::{
    chan::Transport,
    dax_core::device::Window,
    sync::{waitq::new_waitq, WaitQueue},
    virtiofs::Registry,
};
use kernel::{
    alloc::KVVec,
    impl_has_work, new_spinlock, new_work,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, SpinLock,
    },
    workqueue::Work,
};
use ranges::{Ranges, Slot};

/// The window as one mount uses it.
#[pin_data]
pub(crate) struct Dax {
    window: Arc<Window>,
    transport: Arc<dyn Transport>,
    registry: Arc<Registry>,
    #[pin]
    ranges: SpinLock<Ranges<KVVec<Slot>>>,
    /// Counts changes of the table that somebody may wait for.
    epoch: Atomic<u64>,
    #[pin]
    changed: WaitQueue,
    /// Maps of inodes that left memory.
    #[pin]
    stale: SpinLock<reclaim::Stale>,
    #[pin]
    cleaner: Work<Dax>,
}

impl_has_work! {
    impl HasWork<Self> for Dax { self.cleaner }
}

impl Dax {
    /// Cuts the window into ranges.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        window: Arc<Window>,
        transport: Arc<dyn Transport>,
        registry: Arc<Registry>,
    ) -> Result<Arc<Self>> {
        let n = window.ranges();
        let mut slots = KVVec::with_capacity(n, GFP_KERNEL)?;
        for _ in 0..n {
            slots.push(Slot::new(), GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                window,
                transport,
                registry,
                ranges <- new_spinlock!(Ranges::new(slots), "fuse dax ranges"),
                epoch: Atomic::new(0),
                changed <- new_waitq!("fuse dax ranges"),
                stale <- new_spinlock!(reclaim::Stale::default(), "fuse dax stale maps"),
                cleaner <- new_work!("fuse dax cleaner"),
            }),
            GFP_KERNEL,
        )
    }

    /// The state of the table, for [`Self::wait_for_change`].
    fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// Says that the table changed.
    fn change(&self) {
        self.epoch.fetch_add(1, Release);
        self.changed.wake_all();
    }

    /// Waits until the table is not what it was at `seen`.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    fn wait_for_change(&self, seen: u64) -> Result {
        self.changed
            .wait_killable(|| (self.epoch() != seen).then_some(()))
    }
}
