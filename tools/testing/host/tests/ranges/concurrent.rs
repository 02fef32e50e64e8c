// SPDX-License-Identifier: GPL-2.0

//! The table behind a lock, under every schedule that loom finds.
//!
//! Requests to the host run without the lock, as in the kernel. The host is an atomic per slot that
//! holds the number of the owner mapped there; it objects to what a host must never be asked.

use super::{
    owner,
    table, //
};
use loom::{
    sync::{
        atomic::{
            AtomicU64,
            Ordering::SeqCst, //
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
    ranges: Ranges<Vec<Slot>>,
    /// Misses without a slot, in the order in which they came.
    waiting: VecDeque<u64>,
    /// Slots that were handed over, by who waits for them.
    handed: HashMap<u64, Reserved>,
}

struct World {
    window: Mutex<Window>,
    /// Something may have become free.
    changed: Condvar,
    host: Vec<AtomicU64>,
}

impl World {
    /// A window of one slot that maps owner 1.
    fn new(mode: Mode) -> (Arc<Self>, RangeId) {
        let mut ranges = table(1);
        let id = super::map(&mut ranges, owner(1), mode);
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
        let before = self.host(mapping.offset()).swap(number + WRITABLE, SeqCst);
        assert_eq!(before, NOTHING, "a slot mapped twice");
    }

    /// What stands in for REMOVEMAPPING.
    fn remove(&self, unmapping: &Unmapping) {
        let before = self.host(unmapping.offset()).swap(NOTHING, SeqCst);
        assert_ne!(before, NOTHING, "an unmap of what is not mapped");
    }

    /// What a load or store through the mapping sees.
    fn access(&self, held: &Use) -> u64 {
        self.host(held.offset()).load(SeqCst)
    }

    /// Maps a range for `number`, uses it once.
    fn miss(&self, number: u64) {
        let mut window = self.window.lock().unwrap();
        let reserved = match window.ranges.reserve(owner(number)) {
            Some(reserved) => reserved,
            None => {
                window.waiting.push_back(number);
                loop {
                    match window.handed.remove(&number) {
                        Some(reserved) => break reserved,
                        None => window = self.changed.wait(window).unwrap(),
                    }
                }
            }
        };
        let mapping = window.ranges.begin_map(reserved).unwrap();
        drop(window);

        self.setup(&mapping, number);

        let mut window = self.window.lock().unwrap();
        let id = window
            .ranges
            .mapped(mapping, Mode::ReadWrite, false)
            .unwrap();
        assert_eq!(window.ranges.owner(id), Ok(owner(number)));
        let held = window.ranges.get(id, true).unwrap();
        drop(window);

        assert_eq!(
            self.access(&held),
            number + WRITABLE,
            "the slot is another's"
        );

        let mut window = self.window.lock().unwrap();
        window.ranges.put(held).unwrap();
        window.ranges.check().unwrap();
        self.changed.notify_all();
    }

    /// Gives one mapping up: to whoever waits, or to the free list.
    fn reclaim(&self) {
        let mut window = self.window.lock().unwrap();
        let unmapping = loop {
            match window.ranges.pick_victim() {
                Some((id, _)) => break window.ranges.begin_unmap(id).unwrap(),
                None => window = self.changed.wait(window).unwrap(),
            }
        };
        drop(window);

        self.remove(&unmapping);

        let mut window = self.window.lock().unwrap();
        match window.waiting.pop_front() {
            Some(number) => {
                let reserved = window
                    .ranges
                    .hand_over(unmapping, owner(number), false)
                    .unwrap();
                window.handed.insert(number, reserved);
            }
            None => assert_eq!(window.ranges.unmapped(unmapping), Ok(Fate::Free)),
        }
        window.ranges.check().unwrap();
        self.changed.notify_all();
    }
}

/// Runs `model` under every schedule with up to `preemptions` forced switches.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn two_misses_and_reclaim_never_share_a_slot() {
    explore(4, || {
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
            let picked = world.window.lock().unwrap().ranges.pick_victim();
            let Some((id, _)) = picked else { return };
            // Without the lock, as when layouts are broken: the pick is only a hint by now.
            let begun = world.window.lock().unwrap().ranges.begin_unmap(id);
            let Ok(unmapping) = begun else { return };
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
fn users_keep_the_mapping_and_its_mode() {
    explore(4, || {
        let (world, id) = World::new(Mode::ReadOnly);
        let reader = world.clone();
        let reader = thread::spawn(move || {
            let held = reader.window.lock().unwrap().ranges.get(id, false);
            if let Ok(held) = held {
                assert_eq!(
                    reader.access(&held) % WRITABLE,
                    1,
                    "unmapped under a reader"
                );
                reader.window.lock().unwrap().ranges.put(held).unwrap();
            }
        });
        let writer = world.clone();
        let writer = thread::spawn(move || {
            let mut window = writer.window.lock().unwrap();
            match window.ranges.get(id, true).unwrap_err() {
                Refused::NeedsUpgrade => (),
                refused => return assert!(matches!(refused, Refused::Busy | Refused::Gone)),
            }
            let upgrading = window.ranges.begin_upgrade(id).unwrap();
            drop(window);

            let before = writer.host(upgrading.offset()).swap(1 + WRITABLE, SeqCst);
            assert_eq!(before, 1, "unmapped during an upgrade");

            let mut window = writer.window.lock().unwrap();
            window.ranges.upgraded(upgrading).unwrap();
            let held = window.ranges.get(id, true).unwrap();
            drop(window);
            assert_eq!(
                writer.access(&held),
                1 + WRITABLE,
                "a write without permission"
            );
            writer.window.lock().unwrap().ranges.put(held).unwrap();
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
