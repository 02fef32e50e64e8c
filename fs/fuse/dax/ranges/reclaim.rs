// SPDX-License-Identifier: GPL-2.0

//! Choosing a mapping to give up, and removing it, or parking it for whoever needs the slot next.

use super::{
    slot::{
        Live,
        Slot,
        State, //
    },
    Fate,
    Owner,
    RangeId,
    Ranges,
    Refused,
    Reserved,
    Unmapping, //
};
use core::borrow::BorrowMut;

impl<S: BorrowMut<[Slot]>> Ranges<S> {
    /// Picks a mapping to remove: second chance, in the order of the window.
    ///
    /// Goes on where the last search ended. A mapping used since the hand last came by is passed
    /// over once. Passes over mappings with users, in an upgrade, or whose slot could not be
    /// reused. [`None`] when two rounds find nothing. Nothing keeps the mapping as it is after the
    /// caller's lock is dropped: [`Self::begin_unmap`] decides.
    pub fn pick_victim(&mut self) -> Option<(RangeId, Owner)> {
        let total = self.counts.total;
        if self.counts.mapped == 0 {
            return None;
        }
        for _ in 0..u64::from(total) * 2 {
            let index = self.hand;
            self.hand = Some(index + 1).filter(|&next| next < total).unwrap_or(0);
            let slot = self.slots.borrow_mut().get_mut(index as usize)?;
            let State::Mapped(live) = &mut slot.state else {
                continue;
            };
            if live.users > 0 || live.upgrading || live.tainted {
                continue;
            }
            if !core::mem::take(&mut live.accessed) {
                let generation = slot.generation;
                return Some((RangeId { index, generation }, slot.owner));
            }
        }
        None
    }

    /// Closes a mapping to new users, because REMOVEMAPPING is about to be sent.
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
        if live.users > 0 || live.upgrading {
            return Err(Refused::Busy);
        }
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

    /// Opens a mapping to users again: REMOVEMAPPING was not sent.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn unmap_cancelled(&mut self, token: Unmapping) -> Result<RangeId, Refused> {
        let live = self.unmapping(&token)?;
        self.step(token.0, |_| Ok(State::Mapped(live)))?;
        Ok(token.0)
    }

    /// Notes that the host has removed the mapping.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn unmapped(&mut self, token: Unmapping) -> Result<Fate, Refused> {
        if self.unmapping(&token)?.tainted {
            self.retire(token.0, |_| true)?;
            Ok(Fate::Retired)
        } else {
            self.free(token.0, |_| true)?;
            Ok(Fate::Free)
        }
    }

    /// Gives the slot of a closed mapping to `owner` at once, past the free list.
    ///
    /// `over` says that the host still has the old mapping there, so that the SETUPMAPPING that follows replaces it.
    ///
    /// # Errors
    ///
    /// - [`Refused::Tainted`]: the slot could not be reused and is retired now.
    /// - [`Refused::Gone`], see [`Self::release`].
    pub fn hand_over(
        &mut self,
        token: Unmapping,
        owner: Owner,
        over: bool,
    ) -> Result<Reserved, Refused> {
        if self.unmapping(&token)?.tainted {
            self.retire(token.0, |_| true)?;
            return Err(Refused::Tainted);
        }
        self.give_to(token.0, owner, over)
    }

    fn give_to(&mut self, id: RangeId, owner: Owner, over: bool) -> Result<Reserved, Refused> {
        self.step(id, |_| Ok(State::Reserved { over }))?;
        let id = self.end_generation(id);
        self.slot(id)?.owner = owner;
        Ok(Reserved(id))
    }

    /// Keeps a closed mapping, with the host's mapping in place, until its owner or somebody else needs it.
    ///
    /// # Errors
    ///
    /// - [`Refused::Tainted`]: the slot could not be reused and is retired now.
    /// - [`Refused::Gone`], see [`Self::release`].
    pub fn park(&mut self, token: Unmapping) -> Result<RangeId, Refused> {
        let live = self.unmapping(&token)?;
        if live.tainted {
            self.retire(token.0, |_| true)?;
            return Err(Refused::Tainted);
        }
        self.step(token.0, |_| Ok(State::Parked(live)))?;
        Ok(token.0)
    }

    /// Takes the slot that was parked first for `owner`; [`None`] when there is none. It is to be mapped over.
    ///
    /// Also returns what it was, which is stale now.
    pub fn reserve_parked(&mut self, owner: Owner) -> Option<(Reserved, RangeId, Owner)> {
        let index = self.parked.first()?;
        let slot = self.slots.borrow().get(index as usize)?;
        let (was, generation) = (slot.owner, slot.generation);
        let id = RangeId { index, generation };
        Some((self.give_to(id, owner, true).ok()?, id, was))
    }

    /// Notes that nobody knows whether the host has removed the mapping: the slot is retired.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn unmap_failed(&mut self, token: Unmapping) -> Result<(), Refused> {
        self.retire(token.0, |state| matches!(state, State::Unmapping(_)))
    }
}
