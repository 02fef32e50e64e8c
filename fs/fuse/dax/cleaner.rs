// SPDX-License-Identifier: GPL-2.0

//! Unmapping what inodes left behind: those that leave memory, and the parts behind the end of files that became shorter.
//!
//! Such ranges stand on a list of the table, so nothing here needs memory before it is sent. A work item sends
//! REMOVEMAPPING in batches, several at a time, and waits for none of them. Who needs a range meanwhile maps over one.
//!
//! Takes the spinlock of the table.

use super::{
    ranges::{Counts, RANGE_SIZE},
    removal::Removal,
    Dax, CLEANER,
};
use crate::inode::Inode;
use kernel::{sync::Arc, workqueue::WorkItem};

/// REMOVEMAPPINGs that the cleaner has on their way at most.
const AT_A_TIME: u32 = 4;

impl Dax {
    /// Takes over the ranges of an inode that leaves memory.
    pub(crate) fn evict(self: &Arc<Self>, inode: &Inode) {
        self.leave_from(inode, 0);
    }

    /// Takes over the ranges that lie wholly behind the end of a file that was made shorter.
    pub(crate) fn drop_behind(self: &Arc<Self>, inode: &Inode, size: u64) {
        self.leave_from(inode, size.div_ceil(RANGE_SIZE));
    }

    fn leave_from(self: &Arc<Self>, inode: &Inode, index: u64) {
        let mut any = false;
        while let Some(id) = inode.data().ranges.take_from(index) {
            any |= self.ranges.lock().abandon(id);
        }
        if any {
            // Who waits for a range can map over these.
            self.change();
            self.clean_more();
        }
    }

    /// Has the cleaner look whether there is something to do.
    pub(super) fn clean_more(self: &Arc<Self>) {
        if self.ranges.lock().has_left() {
            let _ = self
                .registry
                .work()
                .enqueue::<Arc<Self>, CLEANER>(self.clone());
        }
    }

    /// Fills a batch with what was left behind.
    fn fill(&self, batch: &mut Removal) {
        let mut ranges = self.ranges.lock();
        while !batch.is_full() {
            let Some(token) = ranges.take_left() else {
                return;
            };
            let _ = batch.push(token);
        }
    }

    /// Waits until every range that inodes left behind is unmapped and none is being mapped, then lets nothing be sent any
    /// more. A fatal signal ends the wait: the end of the session unmaps the rest.
    pub(crate) fn finish(self: &Arc<Self>) {
        self.clean_more();
        let _ = self.changed.wait_killable(|| {
            let ranges = self.ranges.lock();
            let counts = ranges.counts();
            // A mapping that was asked for ahead must not reach the server after the end of the session.
            let done = !ranges.has_left() && counts.mapping == 0 && counts.unmapping == 0;
            drop(ranges);
            let done = done && self.removals() == 0;
            (done && self.reclaiming.try_end() && self.cleaning.try_end()).then_some(())
        });
        self.reclaiming.end();
        self.cleaning.end();
        self.stats.set_ranges(&Counts::default());
    }
}

impl WorkItem<CLEANER> for Dax {
    type Pointer = Arc<Dax>;

    fn run(this: Arc<Dax>) {
        if !this.cleaning.begin() {
            return;
        }
        // The answer to the last one starts this again where there is more.
        while this.removals() < AT_A_TIME && this.cleaning.goes_on() {
            let Ok(mut batch) = Removal::new(&this) else {
                break;
            };
            this.fill(&mut batch);
            let full = batch.is_full();
            let _ = batch.send(false);
            if !full {
                break;
            }
        }
        this.cleaning.rest();
        this.change();
    }
}
