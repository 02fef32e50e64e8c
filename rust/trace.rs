// SPDX-License-Identifier: GPL-2.0

//! The module's tracepoints, `/sys/kernel/tracing/events/rust_fuse`; what they show is in `rust/helpers/trace.h`.
//!
//! One that is not enabled costs a call and a jump. None is on the way of an access that hits.

use crate::bindings;
use kernel::prelude::*;

/// A result as a tracepoint shows it.
fn errno(result: Result) -> c_int {
    result.map_or_else(|e| e.to_errno(), |()| 0)
}

/// Where a SETUPMAPPING maps what.
pub(crate) struct Setup {
    /// The inode.
    pub(crate) nodeid: u64,
    /// Its first part that is mapped.
    pub(crate) index: u64,
    /// How many parts.
    pub(crate) count: u32,
    /// Where in the window, in bytes.
    pub(crate) moffset: u64,
    /// For writing.
    pub(crate) write: bool,
    /// Nobody waits for it.
    pub(crate) ahead: bool,
}

/// A SETUPMAPPING is sent.
pub(crate) fn dax_setup(s: &Setup) {
    // SAFETY: It only reads its arguments; so do those below.
    unsafe {
        bindings::rust_fuse_trace_dax_setup(s.nodeid, s.index, s.count, s.moffset, s.write, s.ahead)
    };
}

/// A SETUPMAPPING for `count` ranges ended.
pub(crate) fn dax_setup_done(count: u32, result: Result) {
    // SAFETY: As above.
    unsafe { bindings::rust_fuse_trace_dax_setup_done(count, errno(result)) };
}

/// A REMOVEMAPPING for `count` ranges ended.
pub(crate) fn dax_remove_done(count: u32, result: Result) {
    // SAFETY: As above.
    unsafe { bindings::rust_fuse_trace_dax_remove_done(count, errno(result)) };
}

/// A part of an inode, given as node id and index, gets the range that another had.
pub(crate) fn dax_take_over(to: (u64, u64), from: (u64, u64)) {
    // SAFETY: As above.
    unsafe { bindings::rust_fuse_trace_dax_take_over(to.0, to.1, from.0, from.1) };
}

/// A part of an inode is read or written by request, as the window is full and it is cold.
pub(crate) fn dax_fallback(nodeid: u64, index: u64) {
    // SAFETY: As above.
    unsafe { bindings::rust_fuse_trace_dax_fallback(nodeid, index) };
}

/// A wait for a range took so many milliseconds.
pub(crate) fn dax_waited(ms: u64) {
    // SAFETY: As above.
    unsafe { bindings::rust_fuse_trace_dax_waited(ms) };
}
