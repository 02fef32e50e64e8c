// SPDX-License-Identifier: GPL-2.0

//! Requests on their way, as the queue knows them, and the memory for that. Plain data, used under the channel's lock.

use super::busy::Spare;
use crate::{
    chan::{hang, Linked, Request, Waiter},
    proto::{
        ids::{NodeId, Unique},
        opcode::Opcode,
    },
    vfs::time::Moment,
};
use kernel::{prelude::*, sync::Arc};

/// A request on its way.
pub(super) struct Entry {
    pub(super) next: Option<KBox<Entry>>,
    /// The id as its sender knows it.
    pub(super) unique: Unique,
    /// `None` while it is copied, and when it was taken back.
    pub(super) request: Option<KBox<Request>>,
    /// Who waits, but in an entry of the stock.
    pub(super) waiter: Option<Arc<Waiter>>,
    /// The open file that it was read through.
    pub(super) device: u32,
    /// The inodes that it names. Their FORGETs wait for its end.
    pub(super) nodes: [Option<NodeId>; 2],
    /// When it was sent.
    pub(super) born: Moment,
    /// Its call was given up: only its answer is waited for, to be dropped.
    pub(super) taken_back: bool,
    /// Its sender was killed.
    pub(super) left: bool,
    /// It was sent again, under an id that says so.
    pub(super) resent: bool,
    /// Its sender has got a signal.
    pub(super) signalled: bool,
    /// The server is to be told of the signal: it is counted in `Queue::interrupts`.
    pub(super) to_tell: bool,
}

impl Entry {
    fn empty() -> Self {
        Self {
            next: None,
            unique: Unique::NOTIFICATION,
            request: None,
            waiter: None,
            device: 0,
            nodes: [None; 2],
            born: Moment::NEVER,
            taken_back: false,
            left: false,
            resent: false,
            signalled: false,
            to_tell: false,
        }
    }

    /// Takes a request into an entry that is empty, but for what the last one left in it.
    pub(super) fn fill(&mut self, request: KBox<Request>) {
        // What is not answered has an id of the server's choice, which says nothing here.
        self.unique = if request.is_one_way() {
            Unique::NOTIFICATION
        } else {
            request.unique()
        };
        hang(&mut self.waiter, Some(request.waiter()));
        self.nodes = [Some(request.nodeid()), request.second()];
        // Who waits for a lock waits for other users, however long.
        self.born = if request.opcode() == Opcode::SETLKW {
            Moment::NEVER
        } else {
            Moment::now()
        };
        (self.taken_back, self.left, self.resent) = (false, false, false);
        (self.signalled, self.to_tell) = (false, false);
        hang(&mut self.request, Some(request));
    }

    /// Whether only the server is waited for, and nobody is copying.
    pub(super) fn is_left(&self) -> bool {
        self.taken_back || (self.left && self.request.is_some())
    }

    /// The id as the server knows it.
    pub(super) fn wire(&self) -> Unique {
        if self.resent {
            Unique::new(self.unique.get() | Unique::RESEND)
        } else {
            self.unique
        }
    }
}

impl Linked for Entry {
    fn next(&mut self) -> &mut Option<KBox<Self>> {
        &mut self.next
    }

    fn peek(&self) -> Option<&Self> {
        self.next.as_deref()
    }

    fn unique(&self) -> Unique {
        self.unique
    }
}

/// Memory that the queue may need for one request.
pub(super) struct Supply {
    pub(super) entry: KBox<Entry>,
    pub(super) record: Spare,
}

impl Supply {
    /// Takes it.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            entry: KBox::new(Entry::empty(), GFP_KERNEL)?,
            record: Spare::new()?,
        })
    }
}
