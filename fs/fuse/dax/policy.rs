// SPDX-License-Identifier: GPL-2.0

//! When the window is full: is a part of a file worth a range, at the cost of another part?
//!
//! Mapping costs two round trips (REMOVEMAPPING, SETUPMAPPING) and page tables; a READ or WRITE costs one. So a part
//! earns a range by being asked for repeatedly: [`Heat`] counts the misses of each part, roughly, in a table that never
//! grows and forgets with time. Parts that are asked for less often go by READ and WRITE, which reach the same data, the
//! host's page cache. Uniform random access to a set much larger than the window never gets warm, and costs what it would
//! without a window. A sequential pass asks for each part many times in a row and is mapped at once.
//!
//! Pure: no locks, no allocation; callers keep it behind a short lock.

use super::ranges::{
    Owner,
    RANGE_SIZE, //
};
use core::borrow::BorrowMut;

/// Misses of a part, not long ago, from which on it is worth a range.
pub const HOT: u8 = 4;

/// Counters for each range of the window. More of them keep the parts apart; the table stays small.
pub const COUNTERS_PER_RANGE: usize = 8;

/// Misses for each range of the window after which the past counts half.
const HALF_LIFE: usize = 8;

/// A pass in the middle of a part is worth a range of something else if it still wants so many bytes of the part, and has
/// come so far since it took one last: less is a few READs.
const PASS_LEAST: u64 = 64 << 10;

/// Whether a sequential pass that is at `pos`, in a part without a range of a file of `size` bytes, is worth one; it took one
/// at `last` (0: never). Where more passes run than there are ranges, they take them from each other, but not all the time.
pub fn is_worth_a_pass(pos: u64, size: u64, last: u64) -> bool {
    wants_much(pos, size) && (last == 0 || pos.abs_diff(last) >= PASS_LEAST) && pos > 0
}

/// Whether it is worth waiting, until somebody is done with a range; the pass did so in vain at `last` (0: never). Then all ranges
/// are in use, and stay so.
pub fn is_worth_waiting(pos: u64, size: u64, last: u64) -> bool {
    wants_much(pos, size) && (last == 0 || pos.abs_diff(last) >= RANGE_SIZE)
}

/// How long, in milliseconds, the first pass waits for a range that nobody needs. Most are over sooner: as many ranges as there are
/// CPUs at work are read or written as fast as memory allows, in a guest that is emulated in some 200 ms.
pub const PATIENCE_MS: u64 = 500;

/// The least and the most that it becomes.
const PATIENCE_LEAST_MS: u64 = 20;
const PATIENCE_MOST_MS: u64 = 1000;

/// How long the next pass waits, after one had `patience` and got a range after `waited` milliseconds, or did not: several times
/// as long as it takes those who have the ranges to be through, and less and less where they never are.
pub fn next_patience(patience: u64, waited: u64, got: bool) -> u64 {
    let next = if got {
        patience.max(waited.saturating_mul(4))
    } else {
        patience / 2
    };
    next.clamp(PATIENCE_LEAST_MS, PATIENCE_MOST_MS)
}

fn wants_much(pos: u64, size: u64) -> bool {
    let rest = RANGE_SIZE - (pos & (RANGE_SIZE - 1));
    size.saturating_sub(pos).min(rest) >= PASS_LEAST
}

/// How often parts of files were missed, not long ago.
///
/// # Invariants
///
/// The storage has a power of two of counters, at least one.
pub struct Heat<S> {
    counters: S,
    /// Misses since the past was halved last.
    noted: usize,
    /// Misses until it is halved.
    half_life: usize,
}

/// The number of counters for a window of `ranges` ranges.
pub fn counters_for(ranges: usize) -> usize {
    ranges
        .saturating_mul(COUNTERS_PER_RANGE)
        .clamp(64, 1 << 16)
        .next_power_of_two()
}

/// Spreads a part over the counters.
fn hash(part: Owner) -> u64 {
    let file = part.file.inode.rotate_left(32) ^ part.file.sb.rotate_right(16);
    // The finaliser of a well-known 64-bit hash; neighbours end far apart.
    let mut x = file ^ part.index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

impl<S: BorrowMut<[u8]>> Heat<S> {
    /// Makes a table of `counters` for a window of `ranges` ranges; `None` unless their number is a power of two.
    pub fn new(counters: S, ranges: usize) -> Option<Self> {
        let borrowed: &[u8] = counters.borrow();
        // INVARIANT: Checked here.
        borrowed.len().is_power_of_two().then_some(Self {
            counters,
            noted: 0,
            half_life: ranges.max(1).saturating_mul(HALF_LIFE),
        })
    }

    /// Notes that a part was wanted and had no range; says whether it is worth one now.
    pub fn miss(&mut self, part: Owner) -> bool {
        self.noted += 1;
        let aged = self.noted >= self.half_life;
        let counters = self.counters.borrow_mut();
        if aged {
            self.noted = 0;
            for counter in counters.iter_mut() {
                *counter >>= 1;
            }
        }
        let hash = hash(part);
        let mask = (counters.len() as u64).wrapping_sub(1);
        // Two counters for each part: where one is shared with a hot part, the other tells.
        let slots = [(hash & mask) as usize, ((hash >> 32) & mask) as usize];
        let mut least = u8::MAX;
        for slot in slots {
            if let Some(counter) = counters.get(slot) {
                least = least.min(*counter);
            }
        }
        // Only the lower one grows, so that what is shared is not counted twice.
        let next = least.saturating_add(1);
        for slot in slots {
            if let Some(counter) = counters.get_mut(slot) {
                *counter = (*counter).max(next);
            }
        }
        next >= HOT
    }

    /// Notes that a part got a range: it has to earn the next one anew.
    pub fn mapped(&mut self, part: Owner) {
        let hash = hash(part);
        let counters = self.counters.borrow_mut();
        let mask = (counters.len() as u64).wrapping_sub(1);
        for slot in [(hash & mask) as usize, ((hash >> 32) & mask) as usize] {
            if let Some(counter) = counters.get_mut(slot) {
                *counter = 0;
            }
        }
    }
}
