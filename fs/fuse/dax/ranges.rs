// SPDX-License-Identifier: GPL-2.0

//! The slots of the DAX window: which are free, and what the others map.
//!
//! The window is cut into slots of 2 MiB. [`Ranges`] is the table of their states and the only
//! place that changes one; it holds no lock, sends nothing and allocates nothing. Callers keep it
//! behind a short lock, send SETUPMAPPING and REMOVEMAPPING without that lock, and hold a token
//! meanwhile.
//!
//! | from | to | by |
//! |---|---|---|
//! | `Free` | `Reserved` | [`reserve`](Ranges::reserve) |
//! | `Reserved` | `Mapping` | [`begin_map`](Ranges::begin_map) |
//! | `Reserved` | `Free` | [`release`](Ranges::release) |
//! | `Mapping` | `Mapped` | [`mapped`](Ranges::mapped) |
//! | `Mapping` | `Free`, `Retired` | [`map_failed`](Ranges::map_failed), [`retire_mapping`](Ranges::retire_mapping) |
//! | `Mapped` | itself | [`get`](Ranges::get), [`put`](Ranges::put); [`begin_upgrade`](Ranges::begin_upgrade) and what ends it |
//! | `Mapped` | `Unmapping` | [`begin_unmap`](Ranges::begin_unmap) |
//! | `Unmapping` | `Free`, `Retired` | [`unmapped`](Ranges::unmapped), [`unmap_failed`](Ranges::unmap_failed) |
//! | `Unmapping` | `Reserved` | [`hand_over`](Ranges::hand_over) |
//! | `Unmapping` | `Mapped` | [`unmap_cancelled`](Ranges::unmap_cancelled) |
//!
//! # Rules
//!
//! - A slot is for one [`Owner`] from `reserve` until it is free again or handed over.
//! - Only a mapping without users can be removed; from `begin_unmap` on it gets no new ones.
//! - A mapping is used for writing only if the host has said that it is writable.
//! - A slot for which a request may still reach the host, because nobody knows how it ended, is
//!   `Retired`: it maps nothing until the host has forgotten everything ([`Ranges::reset`]).
//! - The states always sum to the window; [`Ranges::check`] proves it.
//!
//! Ids and tokens belong to the table that made them. One of another table is refused unless slot,
//! state and generation happen to be the same.

mod mapped;
mod reclaim;
mod slot;
mod token;

pub use slot::{
    Counts,
    Slot, //
};
pub use token::{
    Fate,
    Mapping,
    Mode,
    Owner,
    RangeId,
    Refused,
    Reserved,
    Unmapping,
    Upgrading,
    Use,
    RANGE_SHIFT,
    RANGE_SIZE, //
};

use core::borrow::BorrowMut;
use slot::{
    Live,
    State, //
};

/// The table of the window's slots, see the [module](self).
///
/// # Invariants
///
/// - `counts` holds the number of slots in each state.
/// - The free list, from `free` along `next`, holds each free slot once and nothing else.
#[derive(Debug)]
pub struct Ranges<S> {
    slots: S,
    free: Option<u32>,
    /// Where the search for a victim goes on.
    hand: u32,
    counts: Counts,
}

impl<S: BorrowMut<[Slot]>> Ranges<S> {
    /// Makes the table of a window with as many slots as `storage`, all free.
    ///
    /// Slots are first given out in the order of the window. No more than [`u32::MAX`] are used.
    pub fn new(storage: S) -> Self {
        let mut ranges = Self {
            slots: storage,
            free: None,
            hand: 0,
            counts: Counts::default(),
        };
        ranges.reset();
        ranges
    }

    /// Frees every slot: the host has forgotten all mappings, and all requests about them have
    /// ended.
    ///
    /// Ids and tokens from before are stale.
    pub fn reset(&mut self) {
        let slots = self.slots.borrow_mut();
        let total = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        for (index, slot) in (0..total).zip(slots) {
            slot.generation = slot.generation.wrapping_add(1);
            slot.state = State::Free {
                next: Some(index + 1).filter(|&next| next < total),
            };
        }
        // INVARIANT: every slot is free and on the list.
        self.free = Some(0).filter(|_| total > 0);
        self.hand = 0;
        self.counts = Counts {
            total,
            free: total,
            ..Counts::default()
        };
    }

    /// How many slots are in each state.
    #[inline]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The slot that `id` names, if its generation is still the same.
    fn slot(&mut self, id: RangeId) -> Result<&mut Slot, Refused> {
        // CAST: `u32` fits into `usize` on every machine that has a DAX window.
        match self.slots.borrow_mut().get_mut(id.index as usize) {
            Some(slot) if slot.generation == id.generation => Ok(slot),
            _ => Err(Refused::Gone),
        }
    }

    /// The mapping that `id` names, if it can be used.
    fn live(&mut self, id: RangeId) -> Result<&mut Live, Refused> {
        match &mut self.slot(id)?.state {
            State::Mapped(live) => Ok(live),
            State::Reserved | State::Mapping | State::Unmapping(_) => Err(Refused::Busy),
            State::Free { .. } | State::Retired => Err(Refused::Gone),
        }
    }

    /// Moves a slot from one state to another, with its counts.
    ///
    /// `step` looks at the old state and says the new one, or refuses and nothing changes.
    fn step(
        &mut self,
        id: RangeId,
        step: impl FnOnce(&State) -> Result<State, Refused>,
    ) -> Result<(), Refused> {
        let slot = self.slot(id)?;
        let new = step(&slot.state)?;
        let old = core::mem::replace(&mut slot.state, new);
        let from = self.counts.of(&old);
        *from = from.wrapping_sub(1);
        let to = self.counts.of(&new);
        *to = to.wrapping_add(1);
        Ok(())
    }

    /// Ends the slot's generation: ids and tokens of it are stale from now on.
    fn end_generation(&mut self, id: RangeId) -> RangeId {
        let next = RangeId {
            index: id.index,
            generation: id.generation.wrapping_add(1),
        };
        if let Ok(slot) = self.slot(id) {
            slot.generation = next.generation;
        }
        next
    }

    /// Puts a slot on the free list if `from` accepts its state.
    fn free(&mut self, id: RangeId, from: impl FnOnce(&State) -> bool) -> Result<(), Refused> {
        let next = self.free;
        self.step(id, |state| {
            if from(state) {
                Ok(State::Free { next })
            } else {
                Err(Refused::Gone)
            }
        })?;
        // INVARIANT: the slot was not free, so it was not on the list.
        self.free = Some(id.index);
        self.end_generation(id);
        Ok(())
    }

    /// Takes a slot out of use if `from` accepts its state.
    fn retire(&mut self, id: RangeId, from: impl FnOnce(&State) -> bool) -> Result<(), Refused> {
        self.step(id, |state| {
            if from(state) {
                Ok(State::Retired)
            } else {
                Err(Refused::Gone)
            }
        })?;
        self.end_generation(id);
        Ok(())
    }

    /// Takes a free slot for `owner`; [`None`] when there is none.
    pub fn reserve(&mut self, owner: Owner) -> Option<Reserved> {
        let index = self.free?;
        let slot = self.slots.borrow_mut().get_mut(index as usize)?;
        let State::Free { next } = slot.state else {
            return None;
        };
        let id = RangeId {
            index,
            generation: slot.generation,
        };
        slot.owner = owner;
        self.step(id, |_| Ok(State::Reserved)).ok()?;
        // INVARIANT: the first slot of the list is not free any more, the others still are.
        self.free = next;
        Some(Reserved(id))
    }

    /// Gives a slot back that was not needed.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`] for a token from before a reset, as in every function that takes a token.
    pub fn release(&mut self, token: Reserved) -> Result<(), Refused> {
        self.free(token.0, |state| matches!(state, State::Reserved))
    }

    /// Notes that SETUPMAPPING is about to be sent.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn begin_map(&mut self, token: Reserved) -> Result<Mapping, Refused> {
        self.step(token.0, |state| match state {
            State::Reserved => Ok(State::Mapping),
            _ => Err(Refused::Gone),
        })?;
        Ok(Mapping(token.0))
    }

    /// Notes that the host has mapped the file range.
    ///
    /// It counts as used, so that it is not given up before its first user comes.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn mapped(&mut self, token: Mapping, mode: Mode) -> Result<RangeId, Refused> {
        self.step(token.0, |state| match state {
            State::Mapping => Ok(State::Mapped(Live {
                mode,
                users: 0,
                accessed: true,
                upgrading: false,
                tainted: false,
            })),
            _ => Err(Refused::Gone),
        })?;
        Ok(token.0)
    }

    /// Notes that the host has refused to map, or that the request was never sent.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn map_failed(&mut self, token: Mapping) -> Result<(), Refused> {
        self.free(token.0, |state| matches!(state, State::Mapping))
    }

    /// Notes that nobody knows whether the host has mapped: the slot is retired.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn retire_mapping(&mut self, token: Mapping) -> Result<(), Refused> {
        self.retire(token.0, |state| matches!(state, State::Mapping))
    }

    /// The file range that a slot is for.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`] if it is for that range no more.
    pub fn owner(&self, id: RangeId) -> Result<Owner, Refused> {
        match self.slots.borrow().get(id.index as usize) {
            // Free and retired slots have a generation that no id was made for.
            Some(slot) if slot.generation == id.generation => Ok(slot.owner),
            _ => Err(Refused::Gone),
        }
    }

    /// Start of a mapping's slot in the window, in bytes.
    #[inline]
    pub fn offset(&self, id: RangeId) -> u64 {
        id.offset()
    }

    /// Checks the invariants, in time linear in the number of slots.
    ///
    /// # Errors
    ///
    /// Says which is broken.
    pub fn check(&self) -> Result<(), &'static str> {
        let slots = self.slots.borrow();
        let mut seen = Counts::default();
        for (_, slot) in (0..u32::MAX).zip(slots) {
            seen.total += 1;
            *seen.of(&slot.state) += 1;
            if let State::Unmapping(live) = slot.state {
                if live.users > 0 || live.upgrading {
                    return Err("a mapping in removal is in use");
                }
            }
        }
        if seen != self.counts {
            return Err("the counts differ from the states");
        }
        let sum = [
            seen.free,
            seen.reserved,
            seen.mapping,
            seen.mapped,
            seen.unmapping,
            seen.retired,
        ];
        if sum.iter().map(|&count| u64::from(count)).sum::<u64>() != u64::from(seen.total) {
            return Err("the states do not sum to the window");
        }
        let mut next = self.free;
        for _ in 0..seen.free {
            next = match next.and_then(|index| slots.get(index as usize)) {
                Some(Slot {
                    state: State::Free { next },
                    ..
                }) => *next,
                _ => return Err("the free list is too short or holds a slot that is not free"),
            };
        }
        if next.is_some() {
            return Err("the free list is too long");
        }
        Ok(())
    }
}
