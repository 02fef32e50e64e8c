// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of inodes: permissions, attributes and their changes, and the text of symbolic links.
//!
//! The VFS holds the inode lock for writing around a change of attributes, and nothing around the rest; a check of
//! permissions may be inside a lockless walk. Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{FileSystem, Inode, New};
use crate::{
    bindings,
    vfs::{acl, cred::Idmap, err_ptr, file::File, fileattr, to_int, xattr},
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

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
    attr: &'a bindings::iattr,
    inode: &'a Inode<T>,
    idmap: &'a Idmap,
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

/// Operations on symbolic links.
pub(crate) trait LinkOperations: Operations {
    /// What the link says, without a NUL, and whether that holds for as long as the inode is in memory.
    fn read_link(inode: &Inode<Self>) -> Result<(KVec<u8>, bool)>;
}

/// Wrappers of [`LinkOperations`].
struct LinkWrap<T: LinkOperations>(PhantomData<T>);

impl<T: LinkOperations> LinkWrap<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        // Links have no access control lists: nothing is checked by them.
        get_inode_acl: None,
        get_acl: None,
        set_acl: None,
        ..Wrap::<T>::TABLE
    };

    /// # Safety
    ///
    /// For the VFS only: the inode is a link of `T`, and `done` is used once, after the result was read.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            return err_ptr::<c_char>(ECHILD);
        }
        // SAFETY: As this function requires.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if this.is_bad() {
            return err_ptr::<c_char>(EIO);
        }
        let text = T::read_link(this).and_then(|(mut text, keep)| {
            if text.is_empty() || text.contains(&0) {
                return Err(EIO);
            }
            text.push(0, GFP_KERNEL)?;
            Ok((text, keep))
        });
        match text {
            Ok((text, keep)) => {
                if keep {
                    this.keep_link(&text);
                }
                let (p, _, _) = text.into_raw_parts();
                // SAFETY: The memory came from kmalloc; `kfree_link` gives it back when the VFS is done with it.
                unsafe {
                    (*done).fn_ = Some(bindings::kfree_link);
                    (*done).arg = p.cast();
                }
                p.cast_const().cast()
            }
            Err(e) => err_ptr::<c_char>(e),
        }
    }
}

impl<T: LinkOperations> New<T> {
    /// Makes it a symbolic link.
    pub(crate) fn set_link(&self) {
        self.set_inode_ops(&LinkWrap::<T>::TABLE);
    }
}

impl<T: Operations> New<T> {
    /// Gives it the operations that every inode has.
    pub(crate) fn set_plain(&self) {
        self.set_inode_ops(&Wrap::<T>::TABLE);
    }
}

impl<T: LinkOperations> Inode<T> {
    /// Forgets what the link says. From now on it is asked for each time.
    pub(crate) fn forget_link(&self) {
        if self.mode() & bindings::S_IFMT == bindings::S_IFLNK {
            // SAFETY: The inode is a link. The text stays for those who have found it.
            unsafe {
                (&raw mut (*self.as_raw()).__bindgen_anon_5.i_link)
                    .write_volatile(core::ptr::null_mut());
            }
        }
    }

    /// Keeps what the link says, with its NUL. From now on the VFS asks no more, also in lockless walks.
    fn keep_link(&self, text: &[u8]) {
        let mut kept = KVec::new();
        // Others may have been faster, and without memory it is asked for again.
        if kept.extend_from_slice(text, GFP_KERNEL).is_err() || !self.slot().link.populate(kept) {
            return;
        }
        if let Some(kept) = self.slot().link.as_ref() {
            kernel::sync::barrier::smp_wmb();
            // SAFETY: The inode is a link. The text lives as long as the inode's memory, which is given back after lockless
            // walks have ended; who sees the pointer sees the text, as its reader depends on the address.
            unsafe {
                (&raw mut (*self.as_raw()).__bindgen_anon_5.i_link)
                    .write_volatile(kept.as_ptr().cast_mut().cast());
            }
        }
    }
}
