// SPDX-License-Identifier: GPL-2.0

//! How far a work item is that the end of the session must not overtake.
//!
//! No locks.

use kernel::sync::atomic::{Acquire, Atomic, Full, Release};

/// It has nothing to do, or is about to run.
const IDLE: u32 = 0;
/// It is at work.
const WORKING: u32 = 1;
/// The session has ended: it does nothing any more.
const ENDED: u32 = 2;

/// The stage of a work item, which changes it itself until it is [`ended`](Self::try_end).
pub(super) struct Stage(Atomic<u32>);

impl Stage {
    /// It is idle.
    pub(super) fn new() -> Self {
        Self(Atomic::new(IDLE))
    }

    /// Begins to work; false after the end.
    pub(super) fn begin(&self) -> bool {
        self.0.cmpxchg(IDLE, WORKING, Full).is_ok()
    }

    /// Whether it may go on.
    pub(super) fn goes_on(&self) -> bool {
        self.0.load(Acquire) == WORKING
    }

    /// Is done for now.
    pub(super) fn rest(&self) {
        let _ = self.0.cmpxchg(WORKING, IDLE, Full);
    }

    /// Ends it, unless it is at work; whether it has ended.
    pub(super) fn try_end(&self) -> bool {
        matches!(self.0.cmpxchg(IDLE, ENDED, Full), Ok(_) | Err(ENDED))
    }

    /// Ends it, whatever it does: it finds out before its next step.
    pub(super) fn end(&self) {
        self.0.store(ENDED, Release);
    }
}
