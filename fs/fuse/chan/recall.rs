// SPDX-License-Identifier: GPL-2.0

//! Calls that are given up while the server has requests of theirs.
//!
//! Such a request says which call it is a part of ([`GivenUp`]). When the call is given up the transport looks for all that say so;
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

/// Whether a call was given up.
pub(crate) struct GivenUp(AtomicFlag);

impl GivenUp {
    /// Whether it was.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A call that can be given up.
pub(crate) struct Recallable {
    transport: Arc<dyn Transport>,
    given_up: Arc<GivenUp>,
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
        let given_up = Arc::new(GivenUp(AtomicFlag::new(false)), GFP_KERNEL)?;
        let this = Self {
            transport: transport.clone(),
            given_up,
        };
        Ok(Some(Arc::new(this, GFP_KERNEL)?))
    }

    /// What its requests have to say.
    pub(crate) fn given_up(&self) -> Arc<GivenUp> {
        self.given_up.clone()
    }
}

impl Recall for Recallable {
    fn recall(&self) {
        // Before the transport takes the lock of its lists, under which others look at this.
        self.given_up.0.xchg(true, Full);
        self.transport.clone().recall();
    }
}
