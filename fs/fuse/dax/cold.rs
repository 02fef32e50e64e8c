// SPDX-License-Identifier: GPL-2.0

//! What a read or write does about a part that has no range, in a full window: takes one that nobody needs any more, waits a
//! little for one, takes one from others, or none, so that the data goes by READ or WRITE.
//!
//! Takes the spinlocks of the line and of the heat, one at a time, and what taking a range takes; none while it waits.

use super::{
    pass::Pass,
    pin::{Pin, Want, Why},
    policy,
    ranges::{By, RangeId, Take, RANGE_SHIFT, RANGE_SIZE},
    whose::owner,
    Dax,
};
use crate::{inode::Inode, vfs::time::Moment};
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    Arc,
};

/// After so many milliseconds a pass that waits looks again which range is not used any more.
const LOOK_MS: u32 = 4;

/// How long a pass waits, as those before it have found out. A hint only: concurrent waits may miss each other.
pub(super) struct Patience(Atomic<u64>);

impl Default for Patience {
    fn default() -> Self {
        Self(Atomic::new(policy::PATIENCE_MS))
    }
}

impl Patience {
    fn is_over(&self, since: Moment) -> bool {
        since.elapsed_ms() >= self.0.load(Relaxed)
    }

    /// Notes how a wait ended.
    fn learn(&self, since: Moment, got: bool) {
        let next = policy::next_patience(self.0.load(Relaxed), since.elapsed_ms(), got);
        self.0.store(next, Relaxed);
    }
}

impl Dax {
    /// Pins the part at `pos`, for which no range is free, if it is worth one: for a sequential pass of an open file (`pass`
    /// is given), or because it is asked for again and again.
    pub(super) fn pin_cold<'a>(
        self: &'a Arc<Self>,
        inode: &Inode,
        pos: u64,
        want: &Want<'_>,
        pass: Option<&Pass>,
    ) -> Result<Pin<'a>, Why> {
        let index = pos >> RANGE_SHIFT;
        let behind = self.just_behind(inode, index);
        // A sequential pass that comes in from a part that has a range will want all of this one.
        let comes_in = pos & (RANGE_SIZE - 1) == 0 && behind.is_some();
        let waits = pass.filter(|pass| pass.may_wait(pos, inode.size()));
        if comes_in || waits.is_some() {
            match self.pin_idle(inode, pos, want, behind, waits) {
                Err(Why::NoRange) => (),
                pinned => return pinned,
            }
        }
        // While somebody is in line nothing can be taken: that is no try, and the next access may.
        let may_take = |pass: &Pass| self.is_turn(None) && pass.may_take(pos, inode.size());
        let taken = if comes_in || pass.is_some_and(may_take) {
            (By::Pass, Take::Over { behind })
        } else if self.heat.lock().miss(owner(inode, index)) {
            (By::Access, Take::Over { behind: None })
        } else {
            return Err(Why::NoRange);
        };
        let pin = self.pin(
            inode,
            index,
            &Want {
                by: taken.0,
                take: taken.1,
                ..*want
            },
        )?;
        self.heat.lock().mapped(owner(inode, index));
        Ok(pin)
    }

    /// Pins the part at `pos` for a pass, in a range that nobody needs any more. Waits a little for that, in line; so passes
    /// that are more than there are ranges take turns, each for a part of its file, instead of taking them from each other. Only
    /// one try without `waits`.
    fn pin_idle<'a>(
        self: &'a Arc<Self>,
        inode: &Inode,
        pos: u64,
        want: &Want<'_>,
        behind: Option<RangeId>,
        waits: Option<&Pass>,
    ) -> Result<Pin<'a>, Why> {
        let since = Moment::now();
        let mut place = None;
        loop {
            let want = Want {
                by: By::Pass,
                take: Take::Idle { behind },
                place: place.as_ref(),
                ..*want
            };
            let seen = self.chances();
            match self.pin(inode, pos >> RANGE_SHIFT, &want) {
                Err(Why::NoRange) => (),
                pinned => {
                    if place.is_some() && pinned.is_ok() {
                        self.patience.learn(since, true);
                    }
                    return pinned;
                }
            }
            let Some(pass) = waits else {
                return Err(Why::NoRange);
            };
            if self.patience.is_over(since) {
                self.patience.learn(since, false);
                pass.waited_in_vain(pos);
                return Err(Why::NoRange);
            }
            match &place {
                Some(place) if place.stands() => {
                    place.wait(LOOK_MS, seen)?;
                }
                _ => {
                    place = self.line_up_patiently().ok();
                    if place.is_none() {
                        return Err(Why::NoRange);
                    }
                    // Who is first may have what this pass is through with.
                    if let Some(behind) = behind.filter(|_| pos & (RANGE_SIZE - 1) == 0) {
                        self.hits.passed(behind);
                        self.wake_first();
                    }
                }
            }
        }
    }
}
