// SPDX-License-Identifier: GPL-2.0

//! Filling folios: single ones that somebody waits for, and those that are read ahead.

use super::{held::Held, File, Inode, Limit, Operations, Part, Parts, Wrap};
use crate::{
    bindings,
    vfs::{
        page::{Memory, Piece, WritableMemory},
        to_int, FileSystem,
    },
};
use kernel::prelude::*;

/// Adjacent pieces of folios that are to be read. Dropping them ends the read without success.
///
/// # Invariants
///
/// The folios are locked for reading, in the page cache of a file of `T`, and nobody looks at the pieces until iomap is
/// told, once for each, that its read ended.
pub(crate) struct ReadParts<T: FileSystem> {
    pub(super) parts: Parts,
    /// Whether they are read ahead. Who asked for a single folio looks at that very one afterwards.
    pub(super) ahead: bool,
    /// Given up after the folios: whoever ends an inode waits for them, and no signal ends that.
    _held: Option<Held<T>>,
}

// SAFETY: The lock of a folio may be released by another task than the one that took it.
unsafe impl<T: FileSystem> Send for ReadParts<T> {}

impl<T: FileSystem> ReadParts<T> {
    /// The inode. It stays as long as there are folios to be read.
    pub(crate) fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: By the type invariant; a locked folio stays in its page cache.
        unsafe { self.parts.inode() }
    }

    /// Where they begin in the file.
    pub(crate) fn pos(&self) -> u64 {
        self.parts.pos
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> usize {
        self.parts.bytes
    }

    /// Ends the read with success: `valid` bytes came, the rest reads as zeroes.
    pub(crate) fn end(mut self, valid: usize) {
        let mut left = valid;
        for part in core::mem::take(&mut self.parts.list) {
            let n = part.len.min(left);
            left -= n;
            // SAFETY: By the type invariant; each part is ended once, here.
            unsafe {
                if n < part.len {
                    part.piece().address().add(n).write_bytes(0, part.len - n);
                }
                bindings::iomap_finish_folio_read(part.folio.as_ptr(), part.offset, part.len, 0);
            }
        }
    }
}

impl<T: FileSystem> Drop for ReadParts<T> {
    fn drop(&mut self) {
        for part in &self.parts.list {
            // SAFETY: By the type invariant; `end` leaves none behind.
            unsafe {
                bindings::iomap_finish_folio_read(
                    part.folio.as_ptr(),
                    part.offset,
                    part.len,
                    EIO.to_errno(),
                );
            }
        }
    }
}

// SAFETY: By the type invariant the folios are there while the parts exist, and the kernel is 64-bit.
unsafe impl<T: FileSystem> Memory for ReadParts<T> {
    fn each<F: FnMut(Piece) -> Result>(&self, mut f: F) -> Result {
        self.parts.list.iter().try_for_each(|part| f(part.piece()))
    }
}

// SAFETY: By the type invariant nobody looks at the memory meanwhile.
unsafe impl<T: FileSystem> WritableMemory for ReadParts<T> {}

/// Collects what iomap asks for.
struct Collector<'a, T: Operations> {
    inode: &'a Inode<T>,
    file: Option<&'a File<T>>,
    limit: Limit,
    /// Whether the caller waits for what is read, so long as it is one piece: then it had better see to it itself.
    waits: bool,
    ahead: bool,
    parts: Parts,
    /// Why the first piece that could not be taken was not.
    result: Result,
}

impl<T: Operations> Collector<'_, T> {
    /// Takes what was collected, if there is something.
    fn take(&mut self) -> Option<ReadParts<T>> {
        let parts = core::mem::replace(&mut self.parts, Parts::new());
        // INVARIANT: `add` was given each by iomap, which waits to be told its end.
        (!parts.list.is_empty()).then(|| ReadParts {
            parts,
            ahead: self.ahead,
            _held: Held::new(self.inode),
        })
    }

    /// Hands over the last of what was collected.
    fn finish(mut self) -> Result {
        match self.take() {
            Some(parts) if self.waits => T::read(self.inode, self.file, parts),
            Some(parts) => {
                T::read_ahead(self.inode, self.file, parts);
                Ok(())
            }
            None => Ok(()),
        }
        .and(self.result)
    }

    fn add(&mut self, part: Part, pos: u64) -> Result {
        let len = part.len;
        if !self.parts.fits(pos, len, self.limit) {
            if let Some(parts) = self.take() {
                // All are under way before one is waited for.
                self.waits = false;
                T::read_ahead(self.inode, self.file, parts);
            }
        }
        self.parts.push(part, pos, len)
    }
}

/// Whether whoever has this read waits for the first page of it: it is no part of what is read ahead, or where that begins.
///
/// # Safety
///
/// The control is valid, and its file, if any, is open.
unsafe fn is_waited_for(rac: *const bindings::readahead_control) -> bool {
    // SAFETY: By the caller's promise; the window belongs to the file and may change meanwhile, which makes this a guess.
    unsafe {
        let (index, ra) = ((*rac)._index, (*rac).ra);
        if (*rac).file.is_null() || ra.is_null() {
            return false;
        }
        let (start, size, behind) = (
            (&raw const (*ra).start).read_volatile(),
            (&raw const (*ra).size).read_volatile(),
            (&raw const (*ra).async_size).read_volatile(),
        );
        match index.checked_sub(start) {
            // All of a window that is read ahead of need is marked as such.
            Some(0) => behind < size || size == 0,
            Some(n) => n >= size as usize,
            None => true,
        }
    }
}

impl<T: Operations> Wrap<T> {
    const READ: bindings::iomap_read_ops = bindings::iomap_read_ops {
        read_folio_range: Some(Self::read_folio_range),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For iomap only, called by [`Self::run`]: the context's `read_ctx` is a [`Collector`], its folio locked, and with
    /// success the read of the piece is ours to end.
    unsafe extern "C" fn read_folio_range(
        iter: *const bindings::iomap_iter,
        ctx: *mut bindings::iomap_read_folio_ctx,
        len: usize,
    ) -> c_int {
        // SAFETY: As this function requires.
        unsafe {
            let collector = &mut *(*ctx).read_ctx.cast::<Collector<'_, T>>();
            let pos = (*iter).pos as u64;
            let added = Part::new((*ctx).cur_folio, pos, len)
                .ok_or(EIO)
                .and_then(|part| collector.add(part, pos));
            // iomap does not say how it ended.
            if collector.result.is_ok() {
                collector.result = added;
            }
            to_int(added)
        }
    }

    /// Has iomap go over a folio or, with `rac`, over all that are to be read ahead. `waits` says whether the caller waits
    /// for what is read.
    ///
    /// # Safety
    ///
    /// One of the two is given, valid, and of a file of `T`, at which `file`, if any, is open; the folio is locked, and its
    /// lock goes over.
    unsafe fn run(
        inode: &Inode<T>,
        file: *mut bindings::file,
        folio: *mut bindings::folio,
        rac: *mut bindings::readahead_control,
        waits: bool,
    ) -> Result {
        let mut collector = Collector {
            inode,
            file: (!file.is_null()).then(|| {
                // SAFETY: By the caller's promise.
                unsafe { File::from_raw(file) }
            }),
            limit: T::read_limit(inode),
            waits,
            ahead: !rac.is_null(),
            parts: Parts::new(),
            result: Ok(()),
        };
        let mut ctx = bindings::iomap_read_folio_ctx {
            ops: &Self::READ,
            cur_folio: folio,
            rac,
            read_ctx: (&raw mut collector).cast(),
            ..Default::default()
        };
        // SAFETY: By the caller's promise; the context and what it points to live until the calls end.
        unsafe {
            if rac.is_null() {
                bindings::iomap_read_folio(&Self::MAP, &mut ctx, core::ptr::null_mut());
            } else {
                bindings::iomap_readahead(&Self::MAP, &mut ctx, core::ptr::null_mut());
            }
        }
        collector.finish()
    }

    /// # Safety
    ///
    /// For the page cache only: `folio` is locked, not up to date, and in the mapping of an inode of `T`, which `file`, if any, is
    /// open at.
    pub(super) unsafe extern "C" fn read_folio(
        file: *mut bindings::file,
        folio: *mut bindings::folio,
    ) -> c_int {
        // SAFETY: The folio belongs to a mapping of this file system; it is locked, and its lock becomes ours.
        unsafe {
            let inode = Inode::<T>::from_raw((*bindings::rust_fuse_folio_mapping(folio)).host);
            if inode.is_bad() {
                bindings::folio_unlock(folio);
                return EIO.to_errno();
            }
            to_int(Self::run(inode, file, folio, core::ptr::null_mut(), true))
        }
    }

    /// # Safety
    ///
    /// For the page cache only: the mapping is that of an inode of `T`, which the file, if any, is open at, and the control is the
    /// caller's own.
    pub(super) unsafe extern "C" fn readahead(rac: *mut bindings::readahead_control) {
        // SAFETY: The control is valid for the call and its mapping belongs to this file system.
        unsafe {
            let inode = Inode::<T>::from_raw((*(*rac).mapping).host);
            if inode.is_bad() {
                return;
            }
            let file = (*rac).file;
            let advice = !file.is_null() && T::is_advice(File::from_raw(file));
            let waits = !advice && is_waited_for(rac);
            // What is not taken from the control is read when somebody wants it.
            if waits || T::may_read_ahead(inode) {
                let _ = Self::run(inode, file, core::ptr::null_mut(), rac, waits);
            }
        }
    }
}
