// SPDX-License-Identifier: GPL-2.0

//! The backing files that a server has named, by the ids that it was told.
//!
//! An id lives from one ioctl of `/dev/fuse` to the other; files that were opened with it go on with what it stood for.
//! Locks: a spinlock "fuse backing files" around the table; nothing is opened, closed or allocated in it.

use crate::{
    proto::device::BackingMap,
    vfs::backing::{may_back, Backing},
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, SpinLock,
    },
};

/// How deep file systems can be stacked (`FILESYSTEM_MAX_STACK_DEPTH`).
const DEEPEST: u32 = 2;

struct Table {
    by_id: RBTree<i32, Arc<Backing>>,
    /// Where the next search for an unused id begins, so that an id does not come back soon.
    next: i32,
}

impl Table {
    fn add(
        &mut self,
        node: RBTreeNodeReservation<i32, Arc<Backing>>,
        backing: Arc<Backing>,
    ) -> i32 {
        let mut id = self.next;
        while self.by_id.get(&id).is_some() {
            id = after(id);
        }
        self.next = after(id);
        self.by_id.insert(node.into_node(id, backing));
        id
    }
}

fn after(id: i32) -> i32 {
    id.checked_add(1).unwrap_or(1)
}

/// The backing files of a connection.
#[pin_data]
pub(crate) struct Backings {
    #[pin]
    table: SpinLock<Table>,
    /// How deep the mount may be stacked; 0 where passthrough was not agreed on.
    depth: Atomic<u32>,
}

impl Backings {
    /// There are none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                table <- new_spinlock!(Table { by_id: RBTree::new(), next: 1 }, "fuse backing files"),
                depth: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// The server has agreed on passthrough, for a mount that is stacked so deep. False where that cannot be.
    pub(crate) fn agree(&self, depth: u32) -> bool {
        let possible = (1..=DEEPEST).contains(&depth);
        if possible {
            self.depth.store(depth, Relaxed);
        }
        possible
    }

    /// How deep the mount may be stacked.
    ///
    /// # Errors
    ///
    /// `EPERM` where passthrough was not agreed on, and for those who are not trusted with every file that they can open.
    fn allowed(&self) -> Result<u32> {
        match self.depth.load(Relaxed) {
            depth if depth > 0 && may_back() => Ok(depth),
            _ => Err(EPERM),
        }
    }

    /// Gives an id to a file of the server.
    ///
    /// # Errors
    ///
    /// `EPERM`; `EINVAL` for flags and what is no file; `EBADF`; `EISDIR`; `ELOOP` for a file system that is stacked too
    /// deep; `ENOMEM`.
    pub(crate) fn open(&self, map: &BackingMap) -> Result<i32> {
        let depth = self.allowed()?;
        if map.flags != 0 || map.padding != 0 {
            return Err(EINVAL);
        }
        let fd = u32::try_from(map.fd).map_err(|_| EBADF)?;
        let backing = Arc::new(Backing::new(fd, depth)?, GFP_KERNEL)?;
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        Ok(self.table.lock().add(node, backing))
    }

    /// Takes an id back.
    ///
    /// # Errors
    ///
    /// `EPERM`; `EINVAL` for what cannot be one; `ENOENT`.
    pub(crate) fn close(&self, id: i32) -> Result {
        self.allowed()?;
        if id <= 0 {
            return Err(EINVAL);
        }
        let node = self.table.lock().by_id.remove_node(&id);
        node.map(drop).ok_or(ENOENT)
    }

    /// The backing file of an id.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what cannot be one; `ENOENT`.
    pub(crate) fn get(&self, id: i32) -> Result<Arc<Backing>> {
        if id <= 0 {
            return Err(EINVAL);
        }
        self.table.lock().by_id.get(&id).cloned().ok_or(ENOENT)
    }

    /// Takes all ids back: the mount is gone.
    pub(crate) fn end(&self) {
        self.depth.store(0, Relaxed);
        let all = core::mem::replace(&mut self.table.lock().by_id, RBTree::new());
        drop(all);
    }
}
