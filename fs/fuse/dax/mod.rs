// SPDX-License-Identifier: GPL-2.0

//! DAX: file data in the window that the device shares.
//!
//! The window is cut into ranges of 2 MiB ([`ranges`]: which is free, which maps what). An inode knows which range each of
//! its parts is in ([`map`]). Before data is touched, its range is pinned ([`pin`]), which maps it where necessary; while it
//! is pinned it stays where it is. [`setup`] asks the server to map and [`removal`] to unmap; [`io`] reads and writes, [`fault`]
//! serves page faults; [`pass`] maps ahead of sequential ones. When the window is full, [`policy`] says which parts are worth a
//! range, [`cold`] what those have to do that have none, [`reclaim`] takes one from others, and [`line`] and [`turns`] say who is next.
//! [`cleaner`] unmaps what inodes leave behind. [`whose`] leads from a range back to its inode.
//!
//! Locks: the table of ranges has a spinlock, which is never held while anything waits. A hit takes no lock: the inode's map is
//! looked up under RCU, and the range is pinned by its atomic word. No lock of this module is held while the server is asked;
//! who needs a range that is on its way waits for the window to change, killably, holding nothing but what the VFS holds for
//! it.

mod cleaner;
mod cold;
pub(crate) mod fault;
pub(crate) mod io;
mod line;
pub(crate) mod map;
pub(crate) mod pass;
pub(crate) mod pin;
pub mod policy;
pub mod ranges;
mod reclaim;
mod removal;
mod setup;
mod stage;
pub(crate) mod stats;
pub mod turns;
mod whose;

use crate::{
    chan::Transport,
    conn::Flag,
    dax_core::device::Window,
    sync::{waitq::new_waitq, WaitQueue},
    trace,
    vfs::time::Moment,
    virtiofs::{Parts, Registry},
};
use kernel::{
    alloc::KVVec,
    impl_has_work, new_spinlock, new_work,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Release},
        Arc, SpinLock,
    },
    workqueue::Work,
};
use ranges::{Atom, Hits, Ranges, Slot, Spans, Words};
use stage::Stage;
use stats::Stats;

/// The table of the window's slots.
type Table = Ranges<KVVec<Slot>, SlotWords>;

/// A word for each slot of the table, shared by the table and who hits.
#[derive(Clone)]
struct SlotWords(Arc<KVVec<Atomic<u64>>>);

impl SlotWords {
    fn new(n: usize) -> Result<Self> {
        let mut words = KVVec::with_capacity(n, GFP_KERNEL)?;
        for _ in 0..n {
            words.push(Atomic::new(0), GFP_KERNEL)?;
        }
        Ok(Self(Arc::new(words, GFP_KERNEL)?))
    }
}

impl Words for SlotWords {
    type Atom = Atomic<u64>;

    #[inline]
    fn words(&self) -> &[Atomic<u64>] {
        &self.0
    }
}

impl Atom for Atomic<u64> {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Acquire)
    }

    #[inline]
    fn store(&self, value: u64) {
        self.store(value, Release);
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.cmpxchg(old, new, Full)
    }

    #[inline]
    fn fetch_sub(&self, n: u64) -> u64 {
        self.fetch_sub(n, Full)
    }
}

/// The window as one session uses it: a mount, and those inside it.
#[pin_data]
pub(crate) struct Dax {
    window: Arc<Window>,
    transport: Arc<dyn Transport>,
    registry: Arc<Registry>,
    /// Which slot is in which state.
    #[pin]
    ranges: SpinLock<Table>,
    /// Using what is mapped, without a lock.
    hits: Hits<SlotWords>,
    /// What is in page tables.
    spans: Spans<SlotWords>,
    /// Which parts of files are worth a range.
    #[pin]
    heat: SpinLock<policy::Heat<KVVec<u8>>>,
    /// How long passes wait for a range.
    patience: cold::Patience,
    /// Counts changes of the table that somebody may wait for.
    epoch: Atomic<u64>,
    /// Tasks that wait for a change, or are about to.
    waiting: Atomic<u32>,
    /// What happened so far.
    stats: Arc<Stats>,
    #[pin]
    changed: WaitQueue,
    /// Faults that wait for a range.
    #[pin]
    line: SpinLock<line::Line>,
    /// Who of them is first.
    turns: turns::Turns<Atomic<u64>>,
    /// Counts the times at which there may have been something to take.
    chances: Atomic<u64>,
    /// Where they sleep, by their number.
    #[pin]
    sleepers: [WaitQueue; line::QUEUES],
    /// REMOVEMAPPINGs on their way.
    removals: Atomic<u32>,
    /// The server does not map over what is mapped: it has to be told to unmap first.
    no_overlay: Flag,
    /// How far the cleaner is.
    cleaning: Stage,
    #[pin]
    cleaner: Work<Dax, CLEANER>,
    /// The super blocks whose files are in the window.
    parts: Arc<Parts>,
    /// How far the reclaimer is.
    reclaiming: Stage,
    #[pin]
    reclaimer: Work<Dax, RECLAIMER>,
}

/// The work item of [`cleaner`].
const CLEANER: u64 = 0;
/// The work item of [`reclaim`].
const RECLAIMER: u64 = 1;

impl_has_work! {
    impl HasWork<Self, CLEANER> for Dax { self.cleaner }
    impl HasWork<Self, RECLAIMER> for Dax { self.reclaimer }
}

/// After so many milliseconds pages that were pinned are looked at again.
const PINNED_MS: u32 = 50;
/// And by one who has done so for long, after so many.
const PINNED_MOST_MS: u32 = 1000;

/// A wait.
struct Waiting<'a> {
    dax: &'a Dax,
    since: Moment,
    /// It is one of [`Dax::waiting`].
    announced: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.announced {
            self.dax.waiting.fetch_sub(1, Release);
        }
        let ms = self.since.elapsed_ms();
        self.dax.stats.waited(ms);
        trace::dax_waited(ms);
    }
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
        stats: Arc<Stats>,
        parts: Arc<Parts>,
    ) -> Result<Arc<Self>> {
        let n = window.ranges();
        let counters = policy::counters_for(n);
        let counters = KVVec::from_elem(0u8, counters, GFP_KERNEL)?;
        let heat = policy::Heat::new(counters, n).ok_or(EINVAL)?;
        let slots = KVVec::from_elem(Slot::new(), n, GFP_KERNEL)?;
        let words = SlotWords::new(n)?;
        let spans = Spans::new(SlotWords::new(n)?);
        let ranges = Ranges::new(slots, words.clone());
        stats.begin();
        stats.set_ranges(&ranges.counts());
        Arc::pin_init(
            pin_init!(Self {
                window,
                transport,
                registry,
                ranges <- new_spinlock!(ranges, "fuse dax ranges"),
                hits: Hits::new(words),
                spans,
                heat <- new_spinlock!(heat, "fuse dax heat"),
                patience: cold::Patience::default(),
                epoch: Atomic::new(0),
                waiting: Atomic::new(0),
                stats,
                changed <- new_waitq!("fuse dax ranges"),
                line <- new_spinlock!(line::Line::new(), "fuse dax line"),
                turns: turns::Turns::new(Atomic::new(0)),
                chances: Atomic::new(0),
                sleepers <- pin_init::pin_init_array_from_fn(|_| new_waitq!("fuse dax line")),
                removals: Atomic::new(0),
                no_overlay: Flag::default(),
                cleaning: Stage::new(),
                cleaner <- new_work!("fuse dax cleaner"),
                parts,
                reclaiming: Stage::new(),
                reclaimer <- new_work!("fuse dax reclaimer"),
            }),
            GFP_KERNEL,
        )
    }

    /// The state of the table, for [`Self::wait_for_change`].
    fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// Says that the table changed, so that there may be a range to take.
    fn change(&self) {
        self.publish();
        self.wake();
    }

    /// Shows how many ranges are in which state.
    fn publish(&self) {
        // Under the lock: else who is late with older numbers would leave them there.
        let ranges = self.ranges.lock();
        self.stats.set_ranges(&ranges.counts());
        self.stats.set_ahead(&ranges.ahead());
    }

    /// A range is done changing, but is none to take: wakes who waits for that one, and nobody who waits for any.
    fn settled(&self) {
        self.epoch.fetch_add(1, Release);
        self.changed.wake_all();
    }

    /// Wakes who waits for a certain range, and who is first in line.
    fn wake(&self) {
        self.settled();
        self.wake_first();
    }

    /// A use of a range has ended, and was the last one: free when nobody waits.
    fn use_ended(&self) {
        if self.waiting.load(Acquire) > 0 {
            self.settled();
            self.wake_first_if_needed();
        }
    }

    /// Announces a wait. The caller looks at the table once more before it waits: either it sees the change, or who makes the
    /// change after that look sees the announcement. Both hold the table's lock in between; who ends a use does not, but that
    /// is fully ordered, and so is this.
    fn announce(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Full);
        let mut waiting = self.wait_unannounced();
        waiting.announced = true;
        waiting
    }

    /// A wait that looks by itself from time to time.
    fn wait_unannounced(&self) -> Waiting<'_> {
        Waiting {
            dax: self,
            since: Moment::now(),
            announced: false,
        }
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

    /// As [`Self::wait_for_change`], but not for long: a pinned page that is let go does not change the table.
    fn wait_a_while(&self, seen: u64) -> Result {
        self.changed
            .wait_killable_for(PINNED_MS, || (self.epoch() != seen).then_some(()))
            .map(|_| ())
    }

    /// The window.
    fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// What happened so far.
    fn stats(&self) -> &Stats {
        &self.stats
    }
}
