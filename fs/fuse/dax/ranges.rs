// SPDX-License-Identifier: GPL-2.0

//! The slots of the DAX window: which are free, and what the others map.
//!
//! The window is cut into slots of 2 MiB. [`Ranges`] is the table of their states and the only
//! place that changes one; it holds no lock, sends nothing and allocates nothing. Callers keep it
//! behind a short lock, send SETUPMAPPING and REMOVEMAPPING without that lock, and hold a token
//! meanwhile. Using a mapping that is there needs no lock: [`Hits`] shares one atomic word for each
//! slot with the table.
//!
//! | from | to | by |
//! |---|---|---|
//! | `Free` | `Mapping` | [`reserve`](Ranges::reserve), [`reserve_after`](Ranges::reserve_after), [`find`](Ranges::find) |
//! | `Mapping` | `Mapped` | [`mapped`](Ranges::mapped) |
//! | `Mapping` | `Free`, `Left`, `Retired` | [`release`](Ranges::release), [`retire_mapping`](Ranges::retire_mapping) |
//! | `Mapped` | itself | [`Hits::hit`], [`Hits::put`]; [`begin_upgrade`](Ranges::begin_upgrade) and what ends it |
//! | `Mapped`, `Parked` | `Unmapping` | [`begin_unmap`](Ranges::begin_unmap), [`find`](Ranges::find) |
//! | `Left` | `Unmapping` | [`take_left`](Ranges::take_left), [`find`](Ranges::find) |
//! | `Unmapping` | `Free`, `Left`, `Retired` | [`unmapped`](Ranges::unmapped), [`unmap_refused`](Ranges::unmap_refused), [`leave`](Ranges::leave), [`retire_unmapping`](Ranges::retire_unmapping) |
//! | `Unmapping` | `Mapping` | [`hand_over`](Ranges::hand_over) |
//! | `Unmapping` | `Mapped` | [`unmap_cancelled`](Ranges::unmap_cancelled) |
//! | `Unmapping` | `Parked` | [`park`](Ranges::park) |
//! | `Parked` | `Mapped` | [`get`](Ranges::get): its owner came back |
//!
//! # Rules
//!
//! - A slot is for one [`Owner`] from `reserve` until it is free again, nobody's or handed over.
//! - Only a mapping without users can be closed; from `begin_unmap` on it gets no new ones.
//! - A slot that may still have another mapping at the host is given out only to be mapped over,
//!   or unmapped first.
//! - A mapping is used for writing only if the host has said that it is writable.
//! - A slot for which a request may still reach the host, because nobody knows how it ended, is
//!   `Retired`: it maps nothing as long as the table lives. An answer that is an error is known: the
//!   host has the old mapping there, the new one or none, and mapping over it settles that.
//! - The states always sum to the window; [`Ranges::check`] proves it.
//!
//! Ids and tokens belong to the table that made them. One of another table is refused unless slot,
//! state and generation happen to be the same.

mod list;
mod mapped;
mod reclaim;
mod slot;
mod span;
mod token;
mod word;

pub use reclaim::{
    Found,
    Take, //
};
pub use slot::{
    Ahead,
    Counts,
    Slot, //
};
pub use span::Spans;
pub use token::{
    By,
    Fate,
    FileId,
    Mapping,
    Mode,
    Owner,
    RangeId,
    Refused,
    Unmapping,
    Upgrading,
    Use,
    RANGE_SHIFT,
    RANGE_SIZE, //
};
pub use word::{
    Atom,
    Hits,
    Words, //
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
/// - `free`, `parked` and `left` hold the slots in these states, each once, and nothing else.
/// - Only words of slots in the state `Mapped` are open, and these unless they are ahead of their first user.
#[derive(Debug)]
pub struct Ranges<S, W> {
    slots: S,
    hits: Hits<W>,
    free: List,
    /// In the order in which they were parked.
    parked: List,
    /// Those that the host was asked to unmap are last.
    left: List,
    /// Where the search for a victim goes on.
    hand: u32,
    counts: Counts,
    ahead: Ahead,
}

impl<S: BorrowMut<[Slot]>, W: Words> Ranges<S, W> {
    /// Makes the table of a window with as many slots as there are entries and words, all free.
    ///
    /// Slots are first given out in the order of the window. No more than 2^31 are used. The words must be new.
    pub fn new(storage: S, words: W) -> Self {
        let mut ranges = Self {
            slots: storage,
            hits: Hits::new(words),
            free: List::default(),
            parked: List::default(),
            left: List::default(),
            hand: 0,
            counts: Counts::default(),
            ahead: Ahead::default(),
        };
        let slots = ranges.slots.borrow_mut();
        let total = slots.len().min(ranges.hits.total());
        let total = u32::try_from(total).map_or(token::SLOTS_MAX, |n| n.min(token::SLOTS_MAX));
        for index in 0..total {
            if let Some(slot) = slots.get_mut(index as usize) {
                *slot = Slot::new();
                slot.state = State::Free;
                // INVARIANT: Every slot is free, on the list, and its word is closed.
                ranges.hits.end_generation(index);
                ranges.free.push_back(slots, index);
            }
        }
        ranges.counts = Counts {
            total,
            free: total,
            ..Counts::default()
        };
        ranges
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

    /// The id of what a slot is now.
    fn id_at(&self, index: u32) -> Option<RangeId> {
        let generation = self.hits.generation(index)?;
        Some(RangeId { index, generation })
    }

    /// The slot that `id` names, if its generation is still the same.
    fn slot(&mut self, id: RangeId) -> Result<&mut Slot, Refused> {
        if self.id_at(id.index) != Some(id) {
            return Err(Refused::Gone);
        }
        // CAST: `u32` fits into `usize` on every machine that has a DAX window.
        let slot = self.slots.borrow_mut().get_mut(id.index as usize);
        slot.ok_or(Refused::Gone)
    }

    /// The mapping that `id` names, if it can be used.
    fn live(&mut self, id: RangeId) -> Result<&mut Live, Refused> {
        match &mut self.slot(id)?.state {
            State::Mapped(live) => Ok(live),
            State::Mapping { .. } | State::Parked(_) | State::Unmapping(_) => Err(Refused::Busy),
            State::Free | State::Left { .. } | State::Retired => Err(Refused::Gone),
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
            State::Left { .. } => self.left.remove(slots, id.index),
            _ => (),
        }
        match new {
            State::Free => self.free.push_front(slots, id.index),
            State::Parked(_) => self.parked.push_back(slots, id.index),
            State::Left { tried: false } => self.left.push_front(slots, id.index),
            State::Left { tried: true } => self.left.push_back(slots, id.index),
            _ => (),
        }
        if old.is_ahead() && !new.is_live() {
            self.ahead.wasted += 1;
        }
        Ok(())
    }

    /// Moves a closed slot to a state in which it is not its owner's any more: ids and tokens of it are stale from now on.
    fn end(&mut self, id: RangeId, state: State) -> Result<(), Refused> {
        self.step(id, |_| Ok(state))?;
        self.slot(id)?.owner = Owner::default();
        self.hits.end_generation(id.index);
        Ok(())
    }

    const fn mapping(over: bool) -> State {
        State::Mapping {
            over,
            unwanted: false,
        }
    }

    /// Takes the free slot at `index`, if it is free.
    fn reserve_at(&mut self, index: u32, owner: Owner) -> Option<Mapping> {
        let id = self.id_at(index)?;
        let step = self.step(id, |state| match state {
            State::Free => Ok(Self::mapping(false)),
            _ => Err(Refused::Busy),
        });
        step.ok()?;
        self.slot(id).ok()?.owner = owner;
        Some(Mapping(id))
    }

    /// Takes a free slot for `owner`; [`None`] when there is none.
    pub fn reserve(&mut self, owner: Owner) -> Option<Mapping> {
        let index = self.free.first()?;
        self.reserve_at(index, owner)
    }

    /// Takes the slot that follows another one in the window; [`None`] unless it is free.
    pub fn reserve_after(&mut self, before: &Mapping, owner: Owner) -> Option<Mapping> {
        let index = before.0.index.checked_add(1)?;
        self.reserve_at(index, owner)
    }

    /// Takes the free slots that follow `first` in the window, one for each of `owners`, as far as there are any, and puts all
    /// into `run`.
    pub fn reserve_run(
        &mut self,
        first: Mapping,
        owners: impl Iterator<Item = Owner>,
        run: &mut [Option<Mapping>],
    ) {
        let mut last = first;
        let mut owners = owners;
        for place in run {
            let next = owners.next();
            let next = next.and_then(|owner| self.reserve_after(&last, owner));
            match next {
                Some(next) => *place = Some(core::mem::replace(&mut last, next)),
                None => {
                    *place = Some(last);
                    return;
                }
            }
        }
        // No room for the last one.
        let _ = self.release(last);
    }

    /// Gives a slot back: it was not needed, or the host has refused to map. What the host may still have there of an earlier
    /// mapping makes it nobody's instead of free.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn release(&mut self, token: Mapping) -> Result<(), Refused> {
        let state = match self.slot(token.0)?.state {
            State::Mapping { over: true, .. } => State::Left { tried: false },
            State::Mapping { over: false, .. } => State::Free,
            _ => return Err(Refused::Gone),
        };
        self.end(token.0, state)
    }

    /// Notes that the host has mapped the file range. It counts as used, so that it is not given up before its first user
    /// comes.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`]: nobody wants it any more, and it is nobody's now; also see [`Self::upgraded`].
    pub fn mapped(&mut self, token: Mapping, mode: Mode, by: By) -> Result<RangeId, Refused> {
        match self.slot(token.0)?.state {
            State::Mapping {
                unwanted: false, ..
            } => self.step(token.0, |_| Ok(State::Mapped(Live::new(by))))?,
            State::Mapping { unwanted: true, .. } => {
                self.end(token.0, State::Left { tried: false })?;
                self.ahead.wasted += u64::from(by == By::Ahead);
                return Err(Refused::Gone);
            }
            _ => return Err(Refused::Gone),
        }
        self.hits.set(token.0, mode);
        if by != By::Ahead {
            self.hits.open(token.0.index);
        }
        Ok(token.0)
    }

    /// Notes that nobody knows whether the host has mapped: the slot is retired.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn retire_mapping(&mut self, token: Mapping) -> Result<(), Refused> {
        match self.slot(token.0)?.state {
            State::Mapping { .. } => self.end(token.0, State::Retired),
            _ => Err(Refused::Gone),
        }
    }

    /// The file range that a slot is for; of file 0 when it is nobody's.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`] if it is for that range no more.
    pub fn owner(&self, id: RangeId) -> Result<Owner, Refused> {
        match self.slots.borrow().get(id.index as usize) {
            Some(slot) if self.id_at(id.index) == Some(id) => Ok(slot.owner),
            _ => Err(Refused::Gone),
        }
    }

    /// Checks the invariants, in time linear in the number of slots.
    ///
    /// # Errors
    ///
    /// Says which is broken.
    pub fn check(&self) -> Result<(), &'static str> {
        let slots = self.slots.borrow();
        let mut seen = Counts::default();
        for (index, slot) in (0..self.counts.total).zip(slots) {
            seen.total += 1;
            *seen.of(&slot.state) += 1;
            let open = matches!(slot.state, State::Mapped(live) if !live.ahead);
            if self.hits.is_open(index) != open {
                return Err("a word is open that must not be, or the other way round");
            }
            if !open && self.hits.users(index) > 0 {
                return Err("a slot that is closed is in use");
            }
            if let State::Unmapping(live) | State::Parked(live) = slot.state {
                if live.upgrading {
                    return Err("a mapping that is closed is in an upgrade");
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
        let left = self
            .left
            .count(slots, |slot| matches!(slot.state, State::Left { .. }));
        if free != Some(seen.free) || parked != Some(seen.parked) || left != Some(seen.left) {
            return Err("a list is not the slots of its state");
        }
        Ok(())
    }
}
