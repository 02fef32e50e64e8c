// SPDX-License-Identifier: GPL-2.0

//! What a server has to do: requests that wait for it to read them, those that it has read, and FORGETs.
//!
//! Every request that is not answered has an [`Entry`] here, from its sender's `submit` to its end. The entry holds the
//! request but while it is copied to or from the server, when the copying task owns it: a server whose memory does not come
//! may take for ever, and nobody waits for it. Plain data, used under the channel's lock.

use super::{
    busy::Busy,
    entry::{Entry, Supply},
};
use crate::{
    chan::{any, find, find_by, forget::ForgetList, hang, Fifo, ForgetNode, Request},
    proto::ids::Unique,
};
use kernel::prelude::*;

/// Lists that requests which were read are found by.
const BUCKETS: usize = 256;
/// FORGETs that go out in a row while requests wait, and requests that go out before the next ones.
const FORGET_RUN: i32 = 16;
const REQUEST_RUN: i32 = 8;
/// Requests that the server has and nobody waits for any more: so many, and then the oldest goes. A server that answers nothing
/// would have the memory of all who were killed.
const LEFT: usize = 1024;
/// Entries that are kept for the next requests.
const STOCK: usize = 64;

/// What the server is to read next.
pub(super) enum Next {
    /// The session is over.
    Over,
    /// INTERRUPT of the request that the server knows by this id.
    Interrupt(Unique),
    /// FORGETs, of which the reader takes what fits.
    Forgets,
    /// A request, of which the entry stays in the queue if it is answered.
    Request(KBox<Request>),
}

/// What a server has to do.
pub(super) struct Queue {
    pub(super) connected: bool,
    /// Open files of the device.
    pub(super) devices: u32,
    pending: Fifo<Entry>,
    read: KVec<Option<KBox<Entry>>>,
    pub(super) forgets: ForgetList,
    /// Entries for the next requests.
    stock: Option<KBox<Entry>>,
    in_stock: usize,
    /// The inodes of requests that are not answered, and FORGETs that wait for their end.
    busy: Busy,
    forget_run: i32,
    /// Requests that were read and whose sender has got a signal that the server does not know of.
    interrupts: usize,
    /// Requests that are not answered.
    pub(super) waiting: usize,
}

impl Queue {
    pub(super) fn new() -> Result<Self> {
        let mut read = KVec::with_capacity(BUCKETS, GFP_KERNEL)?;
        for _ in 0..BUCKETS {
            read.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            connected: true,
            devices: 0,
            pending: Fifo::default(),
            read,
            forgets: ForgetList::default(),
            stock: None,
            in_stock: 0,
            busy: Busy::new()?,
            forget_run: FORGET_RUN,
            interrupts: 0,
            waiting: 0,
        })
    }

    /// Whether there is something to read.
    pub(super) fn is_readable(&self) -> bool {
        self.interrupts > 0 || !self.pending.is_empty() || !self.forgets.is_empty()
    }

    /// Takes out an entry that was not read yet.
    pub(super) fn cancel(&mut self, unique: Unique) -> Option<KBox<Request>> {
        let mut entry = self.pending.remove(unique)?;
        let request = entry.request.take();
        self.ended(&entry);
        self.keep(entry);
        request
    }

    /// Takes a request whose call was given up. Of one that was read an entry stays, for the answer and, with `tells`, the INTERRUPT
    /// before it. Says whether there is something to read now. What is being copied is left to who does so.
    pub(super) fn take_given_up(&mut self, tells: bool) -> Option<(KBox<Request>, bool)> {
        let is = |entry: &Entry| entry.request.as_ref().is_some_and(|r| r.is_given_up());
        if let Some(mut entry) = self.pending.remove_by(is) {
            let request = entry.request.take()?;
            self.ended(&entry);
            self.keep(entry);
            return Some((request, self.is_readable()));
        }
        let entry = self
            .read
            .iter_mut()
            .find_map(|list| find_by(list, is).as_deref_mut())?;
        let unique = entry.unique;
        let tell = tells && self.signal(unique);
        self.take_back(unique).map(|request| (request, tell))
    }

    /// The sender of a request that was read was killed. Takes the request if its answer is of no use; what is being copied stays.
    pub(super) fn leave(&mut self, unique: Unique) -> Option<KBox<Request>> {
        if let Some(entry) = self.pending.get(unique) {
            entry.left = true;
            return None;
        }
        let entry = self.get(unique)?;
        entry.left = true;
        let matters = entry.request.as_ref().is_some_and(|r| r.matters());
        if matters {
            return None;
        }
        self.take_back(unique)
    }

    /// Takes out the oldest of those that nobody waits for, if there are too many: the server's answer will find nothing.
    pub(super) fn take_surplus(&mut self) -> Option<KBox<Entry>> {
        let (mut count, mut oldest) = (0, Unique::new(u64::MAX));
        for list in &self.read {
            any(list.as_deref(), |entry: &Entry| {
                if entry.is_left() {
                    count += 1;
                    oldest = oldest.min(entry.unique);
                }
                false
            });
        }
        if count <= LEFT {
            return None;
        }
        self.take_out(oldest)
    }

    /// Takes a request from its entry, which stays.
    fn take_back(&mut self, unique: Unique) -> Option<KBox<Request>> {
        let entry = self.get(unique)?;
        let request = entry.request.take()?;
        entry.taken_back = true;
        // It goes with the request.
        entry.waiter = None;
        Some(request)
    }

    /// Whether [`Self::supply`] has to be called before another request.
    pub(super) fn is_short(&self) -> bool {
        self.stock.is_none() || self.busy.is_short()
    }

    /// Brings memory for a request.
    pub(super) fn supply(&mut self, supply: Supply) {
        self.busy.add(supply.record);
        self.keep(supply.entry);
    }

    /// Keeps an entry that holds no request for the next one.
    fn keep(&mut self, mut entry: KBox<Entry>) {
        entry.waiter = None;
        if self.in_stock < STOCK && entry.request.is_none() {
            hang(&mut entry.next, self.stock.take());
            hang(&mut self.stock, Some(entry));
            self.in_stock += 1;
        }
    }

    /// Adds a request, for which there is memory; else it comes back.
    pub(super) fn push(&mut self, request: KBox<Request>) -> Result<(), KBox<Request>> {
        let Some(mut entry) = self.stock.take() else {
            return Err(request);
        };
        hang(&mut self.stock, entry.next.take());
        self.in_stock -= 1;
        entry.fill(request);
        self.waiting += 1;
        for nodeid in entry.nodes.into_iter().flatten() {
            self.busy.begin(nodeid);
        }
        self.pending.push_back(entry);
        Ok(())
    }

    /// A request ended. Its waiters are the caller's business; whoever reads may find FORGETs now.
    fn ended(&mut self, entry: &Entry) {
        self.waiting = self.waiting.saturating_sub(1);
        self.interrupts = self.interrupts.saturating_sub(usize::from(entry.to_tell));
        for nodeid in entry.nodes.into_iter().flatten() {
            self.busy.end(nodeid, &mut self.forgets);
        }
    }

    /// Adds a FORGET. True when it can be read at once.
    pub(super) fn forget(&mut self, forget: KBox<ForgetNode>) -> bool {
        match self.busy.hold(forget) {
            Some(forget) => {
                self.forgets.push(forget);
                true
            }
            None => false,
        }
    }

    /// Takes all FORGETs.
    pub(super) fn take_forgets(&mut self) -> ForgetList {
        self.busy.take_held(&mut self.forgets);
        self.forgets.take()
    }

    /// What comes next for a reader through `device`. FORGETs and requests take turns, so that neither waits for ever.
    pub(super) fn next(&mut self, device: u32) -> Option<Next> {
        if !self.connected {
            return Some(Next::Over);
        }
        if self.interrupts > 0 {
            if let Some(unique) = self.next_interrupt() {
                return Some(Next::Interrupt(unique));
            }
        }
        if !self.forgets.is_empty() {
            if self.pending.is_empty() || self.forget_run > 0 {
                self.forget_run -= 1;
                return Some(Next::Forgets);
            }
            self.forget_run -= 1;
            if self.forget_run <= -REQUEST_RUN {
                self.forget_run = FORGET_RUN;
            }
        }
        let mut entry = self.pending.pop_front()?;
        entry.device = device;
        let request = entry.request.take()?;
        if request.is_one_way() {
            self.ended(&entry);
            self.keep(entry);
        } else {
            self.put(entry);
        }
        Some(Next::Request(request))
    }

    /// A request whose sender has got a signal, which the server is told of now.
    fn next_interrupt(&mut self) -> Option<Unique> {
        for bucket in &mut self.read {
            let mut at = bucket.as_deref_mut();
            while let Some(entry) = at {
                if entry.to_tell {
                    entry.to_tell = false;
                    self.interrupts = self.interrupts.saturating_sub(1);
                    return Some(entry.wire());
                }
                at = entry.next.as_deref_mut();
            }
        }
        self.interrupts = 0;
        None
    }

    /// The sender of a request has got a signal. True when the server is to be told at once; else it is when it has read the
    /// request.
    pub(super) fn signal(&mut self, unique: Unique) -> bool {
        if let Some(entry) = self.pending.get(unique) {
            entry.signalled = true;
            return false;
        }
        let Some(entry) = self.get(unique) else {
            return false;
        };
        entry.signalled = true;
        let tell = (entry.request.is_some() || entry.taken_back) && !entry.to_tell;
        entry.to_tell |= tell;
        self.interrupts += usize::from(tell);
        tell
    }

    /// A request was read, and its answer is waited for. True when the server is to be told of a signal. Gives the request back
    /// when the session has ended meanwhile.
    pub(super) fn was_read(
        &mut self,
        unique: Unique,
        request: KBox<Request>,
    ) -> Result<bool, KBox<Request>> {
        let Some(entry) = self.get(unique) else {
            return Err(request);
        };
        entry.request = Some(request);
        Ok(entry.signalled && self.signal(unique))
    }

    /// Takes a request that `device` has an answer to, which it knows by this id.
    pub(super) fn answer(&mut self, wire: Unique, device: u32) -> Option<&mut Entry> {
        let entry = self.get(Unique::new(wire.get() & !Unique::RESEND))?;
        (entry.wire() == wire && entry.device == device).then_some(entry)
    }

    /// Has what was read and not answered sent again, unless its call was given up.
    pub(super) fn resend(&mut self) {
        let mut again = Fifo::<Entry>::default();
        let mut dropped = Fifo::<Entry>::default();
        for bucket in &mut self.read {
            let mut rest = bucket.take();
            while let Some(mut entry) = rest {
                rest = entry.next.take();
                let taken_back = entry.taken_back;
                match &mut entry.request {
                    Some(request) => {
                        request.set_resent();
                        entry.resent = true;
                        entry.to_tell = false;
                        again.push_back(entry);
                    }
                    None if taken_back => dropped.push_back(entry),
                    // It is being answered.
                    None => {
                        entry.next = bucket.take();
                        *bucket = Some(entry);
                    }
                }
            }
        }
        while let Some(entry) = dropped.pop_front() {
            self.ended(&entry);
            self.keep(entry);
        }
        self.interrupts = 0;
        core::mem::swap(&mut self.pending, &mut again);
        // They go before those that nobody has read yet.
        while let Some(entry) = again.pop_front() {
            self.pending.push_back(entry);
        }
    }

    fn bucket(&mut self, unique: Unique) -> Option<&mut Option<KBox<Entry>>> {
        let n = (unique.get() / Unique::STEP) as usize % BUCKETS;
        self.read.get_mut(n)
    }

    /// Adds an entry that was read.
    fn put(&mut self, mut entry: KBox<Entry>) {
        if let Some(bucket) = self.bucket(entry.unique) {
            hang(&mut entry.next, bucket.take());
            hang(bucket, Some(entry));
        }
    }

    /// The entry of a request that was read.
    pub(super) fn get(&mut self, unique: Unique) -> Option<&mut Entry> {
        find(self.bucket(unique)?, unique).as_deref_mut()
    }

    /// Takes out the entry of a request that was read and that the caller has. False when it was taken out already.
    pub(super) fn remove(&mut self, unique: Unique) -> bool {
        let Some(entry) = self.take_out(unique) else {
            return false;
        };
        self.keep(entry);
        true
    }

    /// Takes out the entry of a request that was read.
    fn take_out(&mut self, unique: Unique) -> Option<KBox<Entry>> {
        let at = find(self.bucket(unique)?, unique);
        let mut entry = at.take()?;
        hang(at, entry.next.take());
        self.ended(&entry);
        Some(entry)
    }

    /// Takes out all entries of requests that were read, through `device` if one is given.
    pub(super) fn remove_read(&mut self, device: Option<u32>) -> Fifo<Entry> {
        let mut gone = Fifo::default();
        for n in 0..BUCKETS {
            let mut rest = self.read.get_mut(n).and_then(Option::take);
            while let Some(mut entry) = rest {
                rest = entry.next.take();
                if device.is_none_or(|device| device == entry.device) {
                    self.ended(&entry);
                    gone.push_back(entry);
                } else {
                    self.put(entry);
                }
            }
        }
        gone
    }

    /// Whether a request was sent so many milliseconds ago.
    pub(super) fn is_late(&self, age: u64) -> bool {
        let late = |entry: &Entry| entry.born.elapsed_ms() > age;
        self.pending.any(late) || self.read.iter().any(|list| any(list.as_deref(), late))
    }

    /// Takes out all entries.
    pub(super) fn remove_all(&mut self) -> Fifo<Entry> {
        let mut gone = self.remove_read(None);
        while let Some(entry) = self.pending.pop_front() {
            self.ended(&entry);
            gone.push_back(entry);
        }
        gone
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // One by one: a long list must not be dropped by recursion.
        while let Some(mut entry) = self.stock.take() {
            self.stock = entry.next.take();
        }
    }
}
