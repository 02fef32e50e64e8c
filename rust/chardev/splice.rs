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
    /// Most messages need no list. (An empty one is dear: dropping it is a call of the allocator.)
    few: [Option<NonNull<bindings::page>>; FEW],
    rest: Option<KVec<Option<NonNull<bindings::page>>>>,
    used: usize,
    /// What follows by reference, and how many bytes that are.
    shared: Option<KVec<Option<Shared>>>,
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
            rest: None,
            used: 0,
            shared: None,
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
        // One page is taken as well when it is needed.
        if self.used + len <= PAGE_SIZE {
            return;
        }
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
        if reserve(&mut self.rest, more).is_ok() {
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
        self.few.iter().flatten().count() + len(&self.rest)
    }

    /// Adds a page, for which there is room. Its reference goes over.
    fn add(&mut self, page: NonNull<bindings::page>) {
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(page),
            None => push(&mut self.rest, page),
        }
    }

    /// The page at a place.
    fn get(&self, at: usize) -> Option<NonNull<bindings::page>> {
        match self.few.get(at) {
            Some(place) => *place,
            None => *self.rest.as_ref()?.get(at - FEW)?,
        }
    }

    /// Whether so many pieces can follow `before` bytes. Takes memory for them.
    pub(super) fn can_share(&mut self, before: usize, pieces: usize) -> bool {
        let copied = (self.used + before).div_ceil(PAGE_SIZE);
        copied + len(&self.shared) + pieces <= self.buffers
            && reserve(&mut self.shared, pieces).is_ok()
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
        let full = |shared: &KVec<_>| shared.len() == shared.capacity();
        if len > self.room() || self.shared.as_ref().is_none_or(full) {
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
        push(&mut self.shared, piece);
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
        if len > self.room() || self.shared_bytes > 0 {
            return Err(EFAULT);
        }
        while len > 0 {
            let offset = self.used % PAGE_SIZE;
            let at = self.used / PAGE_SIZE;
            let page = match self.get(at) {
                Some(page) => page,
                None => {
                    if at >= FEW {
                        reserve(&mut self.rest, 1)?;
                    }
                    // SAFETY: May sleep, as the caller may.
                    let page = unsafe { bindings::rust_fuse_alloc_page() };
                    let page = NonNull::new(page).ok_or(ENOMEM)?;
                    // INVARIANT: Just allocated. All before it are there, so this is its place.
                    self.add(page);
                    page
                }
            };
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
    unsafe fn give(&mut self, pipe: *mut bindings::pipe_inode_info) -> Result<usize> {
        let mut left = self.used;
        let pages = self.few.iter_mut();
        for place in Iterator::chain(pages, self.rest.iter_mut().flatten()) {
            if left == 0 {
                break;
            }
            let len = left.min(PAGE_SIZE);
            left -= len;
            if let Some(page) = place.take() {
                // SAFETY: By the caller's promise; the reference is ours.
                unsafe { add(pipe, page, 0, len as u32) }?;
            }
        }
        for place in self.shared.iter_mut().flatten() {
            if let Some(piece) = place.take() {
                // SAFETY: By the caller's promise; the reference is ours.
                unsafe { add(pipe, piece.page, piece.offset, piece.len) }?;
            }
        }
        Ok(self.used + self.shared_bytes)
    }
}

/// How many are in a list that may not be there.
fn len<T>(list: &Option<KVec<T>>) -> usize {
    list.as_ref().map_or(0, KVec::len)
}

/// Takes memory for so many more.
fn reserve<T>(list: &mut Option<KVec<T>>, more: usize) -> Result {
    Ok(list.get_or_insert_default().reserve(more, GFP_KERNEL)?)
}

/// Adds one, for which there is room.
fn push<T>(list: &mut Option<KVec<Option<T>>>, one: T) {
    if let Some(list) = list {
        let _ = list.push_within_capacity(Some(one));
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
        let pages = self.few.iter();
        for page in Iterator::chain(pages, self.rest.iter().flatten()).flatten() {
            // SAFETY: By the type invariant the reference is ours.
            unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
        }
        for piece in self.shared.iter().flatten().flatten() {
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
