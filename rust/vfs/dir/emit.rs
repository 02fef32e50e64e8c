// SPDX-License-Identifier: GPL-2.0

//! Handing the entries of a directory to its reader.
//!
//! The VFS holds the directory's inode lock for reading meanwhile; the reader's buffer is its own.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

/// Hands entries to the reader of a directory.
///
/// # Invariants
///
/// The context is valid and used by nobody else for `'a`.
pub(crate) struct Emitter<'a>(NonNull<bindings::dir_context>, PhantomData<&'a mut ()>);

impl Emitter<'_> {
    /// # Safety
    ///
    /// As the type's invariants.
    pub(in crate::vfs) unsafe fn from_raw(ctx: *mut bindings::dir_context) -> Self {
        // SAFETY: By the caller's promise it is valid. INVARIANT: By the same.
        Self(unsafe { NonNull::new_unchecked(ctx) }, PhantomData)
    }

    /// Where to read on.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.0.as_ptr()).pos as u64 }
    }

    /// Hands over one entry; `next` is the position behind it. False when the reader's buffer is full.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, kind: u32, next: u64) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        let ctx = self.0.as_ptr();
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
