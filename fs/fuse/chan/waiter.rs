// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of a request.
//!
//! Locks: the waiter's state, a short spinlock that is also taken in interrupt context, inside no other. The wait itself
//! holds nothing.

use super::Request;
use crate::sync::{irqlock::new_irqlock, waitq::new_waitq, IrqLock, WaitQueue};
use kernel::{prelude::*, sync::Arc, time::Msecs};

/// Where a request stands, as its sender sees it.
enum State {
    /// Not on its way.
    Idle,
    /// On its way.
    InFlight,
    /// The sender has left.
    Abandoned,
    /// It came back.
    Done(KBox<Request>),
    /// It cannot come back now, and the sender is to leave with this error.
    Failed(Error),
}

/// The meeting point of a sender and a completion.
#[pin_data]
pub(crate) struct Waiter {
    #[pin]
    queue: WaitQueue,
    #[pin]
    state: IrqLock<Stand>,
}

/// What a waiter guards.
struct Stand {
    state: State,
    /// An INTERRUPT of a request that has come back.
    interrupt: Option<KBox<Request>>,
}

/// What a sender is woken for.
pub(super) enum Woken {
    /// The request came back.
    Done(KBox<Request>),
    /// An INTERRUPT came back, not necessarily one of this request.
    Interrupt(KBox<Request>),
}

impl Waiter {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                queue <- new_waitq!("fuse request"),
                state <- new_irqlock!(
                    Stand { state: State::Idle, interrupt: None },
                    "fuse request state"
                ),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn start(&self) {
        let mut stand = self.state.lock();
        stand.state = State::InFlight;
        // Of an earlier request, perhaps.
        let stale = stand.interrupt.take();
        drop(stand);
        drop(stale);
    }

    /// Says that nobody will wait.
    pub(super) fn abandon(&self) {
        self.state.lock().state = State::Abandoned;
    }

    /// Takes the request if it came back, or the error if it will not.
    pub(crate) fn try_take(&self) -> Option<Result<KBox<Request>>> {
        let mut stand = self.state.lock();
        match core::mem::replace(&mut stand.state, State::Idle) {
            State::Done(request) => Some(Ok(request)),
            State::Failed(e) => {
                stand.state = State::Failed(e);
                Some(Err(e))
            }
            other => {
                stand.state = other;
                None
            }
        }
    }

    /// Takes what came back, the request first.
    fn try_take_any(&self) -> Option<Result<Woken>> {
        self.try_take().map(|r| r.map(Woken::Done)).or_else(|| {
            let interrupt = self.state.lock().interrupt.take();
            interrupt.map(|interrupt| Ok(Woken::Interrupt(interrupt)))
        })
    }

    /// Leaves, unless the request has come back just now.
    pub(super) fn leave(&self, e: Error) -> Result<KBox<Request>> {
        let mut stand = self.state.lock();
        match core::mem::replace(&mut stand.state, State::Abandoned) {
            State::Done(request) => {
                stand.state = State::Idle;
                Ok(request)
            }
            _ => Err(e),
        }
    }

    /// Waits for the request to come back; a fatal signal ends the wait with `EINTR` and abandons the request.
    pub(super) fn wait_killable(&self) -> Result<KBox<Request>> {
        self.queue
            .wait_killable(|| self.try_take())
            .unwrap_or_else(|e| self.leave(e))
    }

    /// As [`Self::wait_killable`], but ended by every signal, and the request is not abandoned.
    pub(super) fn wait_interruptible(&self) -> Result<KBox<Request>> {
        self.queue.wait_interruptible(|| self.try_take())?
    }

    /// As [`Self::wait_killable`], but an INTERRUPT that comes back ends the wait as well.
    pub(super) fn wait_interrupted(&self) -> Result<Woken> {
        self.queue
            .wait_killable(|| self.try_take_any())
            .unwrap_or_else(|e| self.leave(e).map(Woken::Done))
    }

    /// As [`Self::wait_killable`], for a limited time; `None` when it is over.
    pub(super) fn wait_killable_for(&self, time: Msecs) -> Result<Option<KBox<Request>>> {
        self.queue
            .wait_killable_for(time, || self.try_take())
            .map_or_else(|e| self.leave(e).map(Some), Option::transpose)
    }

    /// Waits, with others, for the request to come back to one of them; the others get what `settled` says then. The one has to
    /// [`wake`](Self::wake) them.
    pub(crate) fn wait_with<R>(
        &self,
        settled: impl Fn() -> Option<R>,
    ) -> Result<Result<Result<KBox<Request>>, R>> {
        self.queue.wait_killable(|| match settled() {
            Some(r) => Some(Err(r)),
            None => self.try_take().map(Ok),
        })
    }

    /// Has those who wait look again.
    pub(crate) fn wake(&self) {
        self.queue.wake_all();
    }

    /// Has the sender leave with an error, while the request is where it cannot be taken from. It still has to be completed.
    pub(crate) fn fail(&self, e: Error) {
        let mut stand = self.state.lock();
        if matches!(stand.state, State::InFlight) {
            stand.state = State::Failed(e);
            drop(stand);
            self.queue.wake_all();
        }
    }

    pub(super) fn complete(&self, request: KBox<Request>) -> Option<KBox<Request>> {
        let mut stand = self.state.lock();
        if matches!(stand.state, State::Abandoned | State::Failed(_)) {
            return Some(request);
        }
        stand.state = State::Done(request);
        drop(stand);
        self.queue.wake_all();
        None
    }

    /// Hands over an INTERRUPT that came back. Gives it back when nobody waits for it.
    pub(super) fn interrupted(&self, interrupt: KBox<Request>) -> Option<KBox<Request>> {
        let mut stand = self.state.lock();
        if !matches!(stand.state, State::InFlight) || stand.interrupt.is_some() {
            return Some(interrupt);
        }
        stand.interrupt = Some(interrupt);
        drop(stand);
        self.queue.wake_all();
        None
    }
}
