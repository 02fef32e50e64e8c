// SPDX-License-Identifier: GPL-2.0

//! Which range each part of an inode is in. Costs a lock until the first part is mapped.
//!
//! Locks: one spinlock, inside nothing, with nothing inside.

use super::ranges::RangeId;
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::SpinLock,
};

/// The ranges of an inode, by index: the offset in the file in units of 2 MiB.
pub(crate) struct Tree {
    /// The next of the trees that wait to be cleaned up.
    pub(super) next: Option<KBox<Tree>>,
    pub(super) ranges: RBTree<u64, RangeId>,
}

impl Tree {
    pub(super) fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                next: None,
                ranges: RBTree::new(),
            },
            GFP_KERNEL,
        )?)
    }
}

/// The map of one inode.
#[pin_data]
pub(crate) struct Map {
    #[pin]
    tree: SpinLock<Option<KBox<Tree>>>,
}

/// Memory for one more entry.
pub(super) struct Room {
    tree: Option<KBox<Tree>>,
    node: RBTreeNodeReservation<u64, RangeId>,
}

impl Map {
    /// An empty map.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            tree <- new_spinlock!(None, "fuse dax map"),
        })
    }

    /// The range that `index` is in, or is about to be.
    pub(super) fn get(&self, index: u64) -> Option<RangeId> {
        self.tree.lock().as_ref()?.ranges.get(&index).copied()
    }

    /// How many parts in a row, up to `most`, have a range before `index`.
    pub(super) fn mapped_before(&self, index: u64, most: u64) -> u64 {
        let slot = self.tree.lock();
        let Some(tree) = &*slot else { return 0 };
        (1..=most.min(index))
            .take_while(|back| tree.ranges.get(&(index - back)).is_some())
            .count() as u64
    }

    /// Takes memory for an entry.
    pub(super) fn room(&self) -> Result<Room> {
        let missing = self.tree.lock().is_none();
        let tree = if missing { Some(Tree::new()?) } else { None };
        Ok(Room {
            tree,
            node: RBTreeNodeReservation::new(GFP_KERNEL)?,
        })
    }

    /// Notes that `index` will be in `id`. False when it has a range already.
    pub(super) fn insert(&self, room: Room, index: u64, id: RangeId) -> bool {
        let Room { mut tree, node } = room;
        let mut slot = self.tree.lock();
        if slot.is_none() {
            *slot = tree.take();
        }
        match &mut *slot {
            Some(own) if own.ranges.get(&index).is_none() => {
                own.ranges.insert(node.into_node(index, id));
                true
            }
            _ => false,
        }
    }

    /// Forgets that `index` is in `id`, if it still is.
    pub(super) fn remove(&self, index: u64, id: RangeId) {
        let mut slot = self.tree.lock();
        if let Some(tree) = &mut *slot {
            if tree.ranges.get(&index) == Some(&id) {
                tree.ranges.remove(&index);
            }
        }
    }

    /// Takes the parts from `index` on into `into`, which must be empty.
    pub(super) fn take_from(&self, index: u64, mut into: KBox<Tree>) -> KBox<Tree> {
        let mut slot = self.tree.lock();
        let mut cursor = match &mut *slot {
            Some(tree) => tree.ranges.cursor_lower_bound_mut(&index),
            None => None,
        };
        while let Some(at) = cursor {
            let (next, node) = at.remove_current();
            into.ranges.insert(node);
            // Removal leaves the cursor at the next one or, at the end, at the one before.
            cursor = next.filter(|c| *c.current().0 >= index);
        }
        into
    }

    /// Takes everything, when the inode leaves memory.
    pub(super) fn take(&self) -> Option<KBox<Tree>> {
        self.tree.lock().take()
    }
}
