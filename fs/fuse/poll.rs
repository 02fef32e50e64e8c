// SPDX-License-Identifier: GPL-2.0

//! Waiting for files that the server knows the state of (poll(2) and its kin).
//!
//! Each call asks the server. Somebody who then goes to sleep is woken by a notification, which names the handle that the
//! request had, and asks again. A server without POLL has files that are always ready.
//!
//! Locks: the spinlock "fuse polls" around the table of handles, with nothing inside.

use crate::{
    conn::Conn,
    errno,
    inode::Inode,
    ops::file::Poll,
    proto::{
        file::PollIn,
        flags::PollFlags,
        ids::{NodeId, PollHandle},
    },
    sync::{waitq::new_waitq, WaitQueue},
    vfs::file::{File, PollOperations},
    Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, SpinLock,
    },
};

/// An open file that was polled.
#[pin_data]
pub(crate) struct Polled {
    handle: u64,
    #[pin]
    changed: WaitQueue,
}

/// The files of a connection that somebody waits for or has waited for.
#[pin_data]
pub(crate) struct Polls {
    next: Atomic<u64>,
    #[pin]
    files: SpinLock<RBTree<u64, Arc<Polled>>>,
}

impl Polls {
    /// Nobody waits.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                next: Atomic::new(1),
                files <- new_spinlock!(RBTree::new(), "fuse polls"),
            }),
            GFP_KERNEL,
        )
    }

    fn file(&self) -> Result<Arc<Polled>> {
        Arc::pin_init(
            pin_init!(Polled {
                handle: self.next.fetch_add(1, Relaxed),
                changed <- new_waitq!("fuse poll"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has notifications find the file, until [`Self::forget`].
    fn register(&self, file: &Arc<Polled>) -> Result {
        if self.files.lock().get(&file.handle).is_none() {
            let node = RBTreeNode::new(file.handle, file.clone(), GFP_KERNEL)?;
            let old = self.files.lock().insert(node);
            drop(old);
        }
        Ok(())
    }

    /// The file is closed.
    fn forget(&self, file: &Polled) {
        let node = self.files.lock().remove_node(&file.handle);
        drop(node);
    }

    /// Wakes those who wait for one file. A handle that is unknown is one of a file that was closed.
    pub(crate) fn wake(&self, handle: PollHandle) {
        let file = self.files.lock().get(&handle.get()).cloned();
        if let Some(file) = file {
            file.changed.wake_all();
        }
    }

    /// Wakes all: the session is over.
    pub(crate) fn wake_all(&self) {
        let mut after = 0;
        loop {
            let next = {
                let files = self.files.lock();
                let next = files.cursor_lower_bound(&after);
                next.map(|cursor| cursor.current().1.clone())
            };
            let Some(file) = next else {
                break;
            };
            after = file.handle + 1;
            file.changed.wake_all();
        }
    }
}

/// A file is closed.
pub(crate) fn closed(inode: &Inode, file: Option<&Arc<Polled>>) {
    if let Some(file) = file {
        inode.sb().data().polls.forget(file);
    }
}

impl PollOperations for Fuse {
    fn poll_queue(file: &File<Self>) -> Option<&WaitQueue> {
        let conn: &Conn = file.inode().sb().data();
        if conn.missing.poll.get() {
            return None;
        }
        let place = &file.data().polled;
        if place.as_ref().is_none() {
            // Others may be faster, and without memory nobody can wait.
            place.populate(conn.polls.file().ok()?);
        }
        Some(&place.as_ref()?.changed)
    }

    fn poll(file: &File<Self>, events: u32, waits: bool) -> Result<Option<u32>> {
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        let polled = file.data().polled.as_ref().ok_or(ENOMEM)?;
        let mut flags = PollFlags::empty();
        if waits {
            flags |= PollFlags::SCHEDULE_NOTIFY;
            conn.polls.register(polled)?;
        }
        let op = Poll {
            nodeid: NodeId::new(inode.key()),
            arg: PollIn {
                fh: file.data().handle(),
                kh: PollHandle::new(polled.handle),
                flags,
                events,
            },
        };
        match conn.call(inode.sb(), &op) {
            Ok(out) => Ok(Some(out.revents)),
            Err(e) if e == errno::enosys() => {
                conn.missing.poll.set();
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}
