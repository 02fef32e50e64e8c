// SPDX-License-Identifier: GPL-2.0

//! Page faults on DAX mappings.
//!
//! The range is pinned before any lock is taken, so whatever has to wait waits killably and keeps nobody out; with the
//! range pinned, the fault itself cannot wait for the server. Locks: the invalidate lock for reading around the fault.

use super::{
    pin::{Pin, Want, Why},
    ranges::{By, Take, RANGE_SHIFT, RANGE_SIZE},
    whose::owner,
    Dax, PINNED_MOST_MS, PINNED_MS,
};
use crate::{
    attr,
    dax_core::fault::{Fault, Operations, Outcome},
    inode::Inode,
    vfs::inode::fields,
    Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};

impl Operations for Fuse {
    fn fault(inode: &Inode, mut fault: Fault<'_, Self>) -> Outcome {
        match serve(inode, &mut fault) {
            Ok(outcome) => outcome,
            Err(e) if e == ENOMEM => Outcome::OOM,
            // Also for a fatal signal: a system call that touches the page ends with EFAULT, the task itself dies.
            Err(_) => Outcome::SIGBUS,
        }
    }
}

fn serve(inode: &Inode, fault: &mut Fault<'_, Fuse>) -> Result<Outcome> {
    let dax = inode.sb().data().dax().ok_or(EIO)?;
    let pos = fault.touched();
    let index = pos >> RANGE_SHIFT;
    let mut want = Want::new(fault.write(), fault.file().writable());
    let at_start = pos & (RANGE_SIZE - 1) == 0;
    if at_start && (index == 0 || dax.just_behind(inode, index).is_some()) {
        want.by = By::Pass;
    }
    want.single = !inode.data().ranges.follows(pos / PAGE_SIZE as u64) && want.by == By::Access;
    if fault.is_huge() && dax.is_passing_visit(inode, pos) {
        return Ok(Outcome::FALLBACK);
    }
    loop {
        // Beyond the end of the file there is nothing to map; the fault itself says so.
        let _pin = if pos < inode.size() {
            Some(pin_or_reclaim(dax, inode, index, want)?)
        } else {
            None
        };
        if at_start && index > 0 {
            dax.pass_into(inode, index, &want);
        }
        let lock = inode.invalidate_lock_shared_killable()?;
        match fault.handle(&lock) {
            Err(e) if e == EAGAIN => continue,
            Ok(outcome) => {
                drop(lock);
                if fault.write() {
                    // What is stored from now on changes the host's times without a request that would say so.
                    attr::changed(inode, fields::DATA);
                }
                return Ok(outcome);
            }
            Err(e) => return Err(e),
        }
    }
}

impl Dax {
    /// Whether a touch in the middle of a part that has no range, and was not wanted lately, meets a full window. The range
    /// will soon be another's: one page of it is much less work to map and to take away again than all.
    fn is_passing_visit(&self, inode: &Inode, pos: u64) -> bool {
        let index = pos >> RANGE_SHIFT;
        pos & (RANGE_SIZE - 1) >= PAGE_SIZE as u64
            && inode.data().ranges.get(index).is_none()
            && self.ranges.lock().counts().free == 0
            && !self.heat.lock().miss(owner(inode, index))
    }
}

/// Pins the range, taking one from another file or part where none is free. Where nothing can be taken, waits in line.
fn pin_or_reclaim<'a>(
    dax: &'a Arc<Dax>,
    inode: &Inode,
    index: u64,
    want: Want<'_>,
) -> Result<Pin<'a>> {
    let mut place = None;
    let mut pause = PINNED_MS;
    let behind = match want.by {
        By::Access => None,
        By::Pass | By::Ahead => dax.just_behind(inode, index),
    };
    loop {
        let want = Want {
            take: Take::Over { behind },
            place: place.as_ref(),
            ..want
        };
        // What the attempt itself changes, by closing a range with a pinned page and opening it again, is no chance.
        let seen = dax.chances();
        match dax.pin(inode, index, &want) {
            Ok(pin) => return Ok(pin),
            Err(Why::Failed(e)) => return Err(e),
            Err(Why::NoRange) => match &place {
                Some(place) if place.stands() => {
                    pause = match place.wait(pause, seen)? {
                        true => PINNED_MS,
                        // Who waits for long need not look often.
                        false => (2 * pause).min(PINNED_MOST_MS),
                    };
                }
                _ => place = Some(dax.line_up()?),
            },
        }
    }
}
