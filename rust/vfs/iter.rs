// SPDX-License-Identifier: GPL-2.0

//! One read or write call: position, flags, and the user's memory.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{file::File, page::Pages, FileSystem};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// A read (`WRITE == false`) or write call of file system `T`.
///
/// # Invariants
///
/// Both pointers are valid for `'a`, used by nobody else, and the iterator's direction is that of the type.
pub(crate) struct Io<'a, T: FileSystem, const WRITE: bool> {
    pub(in crate::vfs) iocb: *mut bindings::kiocb,
    iter: *mut bindings::iov_iter,
    /// Bytes that were taken from the user and not given back since.
    taken: usize,
    _fs: PhantomData<(&'a mut (), T)>,
}

/// A read call: data flows to the user.
pub(crate) type Read<'a, T> = Io<'a, T, false>;
/// A write call: data flows from the user.
pub(crate) type Write<'a, T> = Io<'a, T, true>;

impl<'a, T: FileSystem, const WRITE: bool> Io<'a, T, WRITE> {
    /// # Safety
    ///
    /// As the type's invariants; the file belongs to `T`.
    pub(super) unsafe fn new(iocb: *mut bindings::kiocb, iter: *mut bindings::iov_iter) -> Self {
        // INVARIANT: By the caller's promise.
        Self {
            iocb,
            iter,
            taken: 0,
            _fs: PhantomData,
        }
    }

    pub(crate) fn iter(&mut self) -> *mut bindings::iov_iter {
        self.iter
    }

    /// The open file.
    pub(crate) fn file(&self) -> &'a File<T> {
        // SAFETY: By the type invariant.
        unsafe { File::from_raw((*self.iocb).ki_filp) }
    }

    /// Position in bytes.
    pub(crate) fn pos(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_pos as u64 }
    }

    /// Moves the position to `pos`.
    pub(crate) fn set_pos(&mut self, pos: u64) {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_pos = pos as i64 };
    }

    /// Bytes that are left.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: By the type invariant.
        unsafe { bindings::rust_fuse_iov_iter_count(self.iter) }
    }

    /// Whether the file was opened with `O_DIRECT`, or the call asks for that.
    pub(crate) fn direct(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_flags & bindings::RUST_FUSE_IOCB_DIRECT != 0 }
    }

    /// Counts bytes that were taken by other means.
    pub(in crate::vfs) fn count_taken(&mut self, len: usize) {
        self.taken += len;
    }

    /// Gives back the last `len` bytes that were taken, but no more than that.
    pub(crate) fn revert(&mut self, len: usize) {
        let len = len.min(self.taken);
        self.taken -= len;
        // SAFETY: By the type invariant; the iterator has moved by as much at least.
        unsafe { bindings::iov_iter_revert(self.iter, len) };
    }

    /// Faults in the next `len` bytes of the user's memory, for a copy that must not fault. False when not one byte is there.
    pub(crate) fn fault_in(&mut self, len: usize) -> bool {
        // SAFETY: By the type invariant. No lock is held that a fault needs.
        let missing = unsafe {
            if WRITE {
                bindings::fault_in_iov_iter_readable(self.iter, len)
            } else {
                bindings::fault_in_iov_iter_writeable(self.iter, len)
            }
        };
        missing < len
    }
}

impl<T: FileSystem> Read<'_, T> {
    /// Copies the first `len` bytes of `pages` to the user; returns how many arrived.
    pub(crate) fn copy_from_pages(&mut self, pages: &Pages, len: usize) -> usize {
        let mut done = 0;
        for chunk in pages.chunks(len) {
            // SAFETY: The iterator is a valid destination; the chunk is readable memory of our own.
            let n =
                unsafe { bindings::_copy_to_iter(chunk.as_ptr().cast(), chunk.len(), self.iter) };
            done += n;
            if n < chunk.len() {
                break;
            }
        }
        done
    }

    /// Copies what `bytes`, the whole file, has at the position to the user, and moves the position; returns how many bytes
    /// arrived.
    ///
    /// # Errors
    ///
    /// `EFAULT` when none did.
    #[allow(dead_code, reason = "for file systems that need no server")]
    pub(crate) fn copy_at_pos(&mut self, bytes: &[u8]) -> Result<usize> {
        let start = usize::try_from(self.pos()).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).unwrap_or_default();
        let rest = rest.get(..self.len()).unwrap_or(rest);
        // SAFETY: The iterator is a valid destination; the bytes are readable.
        let n = unsafe { bindings::_copy_to_iter(rest.as_ptr().cast(), rest.len(), self.iter) };
        if n == 0 && !rest.is_empty() {
            return Err(EFAULT);
        }
        self.set_pos(self.pos() + n as u64);
        Ok(n)
    }

    /// Reads through the page cache.
    ///
    /// # Errors
    ///
    /// `EIO` for a file that has none.
    pub(crate) fn page_cache(&mut self) -> Result<usize> {
        // SAFETY: By the type invariant; an inode always has a mapping with a table.
        let has_pages = unsafe {
            let mapping = (*(*self.iocb).ki_filp).f_mapping;
            (*(*mapping).a_ops).read_folio.is_some()
        };
        if !has_pages {
            return Err(EIO);
        }
        // SAFETY: By the type invariant; the mapping can be read.
        from_len(unsafe { bindings::generic_file_read_iter(self.iocb, self.iter) })
    }
}

impl<T: FileSystem> Write<'_, T> {
    /// Copies up to `len` bytes from the user into `pages`; returns how many came.
    pub(crate) fn copy_to_pages(&mut self, pages: &mut Pages, len: usize) -> usize {
        let mut done = 0;
        for chunk in pages.chunks_mut(len) {
            // SAFETY: The iterator is a valid source; the chunk is writable memory of our own.
            let n = unsafe {
                bindings::_copy_from_iter(chunk.as_mut_ptr().cast(), chunk.len(), self.iter)
            };
            done += n;
            if n < chunk.len() {
                break;
            }
        }
        self.taken += done;
        done
    }

    /// The file's `O_*` flags, and those by which this write is to be durable at once.
    pub(crate) fn sync_flags(&self) -> u32 {
        // SAFETY: By the type invariant.
        self.file().flags() | unsafe { bindings::rust_fuse_iocb_sync_flags(self.iocb) }
    }

    /// Whether the file was opened for appending.
    pub(crate) fn append(&self) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.iocb).ki_flags & bindings::RUST_FUSE_IOCB_APPEND as c_int != 0 }
    }

    /// Checks the write against limits and moves it to the end for appending. The inode lock is held. Returns the bytes to
    /// write.
    ///
    /// # Errors
    ///
    /// `EFBIG`, `EINVAL`, `ETXTBSY` as for `write(2)`.
    pub(crate) fn checks(&mut self) -> Result<usize> {
        // SAFETY: By the type invariant.
        from_len(unsafe { bindings::generic_write_checks(self.iocb, self.iter) })
    }

    /// Clears set-user-id, set-group-id and file capabilities as a write does. The inode lock is held for writing.
    pub(crate) fn remove_privs(&mut self) -> Result {
        // SAFETY: By the type invariant.
        kernel::error::to_result(unsafe { bindings::file_remove_privs((*self.iocb).ki_filp) })
    }

    /// Syncs `done` bytes when the file asks for it.
    pub(crate) fn sync(&mut self, done: usize) -> Result<usize> {
        // SAFETY: By the type invariant.
        from_len(unsafe { bindings::rust_fuse_generic_write_sync(self.iocb, done as isize) })
    }
}

/// Reads a count or a negative errno.
pub(crate) fn from_len(r: isize) -> Result<usize> {
    usize::try_from(r).map_err(|_| Error::from_errno(r as c_int))
}
