// SPDX-License-Identifier: GPL-2.0

//! Open files and directories, and what they hold for the file system.
//!
//! What the VFS asks of them is in [`ops`] (regular files), [`dir_ops`] (directories) [`lock`] and [`poll`] (files) and [`ioctl`] (both), mappings in the
//! making are in [`mmap`]. No locks: the private data is set before the file can be used and taken after its last use.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod any;
mod dir_ops;
mod ioctl;
mod lock;
mod mmap;
mod ops;
mod poll;
mod splice;

pub(crate) use any::AnyFile;
pub(super) use dir_ops::dir_table;
pub(crate) use dir_ops::DirOperations;
pub(crate) use ioctl::{Abi, Ioctl, IoctlOperations};
pub(crate) use lock::{Held, Keeper, Lock, LockOperations, Mode, Owner};
pub(crate) use mmap::Mmap;
pub(super) use ops::adopt;
pub(crate) use ops::Operations;
pub(crate) use poll::PollOperations;
pub(crate) use splice::Splice;

use super::{
    inode::{self, Kill},
    to_int, FileSystem, Inode,
};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// An open file of the file system `T`.
///
/// # Invariants
///
/// `private_data` is a `KBox<T::File>` from `open` until `release`.
#[repr(transparent)]
pub(crate) struct File<T: FileSystem>(Opaque<bindings::file>, PhantomData<T>);

impl<T: FileSystem> File<T> {
    /// # Safety
    ///
    /// `file` is an open file of `T` for `'a`.
    pub(crate) unsafe fn from_raw<'a>(file: *mut bindings::file) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*file.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::file {
        self.0.get()
    }

    /// The private data.
    pub(crate) fn data(&self) -> &T::File {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.as_raw()).private_data.cast() }
    }

    /// The inode.
    pub(crate) fn inode(&self) -> &Inode<T> {
        // SAFETY: An open file keeps its inode.
        unsafe { Inode::from_raw((*self.as_raw()).f_inode) }
    }

    /// A counted reference to the inode.
    pub(crate) fn inode_ref(&self) -> inode::Ref<T> {
        // SAFETY: An open file has a count of its inode, so another one can be raised, which goes over.
        unsafe {
            let inode = (*self.as_raw()).f_inode;
            bindings::rust_fuse_ihold(inode);
            inode::Ref::from_raw(NonNull::new_unchecked(inode))
        }
    }

    /// `O_*` flags.
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: The file is valid; the word is read whole.
        unsafe { (&raw const (*self.as_raw()).f_flags).read_volatile() }
    }

    /// Does what a change of the data does to set-user-id bits and times. The inode lock is held for writing.
    pub(crate) fn modified(&self) -> Result {
        // SAFETY: The file is valid.
        to_result(unsafe { bindings::rust_fuse_file_modified(self.as_raw()) })
    }

    /// Takes an error of writeback that was not told through this file yet.
    pub(crate) fn take_write_error(&self) -> Result {
        // SAFETY: The file is valid.
        to_result(unsafe { bindings::file_check_and_advance_wb_err(self.as_raw()) })
    }

    /// The bits of its mode that a write of the current task clears.
    pub(crate) fn kills(&self) -> Option<Kill> {
        // SAFETY: The file is valid.
        Kill::new(unsafe { bindings::rust_fuse_file_kills(self.as_raw()) } as u32)
    }

    /// Whether it was opened for writing.
    pub(crate) fn writable(&self) -> bool {
        // SAFETY: The mode does not change while the file is open.
        unsafe { (*self.as_raw()).f_mode & bindings::RUST_FUSE_FMODE_WRITE != 0 }
    }
}

/// What positions mean in an open file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Positions {
    /// Every byte has one.
    Any,
    /// There is one, which only moves on.
    Sequential,
    /// There are none: it is a stream.
    None,
}

/// Says what positions mean in a file.
///
/// # Safety
///
/// `file` is being opened, after the VFS has set its mode.
unsafe fn set_positions(file: *mut bindings::file, positions: Positions) {
    // SAFETY: By the caller's promise; both only change the mode of the file.
    unsafe {
        match positions {
            Positions::Any => 0,
            Positions::Sequential => bindings::nonseekable_open((*file).f_inode, file),
            Positions::None => bindings::stream_open((*file).f_inode, file),
        }
    };
}

/// A file that is being opened.
///
/// # Invariants
///
/// The file is valid for `'a`, knows its path, and is used by nobody else.
pub(crate) struct Opening<'a> {
    file: *const bindings::file,
    _file: PhantomData<&'a bindings::file>,
}

impl Opening<'_> {
    /// # Safety
    ///
    /// `file` is being opened, and its path is set.
    unsafe fn new(file: *const bindings::file) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            file,
            _file: PhantomData,
        }
    }

    pub(in crate::vfs) fn as_raw(&self) -> *const bindings::file {
        self.file
    }

    /// `O_*` flags.
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: By the type invariant.
        unsafe { (*self.file).f_flags }
    }
}

/// Sets the private data of a file that was opened.
///
/// # Safety
///
/// `file` is being opened.
unsafe fn set_data<T: FileSystem>(file: *mut bindings::file, r: Result<KBox<T::File>>) -> c_int {
    to_int(r.map(|data| {
        let positions = T::positions(&data);
        // SAFETY: By the caller's promise; `take_data` takes the box back.
        unsafe {
            (*file).private_data = KBox::into_raw(data).cast();
            set_positions(file, positions);
        }
    }))
}

/// Takes the private data of a file that ends.
///
/// # Safety
///
/// `file` was opened with `set_data` and is being released.
unsafe fn take_data<T: FileSystem>(file: *mut bindings::file) -> (u32, Option<KBox<T::File>>) {
    // SAFETY: By the caller's promise.
    unsafe {
        let data = core::mem::replace(&mut (*file).private_data, core::ptr::null_mut());
        let data = NonNull::new(data).map(|p| KBox::from_raw(p.as_ptr().cast()));
        ((*file).f_flags, data)
    }
}
