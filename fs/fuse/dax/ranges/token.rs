// SPDX-License-Identifier: GPL-2.0

//! What names a slot of the DAX window: copyable ids, and linear tokens for changes in progress.
//!
//! A token is made and taken by [`Ranges`] only, cannot be copied, and carries the slot's
//! generation: of two parties at most one can finish a change. Dropping a token leaves its slot in
//! the state it was in, for good; every token must come back.
//!
//! [`Ranges`]: super::Ranges

/// Binary logarithm of [`RANGE_SIZE`].
pub const RANGE_SHIFT: u32 = 21;

/// Length of a slot, and of the file range that it maps, in bytes.
pub const RANGE_SIZE: u64 = 1 << RANGE_SHIFT;

/// A file, by keys that the caller chooses. Node ids alone say nothing where several super blocks share a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The super block; no file has the number 0.
    pub sb: u64,
    /// The inode in it.
    pub inode: u64,
}

/// Which range of which file a slot maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The file.
    pub file: FileId,
    /// Index of the range in the file, in units of [`RANGE_SIZE`].
    pub index: u64,
}

impl Owner {
    /// The range of the file that holds the byte at `pos`.
    #[inline]
    pub const fn at(file: FileId, pos: u64) -> Self {
        Self {
            file,
            index: pos >> RANGE_SHIFT,
        }
    }

    /// Start of the range in the file, in bytes; [`None`] if no file is that long.
    #[inline]
    pub const fn file_offset(self) -> Option<u64> {
        self.index.checked_mul(RANGE_SIZE)
    }
}

/// What the host allows a mapping to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Who had a part of a file mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An access, which waits for it.
    Access,
    /// An access of a sequential pass, which waits for it.
    Pass,
    /// A sequential pass that is not there yet.
    Ahead,
}

/// Names a mapping: a slot, for as long as it maps the same file range.
///
/// Once the slot has been given back the id is stale, and every use of it says [`Refused::Gone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RangeId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// No table has more slots, so that an id fits into a number of 63 bits.
pub(super) const SLOTS_MAX: u32 = 1 << 31;

impl RangeId {
    /// As a number below 2^63, to be kept where only numbers can be.
    #[inline]
    pub const fn to_number(self) -> u64 {
        // CAST: lossless; `u64::from` is not `const`.
        ((self.index as u64) << 32) | self.generation as u64
    }

    /// From [`Self::to_number`]. Any other number names no slot, or a stale one, or a valid one.
    #[inline]
    pub const fn from_number(number: u64) -> Self {
        Self {
            index: (number >> 32) as u32,
            generation: number as u32,
        }
    }

    /// Start of the slot in the window, in bytes.
    #[inline]
    pub const fn offset(self) -> u64 {
        // CAST: lossless; `u64::from` is not `const`.
        (self.index as u64) << RANGE_SHIFT
    }
}

/// Why a slot cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// In use, or changing: wait for the range, then try again.
    Busy,
    /// Mapped read-only, and writing is wanted: upgrade first.
    NeedsUpgrade,
    /// Already mapped for writing: nothing to upgrade.
    Writable,
    /// Mapped read-only by a host that may yet carry out a lost upgrade: read on, but to write
    /// unmap the range and map it elsewhere.
    Tainted,
    /// The id or token does not name what the slot holds now.
    Gone,
}

/// What became of a slot that was unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the free list: wake a waiter.
    Free,
    /// It is out of use.
    Retired,
}

/// Defines a linear token around a [`RangeId`].
macro_rules! token {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, PartialEq, Eq)]
        #[must_use = "a slot whose token is dropped is lost"]
        pub struct $name(pub(super) RangeId);

        impl $name {
            /// The slot, and the mapping if there is one already.
            #[inline]
            pub const fn id(&self) -> RangeId {
                self.0
            }

            /// Start of the slot in the window, in bytes.
            #[inline]
            pub const fn offset(&self) -> u64 {
                self.0.offset()
            }
        }
    };
}

token! {
    /// A slot taken for a file range: SETUPMAPPING is about to be sent or on its way.
    Mapping
}
token! {
    /// A mapping for which the SETUPMAPPING that makes it writable is on its way.
    Upgrading
}
token! {
    /// A mapping that is being removed: no new users, REMOVEMAPPING on its way.
    Unmapping
}
token! {
    /// A user of a mapping: while it exists the slot keeps the file range.
    Use
}
