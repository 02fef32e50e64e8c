// SPDX-License-Identifier: GPL-2.0

//! The policy for a full window, `fs/fuse/dax/policy.rs`, on traces: what it costs in round trips per access, and its hit
//! rate next to FIFO, LRU and the optimum. `cargo test --test policy -- --nocapture` prints the table.

use rust_fuse_host_tests::dax::{
    policy::{counters_for, Heat},
    ranges::{By, FileId, Mode, Owner, RangeId},
};
use std::collections::{HashMap, VecDeque};
use words::Table;

#[path = "common/words.rs"]
mod words;

/// Accesses in a part of 2 MiB that a sequential pass of 4 KiB makes.
const PER_PART: u64 = 512;

/// A reproducible source of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    /// A part by Zipf's law with exponent 1: the k-th is chosen with a weight of 1/k.
    fn zipf(&mut self, weights: &[f64]) -> u64 {
        let total = weights[weights.len() - 1];
        let x = self.next(1 << 30) as f64 / (1u64 << 30) as f64 * total;
        weights.partition_point(|w| *w < x) as u64
    }
}

/// What a trace cost.
struct Outcome {
    hits: f64,
    round_trips: f64,
}

/// A part of a file of the only super block.
fn part_of(inode: u64, index: u64) -> Owner {
    let file = FileId { sb: 1, inode };
    Owner { file, index }
}

/// Runs a trace through the table of ranges and the policy, as the driver does.
fn ours(trace: &[u64], window: usize) -> Outcome {
    let mut ranges = Table::new(window);
    let mut heat = Heat::new(vec![0u8; counters_for(window)], window).unwrap();
    let mut map: HashMap<u64, RangeId> = HashMap::new();
    let (mut hits, mut trips) = (0u64, 0u64);
    let place = |ranges: &mut Table, map: &mut HashMap<u64, RangeId>, part| {
        let owner = part_of(1, part);
        let Some(reserved) = ranges.reserve(owner) else {
            return false;
        };
        map.insert(
            part,
            ranges
                .mapped(reserved, Mode::ReadWrite, By::Access)
                .unwrap(),
        );
        true
    };
    for &part in trace {
        if let Some(id) = map.get(&part) {
            let using = ranges.get(*id, false).unwrap();
            ranges.put(using);
            hits += 1;
        } else if place(&mut ranges, &mut map, part) {
            trips += 1;
        } else if heat.miss(part_of(1, part)) {
            let (id, owner) = ranges.pick_victim().unwrap();
            let token = ranges.begin_unmap(id).unwrap();
            ranges.unmapped(token).unwrap();
            map.remove(&owner.index);
            assert!(place(&mut ranges, &mut map, part));
            heat.mapped(part_of(1, part));
            trips += 2;
        } else {
            trips += 1;
        }
        debug_assert!(ranges.check().is_ok());
    }
    let n = trace.len() as f64;
    Outcome {
        hits: hits as f64 / n,
        round_trips: trips as f64 / n,
    }
}

/// The hit rate when every miss takes the place of the one that `victim` picks from the queue.
fn queue(trace: &[u64], window: usize, touch: bool) -> f64 {
    let mut queue: VecDeque<u64> = VecDeque::new();
    let mut hits = 0;
    for part in trace {
        if let Some(at) = queue.iter().position(|p| p == part) {
            hits += 1;
            if touch {
                queue.remove(at);
                queue.push_back(*part);
            }
        } else {
            if queue.len() == window {
                queue.pop_front();
            }
            queue.push_back(*part);
        }
    }
    hits as f64 / trace.len() as f64
}

/// The hit rate of one who knows the future and may leave a part outside.
fn optimum(trace: &[u64], window: usize) -> f64 {
    let mut next = vec![usize::MAX; trace.len()];
    let mut last: HashMap<u64, usize> = HashMap::new();
    for (i, part) in trace.iter().enumerate().rev() {
        next[i] = last.insert(*part, i).unwrap_or(usize::MAX);
    }
    let mut inside: HashMap<u64, usize> = HashMap::new();
    let mut hits = 0;
    for (i, part) in trace.iter().enumerate() {
        if inside.contains_key(part) {
            hits += 1;
            inside.insert(*part, next[i]);
        } else if inside.len() < window {
            inside.insert(*part, next[i]);
        } else {
            let (far, when) = inside
                .iter()
                .max_by_key(|(_, when)| **when)
                .map(|(p, w)| (*p, *w))
                .unwrap();
            if when > next[i] {
                inside.remove(&far);
                inside.insert(*part, next[i]);
            }
        }
    }
    hits as f64 / trace.len() as f64
}

const WINDOW: usize = 16;
/// Parts of a set 16 times the window.
const SET: u64 = 256;

fn sequential() -> Vec<u64> {
    (0..2 * SET * PER_PART)
        .map(|i| i / PER_PART % SET)
        .collect()
}

fn uniform(set: u64) -> Vec<u64> {
    let mut r = Random(0x5eed);
    (0..60_000).map(|_| r.next(set)).collect()
}

fn zipf() -> Vec<u64> {
    let mut total = 0.0;
    let weights: Vec<f64> = (1..=SET)
        .map(|k| {
            total += 1.0 / k as f64;
            total
        })
        .collect();
    let mut r = Random(0x21bf);
    (0..60_000).map(|_| r.zipf(&weights)).collect()
}

/// A hot set that fits beside a scan that does not.
fn scan_and_hot() -> Vec<u64> {
    let mut r = Random(0xca11);
    (0..60_000u64)
        .map(|i| {
            if i % 4 == 0 {
                1000 + i / 4 % SET
            } else {
                r.next(WINDOW as u64 * 3 / 4)
            }
        })
        .collect()
}

/// One part more than the window has ranges, again and again: what LRU and FIFO cannot do at all.
fn tight_loop() -> Vec<u64> {
    (0..60_000).map(|i| i % (WINDOW as u64 + 1)).collect()
}

fn report(name: &str, trace: &[u64]) -> Outcome {
    let outcome = ours(trace, WINDOW);
    println!(
        "{name:14} hits {:.3} (fifo {:.3}, lru {:.3}, optimum {:.3}), round trips per access {:.3}",
        outcome.hits,
        queue(trace, WINDOW, false),
        queue(trace, WINDOW, true),
        optimum(trace, WINDOW),
        outcome.round_trips,
    );
    outcome
}

#[test]
fn sequential_passes_are_mapped() {
    let outcome = report("sequential", &sequential());
    assert!(outcome.hits > 0.98);
    assert!(outcome.round_trips < 0.02);
}

#[test]
fn uniform_random_is_no_worse_than_without_dax() {
    for set in [SET, SET / 2] {
        let outcome = report("uniform", &uniform(set));
        assert!(outcome.round_trips <= 1.0);
    }
}

#[test]
fn hot_parts_stay() {
    let trace = zipf();
    let outcome = report("zipf", &trace);
    assert!(outcome.hits > queue(&trace, WINDOW, true));
    let trace = scan_and_hot();
    let outcome = report("scan + hot set", &trace);
    assert!(outcome.hits > 0.7);
    assert!(outcome.hits > queue(&trace, WINDOW, true));
}

#[test]
fn a_loop_just_too_large_mostly_hits() {
    let trace = tight_loop();
    let outcome = report("loop", &trace);
    assert!(outcome.hits > 0.5);
    assert!(outcome.round_trips < 0.8);
}

#[test]
fn a_window_of_one_range_works() {
    for trace in [sequential(), uniform(4), tight_loop()] {
        let outcome = ours(&trace, 1);
        assert!(outcome.round_trips <= 1.01);
    }
}
