// SPDX-License-Identifier: GPL-2.0

//! Extended attributes of every name space, in one handler.
//!
//! C header: [`include/linux/xattr.h`](srctree/include/linux/xattr.h)

use super::{to_int, to_len, FileSystem, Inode};
use crate::{bindings, errno};
use core::marker::PhantomData;
use kernel::{prelude::*, str::CStr};

/// Operations on extended attributes. None of them takes a lock; the VFS holds the inode lock around changes.
pub(crate) trait Operations: FileSystem {
    /// Reads the value of `name` into `room`, and returns its length. An empty room asks for the length alone.
    ///
    /// # Errors
    ///
    /// `ENODATA` when there is none, `ERANGE` when the room is too small.
    fn get(_inode: &Inode<Self>, _name: &CStr, _room: &mut [u8]) -> Result<usize> {
        Err(errno::eopnotsupp())
    }

    /// Sets `name`, or removes it. `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
    fn set(_inode: &Inode<Self>, _name: &CStr, _value: Option<&[u8]>, _flags: u32) -> Result {
        Err(errno::eopnotsupp())
    }

    /// Lists the names, each with its NUL, as [`Self::get`] reads a value.
    fn list(_inode: &Inode<Self>, _room: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

/// Handlers as the VFS wants them: ended by null.
#[repr(transparent)]
struct Handlers([*const bindings::xattr_handler; 2]);

/// Wrappers of [`Operations`].
pub(super) struct Wrap<T: Operations>(PhantomData<T>);

/// The memory that a caller of the VFS gave for an answer.
///
/// # Safety
///
/// `p` is valid for writes of `len` bytes for `'a`, or `len` is 0.
unsafe fn room<'a>(p: *mut c_void, len: usize) -> &'a mut [u8] {
    if p.is_null() || len == 0 {
        return &mut [];
    }
    // SAFETY: By the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(p.cast(), len) }
}

/// Checks the length of an answer: the VFS copies as much to the user.
fn fits(used: usize, room: usize) -> Result<usize> {
    if room != 0 && used > room {
        return Err(ERANGE);
    }
    Ok(used)
}

impl<T: Operations> Wrap<T> {
    const HANDLER: bindings::xattr_handler = bindings::xattr_handler {
        prefix: c"".to_bytes_with_nul().as_ptr().cast(),
        get: Some(Self::get),
        set: Some(Self::set),
        // SAFETY: A handler without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    const HANDLERS: Handlers = Handlers([&Self::HANDLER, core::ptr::null()]);

    /// The handlers of a super block.
    pub(super) fn handlers() -> *const *const bindings::xattr_handler {
        const { &Self::HANDLERS }.0.as_ptr()
    }

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`, the name ends with a NUL, and `value` has `size` bytes.
    unsafe extern "C" fn get(
        _handler: *const bindings::xattr_handler,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *mut c_void,
        size: usize,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, name, room) = unsafe {
            (
                Inode::<T>::from_raw(inode),
                CStr::from_char_ptr(name),
                room(value, size),
            )
        };
        if inode.is_bad() {
            return EIO.to_errno();
        }
        let len = room.len();
        to_len(T::get(inode, name, room).and_then(|used| fits(used, len))) as c_int
    }

    /// # Safety
    ///
    /// As for [`Self::get`]; the inode lock is held for writing.
    unsafe extern "C" fn set(
        _handler: *const bindings::xattr_handler,
        _idmap: *mut bindings::mnt_idmap,
        _dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, name, value) = unsafe {
            let value =
                (!value.is_null()).then(|| core::slice::from_raw_parts(value.cast::<u8>(), size));
            (
                Inode::<T>::from_raw(inode),
                CStr::from_char_ptr(name),
                value,
            )
        };
        if inode.is_bad() {
            return EIO.to_errno();
        }
        to_int(T::set(inode, name, value, flags as u32))
    }

    /// # Safety
    ///
    /// For the VFS only: the dentry is positive and belongs to `T`, and `list` has `size` bytes.
    pub(super) unsafe extern "C" fn list(
        dentry: *mut bindings::dentry,
        list: *mut c_char,
        size: usize,
    ) -> isize {
        // SAFETY: As this function requires.
        let (inode, room) = unsafe {
            (
                Inode::<T>::from_raw((*dentry).d_inode),
                room(list.cast(), size),
            )
        };
        if inode.is_bad() {
            return EIO.to_errno() as isize;
        }
        let len = room.len();
        to_len(T::list(inode, room).and_then(|used| fits(used, len)))
    }
}
