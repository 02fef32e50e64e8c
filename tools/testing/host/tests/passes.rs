// SPDX-License-Identifier: GPL-2.0

//! Sequential passes through a window that has fewer ranges than there are passes, or no room for all they read: what the
//! policy, `fs/fuse/dax/policy.rs`, makes them cost in round trips. `cargo test --test passes -- --nocapture` prints it.

use rust_fuse_host_tests::dax::{
    policy::{counters_for, is_worth_a_pass, is_worth_waiting, next_patience, Heat, PATIENCE_MS},
    ranges::{By, FileId, Found, Mode, Owner, RangeId, Take, RANGE_SHIFT, RANGE_SIZE},
};
use std::collections::{HashMap, VecDeque};
use words::Table;

#[path = "common/words.rs"]
mod words;

/// A part of a file of the only super block.
fn part_of(inode: u64, index: u64) -> Owner {
    let file = FileId { sb: 1, inode };
    Owner { file, index }
}

/// What a pass remembers.
#[derive(Clone, Default)]
struct Pass {
    pos: u64,
    retaken: u64,
    waited: u64,
    /// Since when it has been waiting.
    since: Option<f64>,
}

/// Files that are read from one end to the other at the same time, 4 KiB by 4 KiB, each by a pass that runs for `slice`
/// accesses before the next one does, or until it has to wait. As the driver does it: what is behind a pass is mapped over with
/// what comes next.
struct Passes {
    ranges: Table,
    heat: Heat<Vec<u8>>,
    map: HashMap<(u64, u64), RangeId>,
    /// Who waits.
    line: VecDeque<u64>,
    trips: u64,
    /// Milliseconds.
    now: f64,
    patience: u64,
}

impl Passes {
    fn new(window: usize) -> Self {
        Self {
            ranges: Table::new(window),
            heat: Heat::new(vec![0u8; counters_for(window)], window).unwrap(),
            map: HashMap::new(),
            line: VecDeque::new(),
            trips: 0,
            now: 0.0,
            patience: PATIENCE_MS,
        }
    }

    fn place(&mut self, owner: Owner, take: Take, by: By) -> bool {
        if self
            .line
            .front()
            .is_some_and(|first| *first != owner.file.inode)
        {
            return false;
        }
        let mapping = match self.ranges.find(owner, take) {
            Some(Found::Ready(mapping)) => mapping,
            Some(Found::Closed(token, was) | Found::Victim(token, was)) => {
                self.map.remove(&(was.file.inode, was.index));
                self.ranges.hand_over(token, owner).unwrap()
            }
            None => return false,
        };
        let id = self.ranges.mapped(mapping, Mode::ReadOnly, by).unwrap();
        self.map.insert((owner.file.inode, owner.index), id);
        true
    }

    /// Maps ahead over what the pass has behind it.
    fn pass_into(&mut self, inode: u64, index: u64, end: u64) {
        const RUN: u64 = 8;
        if self.ranges.counts().free > 0 || !self.line.is_empty() {
            return;
        }
        let in_row = |from: u64, step: i64| {
            (0..RUN)
                .take_while(|n| {
                    let at = from.wrapping_add_signed(step * *n as i64);
                    at < end && self.map.contains_key(&(inode, at))
                })
                .count() as u64
        };
        let ahead = in_row(index + 1, 1);
        let first = index + 1 + ahead;
        if ahead == RUN || first >= end || in_row(index.wrapping_sub(1), -1) <= ahead {
            return;
        }
        let behind: Vec<_> = (1..=RUN.min(index))
            .map(|back| self.map.get(&(inode, index - back)).copied())
            .collect();
        let mut run = [const { None }; RUN as usize];
        let most = RUN.min(end - first) as usize;
        let least = (ahead.max(1) as usize).min(most);
        let count = self.ranges.close_passed(&behind, least, &mut run[..most]) as u64;
        self.trips += u64::from(count > 0);
        for back in 1..=count {
            self.map.remove(&(inode, index - back));
        }
        let tokens = run.into_iter().flatten().rev();
        for (token, index) in tokens.zip(first..) {
            let mapping = self.ranges.hand_over(token, part_of(inode, index)).unwrap();
            let id = self.ranges.mapped(mapping, Mode::ReadOnly, By::Ahead);
            self.map.insert((inode, index), id.unwrap());
        }
    }

    /// False when it waits.
    fn access(&mut self, inode: u64, size: u64, pass: &mut Pass) -> bool {
        let pos = pass.pos;
        let index = pos >> RANGE_SHIFT;
        let owner = part_of(inode, index);
        let at_start = pos & (RANGE_SIZE - 1) == 0;
        let behind = index
            .checked_sub(1)
            .and_then(|index| self.map.get(&(inode, index)).copied());
        if let Some(id) = self.map.get(&(inode, index)) {
            let held = self.ranges.get(*id, false).unwrap();
            self.ranges.put(held);
        } else {
            let idle = Take::Idle { behind };
            let may_wait = is_worth_waiting(pos, size, pass.waited);
            let comes_in = at_start && behind.is_some();
            let has = self.place(owner, Take::Free, By::Pass)
                || (may_wait || comes_in) && self.place(owner, idle, By::Pass);
            if !has {
                if may_wait {
                    let since = *pass.since.get_or_insert_with(|| {
                        self.line.push_back(inode);
                        self.now
                    });
                    let waited = (self.now - since) as u64;
                    if waited < self.patience {
                        if let Some(behind) = behind.filter(|_| at_start) {
                            self.ranges.hits.passed(behind);
                        }
                        return false;
                    }
                    self.patience = next_patience(self.patience, waited, false);
                    pass.waited = pos;
                    pass.since = None;
                }
                self.line.retain(|other| *other != inode);
                let goes_on =
                    !comes_in && self.line.is_empty() && is_worth_a_pass(pos, size, pass.retaken);
                if goes_on {
                    pass.retaken = pos;
                }
                if comes_in || goes_on {
                    self.place(owner, Take::Over { behind }, By::Pass);
                } else if self.heat.miss(owner) {
                    let take = Take::Over { behind: None };
                    self.place(owner, take, By::Access);
                    self.heat.mapped(owner);
                }
            }
            self.trips += 1;
        }
        self.line.retain(|other| *other != inode);
        if let Some(since) = pass.since.take() {
            self.patience = next_patience(self.patience, (self.now - since) as u64, true);
        }
        pass.pos += 4096;
        if at_start && index > 0 {
            self.pass_into(inode, index, size >> RANGE_SHIFT);
        }
        true
    }

    /// Round trips per 1000 accesses, of which each takes `ms` milliseconds.
    fn run(window: usize, files: u64, parts: u64, slice: u64, ms: f64) -> f64 {
        let mut passes = Self::new(window);
        let mut all = vec![Pass::default(); files as usize];
        let size = parts * RANGE_SIZE;
        while all.iter().any(|pass| pass.pos < size) {
            for (pass, inode) in all.iter_mut().zip(1..) {
                for _ in 0..slice {
                    if pass.pos == size || !passes.access(inode, size, pass) {
                        break;
                    }
                }
            }
            passes.now += slice as f64 * ms;
            passes.ranges.check().unwrap();
        }
        passes.trips as f64 * 1000.0 / (files * size / 4096) as f64
    }
}

#[test]
fn passes_live_on_what_they_have() {
    // Without a window the kernel's read-ahead asks for 1 MiB at a time.
    let without = 3.9;
    // As fast as memory allows, and so slow as in a guest that is emulated by a machine that has more to do.
    for (window, files, slice, ms) in [
        (16, 1, 512, 0.001),
        (2, 1, 512, 0.001),
        (16, 4, 700, 0.001),
        (4, 4, 700, 0.001),
        (2, 4, 700, 0.001),
        (2, 4, 100, 0.001),
        (1, 1, 512, 0.001),
        (2, 4, 1, 0.001),
        (2, 4, 1, 0.1),
        (2, 4, 1, 0.4),
        (2, 4, 8, 0.4),
        (2, 4, 700, 0.4),
        (4, 16, 1, 0.1),
    ] {
        let most = without
            * if window == 16 && files == 1 {
                0.25
            } else {
                0.6
            };
        for parts in [2, 4, 64] {
            let trips = Passes::run(window, files, parts, slice, ms);
            println!("window of {window}, {files} passes of {parts} parts, {slice} accesses of {ms} ms at a time: {trips:.2} round trips per 1000 accesses");
            // Short passes have little to map ahead.
            let most = if parts < 64 { without } else { most };
            assert!(trips <= most, "{window} {files}: {trips}");
        }
    }
}

/// Passes so slow that waiting for them is in vain do not take ranges from each other all the time.
#[test]
fn more_passes_than_ranges() {
    let trips = Passes::run(2, 4, 16, 1, 10.0);
    println!(
        "4 slow passes in a window of 2, turn by turn: {trips:.1} round trips per 1000 accesses"
    );
    assert!(trips <= 600.0);
}

#[test]
fn patience_is_learned() {
    let vain = (0..9).fold(PATIENCE_MS, |p, _| next_patience(p, p, false));
    assert!(vain <= 20);
    assert_eq!(next_patience(vain, 10, true), 40);
    assert_eq!(next_patience(PATIENCE_MS, 400, true), 1000);
    assert_eq!(next_patience(PATIENCE_MS, 1, true), PATIENCE_MS);
}
