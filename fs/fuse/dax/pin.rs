// SPDX-License-Identifier: GPL-2.0

//! Having a range where data can be touched: look it up, map it, make it writable, and hold it.
//!
//! Takes the spinlocks of map and table one at a time; holds none of them while the server is asked or while it waits.

use super::{
    ranges::{Mode, Owner, RangeId, Refused, Use, RANGE_SIZE},
    Dax,
};
use crate::{
    chan::{self, Failed},
    inode::Inode,
    ops::dax::Setupmapping,
    proto::{
        dax::SetupmappingIn,
        flags::SetupmappingFlags,
        ids::{Fh, NodeId},
    },
    vfs::cred::Caller,
};
use kernel::prelude::*;

/// A range that stays where it is.
pub(crate) struct Pin<'a> {
    dax: &'a Dax,
    using: Option<Use>,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if let Some(using) = self.using.take() {
            let last = self.dax.ranges.lock().put(using);
            if last == Ok(true) {
                self.dax.change_for_waiters();
            }
        }
    }
}

/// Why a range could not be had.
pub(crate) enum Why {
    /// Every range is in use by something else.
    NoRange,
    /// The server, or a signal.
    Failed(Error),
}

impl From<Error> for Why {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// What the data will be used for.
#[derive(Clone, Copy)]
pub(crate) struct Want {
    /// It is written now.
    pub(crate) write: bool,
    /// It may be written later: map it writable at once, which saves a second round trip.
    pub(crate) may_write: bool,
}

impl Dax {
    /// Pins the range of `index`, mapping it if it is not.
    pub(crate) fn pin(&self, inode: &Inode, index: u64, want: Want) -> Result<Pin<'_>, Why> {
        let map = &inode.data().ranges;
        let mut waiting = None;
        loop {
            let seen = self.epoch();
            let Some(id) = map.get(index) else {
                self.map_new(inode, index, want)?;
                continue;
            };
            let got = self.ranges.lock().get(id, want.write);
            match got {
                Ok(using) => {
                    return Ok(Pin {
                        dax: self,
                        using: Some(using),
                    })
                }
                Err(Refused::Busy) if waiting.is_none() => waiting = Some(self.announce()),
                Err(Refused::Busy) => self.stats.wait(|| self.wait_for_change(seen))?,
                Err(Refused::NeedsUpgrade) => self.upgrade(inode, index, id)?,
                // An upgrade was lost; nobody knows what the host has there.
                Err(Refused::Tainted) => return Err(EIO.into()),
                Err(Refused::Gone | Refused::Writable) => map.remove(index, id),
            }
        }
    }

    /// Where in the window `pos` is, for somebody who has its range pinned. Never waits.
    pub(super) fn locate(&self, inode: &Inode, index: u64, write: bool) -> Option<u64> {
        let id = inode.data().ranges.get(index)?;
        let mut ranges = self.ranges.lock();
        let using = ranges.get(id, write).ok()?;
        let _ = ranges.put(using);
        Some(ranges.offset(id))
    }

    /// Maps `index` into a free range, unless somebody else is doing it.
    fn map_new(&self, inode: &Inode, index: u64, want: Want) -> Result<(), Why> {
        let map = &inode.data().ranges;
        let room = map.room()?;
        let reserved = self.ranges.lock().reserve(Owner {
            inode: inode.key(),
            index,
        });
        let Some(token) = reserved else {
            return Err(Why::NoRange);
        };
        let id = token.id();
        if !map.insert(room, index, id) {
            let _ = self.ranges.lock().release(token);
            self.change();
            return Ok(());
        }
        let begun = self.ranges.lock().begin_map(token);
        let Ok(token) = begun else {
            map.remove(index, id);
            return Err(EIO.into());
        };

        let mut mode = if want.write || want.may_write {
            Mode::ReadWrite
        } else {
            Mode::ReadOnly
        };
        let mut sent = self.setup(inode, index, id, mode);
        if let Err(failed) = &sent {
            let refused = [EACCES, EPERM, EROFS].contains(&failed.error);
            if failed.answered && refused && !want.write && mode == Mode::ReadWrite {
                mode = Mode::ReadOnly;
                sent = self.setup(inode, index, id, mode);
            }
        }
        let mut ranges = self.ranges.lock();
        let noted = match &sent {
            Ok(()) => ranges.mapped(token, mode).map(drop),
            Err(failed) if failed.answered => ranges.map_failed(token),
            Err(_) => ranges.retire_mapping(token),
        };
        drop(ranges);
        if sent.is_err() || noted.is_err() {
            map.remove(index, id);
        } else {
            self.stats.maps.add(1);
        }
        self.change();
        sent.map_err(|failed| Why::Failed(failed.error))
    }

    /// Makes a mapping writable, unless somebody else is doing it.
    fn upgrade(&self, inode: &Inode, index: u64, id: RangeId) -> Result {
        let begun = self.ranges.lock().begin_upgrade(id);
        let Ok(token) = begun else {
            // It is on its way, done, or gone: the caller looks again.
            return Ok(());
        };
        let sent = self.setup(inode, index, id, Mode::ReadWrite);
        let mut ranges = self.ranges.lock();
        let _ = match &sent {
            Ok(()) => ranges.upgraded(token),
            Err(failed) if failed.answered => ranges.upgrade_failed(token),
            Err(_) => ranges.retire_upgrade(token),
        };
        drop(ranges);
        self.stats.upgrades.add(1);
        self.change();
        Ok(sent?)
    }

    /// Sends SETUPMAPPING for a whole range.
    fn setup(&self, inode: &Inode, index: u64, id: RangeId, mode: Mode) -> Result<(), Failed> {
        let flags = match mode {
            Mode::ReadOnly => SetupmappingFlags::READ,
            Mode::ReadWrite => SetupmappingFlags::READ | SetupmappingFlags::WRITE,
        };
        let moffset = self.ranges.lock().offset(id);
        chan::call(
            &*self.transport,
            Caller::current(inode.sb()),
            &Setupmapping {
                nodeid: NodeId::new(inode.key()),
                arg: SetupmappingIn {
                    fh: Fh::NONE,
                    foffset: index * RANGE_SIZE,
                    len: RANGE_SIZE,
                    flags,
                    moffset,
                },
            },
        )
    }
}
