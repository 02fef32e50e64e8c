// SPDX-License-Identifier: GPL-2.0

//! The entries of the table of slots, and how many are in which state.

use super::{
    list::Links,
    token::{
        By,
        FileId,
        Owner, //
    },
};

/// What the table knows of a mapping; whether it is writable, its users and whether it was used stand in its word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// A SETUPMAPPING is on its way that makes it writable.
    pub(super) upgrading: bool,
    /// Such a SETUPMAPPING was lost on its way; the slot can never be reused.
    pub(super) tainted: bool,
    /// It was mapped ahead of its first user, who has not come yet. Its word is closed until then.
    pub(super) ahead: bool,
    /// A sequential pass had it mapped, which will not come back to it soon.
    pub(super) pass: bool,
}

impl Live {
    /// A mapping that nobody has used.
    pub(super) const fn new(by: By) -> Self {
        Self {
            upgrading: false,
            tainted: false,
            ahead: matches!(by, By::Ahead),
            pass: matches!(by, By::Ahead | By::Pass),
        }
    }
}

/// State of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// Maps nothing; on the free list.
    Free,
    /// Taken for its owner; SETUPMAPPING is about to be sent or on its way. It replaces what is there if `over`. Nobody will
    /// look for it any more if `unwanted`.
    Mapping { over: bool, unwanted: bool },
    /// Maps its owner. The word is open, unless nobody has used it since it was mapped ahead.
    Mapped(Live),
    /// Closed: the guest has no way to it any more, the host still maps its owner. On the list of parked slots.
    Parked(Live),
    /// The mapping as it was; it has no users.
    Unmapping(Live),
    /// Nobody's; the host may still have something there. On the list of such slots. The host did not remove it when it
    /// was asked if `tried`.
    Left { tried: bool },
    /// Out of use.
    Retired,
}

impl State {
    fn live(&self) -> Option<&Live> {
        match self {
            Self::Mapped(live) | Self::Parked(live) | Self::Unmapping(live) => Some(live),
            _ => None,
        }
    }

    /// Whether its owner is mapped at the host, as far as is known.
    pub(super) fn is_live(&self) -> bool {
        self.live().is_some()
    }

    /// Whether it was mapped ahead of a user who has not come yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.live().is_some_and(|live| live.ahead)
    }
}

/// One entry of the table, opaque: callers provide the memory.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub(super) owner: Owner,
    pub(super) state: State,
    /// Its place among the slots of its state.
    pub(super) links: Links,
}

impl Slot {
    /// Makes an entry; [`Ranges::new`](super::Ranges::new) sets it up.
    pub const fn new() -> Self {
        Self {
            owner: Owner {
                file: FileId { sb: 0, inode: 0 },
                index: 0,
            },
            state: State::Retired,
            links: Links::NONE,
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
    /// SETUPMAPPING on its way, or about to be.
    pub mapping: u32,
    /// Mapped, also while an upgrade is on its way.
    pub mapped: u32,
    /// Closed, and mapped at the host.
    pub parked: u32,
    /// REMOVEMAPPING on its way.
    pub unmapping: u32,
    /// Nobody's, and perhaps mapped at the host.
    pub left: u32,
    /// Out of use.
    pub retired: u32,
}

impl Counts {
    /// The count of the state's kind.
    pub(super) fn of(&mut self, state: &State) -> &mut u32 {
        match state {
            State::Free => &mut self.free,
            State::Mapping { .. } => &mut self.mapping,
            State::Mapped(_) => &mut self.mapped,
            State::Parked(_) => &mut self.parked,
            State::Unmapping(_) => &mut self.unmapping,
            State::Left { .. } => &mut self.left,
            State::Retired => &mut self.retired,
        }
    }

    /// The sum of all states.
    pub fn sum(&self) -> u64 {
        [
            self.free,
            self.mapping,
            self.mapped,
            self.parked,
            self.unmapping,
            self.left,
            self.retired,
        ]
        .iter()
        .map(|&count| u64::from(count))
        .sum()
    }
}

/// What became of mappings that were made ahead of their first user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// The user came.
    pub used: u64,
    /// They were given up before.
    pub wasted: u64,
}
