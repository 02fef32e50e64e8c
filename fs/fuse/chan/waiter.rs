// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of a request.
//!
//! Locks: the waiter's state, a short spinlock that is also taken in interrupt context, inside no other. The wait itself
//! holds nothing.

use super::Request;
use crate::sync::{irqlock::new_irqlock, waitq::new_waitq, IrqLock, WaitQueue};
use kernel::{prelude::*, sync::Arc};

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
    state: IrqLock<State>,
}

impl Waiter {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                queue <- new_waitq!("fuse request"),
                state <- new_irqlock!(State::Idle, "fuse request state"),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn start(&self) {
        *self.state.lock() = State::InFlight;
    }

    /// Says that nobody will wait.
    pub(super) fn abandon(&self) {
        *self.state.lock() = State::Abandoned;
    }

    /// Takes the request if it came back, or the error if it will not.
    pub(crate) fn try_take(&self) -> Option<Result<KBox<Request>>> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut *state, State::Idle) {
            State::Done(request) => Some(Ok(request)),
            State::Failed(e) => {
                *state = State::Abandoned;
                Some(Err(e))
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Waits for the request to come back; a fatal signal ends the wait with `EINTR` and abandons the request.
    pub(super) fn wait_killable(&self) -> Result<KBox<Request>> {
        let taken = self.queue.wait_killable(|| self.try_take());
        taken.unwrap_or_else(|e| {
            let mut state = self.state.lock();
            match core::mem::replace(&mut *state, State::Abandoned) {
                State::Done(request) => {
                    *state = State::Idle;
                    Ok(request)
                }
                _ => Err(e),
            }
        })
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
        let mut state = self.state.lock();
        if matches!(*state, State::InFlight) {
            *state = State::Failed(e);
            drop(state);
            self.queue.wake_all();
        }
    }

    pub(super) fn complete(&self, request: KBox<Request>) -> Option<KBox<Request>> {
        let mut state = self.state.lock();
        if matches!(*state, State::Abandoned | State::Failed(_)) {
            return Some(request);
        }
        *state = State::Done(request);
        drop(state);
        self.queue.wake_all();
        None
    }
}
