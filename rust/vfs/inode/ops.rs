// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of inodes: permissions, attributes and their changes.
//!
//! The VFS holds the inode lock for writing around a change of attributes, and nothing around the rest; a check of
//! permissions may be inside a lockless walk. Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{Change, Inode, New};
use crate::{
    bindings,
    vfs::{acl, cred::Idmap, fileattr, to_int, xattr},
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Sets of attributes, in the numbers of statx(2).
pub(crate) mod fields {
    use crate::bindings;

    /// The type.
    pub(crate) const TYPE: u32 = bindings::STATX_TYPE;
    /// The size.
    pub(crate) const SIZE: u32 = bindings::STATX_SIZE;
    /// The time of the last access.
    pub(crate) const ATIME: u32 = bindings::STATX_ATIME;
    /// The time of birth.
    pub(crate) const BTIME: u32 = bindings::STATX_BTIME;
    /// All that stat(2) knows.
    pub(crate) const BASIC: u32 = bindings::STATX_BASIC_STATS;
    /// The time of the last change.
    pub(crate) const CTIME: u32 = bindings::STATX_CTIME;
    /// What permissions depend on.
    pub(crate) const ACCESS: u32 = bindings::STATX_MODE | bindings::STATX_UID | bindings::STATX_GID;
    /// What changes when data is overwritten.
    pub(crate) const DATA: u32 =
        bindings::STATX_MTIME | bindings::STATX_CTIME | bindings::STATX_BLOCKS;
    /// What of a directory changes with its entries.
    pub(crate) const ENTRIES: u32 = DATA | SIZE | bindings::STATX_NLINK;
    /// What a write changes that its client knows.
    pub(crate) const WRITTEN: u32 = SIZE | bindings::STATX_MTIME | bindings::STATX_CTIME;
    /// What changes with an inode's names.
    pub(crate) const LINKS: u32 = bindings::STATX_CTIME | bindings::STATX_NLINK;
}

/// What a task wants to do.
#[derive(Clone, Copy)]
pub(crate) struct Mask(c_int);

impl Mask {
    fn has(self, bit: u32) -> bool {
        self.0 & bit as c_int != 0
    }

    /// Whether it is possible to wait.
    pub(crate) fn may_block(self) -> bool {
        !self.has(bindings::MAY_NOT_BLOCK)
    }

    /// Whether the task asks what it could do, as by `access(2)` and `chdir(2)`, and does not do it at once.
    pub(crate) fn asks(self) -> bool {
        self.has(bindings::MAY_ACCESS | bindings::MAY_CHDIR)
    }

    /// Whether it wants to execute or search.
    pub(crate) fn executes(self) -> bool {
        self.has(bindings::MAY_EXEC)
    }

    /// The bits for reading, writing and executing.
    pub(crate) fn rwx(self) -> u32 {
        self.0 as u32 & 0o7
    }
}

/// Who decides about access.
pub(crate) enum Verdict {
    /// The VFS, by mode and owner, as they are known now.
    ByMode,
    /// It is allowed.
    Granted,
}

/// Operations on inodes of every kind.
pub(crate) trait Operations:
    xattr::Operations + acl::Operations + fileattr::Operations
{
    /// Makes sure that the cached attributes `wanted` ([`fields`]) are fresh enough, and says whether the server was asked;
    /// `force` asks for those of this moment. With `may_block` false it answers `ECHILD` where it would have to wait.
    fn refresh(_inode: &Inode<Self>, _wanted: u32, _force: bool, _may_block: bool) -> Result<bool> {
        Ok(false)
    }

    /// Whether the current task may do this. `ECHILD` where it would have to wait and must not.
    fn permission(_inode: &Inode<Self>, _mask: Mask) -> Result<Verdict> {
        Ok(Verdict::ByMode)
    }

    /// Whether the current task may use the mount at all, and whether modes decide about changes.
    fn allowed(_inode: &Inode<Self>) -> (bool, bool) {
        (true, true)
    }

    /// Changes attributes. The inode lock is held.
    fn setattr(_inode: &Inode<Self>, _change: &Change<'_, Self>) -> Result {
        Err(EPERM)
    }

    /// The size of a preferred block, as a power of two.
    fn block_bits(_inode: &Inode<Self>) -> u32 {
        kernel::page::PAGE_SHIFT as u32
    }

    /// The time of birth as far as it is known: seconds and nanoseconds.
    fn btime(_inode: &Inode<Self>) -> Option<(i64, u32)> {
        None
    }

    /// Modification and change time are about to be set here, for an inode that [keeps](New::keep_times) them.
    fn times_change(_inode: &Inode<Self>) {}
}

/// Wrappers of [`Operations`] for tables.
pub(in crate::vfs) struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    /// Table of inodes without children: files, devices, FIFOs and sockets.
    pub(in crate::vfs) const TABLE: bindings::inode_operations = bindings::inode_operations {
        permission: Some(Self::permission),
        getattr: Some(Self::getattr),
        setattr: Some(Self::setattr),
        update_time: Some(Self::update_time),
        listxattr: Some(xattr::Wrap::<T>::list),
        get_inode_acl: Some(acl::Wrap::<T>::get_inode),
        get_acl: Some(acl::Wrap::<T>::get),
        set_acl: Some(acl::Wrap::<T>::set),
        fileattr_get: Some(fileattr::Wrap::<T>::get),
        fileattr_set: Some(fileattr::Wrap::<T>::set),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`; with `MAY_NOT_BLOCK` it is inside a lockless walk.
    pub(in crate::vfs) unsafe extern "C" fn permission(
        idmap: *mut bindings::mnt_idmap,
        inode: *mut bindings::inode,
        mask: c_int,
    ) -> c_int {
        // SAFETY: The inode belongs to this file system.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if this.is_bad() {
            return EIO.to_errno();
        }
        match T::permission(this, Mask(mask)) {
            Ok(Verdict::ByMode) => (),
            Ok(Verdict::Granted) => return 0,
            Err(e) => return e.to_errno(),
        }
        let may_block = mask & bindings::MAY_NOT_BLOCK as c_int == 0;
        let refresh = |force| T::refresh(this, fields::ACCESS, force, may_block);
        let asked = match refresh(false) {
            Ok(asked) => asked,
            Err(e) => return e.to_errno(),
        };
        // SAFETY: As given.
        let allowed = unsafe { bindings::generic_permission(idmap, inode, mask) };
        if asked || allowed != EACCES.to_errno() {
            return allowed;
        }
        // What was believed may be over: nobody is turned away without having asked.
        match refresh(true) {
            // SAFETY: As given.
            Ok(_) => unsafe { bindings::generic_permission(idmap, inode, mask) },
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `path` leads to an inode of `T`, and `stat` takes the answer.
    pub(in crate::vfs) unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: The path leads to an inode of this file system.
        let this = unsafe { Inode::<T>::from_raw((*(*path).dentry).d_inode) };
        if this.is_bad() {
            return EIO.to_errno();
        }
        if !T::allowed(this).0 {
            return EACCES.to_errno();
        }
        let force = flags & bindings::AT_STATX_FORCE_SYNC != 0;
        if flags & bindings::AT_STATX_DONT_SYNC == 0 {
            if let Err(e) = T::refresh(this, mask, force, true) {
                return e.to_errno();
            }
        }
        // SAFETY: As given; `stat` is valid for writes.
        unsafe {
            bindings::generic_fillattr(idmap, mask, this.as_raw(), stat);
            (*stat).blksize = 1 << T::block_bits(this);
            if let Some((sec, nsec)) = T::btime(this) {
                (*stat).btime.tv_sec = sec;
                (*stat).btime.tv_nsec = nsec.min(999_999_999) as c_long;
                (*stat).result_mask |= bindings::STATX_BTIME;
            }
            (*stat).attributes_mask |= u64::from(bindings::STATX_ATTR_DAX);
            if this.is_dax() {
                (*stat).attributes |= u64::from(bindings::STATX_ATTR_DAX);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the VFS only: `dentry` leads to an inode of `T` whose lock is held for writing, and `attr` is the caller's own.
    pub(in crate::vfs) unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: The dentry is positive and belongs to this file system; the inode lock is held.
        to_int(unsafe {
            let inode = Inode::<T>::from_raw((*dentry).d_inode);
            if inode.is_bad() {
                Err(EIO)
            } else if !T::allowed(inode).0 {
                Err(EACCES)
            } else {
                if !T::allowed(inode).1 {
                    // The server decides; limits are still looked at.
                    (*attr).ia_valid |= bindings::ATTR_FORCE;
                }
                kernel::error::to_result(bindings::setattr_prepare(idmap, dentry, attr)).and_then(
                    |()| {
                        let change = Change {
                            attr: &*attr,
                            inode,
                            idmap: Idmap::from_raw(idmap),
                        };
                        T::setattr(inode, &change)
                    },
                )
            }
        })
    }
}

impl<T: Operations> Wrap<T> {
    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`, and its file system may be written to.
    unsafe extern "C" fn update_time(
        inode: *mut bindings::inode,
        which: bindings::fs_update_time,
        flags: c_uint,
    ) -> c_int {
        if which == bindings::fs_update_time_FS_UPD_CMTIME {
            // SAFETY: As this function requires.
            T::times_change(unsafe { Inode::<T>::from_raw(inode) });
        }
        // SAFETY: As this function requires.
        unsafe { bindings::generic_update_time(inode, which, flags) }
    }
}

impl<T: Operations> New<T> {
    /// Gives it the operations that every inode has.
    pub(crate) fn set_plain(&self) {
        self.set_inode_ops(&Wrap::<T>::TABLE);
    }
}
