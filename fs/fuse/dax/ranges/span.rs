// SPDX-License-Identifier: GPL-2.0

//! Which pages of a slot faults have touched: the first and the last, so that only what lies between them has to be taken out
//! of page tables.
//!
//! One atomic number for each slot. It may say more than is true, also of who had the slot before, and never less. No locks.
//!
//! A fault notes its pages and looks then whether the slot is open, with [`Hits::shows`](super::Hits::shows); who closes a slot looks
//! at its pages after that. So either the fault finds the slot closed and maps nothing, or its pages are seen.

use super::{Atom, RangeId, Unmapping, Words};

/// The pages that were touched in each slot of a table.
#[derive(Debug)]
pub struct Spans<W>(W);

/// Bits for a page; the number of a span is its first page, and one behind its last one.
const BITS: u32 = 32;

fn span(number: u64) -> Option<(u64, u64)> {
    let (first, end) = (number >> BITS, number & ((1 << BITS) - 1));
    (end > first).then_some((first, end))
}

impl<W: Words> Spans<W> {
    /// Nothing was touched: all numbers are 0.
    pub fn new(words: W) -> Self {
        Self(words)
    }

    /// CAST: `u32` fits into `usize` on every machine that has a DAX window.
    fn word(&self, id: RangeId) -> Option<&W::Atom> {
        self.0.words().get(id.index as usize)
    }

    /// Notes that a fault is about to map pages from `first` to before `end`.
    #[inline]
    pub fn touch(&self, id: RangeId, first: u64, end: u64) {
        let Some(word) = self.word(id) else { return };
        let mut seen = word.load();
        loop {
            let (first, end) = match span(seen) {
                Some((from, to)) => (first.min(from), end.max(to)),
                None => (first, end),
            };
            // Also where nothing changes, as it orders this and what is looked at next.
            match word.compare_exchange(seen, first << BITS | end) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The first page that was touched and one behind the last, of a slot that is closed.
    pub fn touched(&self, token: &Unmapping) -> Option<(u64, u64)> {
        span(self.word(token.id())?.load())
    }

    /// Forgets what was touched. The slot is in no page table, and not open.
    pub fn forget(&self, id: RangeId) {
        if let Some(word) = self.word(id) {
            word.store(0);
        }
    }
}
