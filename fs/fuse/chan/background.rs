// SPDX-License-Identifier: GPL-2.0

//! Requests that nobody waits for: reading ahead, writing back, calls that end later.
//!
//! The server has only so many of them at a time; the others stay in line here, in order. One that ends makes room for
//! the next, which whoever ended it sends ([`Background::go_on`]), in process context.
//!
//! Locks: the spinlock "fuse background", inside no other; nothing is sent with it held.

use super::{
    fifo::Fifo,
    limits::{Limits, CONGESTION_DEFAULT, MAX_DEFAULT},
    Request, Transport,
};
use crate::params;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Relaxed},
        SpinLock,
    },
};

#[derive(Default)]
struct State {
    limits: Limits,
    line: Fifo,
    /// Somebody is sending what waits, and will look again.
    sending: bool,
}

/// The requests of one server that nobody waits for.
#[pin_data]
pub(crate) struct Background {
    #[pin]
    state: SpinLock<State>,
    /// The server has not the rights of an administrator.
    limited: AtomicFlag,
}

impl Background {
    /// None, and the limits of servers that do not say any.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::default(), "fuse background"),
            limited: AtomicFlag::new(false),
        })
    }

    /// How many the server has at a time at most.
    pub(crate) fn max(&self) -> u32 {
        self.state.lock().limits.max()
    }

    /// Sets how many the server `t` has at a time at most, 1 at least.
    pub(crate) fn set_max(&self, t: &dyn Transport, max: u32) {
        self.state.lock().limits.set_max(max);
        self.go_on(t);
    }

    /// From how many on nothing is sent that need not be.
    pub(crate) fn congestion(&self) -> u32 {
        self.state.lock().limits.congestion()
    }

    /// Sets from how many on nothing is sent that need not be.
    pub(crate) fn set_congestion(&self, congestion: u32) {
        self.state.lock().limits.set_congestion(congestion);
    }

    /// How many there are, at the server and in line.
    #[expect(dead_code, reason = "for the files of fusectl")]
    pub(crate) fn count(&self) -> u32 {
        self.state.lock().limits.all()
    }

    /// Whether what need not be sent had better not.
    pub(crate) fn is_congested(&self) -> bool {
        self.state.lock().limits.congested()
    }

    /// Who answers INIT has not the rights of an administrator: the module's parameters bound what it says.
    pub(crate) fn limit_server(&self) {
        self.limited.store(true, Relaxed);
    }

    /// Takes over what the server `t` says in INIT; 0 where it does not say.
    pub(crate) fn agree(&self, t: &dyn Transport, max: u32, congestion: u32) {
        let bound = |said: u32, default, most: u32| match said {
            0 => default,
            said if self.limited.load(Relaxed) => said.min(most),
            said => said,
        };
        let (user_max, user_congestion) = params::user_limits();
        self.set_congestion(bound(congestion, CONGESTION_DEFAULT, user_congestion));
        self.set_max(t, bound(max, MAX_DEFAULT, user_max));
    }

    /// Sends a request of which nobody waits for the end, now or when its turn comes.
    pub(super) fn send(&self, t: &dyn Transport, mut request: KBox<Request>) {
        request.set_background();
        let mut state = self.state.lock();
        if !state.sending && state.limits.pass() {
            drop(state);
            t.submit(request);
        } else {
            state.limits.line_up();
            state.line.push_back(request);
            drop(state);
        }
        // What was refused has left room, too.
        self.go_on(t);
    }

    /// Takes one out of the line whose call was given up.
    pub(crate) fn take_given_up(&self) -> Option<KBox<Request>> {
        let mut state = self.state.lock();
        let mut request = state.line.remove_by(Request::is_given_up)?;
        state.limits.give_up();
        // It is counted no more.
        request.take_background();
        Some(request)
    }

    /// One that was sent has ended. [`Self::go_on`] has to follow.
    pub(super) fn ended(&self) {
        self.state.lock().limits.ended();
    }

    /// Sends what waits, as far as there is room. Process context.
    pub(crate) fn go_on(&self, t: &dyn Transport) {
        let mut state = self.state.lock();
        // One at a time sends, so that the order is kept. A server that is gone refuses each, which ends here as well.
        if state.sending {
            return;
        }
        while state.limits.leave_line() {
            let Some(request) = state.line.pop_front() else {
                // There is one for each that is counted.
                state.limits.ended();
                break;
            };
            state.sending = true;
            drop(state);
            t.submit(request);
            state = self.state.lock();
            state.sending = false;
        }
    }
}
