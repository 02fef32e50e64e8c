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

    /// Takes the request if it came back.
    fn try_take(&self) -> Option<KBox<Request>> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut *state, State::Idle) {
            State::Done(request) => Some(request),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Waits for the request to come back; a fatal signal ends the wait with `EINTR` and abandons the request.
    pub(super) fn wait_killable(&self) -> Result<KBox<Request>> {
        self.queue.wait_killable(|| self.try_take()).or_else(|e| {
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

    pub(super) fn complete(&self, request: KBox<Request>) -> Option<KBox<Request>> {
        let mut state = self.state.lock();
        if matches!(*state, State::Abandoned) {
            return Some(request);
        }
        *state = State::Done(request);
        drop(state);
        self.queue.wake_all();
        None
    }
}
