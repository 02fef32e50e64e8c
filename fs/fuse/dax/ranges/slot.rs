// SPDX-License-Identifier: GPL-2.0

//! The entries of the table of slots, and how many are in which state.

use super::token::{
    Mode,
    Owner, //
};

/// A mapping that can be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// What the host allows.
    pub(super) mode: Mode,
    /// Uses that have not ended.
    pub(super) users: u32,
    /// Used since the clock hand last came by.
    pub(super) accessed: bool,
    /// A SETUPMAPPING is on its way that makes it writable.
    pub(super) upgrading: bool,
    /// Such a SETUPMAPPING was lost on its way; the slot can never be reused.
    pub(super) tainted: bool,
}

/// State of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// On the free list, before `next`.
    Free { next: Option<u32> },
    /// Taken for its owner.
    Reserved,
    /// SETUPMAPPING is on its way.
    Mapping,
    /// Maps its owner.
    Mapped(Live),
    /// The mapping as it was; it has no users.
    Unmapping(Live),
    /// Out of use.
    Retired,
}

/// One entry of the table, opaque: callers provide the memory.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub(super) owner: Owner,
    /// Counts the owners, so that ids of former ones are recognised.
    pub(super) generation: u32,
    pub(super) state: State,
}

impl Slot {
    /// Makes an entry; [`Ranges::new`](super::Ranges::new) sets it up.
    pub const fn new() -> Self {
        Self {
            owner: Owner { inode: 0, index: 0 },
            generation: 0,
            state: State::Retired,
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// How many slots are in each state; the states sum to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All slots of the window.
    pub total: u32,
    /// On the free list.
    pub free: u32,
    /// Taken, nothing asked of the host yet.
    pub reserved: u32,
    /// SETUPMAPPING on its way.
    pub mapping: u32,
    /// Mapped, also while an upgrade is on its way.
    pub mapped: u32,
    /// REMOVEMAPPING on its way.
    pub unmapping: u32,
    /// Out of use.
    pub retired: u32,
}

impl Counts {
    /// The count of the state's kind.
    pub(super) fn of(&mut self, state: &State) -> &mut u32 {
        match state {
            State::Free { .. } => &mut self.free,
            State::Reserved => &mut self.reserved,
            State::Mapping => &mut self.mapping,
            State::Mapped(_) => &mut self.mapped,
            State::Unmapping(_) => &mut self.unmapping,
            State::Retired => &mut self.retired,
        }
    }
}
