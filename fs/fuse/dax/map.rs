// SPDX-License-Identifier: GPL-2.0

//! Which range each part of an inode is in. Costs no memory until a second part is mapped.
//!
//! Looking up takes no lock. What is found may be out of date, and is refused by the table of ranges then.

use super::ranges::RangeId;
use crate::sync::Numbers;
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// The ranges of an inode, by index: the offset in the file in units of 2 MiB.
#[pin_data]
pub(crate) struct Map {
    #[pin]
    ids: Numbers,
    /// The page of the last fault.
    last_fault: Atomic<u64>,
}

impl Map {
    /// An empty map.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            ids <- Numbers::new(),
            last_fault: Atomic::new(u64::MAX),
        })
    }

    /// Notes a fault at `page`, and says whether it is where the last one was, or just behind that.
    pub(super) fn follows(&self, page: u64) -> bool {
        let last = self.last_fault.load(Relaxed);
        self.last_fault.store(page, Relaxed);
        page == last || page == last.wrapping_add(1)
    }

    /// The range that `index` is in, or is about to be.
    #[inline]
    pub(super) fn get(&self, index: u64) -> Option<RangeId> {
        self.ids.get(index).map(RangeId::from_number)
    }

    /// How many parts in a row, up to `most`, have a range before `index`.
    pub(super) fn mapped_before(&self, index: u64, most: u64) -> u64 {
        (1..=most.min(index))
            .take_while(|back| self.get(index - back).is_some())
            .count() as u64
    }

    /// How many parts in a row, up to `most`, have a range from `index` on.
    pub(super) fn mapped_from(&self, index: u64, most: u64) -> u64 {
        (index..index.saturating_add(most))
            .take_while(|index| self.get(*index).is_some())
            .count() as u64
    }

    /// Notes that `index` will be in `id`. False when it has a range already.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn insert(&self, index: u64, id: RangeId) -> Result<bool> {
        self.ids.insert(index, id.to_number())
    }

    /// Forgets that `index` is in `id`, if it still is.
    pub(super) fn remove(&self, index: u64, id: RangeId) {
        self.ids.remove(index, id.to_number());
    }

    /// Forgets the first part at `index` or behind, and says what it was.
    pub(super) fn take_from(&self, index: u64) -> Option<RangeId> {
        loop {
            let (at, number) = self.ids.first_from(index)?;
            if self.ids.remove(at, number) {
                return Some(RangeId::from_number(number));
            }
        }
    }
}
