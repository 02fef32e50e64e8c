// SPDX-License-Identifier: GPL-2.0

//! Using a mapping, and making it writable.

use super::{
    slot::{
        Live,
        Slot,
        State, //
    },
    Mode,
    RangeId,
    Ranges,
    Refused,
    Upgrading,
    Use, //
};
use core::borrow::BorrowMut;

impl<S: BorrowMut<[Slot]>> Ranges<S> {
    /// Starts using a mapping, for writing too if `write`, until [`Self::put`]. A parked one is opened again.
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
        self.hit(id, write)
    }

    /// As [`Self::get`], for a mapping that is open; a parked one is [`Refused::Busy`].
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    #[inline]
    pub fn hit(&mut self, id: RangeId, write: bool) -> Result<Use, Refused> {
        let live = self.live(id)?;
        if write && live.mode == Mode::ReadOnly {
            return Err(match live {
                Live {
                    upgrading: true, ..
                } => Refused::Busy,
                Live { tainted: true, .. } => Refused::Tainted,
                _ => Refused::NeedsUpgrade,
            });
        }
        live.users = live.users.checked_add(1).ok_or(Refused::Busy)?;
        live.accessed = true;
        if core::mem::take(&mut live.ahead) {
            self.ahead.used += 1;
        }
        Ok(Use(id))
    }

    /// Ends a use; returns whether it was the last, so that waiters for the range can be woken.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn put(&mut self, token: Use) -> Result<bool, Refused> {
        match &mut self.slot(token.0)?.state {
            State::Mapped(live) => {
                live.users = live.users.checked_sub(1).ok_or(Refused::Gone)?;
                Ok(live.users == 0)
            }
            _ => Err(Refused::Gone),
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
        let live = self.live(id)?;
        match live {
            Live {
                upgrading: true, ..
            } => Err(Refused::Busy),
            Live { tainted: true, .. } => Err(Refused::Tainted),
            Live {
                mode: Mode::ReadWrite,
                ..
            } => Err(Refused::Writable),
            _ => {
                live.upgrading = true;
                Ok(Upgrading(id))
            }
        }
    }

    fn end_upgrade(&mut self, token: Upgrading) -> Result<&mut Live, Refused> {
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
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn upgraded(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(token)?.mode = Mode::ReadWrite;
        Ok(())
    }

    /// Notes that the host has refused, or that the request was never sent: still read-only.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn upgrade_failed(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(token).map(|_| ())
    }

    /// Notes that nobody knows how the upgrade has ended.
    ///
    /// Both outcomes show the same data, so readers may go on. The slot is retired once unmapped,
    /// because a late upgrade would overlay what is mapped there next.
    ///
    /// # Errors
    ///
    /// [`Refused::Gone`], see [`Self::release`].
    pub fn retire_upgrade(&mut self, token: Upgrading) -> Result<(), Refused> {
        self.end_upgrade(token)?.tainted = true;
        Ok(())
    }
}
