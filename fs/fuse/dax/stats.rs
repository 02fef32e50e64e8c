// SPDX-License-Identifier: GPL-2.0

//! What happened in the window of a device, in the mount there is or was last, for `/sys/fs/virtiofs/N/dax`.
//!
//! Counters only; no locks.

use super::ranges::{Ahead, Counts};
use core::fmt::{self, Write};
use kernel::sync::atomic::{Atomic, Relaxed};

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
    /// SETUPMAPPINGs that were answered: each maps one range or several.
    pub(crate) setups: Counter,
    /// Ranges that were asked for ahead of a sequential pass.
    pub(crate) ahead: Counter,
    /// What became of those.
    ahead_used: Counter,
    ahead_wasted: Counter,
    /// Mappings that were made writable.
    pub(crate) upgrades: Counter,
    /// Ranges that were unmapped: REMOVEMAPPING with success.
    pub(crate) unmaps: Counter,
    /// Ranges that were taken from one part of a file for another.
    pub(crate) reclaims: Counter,
    /// Those of them that were mapped over, without an unmap in between.
    pub(crate) overlays: Counter,
    /// Ranges that were closed ahead of need, by the reclaimer.
    pub(crate) parked: Counter,
    /// Ranges that could not be taken because a page of them was pinned.
    pub(crate) pinned: Counter,
    /// Reads and writes that went by READ and WRITE because the window was full.
    pub(crate) fallbacks: Counter,
    /// How many ranges are in which state; all zeroes without a mount.
    ranges: [Counter; 6],
    /// Waits for a range, by length.
    waits: [Counter; WAITS_MS.len() + 1],
}

impl Stats {
    /// A mount begins: counts anew.
    pub(crate) fn begin(&self) {
        let ours = [
            &self.maps,
            &self.setups,
            &self.ahead,
            &self.ahead_used,
            &self.ahead_wasted,
            &self.upgrades,
            &self.unmaps,
            &self.reclaims,
            &self.overlays,
            &self.parked,
            &self.pinned,
            &self.fallbacks,
        ];
        for counter in ours.into_iter().chain(&self.waits) {
            counter.set(0);
        }
    }

    /// Counts a wait of `ms` milliseconds.
    pub(crate) fn waited(&self, ms: u64) {
        let class = WAITS_MS.iter().position(|end| ms < *end);
        if let Some(counter) = self.waits.get(class.unwrap_or(WAITS_MS.len())) {
            counter.add(1);
        }
    }

    /// Notes how many ranges are in which state.
    pub(crate) fn set_ranges(&self, c: &Counts) {
        let on_their_way = c.mapping + c.unmapping;
        // Closed ones, whoever they are for.
        let closed = c.parked + c.left;
        let now = [c.total, c.free, c.mapped, closed, on_their_way, c.retired];
        for (counter, n) in self.ranges.iter().zip(now) {
            counter.set(n.into());
        }
    }

    /// Notes what became of ranges that were mapped ahead.
    pub(crate) fn set_ahead(&self, ahead: &Ahead) {
        self.ahead_used.set(ahead.used);
        self.ahead_wasted.set(ahead.wasted);
    }

    /// Writes one `NAME NUMBER` a line.
    pub(crate) fn show(&self, out: &mut impl Write) -> fmt::Result {
        let rows = [
            ("maps", &self.maps),
            ("setups", &self.setups),
            ("maps_ahead", &self.ahead),
            ("maps_ahead_used", &self.ahead_used),
            ("maps_ahead_wasted", &self.ahead_wasted),
            ("upgrades", &self.upgrades),
            ("unmaps", &self.unmaps),
            ("reclaims", &self.reclaims),
            ("overlays", &self.overlays),
            ("parked", &self.parked),
            ("pinned", &self.pinned),
            ("fallbacks", &self.fallbacks),
        ];
        let states = [
            "total",
            "free",
            "mapped",
            "parked",
            "on_their_way",
            "retired",
        ];
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
