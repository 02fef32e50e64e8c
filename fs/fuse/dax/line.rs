// SPDX-License-Identifier: GPL-2.0

//! Who waits for a range, in the order in which they came.
//!
//! Faults wait until they have one. Sequential passes wait for a while, to have one that nobody needs; what else is read and
//! written goes by request. While somebody waits, ranges that become free are for the first of them, nobody else takes one, and
//! nobody else is woken.
//!
//! Locks: one spinlock, inside nothing, with nothing inside.

use super::{turns::NOBODY, Dax, Waiting};
use core::cell::Cell;
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::atomic::{Acquire, Full},
};

/// Wait queues that they share; mostly each has one of its own.
pub(super) const QUEUES: usize = 8;

/// The queue that a number belongs to.
fn queue_of(number: u64) -> usize {
    number as usize % QUEUES
}

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
    /// It was not given up.
    stands: Cell<bool>,
    _waiting: Waiting<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Place<'_> {
    /// Whether it still is a place in the line.
    pub(super) fn stands(&self) -> bool {
        self.stands.get()
    }

    /// Gives the place up: a range is taken, or not wanted any more.
    pub(super) fn leave(&self) {
        if !self.stands.replace(false) {
            return;
        }
        let mut line = self.dax.line.lock();
        let left = line.places.remove_node(&self.number);
        self.dax.turns.set_first(line.first());
        drop(line);
        drop(left);
        // The next one is the first now. It can take what is free, closed or mapped; what is on its way will wake it.
        let counts = self.dax.ranges.lock().counts();
        if counts.free + counts.left + counts.parked + counts.mapped > 0 {
            self.dax.wake_first();
        }
    }

    /// Waits until this is the first place and there was a chance after [`Dax::chances`] were `seen`; for `ms` milliseconds at
    /// most, as neither a pinned page that is let go nor a range that is not used any more tells anybody. Says whether there was
    /// a chance.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(super) fn wait(&self, ms: u32, seen: u64) -> Result<bool> {
        let Some(queue) = self.dax.sleepers.get(queue_of(self.number)) else {
            return Ok(false);
        };
        let ready = || (self.dax.chances() != seen && self.dax.is_turn(Some(self))).then_some(());
        queue
            .wait_killable_for(ms, ready)
            .map(|chance| chance.is_some())
    }
}

impl Dax {
    /// Takes the last place in the line. The caller tries once more before it waits, see [`Dax::announce`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn line_up(&self) -> Result<Place<'_>> {
        self.line_up_as(Self::announce)
    }

    /// As [`Self::line_up`], for one who is not woken by each use that ends.
    pub(super) fn line_up_patiently(&self) -> Result<Place<'_>> {
        self.line_up_as(Self::wait_unannounced)
    }

    fn line_up_as<'a>(&'a self, wait: fn(&'a Self) -> Waiting<'a>) -> Result<Place<'a>> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let waiting = wait(self);
        let mut line = self.line.lock();
        let number = line.next;
        line.next += 1;
        line.places.insert(node.into_node(number, ()));
        self.turns.set_first(line.first());
        drop(line);
        Ok(Place {
            dax: self,
            number,
            stands: Cell::new(true),
            _waiting: waiting,
        })
    }

    /// The times at which there may have been something to take, so far.
    pub(super) fn chances(&self) -> u64 {
        self.chances.load(Acquire)
    }

    /// There may be something to take: wakes who is first.
    pub(super) fn wake_first(&self) {
        self.chances.fetch_add(1, Full);
        let first = self.turns.wake();
        if let Some(queue) = first.and_then(|first| self.sleepers.get(queue_of(first))) {
            queue.wake_all();
        }
    }

    /// A use has ended: wakes who is first, unless it can be left to a use that begins when what is on its way is there.
    pub(super) fn wake_first_if_needed(&self) {
        let on_their_way = self.ranges.lock().counts().mapping > 0;
        if !self.turns.can_wait(on_their_way) {
            self.wake_first();
        }
    }

    /// Whether it is the turn of who has `place`, or has none, to take a range.
    pub(super) fn is_turn(&self, place: Option<&Place<'_>>) -> bool {
        self.turns.is_turn(place.map(|place| place.number))
    }
}
