// SPDX-License-Identifier: GPL-2.0

//! Requests in line, first in, first out; also what stands for them.
//!
//! They hang at each other, so lining up needs no memory and cannot fail. No locks: whoever has a line guards it.

use super::Request;
use crate::proto::ids::Unique;
use kernel::prelude::*;

/// What can stand in line.
pub(crate) trait Linked: Sized {
    /// What hangs at it.
    fn next(&mut self) -> &mut Option<KBox<Self>>;

    /// As [`Self::next`], to look at.
    fn peek(&self) -> Option<&Self>;

    /// What it is found by.
    fn unique(&self) -> Unique;
}

impl Linked for Request {
    fn next(&mut self) -> &mut Option<KBox<Self>> {
        &mut self.next
    }

    fn peek(&self) -> Option<&Self> {
        self.next.as_deref()
    }

    fn unique(&self) -> Unique {
        self.unique()
    }
}

/// Hangs a list into a place that is empty. An assignment would look for what to drop there.
pub(crate) fn hang<T>(place: &mut Option<T>, list: Option<T>) {
    core::mem::forget(core::mem::replace(place, list));
}

/// Finds one in what hangs at each other; the result is where it hangs, or the end.
pub(crate) fn find<T: Linked>(at: &mut Option<KBox<T>>, unique: Unique) -> &mut Option<KBox<T>> {
    find_by(at, |one| one.unique() == unique)
}

/// As [`find`], the first that `f` says so of.
pub(crate) fn find_by<T: Linked>(
    mut at: &mut Option<KBox<T>>,
    f: impl Fn(&T) -> bool,
) -> &mut Option<KBox<T>> {
    while at.as_ref().is_some_and(|one| !f(one)) {
        match at {
            Some(one) => at = one.next(),
            None => break,
        }
    }
    at
}

/// Whether `f` says so of any of what hangs at each other.
pub(crate) fn any<T: Linked>(mut at: Option<&T>, mut f: impl FnMut(&T) -> bool) -> bool {
    while let Some(one) = at {
        if f(one) {
            return true;
        }
        at = one.peek();
    }
    false
}

/// A line.
pub(crate) struct Fifo<T: Linked = Request> {
    /// In order.
    front: Option<KBox<T>>,
    /// In reverse order.
    back: Option<KBox<T>>,
}

impl<T: Linked> Default for Fifo<T> {
    fn default() -> Self {
        Self {
            front: None,
            back: None,
        }
    }
}

impl<T: Linked> Fifo<T> {
    /// Whether nobody is in line.
    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_none() && self.back.is_none()
    }

    /// Adds one at the end.
    pub(crate) fn push_back(&mut self, mut one: KBox<T>) {
        hang(one.next(), self.back.take());
        hang(&mut self.back, Some(one));
    }

    /// Adds one that goes before the others.
    pub(crate) fn push_front(&mut self, mut one: KBox<T>) {
        hang(one.next(), self.front.take());
        hang(&mut self.front, Some(one));
    }

    /// Takes the first.
    pub(crate) fn pop_front(&mut self) -> Option<KBox<T>> {
        if self.front.is_none() {
            let mut rest = self.back.take();
            while let Some(mut one) = rest {
                rest = one.next().take();
                self.push_front(one);
            }
        }
        let mut one = self.front.take()?;
        hang(&mut self.front, one.next().take());
        Some(one)
    }

    /// One, wherever it stands.
    pub(crate) fn get(&mut self, unique: Unique) -> Option<&mut T> {
        [&mut self.front, &mut self.back]
            .into_iter()
            .find_map(|list| find(list, unique).as_deref_mut())
    }

    /// Whether `f` says so of any, in no order.
    pub(crate) fn any(&self, mut f: impl FnMut(&T) -> bool) -> bool {
        any(self.front.as_deref(), &mut f) || any(self.back.as_deref(), f)
    }

    /// Takes one out from wherever it stands.
    pub(crate) fn remove(&mut self, unique: Unique) -> Option<KBox<T>> {
        self.remove_by(|one| one.unique() == unique)
    }

    /// As [`Self::remove`], one that `f` says so of.
    pub(crate) fn remove_by(&mut self, f: impl Fn(&T) -> bool) -> Option<KBox<T>> {
        for list in [&mut self.front, &mut self.back] {
            let at = find_by(list, &f);
            if let Some(mut one) = at.take() {
                hang(at, one.next().take());
                return Some(one);
            }
        }
        None
    }
}

impl<T: Linked> Drop for Fifo<T> {
    fn drop(&mut self) {
        // One by one: a long line must not be dropped by recursion.
        while self.pop_front().is_some() {}
    }
}
