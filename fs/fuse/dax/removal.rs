// SPDX-License-Identifier: GPL-2.0

//! Asking the server to unmap, in batches.
//!
//! The request owns the ranges that it is about, as in [`super::setup`]: whoever waited for it, they end up in the right
//! state when the answer comes. Several can be on their way.
//!
//! Takes the spinlock of the table; holds nothing while the server is asked.

use super::{
    ranges::{Unmapping, RANGE_SIZE},
    Dax,
};
use crate::{
    chan::{self, Failed},
    ops::dax::{Removemapping, REMOVE_BATCH},
    proto::dax::RemovemappingOne,
    trace,
    vfs::cred::Caller,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Full},
        Arc,
    },
};

/// A REMOVEMAPPING that is being put together, then on its way.
pub(super) struct Removal {
    dax: Arc<Dax>,
    tokens: [Option<Unmapping>; REMOVE_BATCH],
    len: usize,
    sent: bool,
}

impl Removal {
    /// An empty batch.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(dax: &Arc<Dax>) -> Result<KBox<Self>> {
        let batch = Self {
            dax: dax.clone(),
            tokens: [const { None }; REMOVE_BATCH],
            len: 0,
            sent: false,
        };
        Ok(KBox::new(batch, GFP_KERNEL)?)
    }

    /// Adds a range; gives it back when the batch is full.
    pub(super) fn push(&mut self, token: Unmapping) -> Result<(), Unmapping> {
        match self.tokens.get_mut(self.len) {
            Some(slot) => {
                *slot = Some(token);
                self.len += 1;
                Ok(())
            }
            None => Err(token),
        }
    }

    /// Whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.len == REMOVE_BATCH
    }

    /// Sends REMOVEMAPPING; with `wait`, does not return before the answer, unless a fatal signal comes first.
    ///
    /// # Errors
    ///
    /// What the server answered, `EINTR`; see [`chan::call_owned`].
    pub(super) fn send(mut self: KBox<Self>, wait: bool) -> Result {
        if self.len == 0 {
            return Ok(());
        }
        let mut parts = [RemovemappingOne::default(); REMOVE_BATCH];
        for (part, token) in parts.iter_mut().zip(self.tokens.iter().flatten()) {
            part.moffset = token.offset();
            part.len = RANGE_SIZE;
        }
        let dax = self.dax.clone();
        dax.removals.fetch_add(1, Full);
        self.sent = true;
        let op = Removemapping(parts.get(..self.len).unwrap_or(&[]));
        Ok(chan::call_owned(
            &*dax.transport,
            Caller::default(),
            &op,
            self,
            wait,
        )?)
    }

    /// Notes how it ended. Where that is not known, none of the ranges can be used any more. When the server failed at some
    /// of them, all can still be mapped over, if it does that.
    fn settle(&mut self, result: Result<(), &Failed>) {
        let mut ranges = self.dax.ranges.lock();
        for token in self.tokens.iter_mut().filter_map(Option::take) {
            // The tokens are of this table, which refuses none of them.
            let _ = match result {
                Ok(()) => {
                    self.dax.stats.unmaps.add(1);
                    ranges.unmapped(token).map(drop)
                }
                Err(failed) if failed.known && !self.dax.no_overlay.get() => {
                    ranges.unmap_refused(token)
                }
                Err(_) => ranges.retire_unmapping(token),
            };
        }
        drop(ranges);
        self.dax.change();
    }
}

impl chan::Owner for Removal {
    fn answered(&mut self, result: Result<(), &Failed>, _awaited: bool) {
        if core::mem::take(&mut self.sent) {
            self.dax.removals.fetch_sub(1, Full);
        }
        trace::dax_remove_done(self.len as u32, result.map_err(|failed| failed.error));
        self.settle(result);
        self.dax.clean_more();
    }
}

impl Dax {
    /// REMOVEMAPPINGs on their way.
    pub(super) fn removals(&self) -> u32 {
        self.removals.load(Acquire)
    }

    /// Has one range unmapped.
    ///
    /// # Errors
    ///
    /// As [`Removal::send`].
    pub(super) fn remove_one(self: &Arc<Self>, token: Unmapping, wait: bool) -> Result {
        match Removal::new(self) {
            Ok(mut batch) => {
                let _ = batch.push(token);
                batch.send(wait)
            }
            Err(e) => {
                let _ = self.ranges.lock().leave(token);
                self.change();
                Err(e)
            }
        }
    }
}
