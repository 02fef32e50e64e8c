// SPDX-License-Identifier: GPL-2.0

//! Reading a character device into a pipe: as many pages as there are bytes, not as many as the caller has room for, who does
//! not know how long the next message is.
//!
//! Locks: the VFS holds that of the pipe.
//!
//! C headers: [`include/linux/splice.h`](srctree/include/linux/splice.h),
//! [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use super::{user::ToUser, CharDevice, Wrap};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{page::PAGE_SIZE, prelude::*};

/// Pages that are filled one after the other, for a pipe.
///
/// # Invariants
///
/// Each is an allocated page of the linear map with one reference, ours. `used` bytes of them are filled, in order.
pub(super) struct PipePages {
    /// Most messages have one page, and need no list.
    first: Option<NonNull<bindings::page>>,
    rest: KVec<NonNull<bindings::page>>,
    used: usize,
    most: usize,
}

impl PipePages {
    fn new(most: usize) -> Self {
        // INVARIANT: There are none.
        Self {
            first: None,
            rest: KVec::new(),
            used: 0,
            most,
        }
    }

    /// Bytes that there is room for.
    pub(super) fn room(&self) -> usize {
        self.most - self.used
    }

    /// Takes memory for `len` bytes more at once, as far as there is: what is missing is taken when it is needed.
    pub(super) fn expect(&mut self, len: usize) {
        let have = self.count();
        let want = (self.used + len.min(self.room())).div_ceil(PAGE_SIZE);
        let Some(more) = want.checked_sub(have).filter(|more| *more > 1) else {
            return;
        };
        let Ok(mut room) = KVec::from_elem(core::ptr::null_mut(), more, GFP_KERNEL) else {
            return;
        };
        if self.rest.reserve(more, GFP_KERNEL).is_err() {
            return;
        }
        // SAFETY: There is room for so many; may sleep, as the caller may.
        unsafe { bindings::rust_fuse_alloc_pages(more as c_ulong, room.as_mut_ptr()) };
        for page in room.iter().copied().filter_map(NonNull::new) {
            // INVARIANT: Just allocated.
            self.add(page);
        }
    }

    /// Pages that there are.
    fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Adds a page, for which there is room in the list. Its reference goes over.
    fn add(&mut self, page: NonNull<bindings::page>) {
        if self.first.is_none() {
            self.first = Some(page);
        } else {
            let _ = self.rest.push_within_capacity(page);
        }
    }

    /// Copies `len` bytes, which may change meanwhile.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there is no room for all of them, `ENOMEM`.
    ///
    /// # Safety
    ///
    /// They may be read.
    pub(super) unsafe fn copy(&mut self, mut from: *const u8, mut len: usize) -> Result {
        if len > self.room() {
            return Err(EFAULT);
        }
        while len > 0 {
            let offset = self.used % PAGE_SIZE;
            let at = self.used / PAGE_SIZE;
            if at == self.count() {
                if self.first.is_some() {
                    self.rest.reserve(1, GFP_KERNEL)?;
                }
                // SAFETY: May sleep, as the caller may.
                let page = unsafe { bindings::rust_fuse_alloc_page() };
                // INVARIANT: Just allocated.
                self.add(NonNull::new(page).ok_or(ENOMEM)?);
            }
            let page = match at.checked_sub(1) {
                None => self.first,
                Some(at) => self.rest.get(at).copied(),
            }
            .ok_or(EFAULT)?;
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
        let used = self.used;
        let mut left = used;
        let mut given = Ok(used);
        let (first, rest) = (self.first.take(), core::mem::take(&mut self.rest));
        for page in Iterator::chain(first.into_iter(), rest) {
            if given.is_err() || left == 0 {
                // SAFETY: By the type invariant the reference is ours.
                unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
                continue;
            }
            let len = left.min(PAGE_SIZE);
            left -= len;
            let mut buf = bindings::pipe_buffer {
                page: page.as_ptr(),
                len: len as c_uint,
                ops: &raw const bindings::nosteal_pipe_buf_ops,
                ..Default::default()
            };
            // SAFETY: By the caller's promise; the reference to the page goes along, also when it fails.
            let added = unsafe { bindings::add_to_pipe(pipe, &mut buf) };
            if added < 0 {
                given = Err(Error::from_errno(added as c_int));
            }
        }
        given
    }
}

impl Drop for PipePages {
    fn drop(&mut self) {
        for page in Iterator::chain(self.first.iter(), &self.rest) {
            // SAFETY: By the type invariant the reference is ours.
            unsafe { bindings::rust_fuse_put_page(page.as_ptr()) };
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
    let mut to = PipePages::new(len.min(pages * PAGE_SIZE));
    let nonblock = flags & bindings::O_NONBLOCK != 0;
    let read = T::read(data, &mut ToUser::pipe(&mut to), nonblock);
    // SAFETY: As this function requires. There was room for as many pages, and the lock kept others from using it.
    crate::vfs::to_len(read.and_then(|_| unsafe { to.give(pipe) }))
}
