// SPDX-License-Identifier: GPL-2.0

//! The table behind a lock and hits without one, under every schedule that loom finds.
//!
//! Requests to the host run without the lock, as in the kernel. The host is an atomic per slot that
//! holds the number of the owner mapped there; it objects to what a host must never be asked. It is read with relaxed
//! ordering, so that what orders it is the word of the slot and the lock, and nothing else.

use super::{
    loom_words::{Shared, Word},
    owner, //
};
use loom::{
    sync::{
        atomic::{
            fence, AtomicU64,
            Ordering::{
                AcqRel,
                Acquire,
                Relaxed,
                SeqCst, //
            },
        },
        Arc,
        Condvar,
        Mutex, //
    },
    thread,
};
use rust_fuse_host_tests::dax::ranges::*;
use std::collections::{
    HashMap,
    VecDeque, //
};

/// Nothing is mapped.
const NOTHING: u64 = 0;
/// Added to the owner's number while the mapping is writable.
const WRITABLE: u64 = 1000;

/// The window's lock and what it guards.
struct Window {
    ranges: Ranges<Vec<Slot>, Shared>,
    /// Misses without a slot, in the order in which they came.
    waiting: VecDeque<u64>,
    /// Slots that were handed over, by who waits for them.
    handed: HashMap<u64, Mapping>,
}

struct World {
    window: Mutex<Window>,
    hits: Hits<Shared>,
    /// Something may have become free.
    changed: Condvar,
    host: Vec<AtomicU64>,
}

impl World {
    /// A window of one slot that maps owner 1.
    fn new(mode: Mode) -> (Arc<Self>, RangeId) {
        let words = Shared([Word(AtomicU64::new(0))].into());
        let mut ranges = Ranges::new(vec![Slot::new()], words.clone());
        let mapping = ranges.reserve(owner(1)).unwrap();
        let id = ranges.mapped(mapping, mode, By::Access).unwrap();
        let mapped = if mode == Mode::ReadWrite {
            1 + WRITABLE
        } else {
            1
        };
        let world = Self {
            window: Mutex::new(Window {
                ranges,
                waiting: VecDeque::new(),
                handed: HashMap::new(),
            }),
            hits: Hits::new(words),
            changed: Condvar::new(),
            host: vec![AtomicU64::new(mapped)],
        };
        (Arc::new(world), id)
    }

    fn host(&self, offset: u64) -> &AtomicU64 {
        &self.host[usize::try_from(offset / RANGE_SIZE).unwrap()]
    }

    /// What stands in for SETUPMAPPING.
    fn setup(&self, mapping: &Mapping, number: u64) {
        let before = self.host(mapping.offset()).swap(number + WRITABLE, Relaxed);
        assert_eq!(before, NOTHING, "a slot mapped twice");
    }

    /// What stands in for REMOVEMAPPING.
    fn remove(&self, unmapping: &Unmapping) {
        let before = self.host(unmapping.offset()).swap(NOTHING, Relaxed);
        assert_ne!(before, NOTHING, "an unmap of what is not mapped");
    }

    /// What a load or store through the mapping sees.
    fn access(&self, held: &Use) -> u64 {
        self.host(held.offset()).load(Relaxed)
    }

    /// Ends a use, and tells those who wait.
    fn put(&self, held: Use) {
        if self.hits.put(held) {
            // The kernel's own waits need no lock here; a condition variable does.
            drop(self.window.lock().unwrap());
            self.changed.notify_all();
        }
    }

    /// Maps a range for `number`, uses it once.
    fn miss(&self, number: u64) {
        let mut window = self.window.lock().unwrap();
        let mapping = match window.ranges.reserve(owner(number)) {
            Some(mapping) => mapping,
            None => {
                window.waiting.push_back(number);
                loop {
                    match window.handed.remove(&number) {
                        Some(mapping) => break mapping,
                        None => window = self.changed.wait(window).unwrap(),
                    }
                }
            }
        };
        drop(window);

        self.host(mapping.offset()).swap(NOTHING, Relaxed);
        self.setup(&mapping, number);

        let mut window = self.window.lock().unwrap();
        let id = window
            .ranges
            .mapped(mapping, Mode::ReadWrite, By::Access)
            .unwrap();
        assert_eq!(window.ranges.owner(id), Ok(owner(number)));
        drop(window);

        // It may have been given up again already.
        if let Some(held) = self.hits.hit(id, true) {
            let seen = self.access(&held);
            assert_eq!(seen, number + WRITABLE, "the slot is another's");
            self.put(held);
        }
        self.changed.notify_all();
    }

    /// Gives one mapping up: to whoever waits, who maps over it, or to the free list.
    fn reclaim(&self) {
        let mut window = self.window.lock().unwrap();
        let unmapping = loop {
            match window.ranges.close_victim() {
                Some((unmapping, _)) => break unmapping,
                None => window = self.changed.wait(window).unwrap(),
            }
        };
        match window.waiting.pop_front() {
            Some(number) => {
                let mapping = window.ranges.hand_over(unmapping, owner(number)).unwrap();
                window.handed.insert(number, mapping);
            }
            None => {
                drop(window);
                self.remove(&unmapping);
                window = self.window.lock().unwrap();
                match window.waiting.pop_front() {
                    Some(number) => {
                        let mapping = window.ranges.hand_over(unmapping, owner(number)).unwrap();
                        window.handed.insert(number, mapping);
                    }
                    None => assert_eq!(window.ranges.unmapped(unmapping), Ok(Fate::Free)),
                }
            }
        }
        drop(window);
        self.changed.notify_all();
    }
}

/// Runs `model` under every schedule with up to `preemptions` forced switches.
pub(super) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn two_misses_and_reclaim_never_share_a_slot() {
    explore(3, || {
        let (world, _) = World::new(Mode::ReadWrite);
        let misses: Vec<_> = [2, 3]
            .into_iter()
            .map(|number| {
                let world = world.clone();
                thread::spawn(move || world.miss(number))
            })
            .collect();
        // The slot goes from owner 1 to one of the two, then to the other.
        world.reclaim();
        world.reclaim();
        for miss in misses {
            miss.join().unwrap();
        }
        let window = world.window.lock().unwrap();
        assert_eq!(window.ranges.counts().mapped, 1);
        window.ranges.check().unwrap();
    });
}

#[test]
fn two_reclaimers_never_remove_twice() {
    explore(4, || {
        let (world, id) = World::new(Mode::ReadWrite);
        let reclaim = |world: Arc<World>| {
            let closed = world.window.lock().unwrap().ranges.close_victim();
            let Some((unmapping, _)) = closed else { return };
            world.remove(&unmapping);
            let mut window = world.window.lock().unwrap();
            assert_eq!(window.ranges.unmapped(unmapping), Ok(Fate::Free));
        };
        let other = world.clone();
        let other = thread::spawn(move || reclaim(other));
        reclaim(world.clone());
        other.join().unwrap();
        let mut window = world.window.lock().unwrap();
        assert_eq!(window.ranges.get(id, false), Err(Refused::Gone));
        assert_eq!(window.ranges.counts().free, 1);
        window.ranges.check().unwrap();
    });
}

#[test]
fn hits_and_closing_exclude_each_other() {
    explore(3, || {
        let (world, id) = World::new(Mode::ReadWrite);
        let hitters: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    if let Some(held) = world.hits.hit(id, true) {
                        let seen = world.access(&held);
                        assert_eq!(seen, 1 + WRITABLE, "unmapped under a user");
                        world.hits.put(held);
                    }
                })
            })
            .collect();
        // Closed, given to somebody else, who uses it without a lock, too.
        let closed = world.window.lock().unwrap().ranges.begin_unmap(id);
        if let Ok(unmapping) = closed {
            world.remove(&unmapping);
            let mapping = {
                let mut window = world.window.lock().unwrap();
                window.ranges.hand_over(unmapping, owner(2)).unwrap()
            };
            world.setup(&mapping, 2);
            let mut window = world.window.lock().unwrap();
            let new = window
                .ranges
                .mapped(mapping, Mode::ReadWrite, By::Access)
                .unwrap();
            drop(window);
            let held = world.hits.hit(new, true).expect("an open mapping");
            assert_eq!(world.access(&held), 2 + WRITABLE);
            assert!(world.hits.put(held), "nobody else uses the new one");
            assert_eq!(world.hits.hit(id, false), None);
        }
        for hitter in hitters {
            hitter.join().unwrap();
        }
        world.window.lock().unwrap().ranges.check().unwrap();
    });
}

#[test]
fn closing_that_fails_opens_again() {
    explore(4, || {
        let (world, id) = World::new(Mode::ReadWrite);
        let hitter = world.clone();
        let hitter = thread::spawn(move || {
            let held = hitter.hits.hit(id, false);
            held.map(|held| hitter.hits.put(held))
        });
        let closed = world.window.lock().unwrap().ranges.begin_unmap(id);
        if let Ok(unmapping) = closed {
            let mut window = world.window.lock().unwrap();
            window.ranges.unmap_cancelled(unmapping).unwrap();
        }
        let held = world.hits.hit(id, true).expect("it is open again");
        hitter.join().unwrap();
        assert!(world.hits.put(held), "everybody else has left");
        world.window.lock().unwrap().ranges.check().unwrap();
    });
}

/// Who waits says so first and looks then; who ends the last use looks for waiters after that. One of them sees the other.
#[test]
fn the_last_user_or_the_waiter_sees_the_other() {
    explore(4, || {
        let (world, id) = World::new(Mode::ReadWrite);
        let waiting = Arc::new(AtomicU64::new(0));
        let held = world.hits.hit(id, true).unwrap();
        let user = {
            let (world, waiting) = (world.clone(), waiting.clone());
            thread::spawn(move || world.hits.put(held) && waiting.load(Acquire) > 0)
        };
        fence(SeqCst);
        waiting.fetch_add(1, AcqRel);
        fence(SeqCst);
        let closed = world.window.lock().unwrap().ranges.begin_unmap(id).is_ok();
        let woken = user.join().unwrap();
        assert!(closed || woken, "a waiter that is never woken");
    });
}

#[test]
fn users_keep_the_mapping_and_its_mode() {
    explore(3, || {
        let (world, id) = World::new(Mode::ReadOnly);
        let reader = world.clone();
        let reader = thread::spawn(move || {
            if let Some(held) = reader.hits.hit(id, false) {
                let seen = reader.access(&held) % WRITABLE;
                assert_eq!(seen, 1, "unmapped under a reader");
                reader.hits.put(held);
            }
        });
        let writer = world.clone();
        let writer = thread::spawn(move || {
            if writer.hits.hit(id, true).is_some() {
                panic!("a write through a read-only mapping");
            }
            let mut window = writer.window.lock().unwrap();
            match window.ranges.get(id, true).unwrap_err() {
                Refused::NeedsUpgrade => (),
                refused => return assert!(matches!(refused, Refused::Busy | Refused::Gone)),
            }
            let upgrading = window.ranges.begin_upgrade(id).unwrap();
            drop(window);

            let before = writer.host(upgrading.offset()).swap(1 + WRITABLE, Relaxed);
            assert_eq!(before, 1, "unmapped during an upgrade");

            writer
                .window
                .lock()
                .unwrap()
                .ranges
                .upgraded(upgrading)
                .unwrap();
            if let Some(held) = writer.hits.hit(id, true) {
                let seen = writer.access(&held);
                assert_eq!(seen, 1 + WRITABLE, "a write without permission");
                writer.hits.put(held);
            }
        });
        let begun = world.window.lock().unwrap().ranges.begin_unmap(id);
        if let Ok(unmapping) = begun {
            world.remove(&unmapping);
            world
                .window
                .lock()
                .unwrap()
                .ranges
                .unmapped(unmapping)
                .unwrap();
        }
        reader.join().unwrap();
        writer.join().unwrap();
        world.window.lock().unwrap().ranges.check().unwrap();
    });
}
