// SPDX-License-Identifier: GPL-2.0

//! FORGETs of a device: they wait in a list, and go by the queue hiprio in a few requests that are kept for them.
//!
//! Locks: the list's, with interrupts off, and after it the queue's; never both at a time.

use super::channel::Channel;
use crate::chan::{forget::ForgetList, ForgetNode, Pool, Request};
use kernel::prelude::*;

/// FORGET messages under way at once.
const FORGETS: usize = 2;

/// FORGETs that wait, and the requests that carry them.
pub(super) struct Forgets {
    list: ForgetList,
    idle: [Option<KBox<Request>>; FORGETS],
    /// Filled ones that there was no memory to describe for.
    stuck: [Option<KBox<Request>>; FORGETS],
}

impl Forgets {
    /// None yet, with what carries them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(pool: &Pool) -> Result<Self> {
        let mut idle = [const { None }; FORGETS];
        for slot in &mut idle {
            *slot = Some(pool.take()?);
        }
        Ok(Self {
            list: ForgetList::default(),
            idle,
            stuck: [const { None }; FORGETS],
        })
    }

    pub(super) fn push(&mut self, node: KBox<ForgetNode>) {
        self.list.push(node);
    }

    /// Takes those that were not sent. What a request carries that is stuck is forgotten: another session has other nodes.
    pub(super) fn take(&mut self) -> ForgetList {
        let stuck = self.stuck.iter_mut().filter(|slot| slot.is_some());
        let idle = self.idle.iter_mut().filter(|slot| slot.is_none());
        for (from, to) in stuck.zip(idle) {
            *to = from.take();
        }
        self.list.take()
    }

    /// Whether there are some that there was no memory to describe for.
    pub(super) fn has_stuck(&self) -> bool {
        self.stuck.iter().any(Option::is_some)
    }
}

impl Channel {
    /// Sends FORGETs while there are some and something to carry them.
    pub(super) fn send_forgets(&self) {
        let Some(queue) = self.queues.as_ref().and_then(|q| q.first()) else {
            return;
        };
        loop {
            let Some(request) = self.next_forgets() else {
                return;
            };
            let mut ring = queue.lock();
            let sent = ring.add(request);
            let kick = ring.kick_prepare();
            drop(ring);
            if kick {
                queue.notify();
            }
            match sent {
                Ok(()) => (),
                Err((request, e)) if e == ENOMEM || e == ENOSPC => {
                    let mut forgets = self.forgets.lock();
                    if let Some(slot) = forgets.stuck.iter_mut().find(|slot| slot.is_none()) {
                        *slot = Some(request);
                    }
                    drop(forgets);
                    self.registry.try_again();
                    return;
                }
                Err((request, _)) => {
                    // The device is gone or broken, and with it what it counted.
                    self.forget_sent(Some(request));
                    return;
                }
            }
        }
    }

    /// The FORGETs that go next.
    fn next_forgets(&self) -> Option<KBox<Request>> {
        let mut forgets = self.forgets.lock();
        if let Some(stuck) = forgets.stuck.iter_mut().find_map(Option::take) {
            return Some(stuck);
        }
        if forgets.list.is_empty() {
            return None;
        }
        let mut request = forgets.idle.iter_mut().find_map(Option::take)?;
        match forgets.list.fill(&mut request, self.pool.next_unique()) {
            Ok(()) => Some(request),
            Err(_) => {
                drop(forgets);
                self.forget_sent(Some(request));
                None
            }
        }
    }

    /// Takes back a request that carried FORGETs.
    pub(super) fn forget_sent(&self, request: Option<KBox<Request>>) {
        let mut forgets = self.forgets.lock();
        if let Some(slot) = forgets.idle.iter_mut().find(|slot| slot.is_none()) {
            *slot = request;
        }
    }
}
