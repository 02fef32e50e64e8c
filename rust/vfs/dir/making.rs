// SPDX-License-Identifier: GPL-2.0

//! What goes along with the making of an inode: the name that it gets, who makes it by which mount, the group that its
//! directory hands down, and its security label.
//!
//! The VFS holds the inode lock of the directory for writing. Nothing is locked here.
//!
//! C headers: [`include/linux/mnt_idmapping.h`](srctree/include/linux/mnt_idmapping.h),
//! [`include/linux/security.h`](srctree/include/linux/security.h)

use crate::{
    bindings, errno,
    vfs::{
        cred::{Caller, Idmap},
        dentry::Dentry,
        FileSystem, Inode,
    },
};
use core::ptr::NonNull;
use kernel::{prelude::*, str::CStr};

/// A name that is about to be given to a new inode.
pub(crate) struct NewName<'a, T: FileSystem> {
    dir: &'a Inode<T>,
    dentry: &'a Dentry<T>,
    idmap: &'a Idmap,
}

impl<'a, T: FileSystem> NewName<'a, T> {
    pub(super) fn new(dir: &'a Inode<T>, dentry: &'a Dentry<T>, idmap: &'a Idmap) -> Self {
        Self { dir, dentry, idmap }
    }

    /// The name.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.dentry.name()
    }

    /// Who is to own the inode.
    pub(crate) fn owner(&self) -> Caller {
        Caller::owner(self.dir.sb(), self.idmap)
    }

    /// The group of the directory, where the current task is in it by a supplementary group only.
    pub(crate) fn group(&self) -> Option<u32> {
        let mut gid = 0;
        // SAFETY: Both are valid.
        unsafe {
            bindings::rust_fuse_create_group(self.idmap.as_raw(), self.dir.as_raw(), &mut gid)
        }
        .then_some(gid)
    }

    /// The label that the security module in force gives an inode of this mode; `None` where none does.
    ///
    /// # Errors
    ///
    /// Those of the security module.
    pub(crate) fn label(&self, mode: u32) -> Result<Option<Label>> {
        let mut name = core::ptr::null();
        let mut context = bindings::lsm_context::default();
        // SAFETY: The name is stable; both take an answer.
        let done = kernel::error::to_result(unsafe {
            let dentry = self.dentry.as_raw();
            bindings::rust_fuse_label_of_new(dentry, mode as u16, &mut name, &mut context)
        });
        match done {
            Err(e) if e == errno::eopnotsupp() => Ok(None),
            Err(e) => Err(e),
            Ok(()) => Ok(NonNull::new(context.context)
                .filter(|_| !name.is_null() && context.len > 0)
                .map(|_| {
                    // INVARIANT: The module filled both in.
                    Label { name, context }
                })),
        }
    }
}

/// A security label.
///
/// # Invariants
///
/// `context` was filled in by a security module and is released once; `name` is a static text with a NUL.
pub(crate) struct Label {
    name: *const c_char,
    context: bindings::lsm_context,
}

impl Label {
    /// The extended attribute that holds it.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_char_ptr(self.name) }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: By the type invariant.
        unsafe {
            core::slice::from_raw_parts(self.context.context.cast(), self.context.len as usize)
        }
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_release_label(&mut self.context) };
    }
}
