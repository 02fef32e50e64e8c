// SPDX-License-Identifier: GPL-2.0

//! Requests that wait for a place in a queue, or for memory to describe them to the device. The queue's lock guards them.

use crate::{
    chan::{Fifo, Request},
    vfs::time::Moment,
};
use kernel::prelude::*;

/// Milliseconds for which a request waits for memory to describe it to the device.
const PATIENCE: u64 = 10_000;

/// Requests of one queue.
#[derive(Default)]
pub(crate) struct Pending {
    /// Those that wait for room in the ring.
    pub(super) line: Fifo,
    /// How many are in the ring.
    pub(super) in_flight: usize,
    /// Since when there has been one in line that found no memory, with none in the ring whose end could bring some.
    pub(super) hungry: Option<Moment>,
}

impl Pending {
    /// Has a request wait behind the others.
    pub(super) fn join(&mut self, mut request: KBox<Request>) {
        request.in_line = Moment::now();
        self.line.push_back(request);
    }

    /// Whether a request that has been in line since `joined` and could not be added for `e` is to wait. With none in the
    /// ring somebody has to see after it.
    pub(super) fn may_wait(&mut self, e: Error, joined: Moment) -> bool {
        if e != ENOSPC && e != ENOMEM {
            return false;
        }
        if self.in_flight > 0 {
            return true;
        }
        // Who came late has not waited yet. Those behind the first have, also if smaller ones found memory between them.
        let since = *self.hungry.get_or_insert_with(Moment::now);
        since.max(joined).elapsed_ms() < PATIENCE
    }

    /// Whether somebody has to see after the first in line: nothing that ends would.
    pub(super) fn is_starving(&self) -> bool {
        self.in_flight == 0 && self.hungry.is_some()
    }
}
