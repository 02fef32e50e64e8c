// SPDX-License-Identifier: GPL-2.0

//! Sparse arrays of numbers that are read without a lock: an `xarray` of values.
//!
//! `kernel::xarray` keeps pointers, and lends them under the array's lock. A number can be copied out instead: looking one
//! up takes RCU's read side, and nothing else. Locks: the array's own spinlock around changes, with nothing inside.
//!
//! C header: [`include/linux/xarray.h`](srctree/include/linux/xarray.h)

use crate::bindings;
use core::marker::PhantomPinned;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// Numbers below [`Self::END`], by index.
///
/// # Invariants
///
/// Every entry of the array is a value.
#[pin_data(PinnedDrop)]
pub(crate) struct Numbers {
    #[pin]
    xa: Opaque<bindings::xarray>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: An `xarray` of values may be used from every thread.
unsafe impl Send for Numbers {}
// SAFETY: Lookups are made for concurrent use, and changes take the array's lock.
unsafe impl Sync for Numbers {}

impl Numbers {
    /// The first number that cannot be kept.
    pub(crate) const END: u64 = 1 << 63;

    /// An empty array, which has no memory of its own; nor has one with an entry at index 0 only. Must be empty when it is
    /// dropped in an RCU callback.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: There are no entries.
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes.
            xa <- Opaque::ffi_init(|slot| unsafe { bindings::rust_fuse_xa_init(slot) }),
            _pin: PhantomPinned,
        })
    }

    /// The number at `index`. Takes no lock.
    #[inline]
    pub(crate) fn get(&self, index: u64) -> Option<u64> {
        let mut value = 0;
        // SAFETY: The array is initialised and holds values only.
        let found =
            unsafe { bindings::rust_fuse_xa_get(self.xa.get(), index as c_ulong, &mut value) };
        found.then_some(value as u64)
    }

    /// Puts a number where there is none. False when there is one already. May sleep for memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for a number that cannot be kept.
    pub(crate) fn insert(&self, index: u64, value: u64) -> Result<bool> {
        if value >= Self::END {
            return Err(EINVAL);
        }
        // INVARIANT: It adds a value. SAFETY: The array is initialised; the number fits into a value.
        let r = to_result(unsafe {
            bindings::rust_fuse_xa_insert(self.xa.get(), index as c_ulong, value as c_ulong)
        });
        match r {
            Ok(()) => Ok(true),
            Err(e) if e == EBUSY => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes the entry at `index` if it is `value`; says whether it was.
    pub(crate) fn remove(&self, index: u64, value: u64) -> bool {
        if value >= Self::END {
            return false;
        }
        // SAFETY: The array is initialised; the number fits into a value.
        unsafe { bindings::rust_fuse_xa_remove(self.xa.get(), index as c_ulong, value as c_ulong) }
    }

    /// The first entry at `index` or behind, and where it is. Takes no lock.
    pub(crate) fn first_from(&self, index: u64) -> Option<(u64, u64)> {
        let (mut index, mut value) = (index as c_ulong, 0);
        // SAFETY: The array is initialised and holds values only.
        let found = unsafe { bindings::rust_fuse_xa_next(self.xa.get(), &mut index, &mut value) };
        found.then_some((index as u64, value as u64))
    }
}

#[pinned_drop]
impl PinnedDrop for Numbers {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The array is initialised, and nobody else has it any more.
        unsafe { bindings::rust_fuse_xa_end(self.xa.get()) };
    }
}
