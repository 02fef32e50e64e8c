// SPDX-License-Identifier: GPL-2.0

//! Calls that are given up while the server has requests of theirs.
//!
//! Such a request says which call it is a part of ([`Recallable`]). When the call is given up the transport looks for all that say so;
//! what is not in its lists at that moment, it asks when it gets there. Takes no locks.

use super::Transport;
use crate::vfs::defer::Recall;
use kernel::{
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Full, Relaxed},
        Arc,
    },
};

/// A call that can be given up.
pub(crate) struct Recallable {
    transport: Arc<dyn Transport>,
    given_up: AtomicFlag,
}

impl Recallable {
    /// One whose requests go this way; `None` where they cannot be taken back.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(transport: &Arc<dyn Transport>) -> Result<Option<Arc<Self>>> {
        if !transport.can_recall() {
            return Ok(None);
        }
        let this = Self {
            transport: transport.clone(),
            given_up: AtomicFlag::new(false),
        };
        Ok(Some(Arc::new(this, GFP_KERNEL)?))
    }

    /// Whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Relaxed)
    }
}

impl Recall for Recallable {
    fn recall(&self) {
        // Before the transport takes the lock of its lists, under which others look at this.
        self.given_up.xchg(true, Full);
        self.transport.clone().recall();
    }
}
