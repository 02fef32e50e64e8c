// SPDX-License-Identifier: GPL-2.0

//! Sequential passes: having mapped what comes next, and giving up what lies behind.
//!
//! A pass has as much mapped ahead as it has passed already, without waiting. While the window has room that takes free
//! ranges. In a full window a pass lives on what it has: the ranges behind it are closed and mapped over with what comes
//! next, as many as possible by one request, so a pass takes nothing from others but its first ranges.
//!
//! Takes the spinlock of the table, and the invalidate lock of the file for writing while layouts behind the pass are broken;
//! neither where everything is mapped.

use super::{
    pin::Want,
    policy,
    ranges::{By, RangeId, Unmapping, RANGE_SIZE},
    setup::{to_spare, RUN},
    whose::owner,
    Dax,
};
use crate::{inode::Inode, trace};
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    Arc,
};

/// How an open file is read and written by DAX. Hints only: concurrent accesses may miss each other.
pub(crate) struct Pass {
    /// Where the last access ended.
    end: Atomic<u64>,
    /// Where a range was taken over last for a pass in the middle of a part.
    retaken: Atomic<u64>,
    /// Where it waited last in vain.
    waited: Atomic<u64>,
}

impl Default for Pass {
    fn default() -> Self {
        Self {
            end: Atomic::new(0),
            retaken: Atomic::new(0),
            waited: Atomic::new(0),
        }
    }
}

impl Pass {
    /// Whether an access at `pos` goes on where the last one ended, or begins at the start of the file.
    #[inline]
    pub(super) fn continues_at(&self, pos: u64) -> bool {
        self.end.load(Relaxed) == pos
    }

    /// Notes where an access ended.
    #[inline]
    pub(super) fn ended_at(&self, end: u64) {
        self.end.store(end, Relaxed);
    }

    /// Whether the pass, in the middle of a part that has no range, may have one of something else at once.
    pub(super) fn may_take(&self, pos: u64, size: u64) -> bool {
        let worth = policy::is_worth_a_pass(pos, size, self.retaken.load(Relaxed));
        if worth {
            self.retaken.store(pos, Relaxed);
        }
        worth
    }

    /// Whether the pass may wait for a range that nobody needs.
    pub(super) fn may_wait(&self, pos: u64, size: u64) -> bool {
        policy::is_worth_waiting(pos, size, self.waited.load(Relaxed))
    }

    /// Notes that it did so, in vain.
    pub(super) fn waited_in_vain(&self, pos: u64) {
        self.waited.store(pos, Relaxed);
    }
}

impl Dax {
    /// What a pass that comes to `index` has just left, if anything.
    pub(super) fn just_behind(&self, inode: &Inode, index: u64) -> Option<RangeId> {
        inode.data().ranges.get(index.checked_sub(1)?)
    }

    /// An access reaches the start of a range, in the `want.ranges` from `index` on. Where what lies before is mapped, that
    /// looks like a sequential pass: has as much mapped meanwhile as was passed already.
    pub(super) fn pass_into(self: &Arc<Self>, inode: &Inode, index: u64, want: &Want<'_>) {
        let map = &inode.data().ranges;
        let Some(next) = index.checked_add(want.ranges) else {
            return;
        };
        let end = inode.size().div_ceil(RANGE_SIZE);
        let ahead = map.mapped_from(next, (RUN as u64).min(end.saturating_sub(next)));
        let first = next + ahead;
        if ahead == RUN as u64 || first >= end {
            return;
        }
        let passed = map.mapped_before(index, RUN as u64);
        if passed <= ahead {
            return;
        }
        let left = end - first;
        let counts = self.ranges.lock().counts();
        let spare = to_spare(&counts);
        let want = Want {
            by: By::Ahead,
            ..*want
        };
        if counts.free + counts.left == 0 {
            self.map_over_passed(inode, index, first, ahead.max(1) as usize, left, &want);
        } else if ahead == 0 && spare > 0 {
            let count = passed.min(left).min(spare);
            if let Ok(Some(taken)) = self.take_ranges(inode, first, &want, count) {
                self.send_ahead(inode, first, taken);
            }
        }
    }

    /// Maps the parts from `first` on, of which `left` remain in the file, over what the pass that comes to `index` has behind
    /// it, if that is at least `least` ranges in a row.
    fn map_over_passed(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        first: u64,
        least: usize,
        left: u64,
        want: &Want<'_>,
    ) {
        if self.no_overlay.get() || !self.is_turn(None) {
            return;
        }
        let map = &inode.data().ranges;
        let mut behind = [None; RUN];
        for (back, place) in (1..=index).zip(&mut behind) {
            *place = map.get(index - back);
        }
        let mut closed = [const { None }; RUN];
        let most = RUN.min(left as usize);
        let count = self.ranges.lock().close_passed(
            &behind,
            least.min(most),
            closed.get_mut(..most).unwrap_or_default(),
        );
        if count == 0 {
            return;
        }
        // Nearest first: the last one has the lowest index and the lowest place in the window.
        let empty =
            |(back, token): (u64, &Unmapping)| self.break_layout(inode, index - back, token);
        if (1..)
            .zip(closed.iter().flatten())
            .try_for_each(empty)
            .is_err()
        {
            self.reopen(closed.into_iter().flatten());
            return;
        }
        let nodeid = inode.key();
        for (back, id) in (1..).zip(behind.iter().take(count).flatten()) {
            map.remove(index - back, *id);
            let to = first + count as u64 - back;
            trace::dax_take_over((nodeid, to), (nodeid, index - back));
        }
        let mut run = [const { None }; RUN];
        {
            let mut ranges = self.ranges.lock();
            let tokens = closed.iter_mut().rev().filter_map(Option::take);
            for ((token, place), index) in tokens.zip(&mut run).zip(first..) {
                *place = ranges.hand_over(token, owner(inode, index)).ok();
            }
        }
        self.stats.reclaims.add(count as u64);
        self.stats.overlays.add(count as u64);
        if let Ok(Some(taken)) = self.note_all(inode, first, run, want, true) {
            self.send_ahead(inode, first, taken);
        }
    }

    /// Opens ranges again that could not be closed, as a page is pinned.
    pub(super) fn reopen(&self, tokens: impl Iterator<Item = Unmapping>) {
        self.stats.pinned.add(1);
        let mut ranges = self.ranges.lock();
        for token in tokens {
            let _ = ranges.unmap_cancelled(token);
        }
        drop(ranges);
        // To who wants that range; who wants any has seen that it cannot be had.
        self.settled();
    }
}
