// SPDX-License-Identifier: GPL-2.0

//! The page cache of regular files: filling it, writing it back, mapping it.
//!
//! The kernel's iomap library keeps track of what is valid and dirty in each folio. It asks for parts of folios to be read
//! or written; adjacent parts are collected here and handed to the file system, which owns them until it says how that
//! ended: [`ReadParts`], [`WriteParts`], and [`Filled`] for writes that go to the server at once; [`write`] has those that
//! do not. Dropping them ends them
//! without success.
//!
//! Folios that are read into are locked; those that are written back are marked so, and nothing else is held for them.
//!
//! C headers: [`include/linux/pagemap.h`](srctree/include/linux/pagemap.h),
//! [`include/linux/iomap.h`](srctree/include/linux/iomap.h)

mod control;
mod entries;
mod exchange;
mod held;
mod mmap;
mod read;
mod through;
mod told;
mod write;
mod write_back;

pub(crate) use exchange::{Place, Source};
pub(crate) use read::ReadParts;
pub(crate) use through::Filled;
pub(crate) use write_back::WriteParts;

use super::{
    file::File,
    inode::New,
    page::{Pages, Piece},
    FileSystem, Inode,
};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{page::PAGE_SIZE, prelude::*};

/// How much may be handed over at once.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Parts of folios.
    pub(crate) parts: usize,
}

/// Operations on the page cache of regular files.
pub(crate) trait Operations: FileSystem {
    /// Lives while dirty parts are looked for.
    type Run<'a>;

    /// How much is read at once.
    fn read_limit(inode: &Inode<Self>) -> Limit;

    /// Reads what somebody waits for, and waits as well. `file` is missing when the kernel itself asks.
    fn read(inode: &Inode<Self>, file: Option<&File<Self>>, parts: ReadParts<Self>) -> Result;

    /// Reads `len` bytes at `pos` for a write of a part of a block, and waits: memory that has them, and how many came. The
    /// rest reads as zeroes.
    fn read_part(
        inode: &Inode<Self>,
        file: &File<Self>,
        pos: u64,
        len: usize,
    ) -> Result<(Pages, usize)>;

    /// Whether what is read of this file now is read because somebody said that it will be needed, and does not wait.
    fn is_advice(file: &File<Self>) -> bool;

    /// Whether there is room for what nobody waits for.
    fn may_read_ahead(inode: &Inode<Self>) -> bool;

    /// Reads ahead, without waiting.
    fn read_ahead(inode: &Inode<Self>, file: Option<&File<Self>>, parts: ReadParts<Self>);

    /// How much is written back at once.
    fn write_limit(inode: &Inode<Self>) -> Limit;

    /// Starts to look for something to write back; `None` when it may not now. `wait` says whether the caller must have
    /// it written.
    fn begin_write_back(inode: &Inode<Self>, wait: bool) -> Option<Self::Run<'_>>;

    /// Writes back, without waiting for the end.
    ///
    /// # Errors
    ///
    /// There is no memory to begin with: the parts come back.
    fn write_back(inode: &Inode<Self>, parts: WriteParts<Self>) -> Result<(), WriteParts<Self>>;

    /// Where a block of the file is on its device, in blocks of the super block's size; 0 where that is not known.
    fn device_block(inode: &Inode<Self>, block: u64) -> u64;
}

/// A piece of a folio.
///
/// # Invariants
///
/// `offset + len` is at most the folio's size. That the folio is there is promised by what the part is in.
struct Part {
    folio: NonNull<bindings::folio>,
    offset: usize,
    len: usize,
}

impl Part {
    /// The piece of `len` bytes at `pos` in the file.
    ///
    /// # Safety
    ///
    /// `folio` is in a page cache and holds the piece.
    unsafe fn new(folio: *mut bindings::folio, pos: u64, len: usize) -> Option<Self> {
        let folio = NonNull::new(folio)?;
        // SAFETY: By the caller's promise.
        let start = unsafe { bindings::rust_fuse_folio_pos(folio.as_ptr()) as u64 };
        // INVARIANT: By the caller's promise.
        Some(Self {
            folio,
            offset: (pos - start) as usize,
            len,
        })
    }

    /// Where its memory is.
    fn piece(&self) -> Piece {
        Piece {
            // A folio begins with its first page.
            page: self.folio.as_ptr().cast(),
            offset: self.offset,
            len: self.len,
        }
    }
}

/// Adjacent pieces of folios, in order.
struct Parts {
    list: KVec<Part>,
    /// Where the first begins.
    pos: u64,
    bytes: usize,
}

impl Parts {
    const fn new() -> Self {
        Self {
            list: KVec::new(),
            pos: 0,
            bytes: 0,
        }
    }

    /// Whether the piece of `len` bytes at `pos` can be added.
    fn fits(&self, pos: u64, len: usize, limit: Limit) -> bool {
        self.list.is_empty()
            || (self.pos + self.bytes as u64 == pos
                && self.bytes + len <= limit.bytes
                && self.list.len() < limit.parts)
    }

    /// Adds a piece, of which `bytes` count.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn push(&mut self, part: Part, pos: u64, bytes: usize) -> Result {
        self.list.push(part, GFP_KERNEL)?;
        if self.bytes == 0 {
            self.pos = pos;
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The inode that the folios belong to.
    ///
    /// # Safety
    ///
    /// The first folio stays in the page cache of a file of `T` for `'a`.
    unsafe fn inode<'a, T: FileSystem>(&self) -> Option<&'a Inode<T>> {
        let first = self.list.first()?;
        // SAFETY: By the caller's promise; a mapping has a host.
        unsafe {
            let mapping = bindings::rust_fuse_folio_mapping(first.folio.as_ptr());
            Some(Inode::from_raw((*mapping).host))
        }
    }
}

/// Wrappers of [`Operations`].
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    /// Table of files that are cached.
    const CACHED: bindings::address_space_operations = bindings::address_space_operations {
        read_folio: Some(Self::read_folio),
        readahead: Some(Self::readahead),
        writepages: Some(Self::writepages),
        dirty_folio: Some(bindings::iomap_dirty_folio),
        release_folio: Some(bindings::iomap_release_folio),
        invalidate_folio: Some(bindings::iomap_invalidate_folio),
        is_partially_uptodate: Some(bindings::iomap_is_partially_uptodate),
        migrate_folio: Some(bindings::filemap_migrate_folio),
        bmap: Some(Self::bmap),
        // Allows O_DIRECT; the file operations look at the flag themselves.
        direct_IO: Some(bindings::noop_direct_IO),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// What iomap asks first: everything is somewhere at the server.
    const MAP: bindings::iomap_ops = bindings::iomap_ops {
        iomap_begin: Some(Self::begin),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: the mapping is that of a file of `T`.
    unsafe extern "C" fn bmap(
        mapping: *mut bindings::address_space,
        block: bindings::sector_t,
    ) -> bindings::sector_t {
        // SAFETY: As this function requires; a mapping has a host.
        let inode = unsafe { Inode::<T>::from_raw((*mapping).host) };
        if inode.is_bad() {
            return 0;
        }
        T::device_block(inode, block)
    }

    /// # Safety
    ///
    /// For iomap only: `iomap` is to be filled.
    unsafe extern "C" fn begin(
        _inode: *mut bindings::inode,
        pos: bindings::loff_t,
        len: bindings::loff_t,
        _flags: c_uint,
        iomap: *mut bindings::iomap,
        _srcmap: *mut bindings::iomap,
    ) -> c_int {
        // SAFETY: As this function requires.
        unsafe {
            (*iomap).type_ = bindings::IOMAP_MAPPED as u16;
            (*iomap).offset = pos;
            (*iomap).length = len as u64;
        }
        0
    }
}

impl<T: Operations> New<T> {
    /// Gives a regular file its page cache, or none with `dax`: then its data is reached by DAX. Folios get no larger than
    /// `largest` bytes.
    pub(crate) fn set_mapping(&self, dax: bool, largest: usize) {
        self.set_dax(dax);
        self.set_mapping_ops(if dax {
            &Wrap::<T>::DAX
        } else {
            &Wrap::<T>::CACHED
        });
        if !dax {
            let order = (largest / PAGE_SIZE).checked_ilog2().unwrap_or(0);
            // SAFETY: Nobody else uses the inode yet.
            unsafe { bindings::rust_fuse_mapping_set_up(self.as_raw(), order) };
        }
    }
}
