// SPDX-License-Identifier: GPL-2.0

//! Handing the entries of a directory to its reader.
//!
//! The VFS holds the directory's inode lock for reading meanwhile; the reader's buffer is its own.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::{
    bindings,
    vfs::{file::File, FileSystem, Inode},
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

/// Hands entries to the reader of a directory.
///
/// # Invariants
///
/// The context is valid and used by nobody else for `'a`; the inode lock of the directory is held meanwhile.
pub(crate) struct Emitter<'a, T: FileSystem> {
    ctx: NonNull<bindings::dir_context>,
    dir: &'a File<T>,
    _ctx: PhantomData<&'a mut ()>,
}

impl<'a, T: FileSystem> Emitter<'a, T> {
    /// # Safety
    ///
    /// As the type's invariants.
    pub(in crate::vfs) unsafe fn from_raw(
        ctx: *mut bindings::dir_context,
        dir: &'a File<T>,
    ) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            // SAFETY: By the caller's promise it is valid.
            ctx: unsafe { NonNull::new_unchecked(ctx) },
            dir,
            _ctx: PhantomData,
        }
    }

    pub(super) fn dir(&self) -> &'a File<T> {
        self.dir
    }

    /// The directory that is being read.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        self.dir.inode()
    }

    /// Where to read on.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.ctx.as_ptr()).pos as u64 }
    }

    /// About how many bytes of entries the reader takes; 0 where that is not known.
    pub(crate) fn room(&self) -> usize {
        // SAFETY: By the type invariant.
        usize::try_from(unsafe { (*self.ctx.as_ptr()).count }).unwrap_or(0)
    }

    /// Hands over `.` and `..`, which are at the positions 0 and 1. False when the reader's buffer is full.
    #[allow(dead_code, reason = "for file systems that need no server")]
    pub(crate) fn dots(&mut self) -> bool {
        // SAFETY: By the type invariant; the directory is open.
        unsafe { bindings::rust_fuse_dir_emit_dots(self.dir.as_raw(), self.ctx.as_ptr()) }
    }

    /// Hands over one entry; `kind` is its type as in a `dirent` (`DT_*`, the type bits of a mode shifted by 12), `next` is the position behind it. False when the reader's buffer is full.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, kind: u32, next: u64) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        // A signal does not end the reading: what the server sent is handed over as far as it fits.
        let kind = kind & bindings::RUST_FUSE_S_DT_MASK | bindings::FILLDIR_FLAG_NOINTR;
        let ctx = self.ctx.as_ptr();
        // SAFETY: By the type invariant; the name is readable for `len` bytes.
        unsafe {
            let taken = bindings::rust_fuse_dir_emit(ctx, name.as_ptr().cast(), len, ino, kind);
            if taken {
                (*ctx).pos = next as i64;
            }
            taken
        }
    }
}
