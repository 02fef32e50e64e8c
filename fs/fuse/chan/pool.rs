// SPDX-License-Identifier: GPL-2.0

//! The pool that requests come from and go back to, the ids of a connection, and how many requests nobody waits for.
//!
//! Locks: the pool's spinlock, in process context only and inside no other; requests are made and dropped outside of it.

use super::{background::Background, Failed, Request};
use crate::{
    errno,
    proto::ids::Unique,
    sync::waitq::{dying, exiting},
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        SpinLock,
    },
};

/// Requests that a pool keeps for reuse.
const POOL: usize = 32;

/// Requests that are ready for use, and the ids of a connection.
#[pin_data]
pub(crate) struct Pool {
    #[pin]
    free: SpinLock<KVec<KBox<Request>>>,
    #[pin]
    background: Background,
    unique: Atomic<u64>,
    session: Atomic<u32>,
    /// The server of this session has said that it does not know INTERRUPT.
    deaf: AtomicFlag,
    /// Milliseconds that who waits for a device has patience for; 0 is for ever.
    patience: Atomic<u32>,
    /// Somebody has lost it: nothing is sent in this session any more.
    abandoned: AtomicFlag,
    /// A task that ended has waited for the server in vain, and nothing was answered since.
    silent: AtomicFlag,
}

impl Pool {
    /// Makes an empty pool.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            free <- new_spinlock!(KVec::with_capacity(POOL, GFP_KERNEL)?, "fuse request pool"),
            background <- Background::new(),
            unique: Atomic::new(0),
            session: Atomic::new(0),
            deaf: AtomicFlag::new(false),
            patience: Atomic::new(0),
            abandoned: AtomicFlag::new(false),
            silent: AtomicFlag::new(false),
        })
    }

    /// Takes a request. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the server was given up, `ENOMEM`.
    pub(crate) fn take(&self) -> Result<KBox<Request>> {
        if self.is_abandoned() {
            return Err(errno::enotconn());
        }
        if let Some(request) = self.free.lock().pop() {
            return Ok(request);
        }
        Request::new()
    }

    /// Gives a request back.
    pub(crate) fn give(&self, mut request: KBox<Request>) {
        if let Some(mut owner) = request.take_owner() {
            owner.answered(Err(&Failed::unknown(errno::enotconn())), false);
        }
        if let Some(mut ended) = request.take_ended() {
            ended.ended(&mut request);
        }
        request.drop_payload();
        drop(request.take_target());
        request.set_call(None);
        if request.take_background() {
            self.background.ended();
        }
        let refused = self.free.lock().push_within_capacity(request);
        drop(refused);
    }

    /// Requests that nobody waits for.
    pub(crate) fn background(&self) -> &Background {
        &self.background
    }

    /// The next id; bit 0 is for interrupts.
    pub(crate) fn next_unique(&self) -> Unique {
        Unique::new(self.unique.fetch_add(2, Relaxed).wrapping_add(2))
    }

    /// Whether an INTERRUPT is of no use.
    pub(crate) fn ignores_interrupts(&self) -> bool {
        self.deaf.load(Relaxed)
    }

    /// Says that an INTERRUPT is of no use.
    pub(crate) fn ignore_interrupts(&self) {
        self.deaf.store(true, Relaxed);
    }

    /// Says how many milliseconds who waits for a device has patience for; 0 is for ever.
    pub(crate) fn set_patience(&self, ms: u32) {
        self.patience.store(ms, Relaxed);
    }

    /// How many milliseconds who waits for a device has patience for; 0 is for ever.
    pub(super) fn patience(&self) -> u32 {
        self.patience.load(Relaxed)
    }

    /// Gives the server up: all who wait leave, and nothing is sent until the next session. Whether nobody has before.
    pub(super) fn lose_patience(&self) -> bool {
        !self.abandoned.xchg(true, Relaxed)
    }

    /// Whether the server was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Whether the present task ends and had better not wait: others have, in vain, and each of its files would take as long.
    pub(crate) fn is_given_up(&self) -> bool {
        dying() || (self.silent.load(Relaxed) && exiting())
    }

    /// The server has answered, or a task that ends has waited for it in vain.
    pub(crate) fn set_silent(&self, silent: bool) {
        if self.silent.load(Relaxed) != silent {
            self.silent.store(silent, Relaxed);
        }
    }

    /// The present session.
    pub(crate) fn session(&self) -> u32 {
        self.session.load(Relaxed)
    }

    /// Ends the session: answers to what was sent in it are nobody's business any more.
    pub(crate) fn end_session(&self) {
        self.session.fetch_add(1, Relaxed);
        self.deaf.store(false, Relaxed);
        self.patience.store(0, Relaxed);
        self.abandoned.store(false, Relaxed);
    }
}
