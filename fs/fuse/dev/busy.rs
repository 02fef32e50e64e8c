// SPDX-License-Identifier: GPL-2.0

//! Inodes that requests on their way name, and the FORGETs that wait for the end of these: a server that forgot an inode does not
//! expect to be asked to release a file of it.
//!
//! Each such inode has a record, found by its id. The records come from a stock that is filled before the lock is taken, as
//! no memory can be had under it. Plain data, used under the channel's lock.

use crate::{
    chan::{forget::ForgetList, hang, ForgetNode},
    proto::ids::NodeId,
};
use kernel::prelude::*;

/// Lists that records are found by.
const BUCKETS: usize = 256;
/// Records that one request may need: for two inodes.
const NEEDED: usize = 2;
/// Records that are kept for the next ones.
const STOCK: usize = 64;

/// An inode that requests name.
struct Record {
    next: Option<KBox<Record>>,
    nodeid: NodeId,
    requests: usize,
    held: ForgetList,
}

/// A record that is in no list.
pub(super) struct Spare(KBox<Record>);

impl Spare {
    /// Takes memory for one.
    pub(super) fn new() -> Result<Self> {
        let record = Record {
            next: None,
            nodeid: NodeId::NONE,
            requests: 0,
            held: ForgetList::default(),
        };
        Ok(Self(KBox::new(record, GFP_KERNEL)?))
    }
}

/// The inodes that requests name.
pub(super) struct Busy {
    buckets: KVec<Option<KBox<Record>>>,
    stock: Option<KBox<Record>>,
    in_stock: usize,
}

/// Finds a record in a list; the result is where it hangs, or the end.
fn find(mut at: &mut Option<KBox<Record>>, nodeid: NodeId) -> &mut Option<KBox<Record>> {
    while at.as_ref().is_some_and(|record| record.nodeid != nodeid) {
        match at {
            Some(record) => at = &mut record.next,
            None => break,
        }
    }
    at
}

impl Busy {
    pub(super) fn new() -> Result<Self> {
        let mut buckets = KVec::with_capacity(BUCKETS, GFP_KERNEL)?;
        for _ in 0..BUCKETS {
            buckets.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            buckets,
            stock: None,
            in_stock: 0,
        })
    }

    fn at(&mut self, nodeid: NodeId) -> Option<&mut Option<KBox<Record>>> {
        let id = nodeid.get();
        let bucket = (id ^ id >> 8 ^ id >> 32) as usize % BUCKETS;
        Some(find(self.buckets.get_mut(bucket)?, nodeid))
    }

    /// Whether there may be too few records for another request.
    pub(super) fn is_short(&self) -> bool {
        self.in_stock < NEEDED
    }

    /// Adds a record to the stock.
    pub(super) fn add(&mut self, Spare(mut record): Spare) {
        hang(&mut record.next, self.stock.take());
        hang(&mut self.stock, Some(record));
        self.in_stock += 1;
    }

    /// A request that names the inode begins.
    pub(super) fn begin(&mut self, nodeid: NodeId) {
        if let Some(Some(record)) = self.at(nodeid) {
            record.requests += 1;
            return;
        }
        let Some(mut record) = self.stock.take() else {
            return;
        };
        hang(&mut self.stock, record.next.take());
        self.in_stock -= 1;
        record.nodeid = nodeid;
        record.requests = 1;
        if let Some(end) = self.at(nodeid) {
            hang(end, Some(record));
        }
    }

    /// A request that names the inode ends. Gives the FORGETs that have waited for that, into `ready`.
    pub(super) fn end(&mut self, nodeid: NodeId, ready: &mut ForgetList) {
        let Some(at) = self.at(nodeid) else {
            return;
        };
        let Some(record) = at else {
            return;
        };
        record.requests = record.requests.saturating_sub(1);
        if record.requests > 0 {
            return;
        }
        while let Some(forget) = record.held.pop() {
            ready.push(forget);
        }
        if let Some(mut record) = at.take() {
            hang(at, record.next.take());
            if self.in_stock < STOCK {
                self.add(Spare(record));
            }
        }
    }

    /// Keeps a FORGET until no request names its inode. Gives back one that need not wait.
    pub(super) fn hold(&mut self, forget: KBox<ForgetNode>) -> Option<KBox<ForgetNode>> {
        match self.at(forget.one.nodeid) {
            Some(Some(record)) => {
                record.held.push(forget);
                None
            }
            _ => Some(forget),
        }
    }

    /// Moves every FORGET that waits into `ready`.
    pub(super) fn take_held(&mut self, ready: &mut ForgetList) {
        for bucket in &mut self.buckets {
            let mut at = bucket.as_deref_mut();
            while let Some(record) = at {
                while let Some(forget) = record.held.pop() {
                    ready.push(forget);
                }
                at = record.next.as_deref_mut();
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // One by one: a long list must not be dropped by recursion.
        for list in Iterator::chain(self.buckets.iter_mut(), [&mut self.stock]) {
            while let Some(mut record) = list.take() {
                *list = record.next.take();
            }
        }
    }
}
