// SPDX-License-Identifier: GPL-2.0

//! Requests in line, first in, first out.
//!
//! They hang at each other, so lining up needs no memory and cannot fail. No locks: whoever has a line guards it.

use super::Request;
use crate::proto::ids::Unique;
use kernel::prelude::*;

/// A line of requests.
#[derive(Default)]
pub(crate) struct Fifo {
    /// In order.
    front: Option<KBox<Request>>,
    /// In reverse order.
    back: Option<KBox<Request>>,
}

impl Fifo {
    /// Whether nobody is in line.
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_none() && self.back.is_none()
    }

    /// Adds one at the end.
    pub(crate) fn push_back(&mut self, mut request: KBox<Request>) {
        request.next = self.back.take();
        self.back = Some(request);
    }

    /// Adds one that goes before the others.
    pub(crate) fn push_front(&mut self, mut request: KBox<Request>) {
        request.next = self.front.take();
        self.front = Some(request);
    }

    /// Takes the first.
    pub(crate) fn pop_front(&mut self) -> Option<KBox<Request>> {
        if self.front.is_none() {
            let mut rest = self.back.take();
            while let Some(mut request) = rest {
                rest = request.next.take();
                self.push_front(request);
            }
        }
        let mut request = self.front.take()?;
        self.front = request.next.take();
        Some(request)
    }

    /// Takes one out from wherever it stands.
    pub(crate) fn remove(&mut self, unique: Unique) -> Option<KBox<Request>> {
        let mut found = None;
        let mut kept = Self::default();
        while let Some(request) = self.pop_front() {
            if request.unique() == unique {
                found = Some(request);
            } else {
                kept.push_back(request);
            }
        }
        *self = kept;
        found
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        // One by one: a long line must not be dropped by recursion.
        while self.pop_front().is_some() {}
    }
}
