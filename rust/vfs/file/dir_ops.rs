// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of open directories.
//!
//! It holds the inode lock for reading around the reading of entries, and nothing around the rest. Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{ioctl, set_data, take_data, File, Inode, IoctlOperations, Opening};
use crate::{
    bindings,
    vfs::{dir::Emitter, to_int},
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Operations on open directories.
pub(crate) trait DirOperations: IoctlOperations {
    /// Opens a directory.
    fn open_dir(inode: &Inode<Self>, opening: &Opening<'_>) -> Result<KBox<Self::File>>;
    /// Runs at the last close.
    fn release_dir(_inode: &Inode<Self>, _flags: u32, _data: KBox<Self::File>) {}
    /// Hands entries to `out`, from its position on.
    fn read_dir(file: &File<Self>, out: &mut Emitter<'_, Self>) -> Result;
    /// Makes names durable.
    fn fsync_dir(_file: &File<Self>, _datasync: bool) -> Result {
        Ok(())
    }
}

/// Wrappers of [`DirOperations`].
struct DirWrap<T: DirOperations>(PhantomData<T>);

/// The table of open directories.
pub(in crate::vfs) fn dir_table<T: DirOperations>() -> &'static bindings::file_operations {
    &DirWrap::<T>::TABLE
}

impl<T: DirOperations> DirWrap<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(bindings::generic_file_llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(Self::iterate),
        fsync: Some(Self::fsync),
        unlocked_ioctl: Some(ioctl::Wrap::<T>::native),
        compat_ioctl: Some(ioctl::Wrap::<T>::compat),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: as for regular files.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As for regular files.
        unsafe {
            let inode = Inode::<T>::from_raw(inode);
            if inode.is_bad() {
                return EIO.to_errno();
            }
            set_data::<T>(file, T::open_dir(inode, &Opening::new(file)))
        }
    }

    /// # Safety
    ///
    /// For the VFS only: as for regular files.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As for regular files.
        unsafe {
            if let (flags, Some(data)) = take_data::<T>(file) {
                T::release_dir(Inode::from_raw(inode), flags, data);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the VFS only: the directory is open and belongs to `T`; its inode lock is held, and `ctx` is the caller's own.
    unsafe extern "C" fn iterate(
        file: *mut bindings::file,
        ctx: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: The file is open.
        let file = unsafe { File::<T>::from_raw(file) };
        // SAFETY: The context is ours for the call, and the directory is locked.
        let mut out = unsafe { Emitter::from_raw(ctx, file) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::read_dir(file, &mut out))
    }

    /// # Safety
    ///
    /// For the VFS only: the directory is open and belongs to `T`.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        _start: bindings::loff_t,
        _end: bindings::loff_t,
        datasync: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        let file = unsafe { File::<T>::from_raw(file) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::fsync_dir(file, datasync != 0))
    }
}
