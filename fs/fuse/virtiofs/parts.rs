// SPDX-License-Identifier: GPL-2.0

//! The super blocks of a device, by number: the mount of it and those inside it.
//!
//! Each is there from before it is filled until the last of its inodes is gone, also if the mount that it was inside is gone before.
//! What is found is reached through its [`Mounted`], which knows whether it is in use.
//!
//! Locks: one spinlock, inside nothing, with nothing inside.

use crate::{
    vfs::{Mounted, SuperBlock},
    Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{Arc, SpinLock},
};

/// The super blocks of a device.
#[pin_data]
pub(crate) struct Parts {
    #[pin]
    list: SpinLock<List>,
}

/// # Invariants
///
/// No number is given twice, so one that is not in `parts` names a super block that is gone.
struct List {
    parts: RBTree<u64, Arc<Mounted<Fuse>>>,
    /// The number of the last one; there is none with 0.
    last: u64,
}

impl Parts {
    /// None yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: Numbers are given from 1 on.
        pin_init!(Self {
            list <- new_spinlock!(List { parts: RBTree::new(), last: 0 }, "virtiofs parts"),
        })
    }

    /// Adds one, and says its number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn add(&self, mounted: Arc<Mounted<Fuse>>) -> Result<u64> {
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let mut list = self.list.lock();
        // INVARIANT: 64 bits do not run out.
        list.last += 1;
        let number = list.last;
        list.parts.insert(node.into_node(number, mounted));
        Ok(number)
    }

    /// Takes one off: it has no inodes any more.
    pub(crate) fn remove(&self, number: u64) {
        let mut list = self.list.lock();
        let removed = list.parts.remove_node(&number);
        drop(list);
        drop(removed);
    }

    /// The one with the number, unless it is gone.
    pub(crate) fn find(&self, number: u64) -> Option<Arc<Mounted<Fuse>>> {
        self.list.lock().parts.get(&number).cloned()
    }

    /// Calls `f` for each that is in use. May leave out those that come meanwhile.
    pub(crate) fn for_each(&self, f: impl Fn(&SuperBlock<Fuse>)) {
        let mut next = 0;
        while let Some((number, mounted)) = self.from(next) {
            mounted.with(&f);
            next = number + 1;
        }
    }

    /// The first one from a number on.
    fn from(&self, number: u64) -> Option<(u64, Arc<Mounted<Fuse>>)> {
        let list = self.list.lock();
        let cursor = list.parts.cursor_lower_bound(&number)?;
        let (number, mounted) = cursor.current();
        Some((*number, mounted.clone()))
    }
}
