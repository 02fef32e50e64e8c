// SPDX-License-Identifier: GPL-2.0

//! Asking the server to map: for somebody who waits, and ahead of a sequential pass.
//!
//! The request owns the range that it is about, so the range ends up in the right state whoever is still there when the
//! answer comes: a task that is killed while it waits loses nothing, and the mapping is there for the next.
//!
//! Takes the spinlocks of map and table one at a time; holds none of them while the server is asked.

use super::{
    pin::{Want, Why},
    ranges::{By, Counts, Found, Mapping, Mode, RangeId, Upgrading, RANGE_SIZE},
    whose::owner,
    Dax,
};
use crate::{
    chan::{self, Failed},
    errno,
    inode::Inode,
    ops::dax::Setupmapping,
    proto::{
        dax::SetupmappingIn,
        flags::SetupmappingFlags,
        ids::{Fh, NodeId},
    },
    trace,
    vfs::cred::Caller,
};
use kernel::{prelude::*, sync::Arc};

/// Ranges that one SETUPMAPPING maps at most: 16 MiB.
pub(super) const RUN: usize = 8;

/// What a SETUPMAPPING does to a range.
enum Step {
    /// It is mapped for the first time.
    Map(Mapping),
    /// It becomes writable.
    Upgrade(Upgrading),
}

/// A SETUPMAPPING for adjacent ranges, about to be sent or on its way.
struct Setup {
    dax: Arc<Dax>,
    mode: Mode,
    by: By,
    /// The host may still have another mapping there.
    over: bool,
    steps: [Option<Step>; RUN],
}

impl Setup {
    fn new(dax: &Arc<Dax>, writable: bool, by: By) -> Self {
        let mode = if writable {
            Mode::ReadWrite
        } else {
            Mode::ReadOnly
        };
        Self {
            dax: dax.clone(),
            mode,
            by,
            over: false,
            steps: [const { None }; RUN],
        }
    }

    /// Notes how it ended. Returns whether something is left for the cleaner.
    fn settle(&mut self, result: Result<(), &Failed>) -> bool {
        let mut ranges = self.dax.ranges.lock();
        for step in self.steps.iter_mut().map_while(Option::take) {
            // Refused is only what nobody wants any more.
            let _ = match (step, result) {
                (Step::Map(token), Ok(())) => {
                    self.dax.stats.maps.add(1);
                    ranges.mapped(token, self.mode, self.by).map(drop)
                }
                (Step::Map(token), Err(failed)) if failed.known => ranges.release(token),
                (Step::Map(token), Err(_)) => ranges.retire_mapping(token),
                (Step::Upgrade(token), Ok(())) => {
                    self.dax.stats.upgrades.add(1);
                    ranges.upgraded(token)
                }
                (Step::Upgrade(token), Err(failed)) if failed.known => ranges.upgrade_failed(token),
                (Step::Upgrade(token), Err(_)) => ranges.retire_upgrade(token),
            };
        }
        ranges.has_left()
    }
}

impl chan::Owner for Setup {
    fn answered(&mut self, result: Result<(), &Failed>, awaited: bool) {
        let count = self.steps.iter().flatten().count();
        trace::dax_setup_done(count as u32, result.map_err(|failed| failed.error));
        let left = self.settle(result);
        if result.is_ok() {
            self.dax.stats.setups.add(1);
        }
        if result.is_ok() && awaited {
            // Who asked for it uses it now; the end of that use wakes who is first in line.
            self.dax.publish();
            self.dax.settled();
        } else {
            self.dax.change();
        }
        if let Err(failed) = result {
            // A server of that kind has to be told to unmap first: once this is known, the next try does.
            let refuses = [EBUSY, EEXIST, EINVAL, errno::eopnotsupp()];
            if self.over && failed.known && refuses.contains(&failed.error) {
                self.dax.no_overlay.set();
            }
        }
        if left {
            // What was to be replaced, or what nobody wants any more. Whoever tries again maps over it, or waits for this.
            self.dax.clean_more();
        }
    }
}

/// Adjacent ranges that were taken for adjacent parts of a file, and are about to be mapped.
pub(super) struct Taken {
    setup: Setup,
    first: RangeId,
    count: usize,
}

/// How many ranges may be taken beyond the one that is needed: none where the window gets full.
pub(super) fn to_spare(counts: &Counts) -> u64 {
    counts.free.saturating_sub(counts.total / 4 + 1).into()
}

impl Dax {
    /// Takes up to `count` free ranges for the parts from `index` on, or one that was something else's if `want` says so;
    /// `None` when somebody else has done so.
    pub(super) fn take_ranges(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        want: &Want<'_>,
        count: u64,
    ) -> Result<Option<Taken>, Why> {
        let may_take = self.is_turn(want.place)
            || want.single && want.place.is_none() && self.turns.overtake();
        if !may_take {
            return Err(Why::NoRange);
        }
        let owner = |index| owner(inode, index);
        let mut run = [const { None }; RUN];
        let mut ranges = self.ranges.lock();
        let over = match ranges.find(owner(index), want.take) {
            Some(Found::Ready(first)) => {
                let more = RUN.min(count as usize) - 1;
                ranges.reserve_run(first, (index + 1..).take(more).map(owner), &mut run);
                drop(ranges);
                false
            }
            Some(found) => {
                drop(ranges);
                let (token, over) = self.take_over(owner(index), want.take, found)?;
                run[0] = Some(token);
                over
            }
            None => return Err(Why::NoRange),
        };
        if let (true, Some(place)) = (want.single, want.place) {
            // The next one need not wait until the range is mapped.
            place.leave();
        }
        Ok(self.note_all(inode, index, run, want, over)?)
    }

    /// Notes in the map that the parts from `index` on will be in the ranges of `run`, as far as they have none yet.
    pub(super) fn note_all(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        mut run: [Option<Mapping>; RUN],
        want: &Want<'_>,
        over: bool,
    ) -> Result<Option<Taken>> {
        let mut taken = Taken {
            setup: Setup::new(self, want.write || want.may_write, want.by),
            first: RangeId::from_number(0),
            count: 0,
        };
        taken.setup.over = over;
        let noted = self.note(inode, index, &mut run, &mut taken);
        self.give_back(&mut run);
        noted?;
        Ok((taken.count > 0).then_some(taken))
    }

    /// Notes in the map which parts the ranges of `run` are for, as far as these have none.
    fn note(
        &self,
        inode: &Inode,
        index: u64,
        run: &mut [Option<Mapping>; RUN],
        taken: &mut Taken,
    ) -> Result {
        for (i, (place, step)) in run.iter_mut().zip(&mut taken.setup.steps).enumerate() {
            let Some(id) = place.as_ref().map(Mapping::id) else {
                break;
            };
            // From here on faults may find it.
            self.spans.forget(id);
            match inode.data().ranges.insert(index + i as u64, id) {
                Ok(true) => *step = place.take().map(Step::Map),
                Err(e) if i == 0 => return Err(e),
                _ => break,
            }
            if i == 0 {
                taken.first = id;
            }
            taken.count += 1;
        }
        Ok(())
    }

    /// Gives back ranges that were not needed.
    fn give_back(self: &Arc<Self>, run: &mut [Option<Mapping>; RUN]) {
        let mut ranges = self.ranges.lock();
        let mut any = false;
        for token in run.iter_mut().filter_map(Option::take) {
            let _ = ranges.release(token);
            any = true;
        }
        drop(ranges);
        if any {
            self.change();
            self.clean_more();
        }
    }

    /// Maps `index`, and what follows it as far as it is wanted and there is plenty of room, and waits for it, unless
    /// somebody else is doing it.
    pub(super) fn map_new(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        want: &Want<'_>,
    ) -> Result<(), Why> {
        let count = if want.ranges > 1 {
            let counts = self.ranges.lock().counts();
            want.ranges.min(to_spare(&counts) + 1)
        } else {
            1
        };
        let Some(taken) = self.take_ranges(inode, index, want, count)? else {
            return Ok(());
        };
        let (first, over) = (taken.first, taken.setup.over);
        let sent = self.send(inode, index, taken, true);
        let Err(failed) = sent else { return Ok(()) };
        inode.data().ranges.remove(index, first);
        if over && failed.known && self.no_overlay.get() {
            // The next try has it unmapped first.
            return Ok(());
        }
        Err(Why::Failed(failed.error))
    }

    /// Has ranges mapped without waiting for it.
    pub(super) fn send_ahead(self: &Arc<Self>, inode: &Inode, index: u64, taken: Taken) {
        self.stats.ahead.add(taken.count as u64);
        // What fails here will be met, and told, by who touches the range.
        let _ = self.send(inode, index, taken, false);
    }

    /// Makes a mapping writable, unless somebody else is doing it.
    pub(super) fn upgrade(self: &Arc<Self>, inode: &Inode, index: u64, id: RangeId) -> Result {
        let begun = self.ranges.lock().begin_upgrade(id);
        let Ok(token) = begun else {
            // It is on its way, done, or gone: the caller looks again.
            return Ok(());
        };
        let mut setup = Setup::new(self, true, By::Access);
        if let Some(first) = setup.steps.first_mut() {
            *first = Some(Step::Upgrade(token));
        }
        let taken = Taken {
            setup,
            first: id,
            count: 1,
        };
        Ok(self.send(inode, index, taken, true)?)
    }

    /// Sends SETUPMAPPING for whole ranges.
    fn send(
        self: &Arc<Self>,
        inode: &Inode,
        index: u64,
        taken: Taken,
        wait: bool,
    ) -> Result<(), Failed> {
        let mut setup = taken.setup;
        let flags = match setup.mode {
            Mode::ReadOnly => SetupmappingFlags::READ,
            Mode::ReadWrite => SetupmappingFlags::READ | SetupmappingFlags::WRITE,
        };
        let op = Setupmapping {
            nodeid: NodeId::new(inode.key()),
            arg: SetupmappingIn {
                fh: Fh::NONE,
                foffset: index * RANGE_SIZE,
                len: taken.count as u64 * RANGE_SIZE,
                flags,
                moffset: taken.first.offset(),
            },
        };
        trace::dax_setup(&trace::Setup {
            nodeid: inode.key(),
            index,
            count: taken.count as u32,
            moffset: op.arg.moffset,
            write: setup.mode == Mode::ReadWrite,
            ahead: !wait,
        });
        let who = Caller::current(inode.sb());
        let boxed = match KBox::<Setup>::new_uninit(GFP_KERNEL) {
            Ok(room) => room.write(setup),
            Err(_) => {
                let failed = Failed {
                    error: ENOMEM,
                    known: true,
                };
                chan::Owner::answered(&mut setup, Err(&failed), true);
                return Err(failed);
            }
        };
        chan::call_owned(&*self.transport, who, &op, boxed, wait)
    }
}
