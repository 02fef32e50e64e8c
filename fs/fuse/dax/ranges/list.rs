// SPDX-License-Identifier: GPL-2.0

//! Lists of slots, linked through the table itself, so that any slot can be taken out at once.

use super::slot::Slot;

/// One list. A slot is on one list at most; which one follows from its state.
///
/// # Invariants
///
/// From `first` along `next`, and from `last` along `prev`, are the same slots, each once.
#[derive(Debug, Default)]
pub(super) struct List {
    first: Option<u32>,
    last: Option<u32>,
}

/// The neighbours of a slot on its list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    prev: Option<u32>,
    next: Option<u32>,
}

impl Links {
    /// On no list.
    pub(super) const NONE: Self = Self {
        prev: None,
        next: None,
    };
}

fn at(slots: &mut [Slot], index: u32) -> Option<&mut Links> {
    // CAST: `u32` fits into `usize` on every machine that has a DAX window.
    slots.get_mut(index as usize).map(|slot| &mut slot.links)
}

impl List {
    /// The slot that was on the list the longest, or was put in front.
    pub(super) fn first(&self) -> Option<u32> {
        self.first
    }

    /// Puts a slot, which is on no list, at the front.
    pub(super) fn push_front(&mut self, slots: &mut [Slot], index: u32) {
        let next = self.first;
        if let Some(links) = at(slots, index) {
            *links = Links { prev: None, next };
            // INVARIANT: The slot stands before what was first.
            self.first = Some(index);
            match next.and_then(|next| at(slots, next)) {
                Some(after) => after.prev = Some(index),
                None => self.last = Some(index),
            }
        }
    }

    /// Puts a slot, which is on no list, at the end.
    pub(super) fn push_back(&mut self, slots: &mut [Slot], index: u32) {
        let prev = self.last;
        if let Some(links) = at(slots, index) {
            *links = Links { prev, next: None };
            // INVARIANT: The slot stands behind what was last.
            self.last = Some(index);
            match prev.and_then(|prev| at(slots, prev)) {
                Some(before) => before.next = Some(index),
                None => self.first = Some(index),
            }
        }
    }

    /// Takes a slot, which is on this list, off it.
    pub(super) fn remove(&mut self, slots: &mut [Slot], index: u32) {
        let Some(Links { prev, next }) = at(slots, index).map(core::mem::take) else {
            return;
        };
        // INVARIANT: Its neighbours become each other's.
        match prev.and_then(|prev| at(slots, prev)) {
            Some(before) => before.next = next,
            None => self.first = next,
        }
        match next.and_then(|next| at(slots, next)) {
            Some(after) => after.prev = prev,
            None => self.last = prev,
        }
    }

    /// Counts the slots of the list that `belongs` accepts, and says whether those are all; for checks.
    pub(super) fn count(&self, slots: &[Slot], belongs: impl Fn(&Slot) -> bool) -> Option<u32> {
        let (mut n, mut before, mut next) = (0, None, self.first);
        while let Some(index) = next {
            let slot = slots.get(index as usize)?;
            if !belongs(slot) || slot.links.prev != before || n as usize > slots.len() {
                return None;
            }
            n += 1;
            (before, next) = (Some(index), slot.links.next);
        }
        (self.last == before).then_some(n)
    }
}
