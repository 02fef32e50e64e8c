// SPDX-License-Identifier: GPL-2.0

//! Moments at which cached attributes and names stop being valid, in 64-bit jiffies.

use crate::bindings;

/// A moment in 64-bit jiffies; 0 is long past.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(u64);

/// Nanoseconds in a second.
const NSEC_PER_SEC: u32 = 1_000_000_000;

impl Moment {
    /// A moment that has passed.
    pub(crate) const PAST: Self = Self(0);

    /// A moment that does not come.
    #[allow(dead_code, reason = "for file systems that need no server")]
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Now.
    pub(crate) fn now() -> Self {
        // SAFETY: May be called in every context.
        Self(unsafe { bindings::rust_fuse_jiffies_64() })
    }

    /// `sec` seconds and `nsec` nanoseconds from now; a duration of zero gives a moment that has passed.
    pub(crate) fn after(sec: u64, nsec: u32) -> Self {
        if sec == 0 && nsec == 0 {
            return Self::PAST;
        }
        let nsec = nsec.min(NSEC_PER_SEC - 1);
        // SAFETY: Pure arithmetic.
        let ticks =
            unsafe { bindings::rust_fuse_to_jiffies(sec.min(u64::from(u32::MAX)) as u32, nsec) };
        Self(Self::now().0.saturating_add(ticks))
    }

    /// Whether the moment lies behind.
    pub(crate) fn passed(self) -> bool {
        self.0 < Self::now().0
    }

    /// Milliseconds since then.
    pub(crate) fn elapsed_ms(self) -> u64 {
        let ticks = Self::now().0.saturating_sub(self.0);
        // SAFETY: Pure arithmetic.
        let per_second = unsafe { bindings::rust_fuse_to_jiffies(1, 0) };
        ticks.saturating_mul(1000) / per_second.max(1)
    }

    /// The number, for storing it in a dentry.
    pub(crate) fn to_raw(self) -> u64 {
        self.0
    }

    /// The moment that was stored.
    pub(crate) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}
