// SPDX-License-Identifier: GPL-2.0

//! Taking a range from one part of a file for another.
//!
//! A range is closed first: nobody may pin it any more, and its layout is broken, so the guest has no way to it. The host's
//! mapping stays. What was closed is given to who needs a range now, whose SETUPMAPPING replaces the old mapping; or it is
//! parked, by a work item that keeps a few ranges ready while there is demand. A parked range that its own file needs again
//! is simply opened.
//!
//! Locks: the victim's invalidate lock for writing while its layout is broken; nothing while the server is asked.

use super::{
    line::Place,
    pin::Why,
    ranges::{Owner, RangeId, Refused, Reserved, Unmapping, RANGE_SIZE},
    Dax, RECLAIMER,
};
use crate::{
    inode::{Inode, InodeRef},
    trace,
    vfs::SuperBlock,
    Fuse,
};
use kernel::{prelude::*, sync::Arc, workqueue::WorkItem};

/// Victims that are looked at before a reclaim gives up for now.
const TRIES: usize = 8;

/// One of so many ranges is kept parked while there is demand; smaller windows have none to spare.
const PARKED_SHARE: u32 = 16;
/// But no more than these.
const PARKED_MOST: u32 = 32;

/// A range that was closed to be given to somebody else.
struct Victim {
    token: Unmapping,
    /// Whose it was, if that is in memory.
    inode: Option<InodeRef>,
    /// What it was.
    owner: Owner,
}

impl Dax {
    /// The window is full and a part of a file was missed, `at` so many bytes from its start: is it worth a range of something
    /// else? Otherwise the data goes by READ or WRITE.
    pub(super) fn is_worth_it(&self, inode: &Inode, index: u64, at: u64) -> bool {
        // A sequential pass that comes in from a part that has a range will want all of this one.
        (at == 0 && inode.data().ranges.mapped_before(index, 1) > 0)
            || self.heat.lock().miss(inode.key(), index)
    }

    /// A part got the range that it was worth.
    pub(super) fn has_got_it(&self, inode: &Inode, index: u64) {
        self.heat.lock().mapped(inode.key(), index);
    }

    /// Closes a range to everybody. [`None`] when it cannot be had now.
    fn close(&self, inode: Option<&Inode>, owner: Owner, id: RangeId) -> Option<Unmapping> {
        let token = self.ranges.lock().begin_unmap(id).ok()?;
        // One that is not in memory has no layout to break.
        let broken = inode.map_or(Ok(()), |inode| {
            let start = owner.index * RANGE_SIZE;
            inode
                .invalidate_lock()
                .try_break_layout(start, start + RANGE_SIZE - 1)
        });
        match broken {
            Ok(()) => Some(token),
            Err(_) => {
                // A page is pinned.
                self.stats.pinned.add(1);
                let _ = self.ranges.lock().unmap_cancelled(token);
                self.change_for_waiters();
                None
            }
        }
    }

    /// Closes the range that is used least.
    fn close_victim(&self, sb: &SuperBlock<Fuse>) -> Option<Victim> {
        for _ in 0..TRIES {
            let (id, owner) = self.ranges.lock().pick_victim()?;
            // This waits for an inode that is leaving memory, so nothing is closed meanwhile.
            let inode = sb.find_inode(owner.inode);
            if let Some(token) = self.close(inode.as_deref(), owner, id) {
                return Some(Victim {
                    token,
                    inode,
                    owner,
                });
            }
        }
        None
    }

    /// Takes a range from something else for a part of `inode`.
    ///
    /// # Errors
    ///
    /// [`Why::NoRange`] when nothing can be taken now; the table changes when that may be different, or a page is let go.
    pub(super) fn take_over(
        self: &Arc<Self>,
        inode: &Inode,
        owner: Owner,
        place: Option<&Place<'_>>,
    ) -> Result<Reserved, Why> {
        if !self.is_turn(place) {
            return Err(Why::NoRange);
        }
        let parked = self.ranges.lock().reserve_parked(owner);
        let to = (owner.inode, owner.index);
        let reserved = match parked {
            Some((reserved, id, was)) => {
                trace::dax_take_over(to, (was.inode, was.index));
                if let Some(inode) = inode.sb().find_inode(was.inode) {
                    inode.data().ranges.remove(was.index, id);
                }
                reserved
            }
            None => {
                let victim = self.close_victim(inode.sb()).ok_or(Why::NoRange)?;
                trace::dax_take_over(to, (victim.owner.inode, victim.owner.index));
                let id = victim.token.id();
                let given = self.ranges.lock().hand_over(victim.token, owner, true);
                if let Some(inode) = &victim.inode {
                    inode.data().ranges.remove(victim.owner.index, id);
                }
                given.map_err(|_| Why::NoRange)?
            }
        };
        self.stats.reclaims.add(1);
        self.park_some();
        if !self.no_overlay.get() {
            self.stats.overlays.add(1);
            return Ok(reserved);
        }
        let leftover = self.ranges.lock().release(reserved);
        if let Ok(Some(leftover)) = leftover {
            self.remove_one(leftover, true)?;
        }
        self.ranges.lock().reserve(owner).ok_or(Why::NoRange)
    }

    /// Gives up a range that can never be written again, because an upgrade of it was lost.
    ///
    /// # Errors
    ///
    /// `EINTR` while others use it.
    pub(super) fn abandon(self: &Arc<Self>, inode: &Inode, index: u64, id: RangeId) -> Result {
        let seen = self.epoch();
        let owner = Owner {
            inode: inode.key(),
            index,
        };
        match self.close(Some(inode), owner, id) {
            Some(token) => {
                inode.data().ranges.remove(index, id);
                self.remove_one(token, false)
            }
            None => {
                let _waiting = self.announce();
                self.wait_a_while(seen)
            }
        }
    }

    /// How many ranges the reclaimer keeps parked.
    fn parked_target(&self) -> u32 {
        let total = self.ranges.lock().counts().total;
        (total / PARKED_SHARE).min(PARKED_MOST)
    }

    /// Has the reclaimer park ranges if few are left.
    fn park_some(self: &Arc<Self>) {
        let counts = self.ranges.lock().counts();
        if counts.parked < self.parked_target().div_ceil(2) {
            let _ = self
                .registry
                .work()
                .enqueue::<Arc<Self>, RECLAIMER>(self.clone());
        }
    }
}

impl WorkItem<RECLAIMER> for Dax {
    type Pointer = Arc<Dax>;

    fn run(this: Arc<Dax>) {
        let target = this.parked_target();
        this.mounted.with(|sb| {
            while this.ranges.lock().counts().parked < target {
                let Some(victim) = this.close_victim(sb) else {
                    break;
                };
                let parked = this.ranges.lock().park(victim.token);
                if parked != Err(Refused::Tainted) {
                    this.stats.parked.add(1);
                }
                this.change();
            }
        });
    }
}
