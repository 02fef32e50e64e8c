// SPDX-License-Identifier: GPL-2.0

//! One splice from a file into a pipe. No locks of the file are held.
//!
//! C header: [`include/linux/splice.h`](srctree/include/linux/splice.h)

use super::{File, FileSystem};
use crate::{bindings, vfs::iter::from_len};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A splice from a file into a pipe.
///
/// # Invariants
///
/// All pointers are valid for `'a`, and the file belongs to `T`.
pub(crate) struct Splice<'a, T: FileSystem> {
    pub(super) file: *mut bindings::file,
    pub(in crate::vfs) pos: *mut bindings::loff_t,
    pub(in crate::vfs) pipe: *mut bindings::pipe_inode_info,
    pub(in crate::vfs) len: usize,
    pub(in crate::vfs) flags: c_uint,
    pub(super) _fs: PhantomData<(&'a mut (), T)>,
}

impl<'a, T: FileSystem> Splice<'a, T> {
    /// The open file.
    pub(crate) fn file(&self) -> &'a File<T> {
        // SAFETY: By the type invariant.
        unsafe { File::from_raw(self.file) }
    }

    /// Reads into new pages of the pipe.
    pub(crate) fn read(self) -> Result<usize> {
        // SAFETY: By the type invariant.
        from_len(unsafe {
            bindings::copy_splice_read(self.file, self.pos, self.pipe, self.len, self.flags)
        })
    }
}
