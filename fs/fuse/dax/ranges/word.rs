// SPDX-License-Identifier: GPL-2.0

//! What a hit sees of a slot: one atomic word, which it moves without a lock.
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | open: the mapping may be used |
//! | 1 | the host allows writing |
//! | 2 | used since the clock hand last came by |
//! | 3 to 31 | users |
//! | 32 to 63 | generation: counts the owners of the slot |
//!
//! A hit adds a user by compare-exchange, and only while the word is open and of the generation of its id. Who closes takes
//! the open bit away by compare-exchange, and only while there are no users. So either the hit comes first and the closing
//! is refused, or the closing comes first and the hit is. From then on the word is the table's, which has a lock, until
//! the table opens it again.

use super::{
    Mode,
    RangeId,
    Refused,
    Use, //
};

/// An atomic number: the kernel's, the standard library's or loom's.
pub trait Atom {
    /// Reads; what was written before the value was stored is seen.
    fn load(&self) -> u64;
    /// Writes; who reads it sees what was written before.
    fn store(&self, value: u64);
    /// Writes `new` if it is `old`, else returns what it is. Fully ordered on success.
    ///
    /// # Errors
    ///
    /// What it is.
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
    /// Takes `n` away and returns what it was. Fully ordered.
    fn fetch_sub(&self, n: u64) -> u64;
}

/// The words of a table, one for each slot, shared by the table and who hits.
pub trait Words {
    /// The type of a word.
    type Atom: Atom;
    /// All of them. Always the same.
    fn words(&self) -> &[Self::Atom];
}

const OPEN: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 2;
const USER: u64 = 1 << 3;
const GENERATION_SHIFT: u32 = 32;
const GENERATION: u64 = u64::MAX << GENERATION_SHIFT;
/// As many users as can be counted.
const USERS: u64 = !GENERATION & !(USER - 1);

/// Using mappings without a lock.
#[derive(Debug)]
pub struct Hits<W> {
    words: W,
}

impl<W: Words> Hits<W> {
    /// Hits on the mappings of the table that has these words.
    pub fn new(words: W) -> Self {
        Self { words }
    }

    /// CAST: `u32` fits into `usize` on every machine that has a DAX window.
    #[inline]
    fn word(&self, index: u32) -> Option<&W::Atom> {
        self.words.words().get(index as usize)
    }

    /// What the word of `id` must have for a use.
    #[inline]
    fn needed(id: RangeId, write: bool) -> (u64, u64) {
        let bits = if write { OPEN | WRITABLE } else { OPEN };
        let want = u64::from(id.generation) << GENERATION_SHIFT | bits;
        (GENERATION | bits, want)
    }

    /// Starts using a mapping, for writing too if `write`, until [`Self::put`]. [`None`] when it is closed, read-only or
    /// another's: [`Ranges::get`](super::Ranges::get) knows why.
    #[inline]
    pub fn hit(&self, id: RangeId, write: bool) -> Option<Use> {
        let word = self.word(id.index)?;
        let (mask, want) = Self::needed(id, write);
        let mut seen = word.load();
        loop {
            if seen & mask != want || seen & USERS == USERS {
                return None;
            }
            match word.compare_exchange(seen, (seen | ACCESSED) + USER) {
                Ok(_) => return Some(Use(id)),
                Err(now) => seen = now,
            }
        }
    }

    /// Ends a use; returns whether it was the last, so that waiters for the range can be woken.
    #[inline]
    pub fn put(&self, token: Use) -> bool {
        // While it is used, a slot keeps its generation.
        self.word(token.0.index)
            .is_some_and(|word| word.fetch_sub(USER) & USERS == USER)
    }

    /// Whether a mapping can be used. It stays what it is only for who has it in use.
    #[inline]
    pub fn shows(&self, id: RangeId, write: bool) -> bool {
        let (mask, want) = Self::needed(id, write);
        self.word(id.index)
            .is_some_and(|word| word.load() & mask == want)
    }

    /// Says that who used a mapping lately is done with it, if nobody is at it: it may be given up before others.
    pub fn passed(&self, id: RangeId) {
        let (mask, want) = Self::needed(id, false);
        self.change(id.index, |word| {
            (word & (mask | USERS) == want).then_some(word & !ACCESSED)
        });
    }

    /// How many slots there are.
    pub(super) fn total(&self) -> usize {
        self.words.words().len()
    }

    /// The generation of a slot.
    pub(super) fn generation(&self, index: u32) -> Option<u32> {
        // CAST: The upper half.
        self.word(index)
            .map(|word| (word.load() >> GENERATION_SHIFT) as u32)
    }

    /// How many use a slot.
    pub(super) fn users(&self, index: u32) -> u64 {
        self.word(index)
            .map_or(0, |word| (word.load() & USERS) / USER)
    }

    /// Whether a slot is open.
    pub(super) fn is_open(&self, index: u32) -> bool {
        self.word(index).is_some_and(|word| word.load() & OPEN != 0)
    }

    /// Whether the mapping of a slot is writable.
    pub(super) fn is_writable(&self, index: u32) -> bool {
        self.word(index)
            .is_some_and(|word| word.load() & WRITABLE != 0)
    }

    /// Changes a word as `change` says, which is asked again when the word moved meanwhile; nothing when it says [`None`].
    fn change(&self, index: u32, change: impl Fn(u64) -> Option<u64>) -> bool {
        let Some(word) = self.word(index) else {
            return false;
        };
        let mut seen = word.load();
        while let Some(new) = change(seen) {
            match word.compare_exchange(seen, new) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Makes the word of a closed slot that of a mapping which nobody has used, still closed.
    pub(super) fn set(&self, id: RangeId, mode: Mode) {
        let writable = match mode {
            Mode::ReadOnly => 0,
            Mode::ReadWrite => WRITABLE,
        };
        let value = u64::from(id.generation) << GENERATION_SHIFT | writable | ACCESSED;
        if let Some(word) = self.word(id.index) {
            word.store(value);
        }
    }

    /// Opens a closed slot.
    pub(super) fn open(&self, index: u32) {
        self.change(index, |word| Some(word | OPEN));
    }

    /// Closes a slot to new users.
    ///
    /// # Errors
    ///
    /// [`Refused::Busy`] while it has users.
    pub(super) fn close(&self, index: u32) -> Result<(), Refused> {
        if self.change(index, |word| (word & USERS == 0).then_some(word & !OPEN)) {
            Ok(())
        } else {
            Err(Refused::Busy)
        }
    }

    /// Lets a mapping be written.
    pub(super) fn make_writable(&self, index: u32) {
        self.change(index, |word| Some(word | WRITABLE));
    }

    /// Whether a mapping without users was used since it was last asked; [`None`] if it has users.
    pub(super) fn take_accessed(&self, index: u32) -> Option<bool> {
        let word = self.word(index)?;
        let seen = word.load();
        if seen & USERS != 0 {
            return None;
        }
        if seen & ACCESSED != 0 {
            self.change(index, |word| Some(word & !ACCESSED));
        }
        Some(seen & ACCESSED != 0)
    }

    /// Ends the generation of a closed slot, and returns the next.
    pub(super) fn end_generation(&self, index: u32) -> u32 {
        let next = self.generation(index).map_or(0, |now| now.wrapping_add(1));
        if let Some(word) = self.word(index) {
            word.store(u64::from(next) << GENERATION_SHIFT);
        }
        next
    }
}
