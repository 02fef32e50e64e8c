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
    pin::Why,
    ranges::{Counts, Found, Mapping, Owner, RangeId, Refused, Take, Unmapping, RANGE_SIZE},
    whose::Missing,
    Dax, RECLAIMER,
};
use crate::{inode::Inode, trace};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc, workqueue::WorkItem};

/// Victims that are looked at before a reclaim gives up for now.
const TRIES: usize = 8;

/// One of so many ranges is kept parked while there is demand; smaller windows have none to spare.
const PARKED_SHARE: u32 = 16;
/// But no more than these.
const PARKED_MOST: u32 = 32;

/// Who may have a range next that was closed.
#[derive(Clone, Copy)]
enum Next {
    /// Whose it was, for as long as nobody else needs it.
    Itself,
    /// Another part or file.
    Another,
}

impl Dax {
    /// Takes the layout of a range that was closed out of page tables, and opens it again where a page is pinned, or where its
    /// file is about to leave memory and may wait for one.
    fn empty(&self, token: Unmapping, was: Owner, next: Next) -> Option<Unmapping> {
        let id = token.id();
        let broken = self.with_file(was, id, |inode| -> Result {
            self.break_layout(inode, was.index, &token)?;
            if let Next::Another = next {
                inode.data().ranges.remove(was.index, id);
            }
            Ok(())
        });
        match broken {
            // One that does not know the range has no layout to break there.
            Ok(Ok(())) | Err(Missing::Gone) => Some(token),
            Ok(Err(_)) | Err(Missing::Leaving) => {
                self.reopen([token].into_iter());
                None
            }
        }
    }

    /// Takes a range that was closed, the part `index` of a file, out of page tables: no more of it than faults have touched.
    ///
    /// # Errors
    ///
    /// When a page is pinned.
    pub(super) fn break_layout(&self, inode: &Inode, index: u64, token: &Unmapping) -> Result {
        let Some((first, end)) = self.spans.touched(token) else {
            return Ok(());
        };
        let start = index * RANGE_SIZE;
        inode.invalidate_lock().try_break_layout(
            start + first * PAGE_SIZE as u64,
            start + end * PAGE_SIZE as u64 - 1,
        )
    }

    /// Has a file forget a range that was closed before.
    fn forget(&self, id: RangeId, was: Owner) {
        // The map of one that leaves memory goes with it, and until then says nothing that the table would believe.
        let _ = self.with_file(was, id, |inode| inode.data().ranges.remove(was.index, id));
    }

    /// Makes what was found ready to be mapped for `owner`; looks for something else where a page is pinned. Also says
    /// whether the host may still have another mapping there.
    ///
    /// # Errors
    ///
    /// [`Why::NoRange`] when nothing can be taken now; the table changes when that may be different, or a page is let go.
    pub(super) fn take_over(
        self: &Arc<Self>,
        owner: Owner,
        take: Take,
        mut found: Found,
    ) -> Result<(Mapping, bool), Why> {
        let mut fruitless = 0;
        loop {
            let (emptied, was) = match found {
                Found::Ready(token) => return Ok((token, false)),
                Found::Closed(token, was) => {
                    self.forget(token.id(), was);
                    (Some(token), was)
                }
                Found::Victim(token, was) => (self.empty(token, was, Next::Another), was),
            };
            if let Some(token) = emptied {
                let to = (owner.file.inode, owner.index);
                trace::dax_take_over(to, (was.file.inode, was.index));
                self.stats.reclaims.add(1);
                return self.hand_over(token, owner);
            }
            fruitless += 1;
            if fruitless == TRIES {
                return Err(Why::NoRange);
            }
            let next = self.ranges.lock().find(owner, take);
            found = next.ok_or(Why::NoRange)?;
        }
    }

    /// Gives the slot of a range that nobody can reach any more to `owner`.
    fn hand_over(self: &Arc<Self>, token: Unmapping, owner: Owner) -> Result<(Mapping, bool), Why> {
        let overlay = !self.no_overlay.get();
        if !overlay {
            self.remove_one(token, true)?;
            let reserved = self.ranges.lock().reserve(owner);
            return Ok((reserved.ok_or(Why::NoRange)?, false));
        }
        let (given, counts) = {
            let mut ranges = self.ranges.lock();
            (ranges.hand_over(token, owner), ranges.counts())
        };
        if counts.parked < parked_target(&counts).div_ceil(2) {
            let _ = self
                .registry
                .work()
                .enqueue::<Arc<Self>, RECLAIMER>(self.clone());
        }
        let given = given.map_err(|_| Why::NoRange)?;
        self.stats.overlays.add(1);
        Ok((given, true))
    }

    /// Gives up a range that can never be written again, because an upgrade of it was lost.
    ///
    /// # Errors
    ///
    /// `EINTR` while others use it.
    pub(super) fn abandon(self: &Arc<Self>, inode: &Inode, index: u64, id: RangeId) -> Result {
        let seen = self.epoch();
        let closed = self.ranges.lock().begin_unmap(id).ok();
        let emptied = closed.and_then(|token| match self.break_layout(inode, index, &token) {
            Ok(()) => Some(token),
            Err(_) => {
                self.reopen([token].into_iter());
                None
            }
        });
        match emptied {
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
}

/// How many ranges the reclaimer keeps parked.
fn parked_target(counts: &Counts) -> u32 {
    (counts.total / PARKED_SHARE).min(PARKED_MOST)
}

impl WorkItem<RECLAIMER> for Dax {
    type Pointer = Arc<Dax>;

    fn run(this: Arc<Dax>) {
        if !this.reclaiming.begin() {
            return;
        }
        let mut fruitless = 0;
        while fruitless < TRIES && this.reclaiming.goes_on() {
            let closed = {
                let mut ranges = this.ranges.lock();
                let counts = ranges.counts();
                if counts.parked >= parked_target(&counts) {
                    break;
                }
                ranges.close_victim()
            };
            let Some((token, was)) = closed else { break };
            let Some(token) = this.empty(token, was, Next::Itself) else {
                fruitless += 1;
                continue;
            };
            let parked = this.ranges.lock().park(token);
            if parked != Err(Refused::Tainted) {
                this.stats.parked.add(1);
            }
            this.change();
        }
        this.reclaiming.rest();
        // The end of the session may wait for this.
        this.changed.wake_all();
    }
}
