// SPDX-License-Identifier: GPL-2.0

//! What administrators set for all connections: `/proc/sys/fs/fuse`. No locks.

use crate::sysctl_core::{Directory, Number};
use kernel::prelude::*;

/// Most pages of a request of a server that is a process.
static MAX_PAGES_LIMIT: Number = Number::new(256, 1, 65535);
/// Seconds that a server has for an answer where it does not say, and at most; 0 is for ever.
static DEFAULT_TIMEOUT: Number = Number::new(0, 0, 65535);
static MAX_TIMEOUT: Number = Number::new(0, 0, 65535);

/// Least seconds that a server has.
const TIMEOUT_MIN: u32 = 15;

/// Makes the directory.
pub(crate) fn new() -> Result<Directory> {
    Directory::new(
        c"fs/fuse",
        &[
            (c"max_pages_limit", &MAX_PAGES_LIMIT),
            (c"default_request_timeout", &DEFAULT_TIMEOUT),
            (c"max_request_timeout", &MAX_TIMEOUT),
        ],
    )
}

/// Most pages of a request.
pub(crate) fn max_pages() -> usize {
    MAX_PAGES_LIMIT.get() as usize
}

/// Seconds that a server has for each answer which says so many itself (0 if it does not); `None` is for ever.
pub(crate) fn timeout(server: u32) -> Option<u32> {
    let (default, max) = (DEFAULT_TIMEOUT.get(), MAX_TIMEOUT.get());
    let wanted = if server > 0 { server } else { default };
    let seconds = match (wanted, max) {
        (0, 0) => return None,
        (0, max) => max,
        (wanted, 0) => wanted,
        (wanted, max) => wanted.min(max),
    };
    Some(seconds.max(TIMEOUT_MIN))
}
