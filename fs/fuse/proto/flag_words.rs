// SPDX-License-Identifier: GPL-2.0

//! How a flag word is defined: a transparent integer with named bits and set operations.

use core::fmt;

/// Defines transparent flag words with their named bits.
macro_rules! flag_words {
    ($(
        $(#[$meta:meta])*
        $name:ident($word:ty) {
            $($(#[$flag_meta:meta])* $flag:ident = $bit:expr,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
        )]
        #[repr(transparent)]
        pub struct $name($word);

        impl $name {
            $($(#[$flag_meta])* pub const $flag: Self = Self(1 << $bit);)*

            /// Every named flag.
            pub const ALL: Self = Self(0 $(| 1 << $bit)*);

            /// Names and flags, for messages and tables.
            pub const NAMES: &'static [(&'static str, Self)] =
                &[$((stringify!($flag), Self::$flag),)*];

            /// No flag.
            #[inline]
            pub const fn empty() -> Self {
                Self(0)
            }

            /// Makes the word from its bits on the wire; unknown bits stay.
            #[inline]
            pub const fn from_bits(bits: $word) -> Self {
                Self(bits)
            }

            /// The bits on the wire.
            #[inline]
            pub const fn bits(self) -> $word {
                self.0
            }

            /// Whether no bit is set, known or not.
            #[inline]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether all of `other` is set.
            #[inline]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether any of `other` is set.
            #[inline]
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// What is set in either.
            #[inline]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// What is set in both.
            #[inline]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// What is set here and not in `other`.
            #[inline]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Sets all of `other`.
            #[inline]
            pub fn insert(&mut self, other: Self) {
                self.0 |= other.0;
            }

            /// Clears all of `other`.
            #[inline]
            pub fn remove(&mut self, other: Self) {
                self.0 &= !other.0;
            }

            /// Sets or clears all of `other`.
            #[inline]
            pub fn set(&mut self, other: Self, on: bool) {
                if on {
                    self.insert(other);
                } else {
                    self.remove(other);
                }
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;

            #[inline]
            fn bitor(self, other: Self) -> Self {
                self.union(other)
            }
        }

        impl core::ops::BitOrAssign for $name {
            #[inline]
            fn bitor_assign(&mut self, other: Self) {
                self.insert(other);
            }
        }

        impl core::ops::BitAnd for $name {
            type Output = Self;

            #[inline]
            fn bitand(self, other: Self) -> Self {
                self.intersection(other)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let names = Self::NAMES.iter().map(|&(name, flag)| (name, u64::from(flag.0)));
                flag_words::debug(f, stringify!($name), u64::from(self.0), names)
            }
        }
    )*};
}

/// Writes `Name(A | B | 0x100)`: the named flags that are set, then the bits without a name.
pub(super) fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    bits: u64,
    names: impl Iterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut rest = bits;
    let mut between = "";
    write!(f, "{name}(")?;
    for (flag, bit) in names.filter(|(_, bit)| bits & bit != 0) {
        write!(f, "{between}{flag}")?;
        between = " | ";
        rest &= !bit;
    }
    if rest != 0 {
        write!(f, "{between}{rest:#x}")?;
    }
    f.write_str(")")
}

pub(super) use flag_words;
