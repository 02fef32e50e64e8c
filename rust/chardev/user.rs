// SPDX-License-Identifier: GPL-2.0

//! What the calls of a character device copy from and to. No locks; copies may fault and so sleep.
//!
//! C header: [`include/linux/uio.h`](srctree/include/linux/uio.h)

use super::{message::Message, splice::PipePages};
use crate::{
    bindings,
    vfs::{
        page::{Memory, Piece, SharedMemory, WritableMemory},
        pagecache::{Place, ReadParts, Source},
        FileSystem,
    },
};
use kernel::{
    iov::{IovIterDest, IovIterSource},
    page::PAGE_SIZE,
    prelude::*,
};

/// A read call: where it copies to.
pub(crate) struct ToUser<'a, 'd>(To<'a, 'd>);

enum To<'a, 'd> {
    Memory(&'a mut IovIterDest<'d>),
    Pipe(&'a mut PipePages),
}

impl<'a, 'd> ToUser<'a, 'd> {
    /// To the memory that the call names.
    pub(super) fn memory_of_call(to: &'a mut IovIterDest<'d>) -> Self {
        Self(To::Memory(to))
    }

    /// To pages that go to a pipe.
    pub(super) fn pipe(to: &'a mut PipePages) -> Self {
        Self(To::Pipe(to))
    }

    /// Bytes that there is room for.
    pub(crate) fn room(&self) -> usize {
        match &self.0 {
            To::Memory(to) => to.len(),
            To::Pipe(to) => to.room(),
        }
    }

    /// Says how many bytes come.
    pub(crate) fn expect(&mut self, len: usize) {
        if let To::Pipe(to) = &mut self.0 {
            to.expect(len);
        }
    }

    /// Copies `head`, and the first `len` bytes of the page cache after it; into a pipe these go by reference where there is room.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them arrive, `ENOMEM`.
    pub(crate) fn message<M: SharedMemory>(
        &mut self,
        head: &[u8],
        memory: &M,
        len: usize,
    ) -> Result {
        if let To::Pipe(to) = &mut self.0 {
            let mut pages = 0;
            each_page(memory, len, &mut |_, _| {
                pages += 1;
                Ok(())
            })?;
            if to.can_share(head.len(), pages) {
                to.expect(head.len());
                // SAFETY: The head is readable.
                unsafe { to.copy(head.as_ptr(), head.len()) }?;
                // SAFETY: `SharedMemory` says so of each piece.
                return each_page(memory, len, &mut |ptr, n| unsafe { to.share(ptr, n) });
            }
        }
        self.expect(head.len() + len);
        self.bytes(head)?;
        self.memory(memory, len)
    }

    /// Copies bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them arrive, `ENOMEM`.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result {
        let copied = match &mut self.0 {
            To::Memory(to) => to.copy_to_iter(bytes),
            // SAFETY: They are readable.
            To::Pipe(to) => return unsafe { to.copy(bytes.as_ptr(), bytes.len()) },
        };
        if copied == bytes.len() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Copies the first `len` bytes of memory that others may change meanwhile.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them arrive, `ENOMEM`.
    pub(crate) fn memory<M: Memory>(&mut self, memory: &M, len: usize) -> Result {
        let mut left = len;
        memory.each(|piece| {
            let n = piece.len.min(left);
            left -= n;
            // SAFETY: `Memory` says that the piece lies in the linear map.
            let ptr = unsafe { piece.address() };
            let to = match &mut self.0 {
                To::Memory(to) => to,
                // SAFETY: `Memory` says that the piece may be read.
                To::Pipe(to) => return unsafe { to.copy(ptr, n) },
            };
            // SAFETY: The iterator is a valid destination; `Memory` says that the piece may be read. The copy is made by C, to
            // which bytes that change meanwhile are no more than that.
            let copied = unsafe { bindings::_copy_to_iter(ptr.cast(), n, to.as_raw().cast()) };
            if copied == n {
                Ok(())
            } else {
                Err(EFAULT)
            }
        })
    }
}

/// Tells `f` of the first `len` bytes, in pieces that lie in one page each.
fn each_page<M: Memory>(
    memory: &M,
    len: usize,
    f: &mut dyn FnMut(*const u8, usize) -> Result,
) -> Result {
    let mut left = len;
    memory.each(|piece| {
        // SAFETY: `Memory` says that the piece lies in the linear map.
        let (mut ptr, mut size) = (unsafe { piece.address() }.cast_const(), piece.len.min(left));
        left -= size;
        while size > 0 {
            let n = size.min(PAGE_SIZE - ptr.addr() % PAGE_SIZE);
            f(ptr, n)?;
            ptr = ptr.wrapping_add(n);
            size -= n;
        }
        Ok(())
    })
}

/// A write call: where it copies from.
pub(crate) struct FromUser<'a, 'd>(From<'a, 'd>);

enum From<'a, 'd> {
    Memory(&'a mut IovIterSource<'d>),
    Pipe(&'a mut Message),
}

impl<'a, 'd> FromUser<'a, 'd> {
    /// From the memory that the call names.
    pub(super) fn memory_of_call(from: &'a mut IovIterSource<'d>) -> Self {
        Self(From::Memory(from))
    }

    /// From buffers of a pipe.
    pub(super) fn pipe(from: &'a mut Message) -> Self {
        Self(From::Pipe(from))
    }

    /// Bytes that are left.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            From::Memory(from) => from.len(),
            From::Pipe(from) => from.len(),
        }
    }

    /// Copies bytes.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them come.
    pub(crate) fn bytes(&mut self, room: &mut [u8]) -> Result {
        let copied = match &mut self.0 {
            From::Memory(from) => from.copy_from_iter(room),
            // SAFETY: There is room.
            From::Pipe(from) => return unsafe { from.copy(room.as_mut_ptr(), room.len()) },
        };
        if copied == room.len() {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    /// Copies `len` bytes to the beginning of memory that others may look at meanwhile.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them come.
    pub(crate) fn memory<M: WritableMemory>(&mut self, memory: &mut M, len: usize) -> Result {
        let mut left = len;
        memory.each(|piece| {
            let piece = piece.first(left);
            left -= piece.len;
            // SAFETY: `Memory` and `WritableMemory` say so.
            unsafe { self.copy(piece) }
        })
    }

    /// As [`Self::memory`], for a part of the page cache: what is given away moves there, if it can.
    ///
    /// # Errors
    ///
    /// `EFAULT` when not all of them come.
    pub(crate) fn fill<T: FileSystem>(&mut self, parts: &mut ReadParts<T>, len: usize) -> Result {
        parts.fill(len, self)
    }
}

impl Source for FromUser<'_, '_> {
    unsafe fn copy(&mut self, to: Piece) -> Result {
        let from = match &mut self.0 {
            From::Memory(from) => from,
            // SAFETY: The caller's promise.
            From::Pipe(from) => return unsafe { Source::copy(*from, to) },
        };
        // SAFETY: The iterator is a valid source; the caller promises that the piece may be written.
        let copied =
            unsafe { bindings::_copy_from_iter(to.address().cast(), to.len, from.as_raw().cast()) };
        if copied == to.len {
            Ok(())
        } else {
            Err(EFAULT)
        }
    }

    fn exchange(&mut self, place: Place<'_>) -> bool {
        match &mut self.0 {
            From::Memory(_) => false,
            From::Pipe(from) => from.exchange(place),
        }
    }
}
