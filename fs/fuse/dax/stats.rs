// SPDX-License-Identifier: GPL-2.0

//! What happened in the window of a device, over all its mounts, for `/sys/fs/virtiofs/N/dax`.
//!
//! Counters only; no locks.

use super::ranges::Counts;
use crate::vfs::time::Moment;
use core::fmt::{self, Write};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// A counter.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper ends of the classes of waits, in milliseconds; longer ones are in a class of their own.
const WAITS_MS: [u64; 4] = [1, 10, 100, 1000];

/// The counters.
#[derive(Default)]
pub(crate) struct Stats {
    /// Ranges that were mapped: SETUPMAPPING with success.
    pub(crate) maps: Counter,
    /// Ranges that were asked for ahead of a sequential pass.
    pub(crate) ahead: Counter,
    /// Mappings that were made writable.
    pub(crate) upgrades: Counter,
    /// Ranges that were unmapped: REMOVEMAPPING with success.
    pub(crate) unmaps: Counter,
    /// Ranges that were taken from one part of a file for another.
    pub(crate) reclaims: Counter,
    /// Reads and writes that went by READ and WRITE because the window was full.
    pub(crate) fallbacks: Counter,
    /// How many ranges are in which state: of the mount there is, or all zeroes.
    ranges: [Counter; 5],
    /// Waits for a range, by length.
    waits: [Counter; WAITS_MS.len() + 1],
}

impl Stats {
    /// Runs `wait` and counts how long it took.
    pub(crate) fn wait(&self, wait: impl FnOnce() -> Result) -> Result {
        let start = Moment::now();
        let r = wait();
        let ms = start.elapsed_ms();
        let class = WAITS_MS.iter().position(|end| ms < *end);
        if let Some(counter) = self.waits.get(class.unwrap_or(WAITS_MS.len())) {
            counter.add(1);
        }
        r
    }

    /// Notes how many ranges are in which state.
    pub(crate) fn set_ranges(&self, c: &Counts) {
        let on_their_way = c.reserved + c.mapping + c.unmapping;
        let now = [c.total, c.free, c.mapped, on_their_way, c.retired];
        for (counter, n) in self.ranges.iter().zip(now) {
            counter.set(n.into());
        }
    }

    /// Writes one `NAME NUMBER` a line.
    pub(crate) fn show(&self, out: &mut impl Write) -> fmt::Result {
        let rows = [
            ("maps", &self.maps),
            ("maps_ahead", &self.ahead),
            ("upgrades", &self.upgrades),
            ("unmaps", &self.unmaps),
            ("reclaims", &self.reclaims),
            ("fallbacks", &self.fallbacks),
        ];
        let states = ["total", "free", "mapped", "on_their_way", "retired"];
        for (name, counter) in states.iter().zip(&self.ranges) {
            writeln!(out, "ranges_{name} {}", counter.get())?;
        }
        for (name, counter) in rows {
            writeln!(out, "{name} {}", counter.get())?;
        }
        for (i, counter) in self.waits.iter().enumerate() {
            match WAITS_MS.get(i) {
                Some(end) => writeln!(out, "waits_below_{end}ms {}", counter.get())?,
                None => writeln!(out, "waits_longer {}", counter.get())?,
            }
        }
        Ok(())
    }
}
