// SPDX-License-Identifier: GPL-2.0

//! Signals to those who wait for an answer.
//!
//! A request that no device has seen yet is taken back. For one that may take as long as another process likes the server is
//! told by INTERRUPT, which then answers the request with `EINTR`, or with what it has done meanwhile: with virtiofs that is a
//! lock that is waited for, while a server that is a process is told of every signal. All others go on until they are answered,
//! or their sender is killed.
//!
//! Takes no locks; an INTERRUPT that came back is handed over by the waiter.

use super::{Failed, Operation, Request, Transport, Waiter, Woken};
use crate::{
    errno,
    proto::{ids::Unique, opcode::Opcode},
    sync::waitq::exiting,
    vfs::time::Moment,
};
use kernel::{prelude::*, sync::Arc, time::Msecs};

/// The first and the longest pause before the server is told again, in milliseconds.
const PAUSE: Msecs = 1;
const PAUSE_MAX: Msecs = 64;
/// Milliseconds after which who waits for a device with a limit sees whether the device was given up.
const PATIENCE_SLICE: Msecs = 1000;
/// How long a task that ends waits for a server that others have waited for in vain, in milliseconds.
const BRIEF: Msecs = 200;

/// Whether a request may be taken back: not where it ends something at the server.
pub(super) fn may_cancel(opcode: Opcode) -> bool {
    !matches!(
        opcode,
        Opcode::FLUSH
            | Opcode::RELEASE
            | Opcode::RELEASEDIR
            | Opcode::SETLK
            | Opcode::REMOVEMAPPING
            | Opcode::DESTROY
    )
}

/// How waiting ended without an answer.
pub(super) enum Left {
    /// The request was never sent, and is here.
    NotSent(KBox<Request>),
    /// Nobody knows what became of it.
    Unknown(Error),
}

impl Left {
    /// What the caller is told; a request that was not sent goes back to where it came from.
    pub(super) fn settle(self, t: &dyn Transport) -> Failed {
        match self {
            Self::NotSent(mut request) => {
                let failed = Failed::known(EINTR);
                if let Some(mut owner) = request.take_owner() {
                    owner.answered(Err(&failed), true);
                }
                t.pool().give(request);
                failed
            }
            Self::Unknown(e) => Failed::unknown(e),
        }
    }
}

/// Sends a request and waits until it comes back.
pub(super) fn send<O: Operation>(
    t: &dyn Transport,
    request: KBox<Request>,
) -> Result<KBox<Request>, Left> {
    let (waiter, unique) = (request.waiter(), request.unique());
    let pool = t.pool();
    let given_up = pool.is_given_up();
    t.submit(request);
    let done = if given_up {
        wait_briefly(&waiter).map_err(Left::Unknown)
    } else if exiting() {
        // No signal comes any more.
        waiter.wait_killable().map_err(Left::Unknown)
    } else if t.is_process() {
        wait_telling(t, &waiter, unique)
    } else if O::OPCODE == Opcode::SETLKW {
        wait_interruptible(t, &waiter, unique)
    } else {
        match t.pool().patience() {
            0 => waiter.wait_killable(),
            patience => wait_patiently(t, &waiter, patience),
        }
        .map_err(Left::Unknown)
    };
    match &done {
        Ok(_) => pool.set_silent(false),
        // Who was killed has not waited for long.
        Err(_) if exiting() && !given_up => pool.set_silent(true),
        Err(_) => (),
    }
    match done {
        Err(Left::Unknown(e)) => {
            let not_sent = may_cancel(O::OPCODE).then(|| t.cancel(unique)).flatten();
            Err(not_sent.map_or_else(
                || {
                    t.left(unique);
                    Left::Unknown(e)
                },
                Left::NotSent,
            ))
        }
        other => other,
    }
}

/// Waits for a request, not for long.
fn wait_briefly(waiter: &Waiter) -> Result<KBox<Request>> {
    match waiter.wait_killable_for(BRIEF)? {
        Some(request) => Ok(request),
        None => waiter.leave(EINTR),
    }
}

/// Waits for a request; the first signal is told to the server.
fn wait_telling(
    t: &dyn Transport,
    waiter: &Arc<Waiter>,
    unique: Unique,
) -> Result<KBox<Request>, Left> {
    if !t.pool().ignores_interrupts() {
        if let Ok(request) = waiter.wait_interruptible() {
            return Ok(request);
        }
        t.signalled(unique);
    }
    waiter.wait_killable().map_err(Left::Unknown)
}

/// Waits for a request, but not for ever: after so many milliseconds the server is given up, by all who wait. The request stays
/// with the device, and so does what it may write to.
fn wait_patiently(
    t: &dyn Transport,
    waiter: &Arc<Waiter>,
    patience: Msecs,
) -> Result<KBox<Request>> {
    let sent = Moment::now();
    loop {
        if let Some(request) = waiter.wait_killable_for(PATIENCE_SLICE.min(patience))? {
            return Ok(request);
        }
        if sent.elapsed_ms() >= u64::from(patience) && t.pool().lose_patience() {
            pr_warn!("the device does not answer: it is given up\n");
        }
        if t.pool().is_abandoned() {
            return waiter.leave(errno::econnaborted());
        }
    }
}

/// Waits for a request that a signal may interrupt.
fn wait_interruptible(
    t: &dyn Transport,
    waiter: &Arc<Waiter>,
    unique: Unique,
) -> Result<KBox<Request>, Left> {
    if let Ok(request) = waiter.wait_interruptible() {
        return Ok(request);
    }
    if let Some(request) = t.cancel(unique) {
        return Err(Left::NotSent(request));
    }
    wait_told(t, waiter, unique).map_err(Left::Unknown)
}

/// Tells the server until it has heard, and waits for what it makes of it.
fn wait_told(t: &dyn Transport, waiter: &Arc<Waiter>, unique: Unique) -> Result<KBox<Request>> {
    let mut pause = PAUSE;
    while !t.pool().ignores_interrupts() {
        match Request::interrupt(t.pool(), waiter, unique) {
            Ok(interrupt) => t.interrupt(interrupt),
            Err(_) => break,
        }
        let answer = loop {
            match waiter.wait_interrupted()? {
                Woken::Done(request) => return Ok(request),
                Woken::Interrupt(interrupt) => {
                    let ours = interrupt.unique() == unique.interrupt();
                    let answer = interrupt.interrupt_answer();
                    t.pool().give(interrupt);
                    if ours {
                        break answer;
                    }
                }
            }
        };
        match answer {
            // It has not seen the request yet.
            Err(e) if e == EAGAIN => (),
            Err(e) if e == errno::enosys() => {
                t.pool().ignore_interrupts();
                break;
            }
            _ => break,
        }
        if let Some(request) = waiter.wait_killable_for(pause)? {
            return Ok(request);
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    waiter.wait_killable()
}
