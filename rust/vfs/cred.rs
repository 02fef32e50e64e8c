// SPDX-License-Identifier: GPL-2.0

//! Who is calling: ids of the current task as the server of a mount sees them.

use super::{FileSystem, SuperBlock};
use crate::bindings;

/// The ids of a caller, in the user namespace of the mount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// File system user id; `u32::MAX` when it has no mapping.
    pub(crate) uid: u32,
    /// File system group id; `u32::MAX` when it has no mapping.
    pub(crate) gid: u32,
    /// Process id in the initial namespace.
    pub(crate) pid: u32,
}

impl Caller {
    /// The current task.
    pub(crate) fn current<T: FileSystem>(sb: &SuperBlock<T>) -> Self {
        // SAFETY: The super block keeps its user namespace alive; the others read the current task.
        unsafe {
            let ns = (*sb.as_raw()).s_user_ns;
            Self {
                uid: bindings::rust_fuse_current_fsuid(ns),
                gid: bindings::rust_fuse_current_fsgid(ns),
                pid: bindings::rust_fuse_current_pid() as u32,
            }
        }
    }

    /// The file mode creation mask of the current task.
    pub(crate) fn umask() -> u32 {
        // SAFETY: Reads the current task.
        u32::from(unsafe { bindings::rust_fuse_current_umask() })
    }
}
