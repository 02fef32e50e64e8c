// SPDX-License-Identifier: GPL-2.0

//! Changes of attributes, as the VFS hands them to a file system. It holds the inode lock for writing meanwhile.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{FileSystem, Inode};
use crate::{
    bindings,
    vfs::{cred::Idmap, file::File},
};
use core::ptr::NonNull;

/// Set-user-id and set-group-id bits that a change of a file clears.
#[derive(Clone, Copy)]
pub(crate) struct Kill(u32);

impl Kill {
    /// From `ATTR_KILL_*`; `None` when nothing is cleared.
    pub(in crate::vfs) fn new(flags: u32) -> Option<Self> {
        let flags = flags & (bindings::ATTR_KILL_SUID | bindings::ATTR_KILL_SGID);
        (flags != 0).then_some(Self(flags))
    }

    /// What is left of a mode.
    pub(crate) fn apply(self, mut mode: u32) -> u32 {
        if self.0 & bindings::ATTR_KILL_SUID != 0 {
            mode &= !bindings::S_ISUID;
        }
        if self.0 & bindings::ATTR_KILL_SGID != 0 {
            mode &= !bindings::S_ISGID;
        }
        mode
    }
}

/// A change of attributes that a user asks for.
pub(crate) struct Change<'a, T: FileSystem> {
    pub(super) attr: &'a bindings::iattr,
    pub(super) inode: &'a Inode<T>,
    pub(super) idmap: &'a Idmap,
}

impl<'a, T: FileSystem> Change<'a, T> {
    fn has(&self, bit: u32) -> bool {
        self.attr.ia_valid & bit != 0
    }

    fn sb(&self) -> *mut bindings::super_block {
        self.inode.sb().as_raw()
    }

    /// New permissions.
    pub(crate) fn mode(&self) -> Option<u32> {
        self.has(bindings::ATTR_MODE)
            .then_some(u32::from(self.attr.ia_mode))
    }

    /// Bits that go because of what the user does. The new permissions, if any, are without them then, but may stand on
    /// ones that are out of date.
    pub(crate) fn kills(&self) -> Option<Kill> {
        Kill::new(self.attr.ia_valid)
    }

    /// Whether it is what an open with `O_TRUNC` asks for.
    pub(crate) fn of_open(&self) -> bool {
        self.has(bindings::ATTR_OPEN)
    }

    /// Whether it is made through an open file, or by opening one.
    pub(crate) fn by_file(&self) -> bool {
        self.has(bindings::ATTR_OPEN | bindings::ATTR_FILE)
    }

    /// New size.
    pub(crate) fn size(&self) -> Option<u64> {
        self.has(bindings::ATTR_SIZE)
            .then_some(self.attr.ia_size as u64)
    }

    /// New owner.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.has(bindings::ATTR_UID)
            // SAFETY: All pointers are valid for the call.
            .then(|| unsafe {
                bindings::rust_fuse_iattr_uid(self.idmap.as_raw(), self.sb(), self.attr)
            })
    }

    /// New group.
    pub(crate) fn gid(&self) -> Option<u32> {
        self.has(bindings::ATTR_GID)
            // SAFETY: All pointers are valid for the call.
            .then(|| unsafe {
                bindings::rust_fuse_iattr_gid(self.idmap.as_raw(), self.sb(), self.attr)
            })
    }

    /// New access time, and whether it was given (else it is the present).
    pub(crate) fn atime(&self) -> Option<(i64, u32, bool)> {
        let t = &self.attr.ia_atime;
        self.has(bindings::ATTR_ATIME).then(|| {
            (
                t.tv_sec,
                t.tv_nsec as u32,
                self.has(bindings::ATTR_ATIME_SET),
            )
        })
    }

    /// The open file that the change is made through, if there is one.
    pub(crate) fn file(&self) -> Option<&'a File<T>> {
        // A file that is being opened has nothing of ours yet.
        if !self.has(bindings::ATTR_FILE) || self.has(bindings::ATTR_OPEN) {
            return None;
        }
        // SAFETY: With this bit the VFS names an open file, which stays so for the call.
        let file = unsafe { File::from_raw(NonNull::new(self.attr.ia_file)?.as_ptr()) };
        core::ptr::eq(file.inode(), self.inode).then_some(file)
    }

    /// The time of the change: seconds and nanoseconds.
    pub(crate) fn now(&self) -> (i64, u32) {
        let t = &self.attr.ia_ctime;
        (t.tv_sec, t.tv_nsec as u32)
    }

    /// New modification time, as [`Self::atime`].
    pub(crate) fn mtime(&self) -> Option<(i64, u32, bool)> {
        let t = &self.attr.ia_mtime;
        self.has(bindings::ATTR_MTIME).then(|| {
            (
                t.tv_sec,
                t.tv_nsec as u32,
                self.has(bindings::ATTR_MTIME_SET),
            )
        })
    }
}
