// SPDX-License-Identifier: GPL-2.0

//! Where the bytes of a file are: the iomap operations of DAX.
//!
//! C headers: [`include/linux/iomap.h`](srctree/include/linux/iomap.h), [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::device::Window;
use crate::{
    bindings,
    vfs::{to_int, FileSystem, Inode},
};
use core::marker::PhantomData;
use kernel::{prelude::*, sync::Arc};

/// What an operation is about to do with the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    /// It writes.
    pub(crate) write: bool,
    /// It is a page fault: the DAX entry is locked, so nothing may wait.
    pub(crate) fault: bool,
}

/// Where a piece of a file is.
pub(crate) enum Extent<'a> {
    /// In the window, at `addr` bytes from its start, for `len` bytes.
    Window {
        /// The window.
        window: &'a Arc<Window>,
        /// Byte offset in the window.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// Nowhere: reads as zeroes, for `len` bytes.
    Hole {
        /// Bytes.
        len: u64,
    },
}

/// Tells where the bytes of files are.
pub(crate) trait Operations: FileSystem {
    /// The piece that starts at `pos`, at most `len` bytes of it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` makes the read, write or fault end with that error, to be tried again.
    fn extent<'a>(inode: &'a Inode<Self>, pos: u64, len: u64, access: Access)
        -> Result<Extent<'a>>;
}

/// Wrappers of [`Operations`].
pub(super) struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    pub(super) const TABLE: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For iomap only: the inode belongs to `T`, and `iomap` is to be filled.
    unsafe extern "C" fn begin(
        inode: *mut bindings::inode,
        pos: bindings::loff_t,
        len: bindings::loff_t,
        flags: c_uint,
        iomap: *mut bindings::iomap,
        _srcmap: *mut bindings::iomap,
    ) -> c_int {
        if flags & bindings::IOMAP_REPORT != 0 {
            return EIO.to_errno();
        }
        let access = Access {
            write: flags & bindings::IOMAP_WRITE != 0,
            fault: flags & bindings::IOMAP_FAULT != 0,
        };
        // SAFETY: The inode belongs to this file system.
        let inode = unsafe { Inode::<T>::from_raw(inode) };
        to_int(
            T::extent(inode, pos as u64, len as u64, access).map(|extent| {
                // SAFETY: `iomap` is ours to fill. The window outlives the super block, and with it this operation.
                unsafe {
                    (*iomap).offset = pos;
                    (*iomap).flags = 0;
                    (*iomap).bdev = core::ptr::null_mut();
                    match extent {
                        Extent::Window { window, addr, len } => {
                            (*iomap).dax_dev = window.as_raw();
                            (*iomap).type_ = bindings::IOMAP_MAPPED as u16;
                            (*iomap).addr = addr;
                            (*iomap).length = len;
                        }
                        Extent::Hole { len } => {
                            (*iomap).type_ = bindings::IOMAP_HOLE as u16;
                            (*iomap).addr = u64::MAX;
                            (*iomap).length = len;
                        }
                    }
                }
            }),
        )
    }
}
