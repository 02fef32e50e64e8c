// SPDX-License-Identifier: GPL-2.0

//! Writing dirty folios back.

use super::{held::Held, Inode, Limit, Operations, Part, Parts, Wrap};
use crate::{
    bindings,
    vfs::{
        page::{Memory, Piece, SharedMemory},
        to_int, FileSystem,
    },
};
use kernel::{
    prelude::*,
    time::{delay::fsleep, Delta},
};

/// Adjacent pieces of folios that are being written back. Dropping them ends that with `EIO`.
///
/// # Invariants
///
/// The folios are marked as under writeback, in the page cache of a file of `T`, until iomap is told, once for each piece,
/// that its writing ended.
pub(crate) struct WriteParts<T: FileSystem> {
    parts: Parts,
    /// Given up after the folios, as in [`ReadParts`](super::ReadParts).
    held: Option<Held<T>>,
}

// SAFETY: Writeback may be ended by every task.
unsafe impl<T: FileSystem> Send for WriteParts<T> {}

impl<T: FileSystem> WriteParts<T> {
    /// The inode. It stays as long as there are folios under writeback.
    pub(crate) fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: By the type invariant; a folio under writeback stays in its page cache.
        unsafe { self.parts.inode() }
    }

    /// Where they begin in the file.
    pub(crate) fn pos(&self) -> u64 {
        self.parts.pos
    }

    /// Bytes in all, up to the end of the file.
    pub(crate) fn len(&self) -> usize {
        self.parts.bytes
    }

    /// Keeps an error for who syncs the file. The data is lost.
    pub(crate) fn set_error(&self, e: Error) {
        if let Some(inode) = self.inode() {
            // SAFETY: The inode is there while its folios are.
            unsafe {
                bindings::rust_fuse_mapping_set_error((*inode.as_raw()).i_mapping, e.to_errno())
            };
        }
    }

    /// Says that writing them ended, and calls `then` afterwards.
    pub(crate) fn end(mut self, then: impl FnOnce(&Inode<T>)) {
        if self.held.is_some() {
            self.finish();
        }
        if let Some(inode) = self.held.as_deref().or(self.inode()) {
            then(inode);
        }
        // Without a reference the inode stays only as long as its folios.
        self.finish();
    }

    fn finish(&mut self) {
        let Some(inode) = self.inode().map(Inode::as_raw) else {
            return;
        };
        for part in core::mem::take(&mut self.parts.list) {
            // SAFETY: By the type invariant; each part is ended once, here.
            unsafe { bindings::iomap_finish_folio_write(inode, part.folio.as_ptr(), part.len) };
        }
    }
}

impl<T: FileSystem> Drop for WriteParts<T> {
    fn drop(&mut self) {
        if !self.parts.list.is_empty() {
            self.set_error(EIO);
            self.finish();
        }
    }
}

// SAFETY: By the type invariant the folios are there while the parts exist, and the kernel is 64-bit.
unsafe impl<T: FileSystem> Memory for WriteParts<T> {
    fn each<F: FnMut(Piece) -> Result>(&self, mut f: F) -> Result {
        self.parts.list.iter().try_for_each(|part| f(part.piece()))
    }
}

// SAFETY: As above.
unsafe impl<T: FileSystem> SharedMemory for WriteParts<T> {}

/// Milliseconds after which it is tried again where there is no memory.
const PAUSES: [i64; 6] = [1, 2, 4, 8, 16, 32];
/// Pieces that there is memory for before anything is begun with.
const ROOM: usize = 8;

/// Collects what iomap finds dirty.
struct Collector<'a, T: Operations> {
    inode: &'a Inode<T>,
    limit: Limit,
    parts: Parts,
    /// Memory for the parts that come next.
    spare: KVec<Part>,
    /// The folio that iomap is at, and how much of it could not be sent. It is dirty no more for iomap, which says so once it is
    /// through with it.
    at: *mut bindings::folio,
    unsent: usize,
    /// There was no memory.
    short: bool,
}

/// Tries until there is memory, for a moment unless there was none before; then what is there to be given back comes back.
fn with_memory<R>(
    short: bool,
    mut left: R,
    mut attempt: impl FnMut(R) -> Result<(), R>,
) -> Result<(), R> {
    for pause in PAUSES.iter().copied().filter(|_| !short) {
        match attempt(left) {
            Ok(()) => return Ok(()),
            Err(back) => left = back,
        }
        fsleep(Delta::from_millis(pause));
    }
    attempt(left)
}

impl<T: Operations> Collector<'_, T> {
    /// Hands over what was collected.
    fn send(&mut self) {
        let parts = core::mem::replace(&mut self.parts, Parts::new());
        if !parts.list.is_empty() {
            // INVARIANT: iomap gave us each, under writeback, and waits to be told its end.
            let held = Held::new(self.inode);
            self.parts.list = core::mem::take(&mut self.spare);
            let unsent = with_memory(self.short, WriteParts { parts, held }, |parts| {
                T::write_back(self.inode, parts)
            });
            if let Err(parts) = unsent {
                self.short = true;
                self.stay_dirty(parts);
            }
            self.short |= self.supply().is_err();
        }
    }

    /// Takes memory for what comes next, so that there is some for whatever iomap begins with.
    fn supply(&mut self) -> Result {
        let (list, spare) = (&mut self.parts.list, &mut self.spare);
        with_memory(self.short, (), |()| {
            let listed = list.reserve(ROOM, GFP_KERNEL);
            listed
                .and_then(|()| spare.reserve(ROOM, GFP_KERNEL))
                .map_err(drop)
        })
        .map_err(|()| ENOMEM)
    }

    /// iomap begins with a folio, and is through with the one before.
    fn enter(&mut self, folio: *mut bindings::folio) {
        if folio != self.at {
            self.settle();
            self.at = folio;
        }
    }

    /// Leaves what could not be sent dirty, for the next time that the file is written back.
    fn stay_dirty(&mut self, mut unsent: WriteParts<T>) {
        // Nothing is left whose end is to be told when it is dropped.
        for part in core::mem::take(&mut unsent.parts.list) {
            if part.folio.as_ptr() == self.at {
                self.unsent += part.len;
            } else {
                // SAFETY: By the invariant of `WriteParts`, whose list this was; iomap is at another folio.
                unsafe { self.dirty_again(part.folio.as_ptr(), part.len) };
            }
        }
    }

    /// iomap is through with the folio that it was at.
    fn settle(&mut self) {
        let unsent = core::mem::take(&mut self.unsent);
        if unsent > 0 {
            // SAFETY: So much of it came out of `WriteParts`, and its end was told to nobody.
            unsafe { self.dirty_again(self.at, unsent) };
        }
    }

    /// # Safety
    ///
    /// The folio is under writeback for `len` bytes, of which the end is told here, and nobody looks for what is dirty in it now.
    unsafe fn dirty_again(&self, folio: *mut bindings::folio, len: usize) {
        // SAFETY: By the caller's promise; whoever takes it out of the page cache waits for the end of the writing. What was dirty
        // of it was up to date, and no more than that is written.
        unsafe {
            bindings::iomap_dirty_folio(bindings::rust_fuse_folio_mapping(folio), folio);
            bindings::iomap_finish_folio_write(self.inode.as_raw(), folio, len);
        }
    }

    /// Adds a piece of a file that ends at `end`.
    fn add(&mut self, part: Part, pos: u64, end: u64) -> Result {
        let counts = part.len.min(end.saturating_sub(pos) as usize);
        let list = &mut self.parts.list;
        let full = list.len() == list.capacity() && list.reserve(1, GFP_KERNEL).is_err();
        if full || !self.parts.fits(pos, counts, self.limit) {
            self.send();
        }
        self.parts.push(part, pos, counts)
    }
}

impl<T: Operations> Wrap<T> {
    const WRITE: bindings::iomap_writeback_ops = bindings::iomap_writeback_ops {
        writeback_range: Some(Self::writeback_range),
        writeback_submit: Some(Self::writeback_submit),
    };

    /// # Safety
    ///
    /// For iomap only, called by [`Self::writepages`]: the context's `wb_ctx` is a [`Collector`], the folio is under
    /// writeback, and the end of what this takes is ours to tell.
    unsafe extern "C" fn writeback_range(
        wpc: *mut bindings::iomap_writepage_ctx,
        folio: *mut bindings::folio,
        pos: u64,
        len: c_uint,
        end: u64,
    ) -> isize {
        // SAFETY: As this function requires.
        unsafe {
            let collector = &mut *(*wpc).wb_ctx.cast::<Collector<'_, T>>();
            collector.enter(folio);
            let len = (len as usize).min(collector.limit.bytes);
            // Where a whole folio was marked as dirty again, parts of it may never have been read.
            let offset = (pos - bindings::rust_fuse_folio_pos(folio) as u64) as usize;
            let valid = bindings::rust_fuse_folio_valid(folio, offset, len);
            if valid < 0 {
                bindings::iomap_finish_folio_write((*wpc).inode, folio, -valid as usize);
                return -valid;
            }
            let len = valid as usize;
            let added = Part::new(folio, pos, len)
                .ok_or(EIO)
                .and_then(|part| collector.add(part, pos, end));
            if collector.short {
                // Unless all has to be written there is no use in going on.
                (*(*wpc).wbc).nr_to_write = 0;
            }
            match added {
                Ok(()) => len as isize,
                Err(e) => e.to_errno() as isize,
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::writeback_range`].
    unsafe extern "C" fn writeback_submit(
        wpc: *mut bindings::iomap_writepage_ctx,
        error: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        unsafe { (*(*wpc).wb_ctx.cast::<Collector<'_, T>>()).send() };
        error
    }

    /// # Safety
    ///
    /// For the page cache only: the mapping is that of an inode of `T`, and the control is the caller's own.
    pub(super) unsafe extern "C" fn writepages(
        mapping: *mut bindings::address_space,
        wbc: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, wait) = unsafe {
            (
                Inode::<T>::from_raw((*mapping).host),
                (*wbc).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL
                    || (*wbc).for_sync() != 0,
            )
        };
        let Some(run) = T::begin_write_back(inode, wait) else {
            return 0;
        };
        let mut collector = Collector {
            inode,
            limit: T::write_limit(inode),
            parts: Parts::new(),
            spare: KVec::new(),
            at: core::ptr::null_mut(),
            unsent: 0,
            short: false,
        };
        if let Err(e) = collector.supply() {
            drop(run);
            return e.to_errno();
        }
        let mut wpc = bindings::iomap_writepage_ctx {
            inode: inode.as_raw(),
            wbc,
            ops: &Self::WRITE,
            wb_ctx: (&raw mut collector).cast(),
            ..Default::default()
        };
        wpc.iomap.type_ = bindings::IOMAP_MAPPED as u16;
        // SAFETY: The context and what it points to live until the call ends. What is allocated meanwhile must not wait for
        // other writeback.
        let r = unsafe {
            let flags = bindings::rust_fuse_memalloc_nofs_save();
            let r = bindings::iomap_writepages(&mut wpc);
            bindings::rust_fuse_memalloc_nofs_restore(flags);
            r
        };
        collector.settle();
        drop(run);
        let short = if collector.short { Err(ENOMEM) } else { Ok(()) };
        to_int(kernel::error::to_result(r).and(short))
    }
}
