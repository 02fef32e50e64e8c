// SPDX-License-Identifier: GPL-2.0

//! What was learnt of a server that lacks something. No locks.

use kernel::sync::atomic::{AtomicFlag, Relaxed};

/// Operations that the server said it does not have.
#[derive(Default)]
pub(crate) struct Missing {
    /// ACCESS: everything is allowed.
    pub(crate) access: Flag,
    /// CREATE: MKNOD and OPEN do it.
    pub(crate) create: Flag,
    /// GETXATTR.
    pub(crate) getxattr: Flag,
    /// SETXATTR.
    pub(crate) setxattr: Flag,
    /// LISTXATTR.
    pub(crate) listxattr: Flag,
    /// REMOVEXATTR.
    pub(crate) removexattr: Flag,
    /// FALLOCATE.
    pub(crate) fallocate: Flag,
    /// LSEEK.
    pub(crate) lseek: Flag,
    /// COPY_FILE_RANGE_64.
    pub(crate) copy_file_range_64: Flag,
    /// COPY_FILE_RANGE.
    pub(crate) copy_file_range: Flag,
    /// LINK.
    pub(crate) link: Flag,
    /// OPEN: files need none.
    pub(crate) open: Flag,
    /// OPENDIR: directories need none.
    pub(crate) opendir: Flag,
    /// TMPFILE.
    pub(crate) tmpfile: Flag,
    /// READDIRPLUS.
    pub(crate) readdirplus: Flag,
    /// FLUSH.
    pub(crate) flush: Flag,
    /// FSYNC.
    pub(crate) fsync: Flag,
    /// FSYNCDIR.
    pub(crate) fsyncdir: Flag,
    /// SYNCFS.
    pub(crate) syncfs: Flag,
    /// STATX: there are no times of birth.
    pub(crate) statx: Flag,
    /// BMAP.
    pub(crate) bmap: Flag,
    /// POLL: files are always ready.
    pub(crate) poll: Flag,
}

/// A fact that may become true, once.
pub(crate) struct Flag(AtomicFlag);

impl Default for Flag {
    fn default() -> Self {
        Self(AtomicFlag::new(false))
    }
}

impl Flag {
    /// Whether it is true.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Makes it true.
    pub(crate) fn set(&self) {
        self.0.store(true, Relaxed);
    }
}
