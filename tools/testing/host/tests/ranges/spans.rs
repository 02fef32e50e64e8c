// SPDX-License-Identifier: GPL-2.0

//! Which pages of a slot faults have touched: what is in page tables is never missed, under every schedule that loom finds.

use super::{
    concurrent::explore,
    loom_words::{Shared, Word},
    map, owner, table,
    words::Shared as Words,
};
use loom::{
    sync::{atomic::AtomicU64, Arc, Mutex, RwLock},
    thread,
};
use rust_fuse_host_tests::dax::ranges::*;

#[test]
fn a_span_grows_until_it_is_forgotten() {
    let mut ranges = table(2);
    let spans = Spans::new(Words::of(2));
    let (a, b) = (
        map(&mut ranges, owner(1), Mode::ReadOnly),
        map(&mut ranges, owner(2), Mode::ReadOnly),
    );
    let token = ranges.begin_unmap(a).unwrap();
    assert_eq!(spans.touched(&token), None);
    for (first, end, all) in [
        (7, 8, (7, 8)),
        (7, 8, (7, 8)),
        (500, 501, (7, 501)),
        (0, 1, (0, 501)),
        (0, 512, (0, 512)),
    ] {
        spans.touch(a, first, end);
        assert_eq!(spans.touched(&token), Some(all));
    }
    let other = ranges.begin_unmap(b).unwrap();
    assert_eq!(spans.touched(&other), None);
    spans.forget(a);
    assert_eq!(spans.touched(&token), None);
    spans.touch(a, 0, 1);
    assert_eq!(spans.touched(&token), Some((0, 1)));
}

fn words() -> Shared {
    Shared([Word(AtomicU64::new(0))].into())
}

/// One slot, the file that it is mapped for, and what is in page tables.
struct World {
    ranges: Mutex<Ranges<Vec<Slot>, Shared>>,
    hits: Hits<Shared>,
    spans: Spans<Shared>,
    /// What the map of the file says.
    map: Mutex<RangeId>,
    /// The invalidate lock, and what it keeps: the generation that is in page tables.
    tables: RwLock<Mutex<Option<RangeId>>>,
}

impl World {
    /// A fault that finds whatever the map says, without having it pinned.
    fn fault(&self) {
        let tables = self.tables.read().unwrap();
        let id = *self.map.lock().unwrap();
        self.spans.touch(id, 3, 4);
        if self.hits.shows(id, false) {
            *tables.lock().unwrap() = Some(id);
        }
    }

    /// Takes the slot for another part, which has its page tables in the same place.
    fn take(&self) {
        let old = *self.map.lock().unwrap();
        let Ok(token) = self.ranges.lock().unwrap().begin_unmap(old) else {
            return;
        };
        if self.spans.touched(&token).is_some() {
            *self.tables.write().unwrap().lock().unwrap() = None;
        }
        let mapping = self
            .ranges
            .lock()
            .unwrap()
            .hand_over(token, owner(2))
            .unwrap();
        self.spans.forget(mapping.id());
        *self.map.lock().unwrap() = mapping.id();
        self.ranges
            .lock()
            .unwrap()
            .mapped(mapping, Mode::ReadOnly, By::Access)
            .unwrap();
    }
}

#[test]
fn what_is_in_page_tables_is_never_missed() {
    explore(3, || {
        let words = (words(), words());
        let mut ranges = Ranges::new(vec![Slot::new()], words.0.clone());
        let mapping = ranges.reserve(owner(1)).unwrap();
        let id = ranges.mapped(mapping, Mode::ReadOnly, By::Access).unwrap();
        let world = Arc::new(World {
            ranges: Mutex::new(ranges),
            hits: Hits::new(words.0),
            spans: Spans::new(words.1),
            map: Mutex::new(id),
            tables: RwLock::new(Mutex::new(None)),
        });
        let faults: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.fault())
            })
            .collect();
        world.take();
        for fault in faults {
            fault.join().unwrap();
        }
        let now = *world.map.lock().unwrap();
        let shown = *world.tables.read().unwrap().lock().unwrap();
        assert!(
            shown.is_none_or(|id| id == now),
            "in page tables, and another's"
        );
        let token = world.ranges.lock().unwrap().begin_unmap(now).unwrap();
        assert_eq!(
            shown.is_some() && world.spans.touched(&token).is_none(),
            false,
            "in page tables, and not known to be"
        );
    });
}
