// SPDX-License-Identifier: GPL-2.0

//! Asking the server to map: for somebody who waits, and ahead of a sequential pass.
//!
//! The request owns the range that it is about, so the range ends up in the right state whoever is still there when the
//! answer comes: a task that is killed while it waits loses nothing, and the mapping is there for the next.
//!
//! Takes the spinlocks of map and table one at a time; holds none of them while the server is asked.

use super::{
    pin::{Want, Why},
    ranges::{Mapping, Mode, Owner, RangeId, Upgrading, RANGE_SIZE},
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
use kernel::{prelude::*, sync::Arc};

/// What a SETUPMAPPING does to its range.
enum Step {
    /// It is mapped for the first time.
    Map(Mapping, Mode),
    /// It becomes writable.
    Upgrade(Upgrading),
}

/// A SETUPMAPPING on its way.
struct Setup {
    dax: Arc<Dax>,
    step: Option<Step>,
}

impl chan::Owner for Setup {
    fn answered(&mut self, result: Result<(), &Failed>) {
        let Some(step) = self.step.take() else {
            return;
        };
        let (dax, mut ranges) = (&self.dax, self.dax.ranges.lock());
        // A refusal means that the table was reset under us, which ends with the mount.
        let _ = match (step, result) {
            (Step::Map(token, mode), Ok(())) => {
                dax.stats.maps.add(1);
                ranges.mapped(token, mode).map(drop)
            }
            (Step::Map(token, _), Err(failed)) if failed.known => ranges.map_failed(token),
            (Step::Map(token, _), Err(_)) => ranges.retire_mapping(token),
            (Step::Upgrade(token), Ok(())) => {
                dax.stats.upgrades.add(1);
                ranges.upgraded(token)
            }
            (Step::Upgrade(token), Err(failed)) if failed.known => ranges.upgrade_failed(token),
            (Step::Upgrade(token), Err(_)) => ranges.retire_upgrade(token),
        };
        drop(ranges);
        dax.change();
    }
}

/// A range that was taken for a part of a file, and is about to be mapped.
struct Taken {
    id: RangeId,
    token: Mapping,
}

impl Dax {
    /// Takes a free range for `index`; `None` when somebody else has done so.
    fn take_range(&self, inode: &Inode, index: u64) -> Result<Option<Taken>, Why> {
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
            return Ok(None);
        }
        let begun = self.ranges.lock().begin_map(token);
        match begun {
            Ok(token) => Ok(Some(Taken { id, token })),
            Err(_) => {
                map.remove(index, id);
                Err(EIO.into())
            }
        }
    }

    /// Maps `index` into a free range and waits for it, unless somebody else is doing it.
    pub(super) fn map_new(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        writable: bool,
    ) -> Result<(), Why> {
        let Some(taken) = self.take_range(inode, index)? else {
            return Ok(());
        };
        let mode = if writable {
            Mode::ReadWrite
        } else {
            Mode::ReadOnly
        };
        let step = Step::Map(taken.token, mode);
        let sent = self.send(inode, index, taken.id, mode, step, true);
        if sent.is_err() {
            inode.data().ranges.remove(index, taken.id);
        }
        sent.map_err(|failed| Why::Failed(failed.error))
    }

    /// An access begins at the start of `index`. Where the range before is mapped, that looks like a sequential pass: has the
    /// next one mapped meanwhile.
    pub(super) fn pass_into(self: &Arc<Self>, inode: &Inode, index: u64, want: Want) {
        let before = index
            .checked_sub(1)
            .and_then(|i| inode.data().ranges.get(i));
        if let (Some(_), Some(next)) = (before, index.checked_add(1)) {
            self.map_ahead(inode, next, want.write || want.may_write);
        }
    }

    /// Has `index` mapped without waiting, where there is plenty of room and nobody has asked for it yet.
    fn map_ahead(self: &Arc<Self>, inode: &Inode, index: u64, writable: bool) {
        let counts = self.ranges.lock().counts();
        let plenty = counts.free > counts.total / 4;
        let inside = index
            .checked_mul(RANGE_SIZE)
            .is_some_and(|start| start < inode.size());
        if !plenty || !inside || inode.data().ranges.get(index).is_some() {
            return;
        }
        if let Ok(Some(taken)) = self.take_range(inode, index) {
            let mode = if writable {
                Mode::ReadWrite
            } else {
                Mode::ReadOnly
            };
            self.stats.ahead.add(1);
            let step = Step::Map(taken.token, mode);
            // What fails here will be met, and told, by who touches the range.
            let _ = self.send(inode, index, taken.id, mode, step, false);
        }
    }

    /// Makes a mapping writable, unless somebody else is doing it.
    pub(super) fn upgrade(self: &Arc<Self>, inode: &Inode, index: u64, id: RangeId) -> Result {
        let begun = self.ranges.lock().begin_upgrade(id);
        let Ok(token) = begun else {
            // It is on its way, done, or gone: the caller looks again.
            return Ok(());
        };
        let step = Step::Upgrade(token);
        Ok(self.send(inode, index, id, Mode::ReadWrite, step, true)?)
    }

    /// Sends SETUPMAPPING for a whole range.
    fn send(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        id: RangeId,
        mode: Mode,
        step: Step,
        wait: bool,
    ) -> Result<(), Failed> {
        let mut setup = Setup {
            dax: self.clone(),
            step: Some(step),
        };
        let flags = match mode {
            Mode::ReadOnly => SetupmappingFlags::READ,
            Mode::ReadWrite => SetupmappingFlags::READ | SetupmappingFlags::WRITE,
        };
        let moffset = self.ranges.lock().offset(id);
        let op = Setupmapping {
            nodeid: NodeId::new(inode.key()),
            arg: SetupmappingIn {
                fh: Fh::NONE,
                foffset: index * RANGE_SIZE,
                len: RANGE_SIZE,
                flags,
                moffset,
            },
        };
        let who = Caller::current(inode.sb());
        let boxed = match KBox::<Setup>::new_uninit(GFP_KERNEL) {
            Ok(room) => room.write(setup),
            Err(_) => {
                let failed = Failed {
                    error: ENOMEM,
                    known: true,
                };
                chan::Owner::answered(&mut setup, Err(&failed));
                return Err(failed);
            }
        };
        chan::call_owned(&*self.transport, who, &op, boxed, wait)
    }
}
