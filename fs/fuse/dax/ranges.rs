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
//! | `Free` | `Reserved` | [`reserve`](Ranges::reserve), [`reserve_after`](Ranges::reserve_after) |
//! | `Reserved` | `Mapping` | [`begin_map`](Ranges::begin_map) |
//! | `Reserved` | `Free`, `Unmapping` | [`release`](Ranges::release) |
//! | `Mapping` | `Mapped` | [`mapped`](Ranges::mapped) |
//! | `Mapping` | `Free`, `Unmapping`, `Retired` | [`map_failed`](Ranges::map_failed), [`retire_mapping`](Ranges::retire_mapping) |
//! | `Mapped` | itself | [`get`](Ranges::get), [`put`](Ranges::put); [`begin_upgrade`](Ranges::begin_upgrade) and what ends it |
//! | `Mapped`, `Parked` | `Unmapping` | [`begin_unmap`](Ranges::begin_unmap) |
//! | `Unmapping` | `Free`, `Retired` | [`unmapped`](Ranges::unmapped), [`unmap_failed`](Ranges::unmap_failed) |
//! | `Unmapping` | `Reserved` | [`hand_over`](Ranges::hand_over) |
//! | `Unmapping` | `Mapped` | [`unmap_cancelled`](Ranges::unmap_cancelled) |
//! | `Unmapping` | `Parked` | [`park`](Ranges::park) |
//! | `Parked` | `Mapped` | [`get`](Ranges::get): its owner came back |
//! | `Parked` | `Reserved` | [`reserve_parked`](Ranges::reserve_parked): somebody else needs the slot |
//!
//! # Rules
//!
//! - A slot is for one [`Owner`] from `reserve` until it is free again or handed over.
//! - Only a mapping without users can be removed; from `begin_unmap` on it gets no new ones.
//! - A slot that still has another mapping at the host (`over`) is given out only to be mapped over,
//!   or unmapped first.
//! - A mapping is used for writing only if the host has said that it is writable.
//! - A slot for which a request may still reach the host, because nobody knows how it ended, is
//!   `Retired`: it maps nothing until the host has forgotten everything ([`Ranges::reset`]).
//! - The states always sum to the window; [`Ranges::check`] proves it.
//!
//! Ids and tokens belong to the table that made them. One of another table is refused unless slot,
//! state and generation happen to be the same.

mod list;
mod mapped;
mod reclaim;
mod slot;
mod token;

pub use slot::{
    Ahead,
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
use list::List;
use slot::{
    Live,
    State, //
};

/// The table of the window's slots, see the [module](self).
///
/// # Invariants
///
/// - `counts` holds the number of slots in each state.
/// - `free` and `parked` hold the slots in these states, each once, and nothing else.
#[derive(Debug)]
pub struct Ranges<S> {
    slots: S,
    free: List,
    /// In the order in which they were parked.
    parked: List,
    /// Where the search for a victim goes on.
    hand: u32,
    counts: Counts,
    ahead: Ahead,
}

impl<S: BorrowMut<[Slot]>> Ranges<S> {
    /// Makes the table of a window with as many slots as `storage`, all free.
    ///
    /// Slots are first given out in the order of the window. No more than [`u32::MAX`] are used.
    pub fn new(storage: S) -> Self {
        let mut ranges = Self {
            slots: storage,
            free: List::default(),
            parked: List::default(),
            hand: 0,
            counts: Counts::default(),
            ahead: Ahead::default(),
        };
        ranges.reset();
        ranges
    }

    /// Frees every slot: the host has forgotten all mappings, and all requests about them have
    /// ended.
    ///
    /// Ids and tokens from before are stale.
    pub fn reset(&mut self) {
        self.free = List::default();
        self.parked = List::default();
        let slots = self.slots.borrow_mut();
        let total = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        for index in 0..total {
            if let Some(slot) = slots.get_mut(index as usize) {
                slot.generation = slot.generation.wrapping_add(1);
                slot.state = State::Free;
                // INVARIANT: Every slot is free and on the list.
                self.free.push_back(slots, index);
            }
        }
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

    /// What became of mappings that were made ahead.
    #[inline]
    pub fn ahead(&self) -> Ahead {
        self.ahead
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
            State::Reserved { .. }
            | State::Mapping { .. }
            | State::Parked(_)
            | State::Unmapping(_) => Err(Refused::Busy),
            State::Free | State::Retired => Err(Refused::Gone),
        }
    }

    /// Moves a slot from one state to another, with its counts and its place on a list.
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
        let slots = self.slots.borrow_mut();
        // INVARIANT: The slot leaves the list of its old state and joins that of its new one.
        match old {
            State::Free => self.free.remove(slots, id.index),
            State::Parked(_) => self.parked.remove(slots, id.index),
            _ => (),
        }
        match new {
            State::Free => self.free.push_front(slots, id.index),
            State::Parked(_) => self.parked.push_back(slots, id.index),
            _ => (),
        }
        if old.is_ahead() && !new.is_live() {
            self.ahead.wasted += 1;
        }
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

    /// Frees a slot if `from` accepts its state.
    fn free(&mut self, id: RangeId, from: impl FnOnce(&State) -> bool) -> Result<(), Refused> {
        self.step(id, |state| {
            if from(state) {
                Ok(State::Free)
            } else {
                Err(Refused::Gone)
            }
        })?;
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

    /// Takes the free slot at `index`, if it is free.
    fn reserve_at(&mut self, index: u32, owner: Owner) -> Option<Reserved> {
        let slot = self.slots.borrow_mut().get_mut(index as usize)?;
        if !matches!(slot.state, State::Free) {
            return None;
        }
        slot.owner = owner;
        let id = RangeId {
            index,
            generation: slot.generation,
        };
        self.step(id, |_| Ok(State::Reserved { over: false }))
            .ok()?;
        Some(Reserved(id))
    }

    /// Takes a free slot for `owner`; [`None`] when there is none.
    pub fn reserve(&mut self, owner: Owner) -> Option<Reserved> {
        let index = self.free.first()?;
        self.reserve_at(index, owner)
    }

    /// Takes the slot that follows another one in the window; [`None`] unless it is free.
    pub fn reserve_after(&mut self, before: &Reserved, owner: Owner) -> Option<Reserved> {
        let index = before.0.index.checked_add(1)?;
        self.reserve_at(index, owner)
    }

    /// Gives a slot back that was not needed.
    ///
    /// What the host still has there must be removed: a token for that is returned.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`] for a token from before a reset, as in every function that takes a token.
    pub fn release(&mut self, token: Reserved) -> Result<Option<Unmapping>, Refused> {
        self.give_up(token.0, |state| match state {
            State::Reserved { over } => Some(*over),
            _ => None,
        })
    }

    /// Frees a slot that maps nothing, or has what the host still maps there removed; `over` tells which.
    fn give_up(
        &mut self,
        id: RangeId,
        over: impl Fn(&State) -> Option<bool>,
    ) -> Result<Option<Unmapping>, Refused> {
        if over(&self.slot(id)?.state).ok_or(Refused::Gone)? {
            // Its mode does not matter: it is not used again.
            let rest = Live::new(Mode::ReadOnly, false);
            self.step(id, |_| Ok(State::Unmapping(rest)))?;
            Ok(Some(Unmapping(id)))
        } else {
            self.free(id, |_| true)?;
            Ok(None)
        }
    }

    /// Notes that SETUPMAPPING is about to be sent.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn begin_map(&mut self, token: Reserved) -> Result<Mapping, Refused> {
        self.step(token.0, |state| match state {
            State::Reserved { over } => Ok(State::Mapping { over: *over }),
            _ => Err(Refused::Gone),
        })?;
        Ok(Mapping(token.0))
    }

    /// Notes that the host has mapped the file range; `ahead`, that nobody waits for it.
    ///
    /// It counts as used, so that it is not given up before its first user comes.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn mapped(&mut self, token: Mapping, mode: Mode, ahead: bool) -> Result<RangeId, Refused> {
        self.step(token.0, |state| match state {
            State::Mapping { .. } => Ok(State::Mapped(Live::new(mode, ahead))),
            _ => Err(Refused::Gone),
        })?;
        Ok(token.0)
    }

    /// Notes that the host has refused to map, or that the request was never sent.
    ///
    /// If it was to replace an earlier mapping, that may still be there and must be removed: a token for that is returned.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn map_failed(&mut self, token: Mapping) -> Result<Option<Unmapping>, Refused> {
        self.give_up(token.0, |state| match state {
            State::Mapping { over } => Some(*over),
            _ => None,
        })
    }

    /// Notes that nobody knows whether the host has mapped: the slot is retired.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn retire_mapping(&mut self, token: Mapping) -> Result<(), Refused> {
        self.retire(token.0, |state| matches!(state, State::Mapping { .. }))
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
            if let State::Unmapping(live) | State::Parked(live) = slot.state {
                if live.users > 0 || live.upgrading {
                    return Err("a mapping that is closed is in use");
                }
            }
        }
        if seen != self.counts {
            return Err("the counts differ from the states");
        }
        if seen.sum() != u64::from(seen.total) {
            return Err("the states do not sum to the window");
        }
        let free = self
            .free
            .count(slots, |slot| matches!(slot.state, State::Free));
        let parked = self
            .parked
            .count(slots, |slot| matches!(slot.state, State::Parked(_)));
        if free != Some(seen.free) || parked != Some(seen.parked) {
            return Err("a list is not the slots of its state");
        }
        Ok(())
    }
}
