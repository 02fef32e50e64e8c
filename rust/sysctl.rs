// SPDX-License-Identifier: GPL-2.0

//! Numbers below `/proc/sys` that administrators set. No locks: each is one word.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    str::CStr,
    sync::atomic::{Atomic, Relaxed},
};

/// A number with bounds.
pub(crate) struct Number {
    value: Atomic<u32>,
    min: u32,
    max: u32,
}

impl Number {
    /// A number that is `value` until somebody sets it.
    pub(crate) const fn new(value: u32, min: u32, max: u32) -> Self {
        Self {
            value: Atomic::new(value),
            min,
            max,
        }
    }

    /// What it is now.
    pub(crate) fn get(&self) -> u32 {
        self.value.load(Relaxed)
    }
}

/// A directory of numbers. Dropping it takes it away.
///
/// # Invariants
///
/// The header is a registered table of the entries, which point to static numbers.
pub(crate) struct Directory {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
}

// SAFETY: Tables are made for use from every thread.
unsafe impl Send for Directory {}
// SAFETY: As above.
unsafe impl Sync for Directory {}

impl Directory {
    /// Makes `/proc/sys/PATH`; everybody may read the numbers, and administrators may set them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also when a name is taken.
    pub(crate) fn new(
        path: &'static CStr,
        numbers: &[(&'static CStr, &'static Number)],
    ) -> Result<Self> {
        let mut entries = KVec::with_capacity(numbers.len(), GFP_KERNEL)?;
        for (name, number) in numbers {
            let entry = bindings::ctl_table {
                procname: name.as_char_ptr(),
                data: number.value.as_ptr().cast(),
                maxlen: size_of::<u32>() as c_int,
                mode: 0o644,
                proc_handler: Some(bindings::proc_douintvec_minmax),
                extra1: (&raw const number.min).cast_mut().cast(),
                extra2: (&raw const number.max).cast_mut().cast(),
                // SAFETY: All zeroes are valid for the rest.
                ..unsafe { core::mem::zeroed() }
            };
            entries.push(entry, GFP_KERNEL)?;
        }
        // SAFETY: Path, names and numbers are static; the entries live until the table is taken away.
        let header = unsafe {
            bindings::register_sysctl_sz(path.as_char_ptr(), entries.as_ptr(), entries.len())
        };
        // INVARIANT: Just registered.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::unregister_sysctl_table(self.header.as_ptr()) };
    }
}
