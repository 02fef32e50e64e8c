// SPDX-License-Identifier: GPL-2.0

//! Choosing a mapping to give up, and removing it, or parking it for whoever needs the slot next.

use super::{
    slot::{
        Live,
        Slot,
        State, //
    },
    By,
    Fate,
    Mapping,
    Owner,
    RangeId,
    Ranges,
    Refused,
    Unmapping,
    Words, //
};
use core::borrow::BorrowMut;

/// So many victims in a row may get a user in the moment in which they are chosen.
const RACES: usize = 8;

/// So many slots are looked at for one that nobody needs.
const LAP: u32 = 64;

/// What may be taken for a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// A free slot.
    Free,
    /// Also one that nobody needs any more, as far as can be seen.
    Idle {
        /// What a sequential pass has just left behind, if this is for one.
        behind: Option<RangeId>,
    },
    /// Also one that is something else's.
    Over {
        /// What a sequential pass has just left behind, if this is for one.
        behind: Option<RangeId>,
    },
}

/// A slot that can be had, what it was, and what has to be done first.
#[derive(Debug)]
pub enum Found {
    /// Nothing: it is taken.
    Ready(Mapping),
    /// The host may still have something there; the guest has no way to it.
    Closed(Unmapping, Owner),
    /// It was just closed, and has to be taken out of page tables.
    Victim(Unmapping, Owner),
}

impl<S: BorrowMut<[Slot]>, W: Words> Ranges<S, W> {
    /// Finds a slot for `owner`: a free one, else what `take` allows: one that is closed already, nobody's before parked ones;
    /// what the pass has behind it; one that is in use.
    pub fn find(&mut self, owner: Owner, take: Take) -> Option<Found> {
        if let Some(token) = self.reserve(owner) {
            return Some(Found::Ready(token));
        }
        let (behind, most) = match take {
            Take::Free => return None,
            Take::Idle { behind } => (behind, self.lap()),
            Take::Over { behind } => (behind, self.two_laps()),
        };
        if let Some(index) = self.left.first().or(self.parked.first()) {
            let (token, owner) = self.take_closed(index)?;
            return Some(Found::Closed(token, owner));
        }
        if let Some(id) = behind.filter(|id| self.is_passed(*id)) {
            let owner = self.owner(id).ok()?;
            if let Ok(token) = self.begin_unmap(id) {
                return Some(Found::Victim(token, owner));
            }
        }
        let (token, owner) = self.close(most)?;
        Some(Found::Victim(token, owner))
    }

    /// As many slots as are looked at for one that nobody has used since the hand last came by.
    fn lap(&self) -> u64 {
        self.counts.total.min(LAP).into()
    }

    /// As many as find one that can be given up, if there is any.
    fn two_laps(&self) -> u64 {
        u64::from(self.counts.total) * 2
    }

    /// Whether a mapping was made for a sequential pass, and can be given up.
    fn is_passed(&self, id: RangeId) -> bool {
        let slot = self.slots.borrow().get(id.index as usize);
        self.id_at(id.index) == Some(id)
            && self.hits.users(id.index) == 0
            && matches!(slot, Some(Slot { state: State::Mapped(live), .. })
                if live.pass && !live.upgrading && !live.tainted)
    }

    /// Closes what a sequential pass has behind it, to be mapped over all at once: `behind` is what it came through, nearest
    /// first. Takes mappings that lie one after the other in the window, in this order, as long as they were made for a pass
    /// and nobody uses them; no more than there is room in `run`, and none if they are fewer than `least`. They are in `run`
    /// nearest first.
    pub fn close_passed(
        &mut self,
        behind: &[Option<RangeId>],
        least: usize,
        run: &mut [Option<Unmapping>],
    ) -> usize {
        let mut before = None;
        let count = behind
            .iter()
            .take(run.len())
            .map_while(|id| *id)
            .take_while(|id| {
                let adjacent =
                    before.is_none_or(|before: u32| id.index.checked_add(1) == Some(before));
                before = Some(id.index);
                adjacent && self.is_passed(*id)
            })
            .count();
        if count < least {
            return 0;
        }
        let mut closed = 0;
        for (id, place) in behind.iter().flatten().take(count).zip(run) {
            match self.begin_unmap(*id) {
                Ok(token) => *place = Some(token),
                Err(_) => break,
            }
            closed += 1;
        }
        closed
    }

    /// Takes a slot that is nobody's or parked, to be removed or handed over.
    fn take_closed(&mut self, index: u32) -> Option<(Unmapping, Owner)> {
        let id = self.id_at(index)?;
        let owner = self.owner(id).ok()?;
        let step = self.step(id, |state| match state {
            State::Left { .. } => Ok(State::Unmapping(Live::new(By::Access))),
            State::Parked(live) => Ok(State::Unmapping(*live)),
            _ => Err(Refused::Gone),
        });
        step.ok().map(|()| (Unmapping(id), owner))
    }

    /// Takes a slot that is nobody's and that the host was not yet asked to unmap.
    pub fn take_left(&mut self) -> Option<Unmapping> {
        let index = self.left.first()?;
        match self.slots.borrow().get(index as usize)?.state {
            State::Left { tried: false } => self.take_closed(index).map(|(token, _)| token),
            _ => None,
        }
    }

    /// Whether [`Self::take_left`] finds something.
    pub fn has_left(&self) -> bool {
        let first = self.left.first();
        let slot = first.and_then(|index| self.slots.borrow().get(index as usize));
        slot.is_some_and(|slot| matches!(slot.state, State::Left { tried: false }))
    }

    /// Picks a mapping to give up: second chance, in the order of the window.
    ///
    /// Goes on where the last search ended. A mapping used since the hand last came by is passed
    /// over once. Passes over mappings with users, in an upgrade, or whose slot could not be
    /// reused. [`None`] when two rounds find nothing. Nothing keeps the mapping as it is:
    /// [`Self::begin_unmap`] decides.
    pub fn pick_victim(&mut self) -> Option<(RangeId, Owner)> {
        self.pick(self.two_laps())
    }

    /// As [`Self::pick_victim`], but looks at each mapping once, and not at all of a large window: finds what was not used
    /// since it, or another search, last came by.
    pub fn pick_idle(&mut self) -> Option<(RangeId, Owner)> {
        self.pick(self.lap())
    }

    /// Looks at `most` slots.
    fn pick(&mut self, most: u64) -> Option<(RangeId, Owner)> {
        let total = self.counts.total;
        if self.counts.mapped == 0 {
            return None;
        }
        for _ in 0..most {
            let index = self.hand;
            self.hand = Some(index + 1).filter(|&next| next < total).unwrap_or(0);
            let slot = self.slots.borrow().get(index as usize)?;
            let State::Mapped(live) = &slot.state else {
                continue;
            };
            if live.upgrading || live.tainted {
                continue;
            }
            let owner = slot.owner;
            if self.hits.take_accessed(index) == Some(false) {
                return Some((self.id_at(index)?, owner));
            }
        }
        None
    }

    /// Closes the mapping that [`Self::pick_victim`] finds; another one if that got a user in that moment.
    pub fn close_victim(&mut self) -> Option<(Unmapping, Owner)> {
        self.close(self.two_laps())
    }

    fn close(&mut self, most: u64) -> Option<(Unmapping, Owner)> {
        for _ in 0..RACES {
            let (id, owner) = self.pick(most)?;
            if let Ok(token) = self.begin_unmap(id) {
                return Some((token, owner));
            }
        }
        None
    }

    /// Closes a mapping to new users, because it is about to be unmapped, parked or handed over.
    ///
    /// # Errors
    ///
    /// - [`Refused::Busy`]: it has users, or an upgrade or another removal is on its way.
    /// - [`Refused::Gone`]: it was removed meanwhile.
    pub fn begin_unmap(&mut self, id: RangeId) -> Result<Unmapping, Refused> {
        let live = match self.slot(id)?.state {
            State::Parked(live) => live,
            _ => *self.live(id)?,
        };
        if live.upgrading {
            return Err(Refused::Busy);
        }
        self.hits.close(id.index)?;
        self.step(id, |_| Ok(State::Unmapping(live)))?;
        Ok(Unmapping(id))
    }

    /// The mapping in removal that a token names.
    fn unmapping(&mut self, token: &Unmapping) -> Result<Live, Refused> {
        match self.slot(token.0)?.state {
            State::Unmapping(live) => Ok(live),
            _ => Err(Refused::Gone),
        }
    }

    /// Opens a mapping to users again: it could not be closed.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn unmap_cancelled(&mut self, token: Unmapping) -> Result<RangeId, Refused> {
        let live = self.unmapping(&token)?;
        self.step(token.0, |_| Ok(State::Mapped(live)))?;
        if !live.ahead {
            self.hits.open(token.0.index);
        }
        Ok(token.0)
    }

    /// Notes that the host has removed the mapping.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn unmapped(&mut self, token: Unmapping) -> Result<Fate, Refused> {
        let tainted = self.unmapping(&token)?.tainted;
        self.end(token.0, if tainted { State::Retired } else { State::Free })?;
        Ok(if tainted { Fate::Retired } else { Fate::Free })
    }

    /// Notes that the host has not removed the mapping, or not all of it: it can still be mapped over.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn unmap_refused(&mut self, token: Unmapping) -> Result<(), Refused> {
        self.leave_as(token, true)
    }

    /// The file does not need a mapping any more: gives it up, or has it given up once the host has answered. Returns whether it
    /// is nobody's now. What is in use stays, and is taken over like others.
    pub fn abandon(&mut self, id: RangeId) -> bool {
        match self.begin_unmap(id) {
            Ok(token) => self.leave(token).is_ok(),
            Err(_) => {
                if let Ok(Slot {
                    state: State::Mapping { unwanted, .. },
                    ..
                }) = self.slot(id)
                {
                    *unwanted = true;
                }
                false
            }
        }
    }

    /// Gives a closed mapping up: it is nobody's from now on.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn leave(&mut self, token: Unmapping) -> Result<(), Refused> {
        self.leave_as(token, false)
    }

    fn leave_as(&mut self, token: Unmapping, tried: bool) -> Result<(), Refused> {
        let tainted = self.unmapping(&token)?.tainted;
        self.end(
            token.0,
            if tainted {
                State::Retired
            } else {
                State::Left { tried }
            },
        )
    }

    /// Gives the slot of a closed mapping to `owner` at once, to be mapped over what the host has there.
    ///
    /// # Errors
    ///
    /// - [`Refused::Tainted`]: the slot could not be reused and is retired now.
    /// - [`Refused::Gone`], see [`Self::upgraded`].
    pub fn hand_over(&mut self, token: Unmapping, owner: Owner) -> Result<Mapping, Refused> {
        if self.unmapping(&token)?.tainted {
            self.end(token.0, State::Retired)?;
            return Err(Refused::Tainted);
        }
        self.end(token.0, Self::mapping(true))?;
        let id = self.id_at(token.0.index).ok_or(Refused::Gone)?;
        self.slot(id)?.owner = owner;
        Ok(Mapping(id))
    }

    /// Keeps a closed mapping, with the host's mapping in place, until its owner or somebody else needs it.
    ///
    /// # Errors
    ///
    /// - [`Refused::Tainted`]: the slot could not be reused and is retired now.
    /// - [`Refused::Gone`], see [`Self::upgraded`].
    pub fn park(&mut self, token: Unmapping) -> Result<RangeId, Refused> {
        let live = self.unmapping(&token)?;
        if live.tainted {
            self.end(token.0, State::Retired)?;
            return Err(Refused::Tainted);
        }
        self.step(token.0, |_| Ok(State::Parked(live)))?;
        Ok(token.0)
    }

    /// Notes that a request to remove the mapping may still reach the host: the slot is retired.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn retire_unmapping(&mut self, token: Unmapping) -> Result<(), Refused> {
        self.unmapping(&token)?;
        self.end(token.0, State::Retired)
    }
}
