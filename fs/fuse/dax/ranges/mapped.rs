// SPDX-License-Identifier: GPL-2.0

//! Using a mapping that cannot simply be hit, and making it writable.

use super::{
    slot::{
        Live,
        Slot,
        State, //
    },
    RangeId,
    Ranges,
    Refused,
    Upgrading,
    Use,
    Words, //
};
use core::borrow::BorrowMut;

impl<S: BorrowMut<[Slot]>, W: Words> Ranges<S, W> {
    /// Starts using a mapping, for writing too if `write`, until [`Hits::put`](super::Hits::put). A parked one is opened
    /// again.
    ///
    /// # Errors
    ///
    /// - [`Refused::Busy`]: it is being mapped or unmapped, or an upgrade is on its way.
    /// - [`Refused::NeedsUpgrade`], [`Refused::Tainted`]: it is read-only.
    /// - [`Refused::Gone`]: look the file range up again.
    pub fn get(&mut self, id: RangeId, write: bool) -> Result<Use, Refused> {
        if let State::Parked(live) = self.slot(id)?.state {
            self.step(id, |_| Ok(State::Mapped(live)))?;
        }
        let live = self.live(id)?;
        let Live {
            upgrading, tainted, ..
        } = *live;
        if core::mem::take(&mut live.ahead) {
            self.ahead.used += 1;
        }
        // INVARIANT: It is mapped and no longer ahead of its first user.
        if !self.hits.is_open(id.index) {
            self.hits.open(id.index);
        }
        match self.hits.hit(id, write) {
            Some(using) => Ok(using),
            None if write && !self.hits.is_writable(id.index) => Err(match (upgrading, tainted) {
                (true, _) => Refused::Busy,
                (_, true) => Refused::Tainted,
                _ => Refused::NeedsUpgrade,
            }),
            None => Err(Refused::Busy),
        }
    }

    /// Notes that a SETUPMAPPING is about to be sent that makes a mapping writable.
    ///
    /// Readers go on meanwhile; the slot keeps its file range until the upgrade has ended.
    ///
    /// # Errors
    ///
    /// - [`Refused::Busy`]: it is being mapped or unmapped, or another upgrade is on its way.
    /// - [`Refused::Writable`]: there is nothing to do.
    /// - [`Refused::Tainted`]: an earlier upgrade was lost.
    /// - [`Refused::Gone`]: look the file range up again.
    pub fn begin_upgrade(&mut self, id: RangeId) -> Result<Upgrading, Refused> {
        let live = *self.live(id)?;
        if live.upgrading {
            return Err(Refused::Busy);
        }
        if live.tainted {
            return Err(Refused::Tainted);
        }
        if self.hits.is_writable(id.index) {
            return Err(Refused::Writable);
        }
        self.live(id)?.upgrading = true;
        Ok(Upgrading(id))
    }

    fn end_upgrade(&mut self, token: &Upgrading) -> Result<&mut Live, Refused> {
        match &mut self.slot(token.0)?.state {
            State::Mapped(live) if live.upgrading => {
                live.upgrading = false;
                Ok(live)
            }
            _ => Err(Refused::Gone),
        }
    }

    /// Notes that the host has made the mapping writable.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`] for a token of another table, as in every function that takes a token.
    pub fn upgraded(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(&token)?;
        self.hits.make_writable(token.0.index);
        Ok(())
    }

    /// Notes that the host has refused, or that the request was never sent: still read-only.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn upgrade_failed(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(&token).map(|_| ())
    }

    /// Notes that nobody knows how the upgrade has ended.
    ///
    /// Both outcomes show the same data, so readers may go on. The slot is retired once unmapped,
    /// because a late upgrade would overlay what is mapped there next.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::upgraded`].
    pub fn retire_upgrade(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(&token)?.tainted = true;
        Ok(())
    }
}
