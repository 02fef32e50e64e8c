// SPDX-License-Identifier: GPL-2.0

//! POSIX access control lists, which a file system has as extended attributes.
//!
//! The kernel keeps those that it has read with the inode, until the file system forgets them. The VFS holds the inode lock
//! around changes; a list that is not known in a lockless walk is asked for outside of it. Nothing is locked here.
//!
//! C header: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h)

use super::{
    err_ptr, from_err_ptr, inode::New, page::zeroed_bytes, to_int, xattr, FileSystem, Inode,
    SuperBlock,
};
use crate::{bindings, errno};
use core::marker::PhantomData;
use kernel::{page::PAGE_SIZE, prelude::*, str::CStr};

const ACCESS: &CStr = c"system.posix_acl_access";
const DEFAULT: &CStr = c"system.posix_acl_default";

/// Operations on access control lists. They are read by [`xattr::Operations::get`].
pub(crate) trait Operations: xattr::Operations {
    /// Whether permissions depend on them.
    fn are_checked(_sb: &SuperBlock<Self>) -> bool {
        false
    }

    /// Sets or removes the list `name`. With `kill_sgid` the inode loses its set-group-id bit, as the caller may not keep it.
    fn set_acl(
        _inode: &Inode<Self>,
        _name: &CStr,
        _value: Option<&[u8]>,
        _kill_sgid: bool,
    ) -> Result {
        Err(errno::eopnotsupp())
    }
}

/// Wrappers of [`Operations`].
pub(super) struct Wrap<T: Operations>(PhantomData<T>);

/// The attribute that holds a list.
fn name_of(kind: c_int) -> Result<&'static CStr> {
    match kind as u32 {
        bindings::ACL_TYPE_ACCESS => Ok(ACCESS),
        bindings::ACL_TYPE_DEFAULT => Ok(DEFAULT),
        _ => Err(errno::eopnotsupp()),
    }
}

impl<T: Operations> Wrap<T> {
    /// Reads a list; null when there is none.
    fn read(inode: &Inode<T>, kind: c_int) -> Result<*mut bindings::posix_acl> {
        if inode.is_bad() {
            return Err(EIO);
        }
        let mut room = zeroed_bytes(PAGE_SIZE)?;
        let len = match T::get(inode, name_of(kind)?, &mut room) {
            Ok(len) => len.min(PAGE_SIZE),
            Err(e) if e == errno::enodata() || e == errno::eopnotsupp() => 0,
            Err(e) if e == ERANGE => return Err(E2BIG),
            Err(e) => return Err(e),
        };
        if len == 0 {
            return Ok(core::ptr::null_mut());
        }
        // SAFETY: The super block keeps its user namespace, and `len` bytes are there.
        from_err_ptr(unsafe {
            let ns = (*inode.sb().as_raw()).s_user_ns;
            bindings::posix_acl_from_xattr(ns, room.as_ptr().cast(), len)
        })
    }

    /// Whether lists mean something: where nobody checks them they are for the server alone, and only in its own name space.
    fn exist(inode: &Inode<T>) -> bool {
        // SAFETY: The super block is valid.
        let initial = unsafe { bindings::rust_fuse_in_initial_user_ns(inode.sb().as_raw()) };
        T::are_checked(inode.sb()) || initial
    }

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`; with `rcu` it is inside a lockless walk.
    pub(super) unsafe extern "C" fn get_inode(
        inode: *mut bindings::inode,
        kind: c_int,
        rcu: bool,
    ) -> *mut bindings::posix_acl {
        // SAFETY: As this function requires.
        let inode = unsafe { Inode::<T>::from_raw(inode) };
        if !T::are_checked(inode.sb()) {
            return core::ptr::null_mut();
        }
        if rcu {
            return err_ptr(ECHILD);
        }
        Self::read(inode, kind).unwrap_or_else(err_ptr)
    }

    /// # Safety
    ///
    /// For the VFS only: the dentry is positive and belongs to `T`.
    pub(super) unsafe extern "C" fn get(
        _idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        kind: c_int,
    ) -> *mut bindings::posix_acl {
        // SAFETY: As this function requires.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        if !Self::exist(inode) {
            return err_ptr(errno::eopnotsupp());
        }
        Self::read(inode, kind).unwrap_or_else(err_ptr)
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; the inode lock is held, and `acl` is null or the caller's own.
    pub(super) unsafe extern "C" fn set(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        acl: *mut bindings::posix_acl,
        kind: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        to_int(unsafe { Self::try_set(idmap, dentry, acl, kind) })
    }

    /// # Safety
    ///
    /// As for [`Self::set`].
    unsafe fn try_set(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        acl: *mut bindings::posix_acl,
        kind: c_int,
    ) -> Result {
        // SAFETY: By the caller's promise.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        if inode.is_bad() {
            return Err(EIO);
        }
        if !Self::exist(inode) {
            return Err(errno::eopnotsupp());
        }
        let name = name_of(kind)?;
        if acl.is_null() {
            return T::set_acl(inode, name, None, false);
        }
        // SAFETY: By the caller's promise.
        let keeps_sgid = unsafe { bindings::rust_fuse_keeps_sgid(idmap, inode.as_raw()) };
        let kill_sgid = T::are_checked(inode.sb()) && !keeps_sgid;
        let mut size = 0;
        // SAFETY: By the caller's promise; what is returned has `size` bytes and is ours.
        let value =
            unsafe { bindings::rust_fuse_acl_to_xattr(inode.sb().as_raw(), acl, &mut size) };
        if value.is_null() {
            return Err(ENOMEM);
        }
        let done = if size > PAGE_SIZE {
            Err(E2BIG)
        } else {
            // SAFETY: As above.
            let bytes = unsafe { core::slice::from_raw_parts(value.cast::<u8>(), size) };
            T::set_acl(inode, name, Some(bytes), kill_sgid)
        };
        // SAFETY: It came from kmalloc, and nobody uses it any more.
        unsafe { bindings::rust_fuse_kfree(value) };
        done
    }
}

impl<T: FileSystem> New<T> {
    /// Has the kernel read lists anew each time.
    pub(crate) fn dont_cache_acls(&self) {
        // SAFETY: Nobody else uses the inode yet.
        unsafe { bindings::rust_fuse_inode_dont_cache_acls(self.as_raw()) };
    }
}
