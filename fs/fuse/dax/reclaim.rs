// SPDX-License-Identifier: GPL-2.0

//! Taking ranges back: from inodes that left memory, and one by one from files that use them least.
//!
//! Locks: the victim's invalidate lock for writing while its layout is broken; nothing while the server is asked.

use super::{
    map::Tree,
    ranges::{Counts, Unmapping, RANGE_SIZE},
    Dax,
};
use crate::{
    chan,
    ops::dax::{Removemapping, REMOVE_BATCH},
    proto::dax::RemovemappingOne,
    vfs::{cred::Caller, SuperBlock},
    Fuse,
};
use kernel::{prelude::*, sync::Arc, workqueue::WorkItem};

/// Victims that are looked at before a reclaim gives up for now.
const TRIES: usize = 8;

/// Maps of inodes that left memory, and whether they are being cleaned up.
#[derive(Default)]
pub(super) struct Stale {
    head: Option<KBox<Tree>>,
    working: bool,
    /// The mount has ended: nothing may be sent any more.
    ended: bool,
}

/// Ranges on their way out of the window, sent together.
struct Batch<'a> {
    dax: &'a Dax,
    tokens: [Option<Unmapping>; REMOVE_BATCH],
    len: usize,
}

impl<'a> Batch<'a> {
    fn new(dax: &'a Dax) -> Self {
        Self {
            dax,
            tokens: [const { None }; REMOVE_BATCH],
            len: 0,
        }
    }

    /// Adds one, sending the others first when there is no room.
    fn push(&mut self, token: Unmapping) {
        if self.len == REMOVE_BATCH {
            let _ = self.send();
        }
        if let Some(slot) = self.tokens.get_mut(self.len) {
            *slot = Some(token);
            self.len += 1;
        }
    }

    /// Sends REMOVEMAPPING and notes how it ended.
    fn send(&mut self) -> Result {
        if self.len == 0 {
            return Ok(());
        }
        let mut parts = [RemovemappingOne::default(); REMOVE_BATCH];
        {
            let ranges = self.dax.ranges.lock();
            for (part, token) in parts.iter_mut().zip(self.tokens.iter().flatten()) {
                part.moffset = ranges.offset(token.id());
                part.len = RANGE_SIZE;
            }
        }
        let sent = chan::call(
            &*self.dax.transport,
            Caller::default(),
            &Removemapping(parts.get(..self.len).unwrap_or(&[])),
        );
        let mut ranges = self.dax.ranges.lock();
        for token in self.tokens.iter_mut().filter_map(Option::take) {
            let _ = match &sent {
                Ok(()) => {
                    self.dax.stats().unmaps.add(1);
                    ranges.unmapped(token).map(drop)
                }
                Err(_) => ranges.unmap_failed(token),
            };
        }
        drop(ranges);
        self.len = 0;
        self.dax.change();
        Ok(sent?)
    }
}

impl Dax {
    /// The window.
    pub(super) fn window(&self) -> &Arc<crate::dax_core::device::Window> {
        &self.window
    }

    /// Takes over the ranges of an inode that leaves memory; they are unmapped later, in batches.
    pub(crate) fn evict(self: &Arc<Self>, inode: &crate::inode::Inode) {
        if let Some(tree) = inode.data().ranges.take() {
            self.unmap_later(tree);
        }
    }

    /// Takes over the ranges that lie wholly behind the end of a file that was made shorter.
    pub(crate) fn drop_behind(self: &Arc<Self>, inode: &crate::inode::Inode, size: u64) {
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
        let _ = self.registry.work().enqueue(self.clone());
    }

    /// Waits until every range that inodes left behind is unmapped and none is being mapped, then lets nothing be sent any
    /// more. A fatal signal ends the wait: the end of the session unmaps the rest.
    pub(crate) fn finish(&self) {
        let _ = self.changed.wait_killable(|| {
            let counts = self.ranges.lock().counts();
            let stale = self.stale.lock();
            let idle = stale.head.is_none() && !stale.working;
            // A mapping that was asked for ahead must not reach the server after the end of the session.
            (idle && counts.mapping == 0).then_some(())
        });
        self.stale.lock().ended = true;
        self.stats.set_ranges(&Counts::default());
    }

    /// The window is full and a part of a file was missed: takes a range from something else if the part is worth it. False
    /// when the data should go by READ or WRITE instead.
    pub(super) fn make_room(&self, inode: &crate::inode::Inode, index: u64) -> bool {
        let worth_it = self.heat.lock().miss(inode.key(), index);
        let room = worth_it && self.reclaim_one(inode.sb()) == Ok(true);
        if room {
            self.heat.lock().mapped(inode.key(), index);
        } else {
            self.stats().fallbacks.add(1);
        }
        room
    }

    /// What happened so far.
    pub(super) fn stats(&self) -> &super::stats::Stats {
        &self.stats
    }

    /// Takes a range from a file. False when nothing can be taken now; the table changes when that may be different.
    ///
    /// # Errors
    ///
    /// What REMOVEMAPPING failed with.
    pub(super) fn reclaim_one(&self, sb: &SuperBlock<Fuse>) -> Result<bool> {
        for _ in 0..TRIES {
            let victim = self.ranges.lock().pick_victim();
            let Some((id, owner)) = victim else {
                return Ok(false);
            };
            // The search waits for an inode that is leaving memory. One that is not there has no layout to break.
            let inode = sb.find_inode(owner.inode);
            let begun = self.ranges.lock().begin_unmap(id);
            let Ok(token) = begun else {
                continue;
            };
            if let Some(inode) = &inode {
                let start = owner.index * RANGE_SIZE;
                let broken = inode
                    .invalidate_lock()
                    .try_break_layout(start, start + RANGE_SIZE - 1);
                if broken.is_err() {
                    // A page is pinned.
                    let _ = self.ranges.lock().unmap_cancelled(token);
                    self.change();
                    continue;
                }
            }
            let mut batch = Batch::new(self);
            batch.push(token);
            let sent = batch.send();
            if let Some(inode) = &inode {
                inode.data().ranges.remove(owner.index, id);
            }
            sent?;
            self.stats().reclaims.add(1);
            return Ok(true);
        }
        Ok(false)
    }

    /// The next map to clean up.
    fn next_stale(&self) -> Option<KBox<Tree>> {
        let mut stale = self.stale.lock();
        if stale.ended {
            return None;
        }
        let mut tree = stale.head.take()?;
        stale.head = tree.next.take();
        Some(tree)
    }
}

impl WorkItem for Dax {
    type Pointer = Arc<Dax>;

    fn run(this: Arc<Dax>) {
        this.stale.lock().working = true;
        let mut batch = Batch::new(&this);
        while let Some(tree) = this.next_stale() {
            for id in tree.ranges.values() {
                let begun = this.ranges.lock().begin_unmap(*id);
                if let Ok(token) = begun {
                    batch.push(token);
                }
            }
        }
        let _ = batch.send();
        this.stale.lock().working = false;
        this.change();
    }
}
