// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to take a range: that of who is first in line, but others may overtake him a few times.
//!
//! A fault whose part has no range, while others are in line, often finds what its task has just used. If it could not take that, each
//! fault would sleep twice: in line, and for its SETUPMAPPING. So up to [`OVERTAKES`] may take something before the first in line does, and
//! as long as they may, and something is on its way, he is not woken by each use that ends: who waits for that ends a use as well, later.
//! Once he is woken nobody overtakes him.
//!
//! One atomic word: who is first, and how many may still overtake him. No locks; who changes who is first has that of the line. Pure.

use super::ranges::Atom;

/// The number of the first one when there is none.
pub const NOBODY: u64 = u64::MAX >> SHIFT;

/// So many may take something while one is first.
pub const OVERTAKES: u64 = 8;

/// Above the bits that count who may still overtake.
const SHIFT: u32 = 8;
const COUNT: u64 = (1 << SHIFT) - 1;

/// Whose turn it is, see the [module](self).
pub struct Turns<A>(A);

impl<A: Atom> Turns<A> {
    /// Nobody is in line. `word` is 0.
    pub fn new(word: A) -> Self {
        word.store(NOBODY << SHIFT);
        Self(word)
    }

    /// The number of who is first, or [`NOBODY`].
    pub fn first(&self) -> u64 {
        self.0.load() >> SHIFT
    }

    /// Whether it is the turn of the one with this number, or of one who is not in line.
    pub fn is_turn(&self, number: Option<u64>) -> bool {
        let first = self.first();
        first == NOBODY || number == Some(first)
    }

    /// Says who is first now; nothing changes for one who was first already. The lock of the line is held.
    pub fn set_first(&self, first: u64) {
        self.change(|word| (word >> SHIFT != first).then_some(first << SHIFT | OVERTAKES));
    }

    /// Overtakes who is first, if one may; always if there is nobody.
    pub fn overtake(&self) -> bool {
        let may = |word: u64| word >> SHIFT != NOBODY && word & COUNT > 0;
        self.change(|word| may(word).then(|| word - 1)) || self.first() == NOBODY
    }

    /// Whether who is first need not be woken when a use ends: others are on their way, who will end one as well.
    pub fn can_wait(&self, on_their_way: bool) -> bool {
        on_their_way && self.0.load() & COUNT > 0
    }

    /// Who has to be woken, if anybody. Nobody overtakes him from now on.
    pub fn wake(&self) -> Option<u64> {
        self.change(|word| (word & COUNT > 0).then_some(word & !COUNT));
        Some(self.first()).filter(|first| *first != NOBODY)
    }

    /// Changes the word as `change` says, which is asked again when it moved meanwhile; false when it says [`None`].
    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        let mut seen = self.0.load();
        while let Some(new) = change(seen) {
            match self.0.compare_exchange(seen, new) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}
