// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, which the administrator may change at any time. No locks: each is one word.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::bindings;

/// What bounds a server without an administrator's rights: most requests that nobody waits for, and the highest
/// threshold of congestion (`max_user_bgreq`, `max_user_congthresh`).
pub(crate) fn user_limits() -> (u32, u32) {
    // SAFETY: Each reads one word.
    unsafe {
        (
            bindings::rust_fuse_max_user_bgreq(),
            bindings::rust_fuse_max_user_congthresh(),
        )
    }
}

/// Whether administrators may use every mount (`allow_sys_admin_access`).
pub(crate) fn lets_admins_in() -> bool {
    // SAFETY: Reads one word.
    unsafe { bindings::rust_fuse_allow_sys_admin_access() }
}

/// Seconds between searches for names that are not believed any more (`inval_wq`); 0: there are none.
pub(crate) fn search_period() -> u32 {
    // SAFETY: Reads one word.
    unsafe { bindings::rust_fuse_inval_wq() }
}
