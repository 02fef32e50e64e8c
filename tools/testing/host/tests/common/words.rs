// SPDX-License-Identifier: GPL-2.0

//! A table of ranges with the words that it shares with who hits, for tests.

use rust_fuse_host_tests::dax::ranges::{
    Atom,
    Hits,
    Ranges,
    Slot,
    Use,
    Words, //
};
use std::{
    ops::{
        Deref,
        DerefMut, //
    },
    sync::{
        atomic::{
            AtomicU64,
            Ordering::SeqCst, //
        },
        Arc,
    },
};

/// A word.
#[derive(Debug, Default)]
pub(crate) struct Word(AtomicU64);

impl Atom for Word {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn store(&self, value: u64) {
        self.0.store(value, SeqCst);
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.0.compare_exchange(old, new, SeqCst, SeqCst)
    }

    fn fetch_sub(&self, n: u64) -> u64 {
        self.0.fetch_sub(n, SeqCst)
    }
}

/// The words of a table.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<[Word]>);

impl Shared {
    /// New ones.
    pub(crate) fn of(total: usize) -> Self {
        Self((0..total).map(|_| Word::default()).collect())
    }
}

impl Words for Shared {
    type Atom = Word;

    fn words(&self) -> &[Word] {
        &self.0
    }
}

/// A table and the hits on it.
#[derive(Debug)]
pub(crate) struct Table {
    ranges: Ranges<Vec<Slot>, Shared>,
    pub(crate) hits: Hits<Shared>,
}

impl Table {
    pub(crate) fn new(total: usize) -> Self {
        let words = Shared::of(total);
        Self {
            ranges: Ranges::new(vec![Slot::new(); total], words.clone()),
            hits: Hits::new(words),
        }
    }

    pub(crate) fn put(&self, held: Use) -> bool {
        self.hits.put(held)
    }
}

impl Deref for Table {
    type Target = Ranges<Vec<Slot>, Shared>;

    fn deref(&self) -> &Self::Target {
        &self.ranges
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.ranges
    }
}
