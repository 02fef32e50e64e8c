// SPDX-License-Identifier: GPL-2.0

//! Unmapping what inodes left behind: those that leave memory, and the parts behind the end of files that became shorter.
//!
//! A work item sends REMOVEMAPPING in batches, several at a time, and waits for none of them.
//!
//! Takes the spinlocks of the left-over maps and of the table, one at a time.

use super::{
    map::Tree,
    ranges::{Counts, RangeId, RANGE_SIZE},
    removal::Removal,
    Dax, CLEANER,
};
use crate::inode::Inode;
use kernel::{prelude::*, sync::Arc, workqueue::WorkItem};

/// REMOVEMAPPINGs that the cleaner has on their way at most.
const AT_A_TIME: u32 = 4;

/// Maps that inodes left behind, and whether they are being cleaned up.
#[derive(Default)]
pub(super) struct Stale {
    head: Option<KBox<Tree>>,
    working: bool,
    /// The mount has ended: nothing may be sent any more.
    ended: bool,
}

impl Dax {
    /// Takes over the ranges of an inode that leaves memory.
    pub(crate) fn evict(self: &Arc<Self>, inode: &Inode) {
        if let Some(tree) = inode.data().ranges.take() {
            self.unmap_later(tree);
        }
    }

    /// Takes over the ranges that lie wholly behind the end of a file that was made shorter.
    pub(crate) fn drop_behind(self: &Arc<Self>, inode: &Inode, size: u64) {
        // Without memory they stay where they are, and are reclaimed like others.
        if let Ok(room) = Tree::new() {
            let tree = inode
                .data()
                .ranges
                .take_from(size.div_ceil(RANGE_SIZE), room);
            if !tree.ranges.is_empty() {
                self.unmap_later(tree);
            }
        }
    }

    fn unmap_later(self: &Arc<Self>, mut tree: KBox<Tree>) {
        let mut stale = self.stale.lock();
        tree.next = stale.head.take();
        stale.head = Some(tree);
        drop(stale);
        self.clean_more();
    }

    /// Has the cleaner look whether there is something to do.
    pub(super) fn clean_more(self: &Arc<Self>) {
        if self.stale.lock().head.is_some() {
            let _ = self
                .registry
                .work()
                .enqueue::<Arc<Self>, CLEANER>(self.clone());
        }
    }

    /// Takes the next range that was left behind.
    fn next_stale(&self) -> Option<RangeId> {
        loop {
            let mut stale = self.stale.lock();
            if stale.ended {
                return None;
            }
            let tree = stale.head.as_mut()?;
            if let Some(first) = tree.ranges.cursor_front_mut() {
                let (_, node) = first.remove_current();
                drop(stale);
                return Some(node.to_key_value().1);
            }
            let mut empty = stale.head.take();
            stale.head = empty.as_mut().and_then(|tree| tree.next.take());
            drop(stale);
            drop(empty);
        }
    }

    /// Fills a batch with what was left behind.
    fn fill(&self, batch: &mut Removal) {
        while !batch.is_full() {
            let Some(id) = self.next_stale() else { return };
            let begun = self.ranges.lock().begin_unmap(id);
            if let Ok(token) = begun {
                let _ = batch.push(token);
            }
        }
    }

    /// Waits until every range that inodes left behind is unmapped and none is being mapped, then lets nothing be sent any
    /// more. A fatal signal ends the wait: the end of the session unmaps the rest.
    pub(crate) fn finish(&self) {
        let _ = self.changed.wait_killable(|| {
            let counts = self.ranges.lock().counts();
            let stale = self.stale.lock();
            let idle = stale.head.is_none() && !stale.working && self.removals() == 0;
            // A mapping that was asked for ahead must not reach the server after the end of the session.
            (idle && counts.mapping == 0 && counts.unmapping == 0).then_some(())
        });
        self.stale.lock().ended = true;
        self.stats.set_ranges(&Counts::default());
    }
}

impl WorkItem<CLEANER> for Dax {
    type Pointer = Arc<Dax>;

    fn run(this: Arc<Dax>) {
        this.stale.lock().working = true;
        // The answer to the last one starts this again where there is more.
        while this.removals() < AT_A_TIME {
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
        this.stale.lock().working = false;
        this.change();
    }
}
