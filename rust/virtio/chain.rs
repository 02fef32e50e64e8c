// SPDX-License-Identifier: GPL-2.0

//! What a descriptor chain consists of: memory that the device reads, then memory that it writes.
//!
//! A [`Chain`] owns that memory (or holds references to it), describes it in [`Chain::build`], and is given to the queue
//! in a box. Until the device returns it or is reset, nobody else can reach it, so the descriptions stay true.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use crate::{
    bindings,
    vfs::page::{Memory, WritableMemory},
};
use kernel::prelude::*;

/// One request to a device: it owns everything that the device reads and writes.
pub(crate) trait Chain: Send + 'static {
    /// Describes the memory: first all that the device reads, then all that it writes. Runs under the queue's lock with
    /// interrupts off.
    ///
    /// # Errors
    ///
    /// An error makes [`Ring::add`](super::queue::Ring::add) hand the chain back with it.
    fn build<'a>(&'a mut self, sg: &mut SgBuilder<'a>) -> Result;
}

/// Collects the memory of one chain into the queue's scatter table, in entries of at most `most` bytes.
///
/// # Invariants
///
/// `readable + writable <= table.len()`; that many entries are set.
pub(crate) struct SgBuilder<'a> {
    table: &'a mut [bindings::scatterlist],
    most: usize,
    readable: usize,
    writable: usize,
}

impl<'a> SgBuilder<'a> {
    pub(super) fn new(table: &'a mut [bindings::scatterlist], most: usize) -> Self {
        // INVARIANT: Nothing is set yet.
        Self {
            table,
            most,
            readable: 0,
            writable: 0,
        }
    }

    /// The next free entry.
    fn entry(&mut self) -> Result<*mut bindings::scatterlist> {
        let entry = self.table.get_mut(self.readable + self.writable);
        Ok(&raw mut *entry.ok_or(E2BIG)?)
    }

    fn buf(&mut self, ptr: *const u8, len: usize) -> Result {
        let len = u32::try_from(len)?;
        // SAFETY: The entry is ours; the bytes live as long as the chain, and the shim refuses what has no page.
        if unsafe { bindings::rust_fuse_sg_set_buf(self.entry()?, ptr.cast(), len) } {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Sets entries for the first `len` bytes, which the chain owns, and says how many.
    fn set<M: Memory>(&mut self, memory: &'a M, len: usize) -> Result<usize> {
        let (most, mut used, mut left) = (self.most, self.pieces(), len);
        memory.each(|piece| {
            let mut piece = piece.first(left);
            left -= piece.len;
            while piece.len > 0 {
                let entry = self.table.get_mut(used).ok_or(E2BIG)?;
                let now = piece.first(most);
                // Neither the end of the list nor a link to another one: both are told by the low bits.
                entry.page_link = now.page.addr();
                entry.offset = now.offset as c_uint;
                entry.length = now.len as c_uint;
                used += 1;
                piece.offset += now.len;
                piece.len -= now.len;
            }
            Ok(())
        })?;
        Ok(used - self.pieces())
    }

    /// Adds bytes that the device reads. Empty slices are left out.
    ///
    /// # Errors
    ///
    /// `EINVAL` when something writable was added before or the bytes are not in the kernel's linear map (a static, or
    /// memory from `vmalloc`); `E2BIG` when the table is full.
    pub(crate) fn readable(&mut self, bytes: &'a [u8]) -> Result {
        if self.writable != 0 {
            return Err(EINVAL);
        }
        if !bytes.is_empty() {
            self.buf(bytes.as_ptr(), bytes.len())?;
            // INVARIANT: There was room for it and it was set.
            self.readable += 1;
        }
        Ok(())
    }

    /// Adds bytes that the device writes. Empty slices are left out.
    ///
    /// # Errors
    ///
    /// As for [`Self::readable`].
    pub(crate) fn writable(&mut self, bytes: &'a mut [u8]) -> Result {
        if !bytes.is_empty() {
            self.buf(bytes.as_mut_ptr(), bytes.len())?;
            // INVARIANT: As above.
            self.writable += 1;
        }
        Ok(())
    }

    /// Adds the first `len` bytes of memory that the device reads.
    ///
    /// # Errors
    ///
    /// As for [`Self::readable`].
    pub(crate) fn readable_memory<M: Memory>(&mut self, memory: &'a M, len: usize) -> Result {
        if self.writable != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: So many were set.
        self.readable += self.set(memory, len)?;
        Ok(())
    }

    /// Adds the first `len` bytes of memory that the device writes.
    ///
    /// # Errors
    ///
    /// As for [`Self::readable`].
    pub(crate) fn writable_memory<M: WritableMemory>(
        &mut self,
        memory: &'a mut M,
        len: usize,
    ) -> Result {
        // INVARIANT: As above.
        self.writable += self.set(memory, len)?;
        Ok(())
    }

    /// How many pieces of memory there are so far.
    pub(super) fn pieces(&self) -> usize {
        self.readable + self.writable
    }

    /// Ends both lists. Gives the heads of the lists that are not empty, readable first, and how many of them are
    /// readable and writable (0 or 1 each).
    pub(super) fn finish(&mut self) -> ([*mut bindings::scatterlist; 2], u32, u32) {
        let base = self.table.as_mut_ptr();
        let (out, total) = (self.readable, self.pieces());
        let mut heads = [base; 2];
        if out != 0 {
            // SAFETY: Entry `out - 1` exists and is set, by the type invariant.
            unsafe { bindings::rust_fuse_sg_mark_end(base.add(out - 1)) };
        }
        if self.writable != 0 {
            // SAFETY: Entry `total - 1` exists and is set, by the type invariant; `out` is in the table as well.
            unsafe {
                bindings::rust_fuse_sg_mark_end(base.add(total - 1));
                heads[usize::from(out != 0)] = base.add(out);
            }
        }
        (heads, u32::from(out != 0), u32::from(self.writable != 0))
    }
}
