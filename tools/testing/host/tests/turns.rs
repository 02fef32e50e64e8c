// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to take a range, `fs/fuse/dax/turns.rs`: by itself, and with the table of ranges under every schedule that loom
//! finds: whoever waits in line has one awake, or on his way, who will wake him.

#[path = "common/loom_words.rs"]
mod loom_words;

use loom::{
    sync::{
        atomic::{
            fence, AtomicU64,
            Ordering::{AcqRel, Acquire, Release, SeqCst},
        },
        Arc, Condvar, Mutex,
    },
    thread,
};
use loom_words::{Shared, Word};
use rust_fuse_host_tests::dax::{
    ranges::*,
    turns::{Turns, NOBODY, OVERTAKES},
};
use std::{cell::Cell, collections::BTreeSet};

/// A word for one thread.
#[derive(Default)]
struct Alone(Cell<u64>);

impl Atom for Alone {
    fn load(&self) -> u64 {
        self.0.get()
    }

    fn store(&self, value: u64) {
        self.0.set(value);
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        let now = self.0.get();
        if now == old {
            self.0.set(new);
            Ok(old)
        } else {
            Err(now)
        }
    }

    fn fetch_sub(&self, n: u64) -> u64 {
        self.0.replace(self.0.get().wrapping_sub(n))
    }
}

#[test]
fn nobody_in_line_keeps_nobody_out() {
    let turns = Turns::new(Alone::default());
    assert!(turns.is_turn(None) && turns.is_turn(Some(3)));
    for _ in 0..2 * OVERTAKES {
        assert!(turns.overtake());
    }
    assert_eq!(turns.wake(), None);
    assert!(turns.overtake());
    assert_eq!(turns.first(), NOBODY);
}

#[test]
fn each_first_one_is_overtaken_a_few_times() {
    let turns = Turns::new(Alone::default());
    for first in [0, 7, 1 << 40] {
        turns.set_first(first);
        assert!(turns.is_turn(Some(first)));
        assert!(!turns.is_turn(None) && !turns.is_turn(Some(first + 1)));
        for _ in 0..OVERTAKES {
            assert!(turns.can_wait(true), "he may still be overtaken");
            assert!(!turns.can_wait(false), "nobody would wake him");
            assert!(turns.overtake());
            // Others line up behind him.
            turns.set_first(first);
        }
        assert!(!turns.overtake() && !turns.can_wait(true));
        assert_eq!(turns.wake(), Some(first));
    }
    turns.set_first(NOBODY);
    assert!(turns.is_turn(None));
}

#[test]
fn who_is_woken_is_not_overtaken() {
    let turns = Turns::new(Alone::default());
    turns.set_first(5);
    assert!(turns.overtake());
    assert_eq!(turns.wake(), Some(5));
    assert!(!turns.overtake() && !turns.can_wait(true));
    assert!(turns.is_turn(Some(5)));
    turns.set_first(6);
    assert!(turns.overtake());
}

/// As `Dax`: the table behind a lock, hits without one, and a line.
struct World {
    table: Mutex<Ranges<Vec<Slot>, Shared>>,
    hits: Hits<Shared>,
    turns: Turns<Word>,
    /// Places, and the next number.
    line: Mutex<(BTreeSet<u64>, u64)>,
    waiting: AtomicU64,
    /// Chances so far; stands in for the wait queue as well.
    chances: Mutex<u64>,
    changed: Condvar,
    /// Who got a range, in this order.
    taken: Mutex<Vec<u64>>,
}

impl World {
    fn new(slots: usize) -> Arc<Self> {
        let words: Vec<_> = (0..slots).map(|_| Word(AtomicU64::new(0))).collect();
        let words = Shared(words.into());
        Arc::new(Self {
            table: Mutex::new(Ranges::new(vec![Slot::new(); slots], words.clone())),
            hits: Hits::new(words),
            turns: Turns::new(Word(AtomicU64::new(0))),
            line: Mutex::new((BTreeSet::new(), 0)),
            waiting: AtomicU64::new(0),
            chances: Mutex::new(0),
            changed: Condvar::new(),
            taken: Mutex::new(Vec::new()),
        })
    }

    fn wake_first(&self) {
        *self.chances.lock().unwrap() += 1;
        if self.turns.wake().is_some() {
            self.changed.notify_all();
        }
    }

    /// As `Dax::use_ended`.
    fn use_ended(&self) {
        if self.waiting.load(Acquire) > 0 {
            let on_their_way = self.table.lock().unwrap().counts().mapping > 0;
            if !self.turns.can_wait(on_their_way) {
                self.wake_first();
            }
        }
    }

    /// As `Dax::take_ranges`.
    fn take(&self, number: u64, place: Option<u64>) -> Option<Mapping> {
        if !self.turns.is_turn(place) && !(place.is_none() && self.turns.overtake()) {
            return None;
        }
        let owner = Owner {
            file: FileId { sb: 1, inode: 1 },
            index: number,
        };
        let mut table = self.table.lock().unwrap();
        match table.find(owner, Take::Over { behind: None })? {
            Found::Ready(mapping) => Some(mapping),
            Found::Closed(token, _) | Found::Victim(token, _) => table.hand_over(token, owner).ok(),
        }
    }

    fn line_up(&self) -> u64 {
        fence(SeqCst);
        self.waiting.fetch_add(1, AcqRel);
        fence(SeqCst);
        let mut line = self.line.lock().unwrap();
        line.1 += 1;
        let number = line.1;
        line.0.insert(number);
        self.turns
            .set_first(line.0.first().copied().unwrap_or(NOBODY));
        number
    }

    fn leave(&self, number: u64) {
        let mut line = self.line.lock().unwrap();
        line.0.remove(&number);
        self.turns
            .set_first(line.0.first().copied().unwrap_or(NOBODY));
        drop(line);
        let counts = self.table.lock().unwrap().counts();
        if counts.free + counts.mapped > 0 {
            self.wake_first();
        }
        self.waiting.fetch_sub(1, Release);
    }

    /// Maps a range for `number` and uses it; if `killed`, it is gone before the answer comes.
    fn fault(&self, number: u64, killed: bool) {
        let mut place = None;
        let mapping = loop {
            let seen = *self.chances.lock().unwrap();
            if let Some(mapping) = self.take(number, place) {
                break mapping;
            }
            if place.is_none() {
                place = Some(self.line_up());
                continue;
            }
            let mut chances = self.chances.lock().unwrap();
            while *chances == seen || !self.turns.is_turn(place) {
                chances = self.changed.wait(chances).unwrap();
            }
        };
        if let Some(place) = place {
            self.leave(place);
        }
        self.taken.lock().unwrap().push(number);
        let id = {
            let mut table = self.table.lock().unwrap();
            table.mapped(mapping, Mode::ReadOnly, By::Access).unwrap()
        };
        if killed {
            self.wake_first();
            return;
        }
        // It may be somebody else's again already, who ends a use then.
        if let Some(held) = self.hits.hit(id, false) {
            if self.hits.put(held) {
                self.use_ended();
            }
        }
    }
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// As many as there are ranges, and one more; one of them wants another range later. A wait that nobody ends is a deadlock.
fn all_get_one(slots: usize, killed: bool) {
    explore(2, move || {
        let world = World::new(slots);
        let busy: Vec<_> = (0..slots as u64)
            .map(|who| {
                let world = world.clone();
                thread::spawn(move || {
                    world.fault(who, false);
                    if who == 0 {
                        world.fault(10, killed);
                    }
                })
            })
            .collect();
        world.fault(20, false);
        for thread in busy {
            thread.join().unwrap();
        }
        assert_eq!(world.taken.lock().unwrap().len(), slots + 2);
        assert_eq!(world.turns.first(), NOBODY);
        let table = world.table.lock().unwrap();
        table.check().unwrap();
        assert_eq!(table.counts().mapping, 0);
    });
}

#[test]
fn who_is_in_line_is_woken() {
    all_get_one(1, false);
    all_get_one(2, false);
}

#[test]
fn who_is_in_line_is_woken_when_another_was_killed() {
    all_get_one(1, true);
    all_get_one(2, true);
}
