// SPDX-License-Identifier: GPL-2.0

//! Who waits for a range, in the order in which they came.
//!
//! Only faults wait: what is read and written can go by request. While somebody waits, ranges that become free are for the
//! first of them, and nobody else takes one.
//!
//! Locks: one spinlock, inside nothing, with nothing inside.

use super::{Dax, Waiting};
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::atomic::{Acquire, Release},
};

/// The number of the first one when there is none.
pub(super) const NOBODY: u64 = u64::MAX;

/// The places of those who wait.
pub(super) struct Line {
    places: RBTree<u64, ()>,
    next: u64,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            places: RBTree::new(),
            next: 0,
        }
    }

    fn first(&self) -> u64 {
        let first = self.places.cursor_front();
        first.map_or(NOBODY, |first| *first.current().0)
    }
}

/// A place in the line.
pub(super) struct Place<'a> {
    dax: &'a Dax,
    number: u64,
    _waiting: Waiting<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.dax.line.lock();
        let left = line.places.remove_node(&self.number);
        self.dax.first_in_line.store(line.first(), Release);
        drop(line);
        drop(left);
        // The next one is the first now.
        self.dax.change_for_waiters();
    }
}

impl Dax {
    /// Takes the last place in the line. The caller tries once more before it waits, see [`Dax::announce`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn line_up(&self) -> Result<Place<'_>> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let waiting = self.announce();
        let mut line = self.line.lock();
        let number = line.next;
        line.next += 1;
        line.places.insert(node.into_node(number, ()));
        self.first_in_line.store(line.first(), Release);
        drop(line);
        Ok(Place {
            dax: self,
            number,
            _waiting: waiting,
        })
    }

    /// Whether it is the turn of who has `place`, or has none, to take a range.
    pub(super) fn is_turn(&self, place: Option<&Place<'_>>) -> bool {
        let first = self.first_in_line.load(Acquire);
        first == NOBODY || place.is_some_and(|place| place.number == first)
    }
}
