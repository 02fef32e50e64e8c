// SPDX-License-Identifier: GPL-2.0

//! Reading a character device into a pipe: as many pages as there are bytes, not as many as the caller has room for, who does
//! not know how long the next message is. What lies in the page cache goes along by reference.
//!
//! Locks: the VFS holds that of the pipe.
//!
//! C headers: [`include/linux/splice.h`](srctree/include/linux/splice.h),
//! [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use super::{user::ToUser, CharDevice, Wrap};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{page::PAGE_SIZE, prelude::*};

/// Pages that most messages have at most.
const FEW: usize = 2;

/// A piece of a page of the page cache.
///
/// # Invariants
///
/// The reference is ours.
struct Shared {
    page: NonNull<bindings::page>,
    offset: u32,
    len: u32,
}

/// Pages that are filled one after the other, for a pipe, and pieces of pages of the page cache that follow.
///
/// # Invariants
///
/// Each is an allocated page of the linear map with one reference, ours. `used` bytes of them are filled, in order.
pub(super) struct PipePages {
    /// Most messages need no list.
    few: [Option<NonNull<bindings::page>>; FEW],
    rest: KVec<NonNull<bindings::page>>,
    used: usize,
    /// What follows by reference, and how many bytes that are.
    shared: KVec<Shared>,
    shared_bytes: usize,
    most: usize,
    /// Buffers that the pipe has room for.
    buffers: usize,
}

impl PipePages {
    fn new(most: usize, buffers: usize) -> Self {
        // INVARIANT: There are none.
        Self {
            few: [None; FEW],
            rest: KVec::new(),
            used: 0,
            shared: KVec::new(),
            shared_bytes: 0,
            most,
            buffers,
        }
    }

    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.most - self.used - self.shared_bytes
    }

    /// Takes memory for `len` bytes more at once, as far as there is: what is missing is taken when it is needed.
    pub(super) fn expect(&mut self, len: usize) {
        let have = self.count();
        let want = (self.used + len.min(self.room())).div_ceil(PAGE_SIZE);
        let Some(more) = want.checked_sub(have).filter(|more| *more > 1) else {
            return;
        };
        if want <= FEW {
            return self.take(&mut [core::ptr::null_mut(); FEW], more);
        }
        let Ok(mut room) = KVec::from_elem(core::ptr::null_mut(), more, GFP_KERNEL) else {
            return;
        };
        if self.rest.reserve(more, GFP_KERNEL).is_ok() {
            self.take(&mut room, more);
        }
    }

    /// Takes memory for `more` pages, for which there is room here and in `room`, which is empty.
    fn take(&mut self, room: &mut [*mut bindings::page], more: usize) {
        let more = more.min(room.len());
        // SAFETY: There is room for so many; may sleep, as the caller may.
        unsafe { bindings::rust_fuse_alloc_pages(more as c_ulong, room.as_mut_ptr()) };
        for page in room.iter().copied().filter_map(NonNull::new) {
            // INVARIANT: Just allocated.
            self.add(page);
        }
    }

    /// Pages that there are.
    fn count(&self) -> usize {
        self.few.iter().flatten().count() + self.rest.len()
    }

    /// Adds a page, for which there is room. Its reference goes over.
    fn add(&mut self, page: NonNull<bindings::page>) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(page),
            None => {
                let _ = self.rest.push_within_capacity(page);
            }
        }
    }

    /// The page at a place.
    fn get(&self, at: usize) -> Option<NonNull<bindings::page>> {
        match self.few.get(at) {
            Some(place) => *place,
            None => self.rest.get(at - FEW).copied(),
        }
    }

    /// Whether so many pieces can follow `before` bytes. Takes memory for them.
    pub(super) fn can_share(&mut self, before: usize, pieces: usize) -> bool {
        let copied = (self.used + before).div_ceil(PAGE_SIZE);
        copied + self.shared.len() + pieces <= self.buffers
            && self.shared.reserve(pieces, GFP_KERNEL).is_ok()
    }

    /// Adds a piece of a page, by reference.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there is no room.
    ///
    /// # Safety
    ///
    /// It lies in one page of the page cache, in the linear map.
    pub(super) unsafe fn share(&mut self, from: *const u8, len: usize) -> Result {
        if len > self.room() || self.shared.len() == self.shared.capacity() {
            return Err(EFAULT);
        }
        // SAFETY: By the caller's promise.
        let page = unsafe { bindings::rust_fuse_get_page_at(from.cast()) };
        // INVARIANT: The reference was just taken.
        let piece = Shared {
            page: NonNull::new(page).ok_or(EFAULT)?,
            offset: (from.addr() % PAGE_SIZE) as u32,
            len: len as u32,
        };
        self.shared_bytes += len;
        // There is room.
        let _ = self.shared.push_within_capacity(piece);
        Ok(())
    }

    /// Copies `len` bytes, which may change meanwhile. Nothing is copied behind what is shared.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there is no room for all of them, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// They may be read.
    pub(super) unsafe fn copy(&mut self, mut from: *const u8, mut len: usize) -> Result {
        if len > self.room() || !self.shared.is_empty() {
            return Err(EFAULT);
        }
        while len > 0 {
            let offset = self.used % PAGE_SIZE;
            let at = self.used / PAGE_SIZE;
            if at == self.count() {
                if at >= FEW {
                    self.rest.reserve(1, GFP_KERNEL)?;
                }
                // SAFETY: May sleep, as the caller may.
                let page = unsafe { bindings::rust_fuse_alloc_page() };
                // INVARIANT: Just allocated.
                self.add(NonNull::new(page).ok_or(ENOMEM)?);
            }
            let page = self.get(at).ok_or(EFAULT)?;
            let n = len.min(PAGE_SIZE - offset);
            // SAFETY: By the type invariant the page is mapped and ours, and there are so many bytes behind the offset. The
            // caller promises that the others may be read; the copy is made by C, as they may change.
            unsafe {
                let to = bindings::rust_fuse_page_address(page.as_ptr()).cast::<u8>();
                bindings::rust_fuse_memcpy(to.add(offset).cast(), from.cast(), n);
                from = from.add(n);
            }
            self.used += n;
            len -= n;
        }
        Ok(())
    }

    /// Puts all into a pipe, which has room for them.
    ///
    /// # Errors
    ///
    /// `EPIPE` when nobody reads from it.
    ///
    /// # Safety
    ///
    /// The pipe is valid and locked.
    unsafe fn give(mut self, pipe: *mut bindings::pipe_inode_info) -> Result<usize> {
        let mut left = self.used;
        let mut given = Ok(self.used + self.shared_bytes);
        let (few, rest) = (
            core::mem::take(&mut self.few),
            core::mem::take(&mut self.rest),
        );
        for page in Iterator::chain(few.into_iter().flatten(), rest) {
            if given.is_err() || left == 0 {
                // SAFETY: By the type invariant the reference is ours.
                unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
                continue;
            }
            let len = left.min(PAGE_SIZE);
            left -= len;
            // SAFETY: By the caller's promise; the reference is ours.
            if let Err(e) = unsafe { add(pipe, page, 0, len as u32) } {
                given = Err(e);
            }
        }
        for piece in core::mem::take(&mut self.shared) {
            if given.is_err() {
                // SAFETY: By the type invariant the reference is ours.
                unsafe { bindings::rust_fuse_put_page(piece.page.as_ptr()) };
                continue;
            }
            // SAFETY: By the caller's promise; the reference is ours.
            if let Err(e) = unsafe { add(pipe, piece.page, piece.offset, piece.len) } {
                given = Err(e);
            }
        }
        given
    }
}

/// Puts a piece of a page into a pipe, for nobody to change there.
///
/// # Errors
///
/// `EPIPE` when nobody reads from it; `EAGAIN` when it is full.
///
/// # Safety
///
/// The pipe is valid and locked, and the caller has a reference to the page, which goes over, also when it fails.
unsafe fn add(
    pipe: *mut bindings::pipe_inode_info,
    page: NonNull<bindings::page>,
    offset: u32,
    len: u32,
) -> Result {
    let mut buf = bindings::pipe_buffer {
        page: page.as_ptr(),
        offset,
        len,
        ops: &raw const bindings::nosteal_pipe_buf_ops,
        ..Default::default()
    };
    // SAFETY: By the caller's promise.
    let added = unsafe { bindings::add_to_pipe(pipe, &mut buf) };
    if added < 0 {
        return Err(Error::from_errno(added as c_int));
    }
    Ok(())
}

impl Drop for PipePages {
    fn drop(&mut self) {
        for page in Iterator::chain(self.few.iter().flatten(), &self.rest) {
            // SAFETY: By the type invariant the reference is ours.
            unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
        }
        for piece in &self.shared {
            // SAFETY: As above.
            unsafe { bindings::rust_fuse_put_page(piece.page.as_ptr()) };
        }
    }
}

/// # Safety
///
/// For the VFS only: the file was opened by [`Wrap::open`], and the pipe is locked.
pub(super) unsafe extern "C" fn read<T: CharDevice>(
    file: *mut bindings::file,
    _: *mut bindings::loff_t,
    pipe: *mut bindings::pipe_inode_info,
    len: usize,
    _: c_uint,
) -> isize {
    // SAFETY: As this function requires.
    let (data, flags, pages) = unsafe {
        (
            Wrap::<T>::data(file),
            (&raw const (*file).f_flags).read_volatile(),
            bindings::rust_fuse_pipe_room(pipe) as usize,
        )
    };
    let mut to = PipePages::new(len.min(pages * PAGE_SIZE), pages);
    let nonblock = flags & bindings::O_NONBLOCK != 0;
    let read = T::read(data, &mut ToUser::pipe(&mut to), nonblock);
    // SAFETY: As this function requires. There was room for as many pages, and the lock kept others from using it.
    crate::vfs::to_len(read.and_then(|_| unsafe { to.give(pipe) }))
}
