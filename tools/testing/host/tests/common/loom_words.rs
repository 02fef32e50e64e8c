// SPDX-License-Identifier: GPL-2.0

//! The words of a table of ranges under loom, with no more ordering than the table asks for.

use loom::sync::atomic::{
    fence, AtomicU64,
    Ordering::{
        AcqRel,
        Acquire,
        Release,
        SeqCst, //
    },
};
use rust_fuse_host_tests::dax::ranges::{
    Atom,
    Words, //
};

/// A word.
pub(crate) struct Word(pub(crate) AtomicU64);

impl Atom for Word {
    fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    fn store(&self, value: u64) {
        self.0.store(value, Release);
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        fence(SeqCst);
        let result = self.0.compare_exchange(old, new, AcqRel, Acquire);
        fence(SeqCst);
        result
    }

    fn fetch_sub(&self, n: u64) -> u64 {
        fence(SeqCst);
        let was = self.0.fetch_sub(n, AcqRel);
        fence(SeqCst);
        was
    }
}

/// The words of a table.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) std::sync::Arc<[Word]>);

impl Words for Shared {
    type Atom = Word;

    fn words(&self) -> &[Word] {
        &self.0
    }
}
