// SPDX-License-Identifier: GPL-2.0

//! Direct writes that run together with others, while nobody uses the page cache.
//!
//! Takes the inode's io mode for each request ([`Modes::begin_write`]), which does not wait.

use crate::{iomode::ParallelWrite, modes::Modes};
use core::cell::Cell;

/// What each request of a call has to enter.
#[derive(Default)]
pub(super) struct Turn<'a> {
    /// The io modes, for writes that run together with others.
    modes: Option<&'a Modes>,
    over: Cell<bool>,
}

impl<'a> Turn<'a> {
    /// That of a write that runs together with others.
    pub(super) fn of(modes: &'a Modes) -> Self {
        Self {
            modes: Some(modes),
            over: Cell::new(false),
        }
    }

    /// Whether nobody else writes meanwhile.
    pub(super) fn is_alone(&self) -> bool {
        self.modes.is_none()
    }

    /// Whether the page cache came into use: the rest is to be written alone.
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Begins a request, which has its memory already. `None` when the turn is over.
    pub(super) fn begin(&self) -> Option<Running<'a>> {
        let Some(modes) = self.modes else {
            return Some(Running(None));
        };
        let write = modes.begin_write();
        self.over.set(write.is_none());
        write.map(|write| Running(Some((modes, write))))
    }
}

/// A request of a call that is under way.
pub(super) struct Running<'a>(Option<(&'a Modes, ParallelWrite)>);

impl Running<'_> {
    /// What is to be given back when the request ends.
    pub(super) fn into_write(mut self) -> Option<ParallelWrite> {
        self.0.take().map(|(_, write)| write)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some((modes, write)) = self.0.take() {
            modes.end_write(write);
        }
    }
}
