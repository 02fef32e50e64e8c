// SPDX-License-Identifier: GPL-2.0

//! Writing to a character device out of a pipe: the buffers of one message are taken out of it at once, and its pages may be
//! moved to where they are wanted.
//!
//! A page moves only if nobody else can change it later: its owner lets go of it, and nothing else has a reference. So a page
//! that its writer gave away but still has mapped is copied, and so is memory of a process, which stays what it is until it is
//! freed. What moves is what was written to the pipe, and clean pages of files that nobody uses.
//!
//! Locks: the pipe's, while buffers are taken and let go; not while they are copied. The lock of a page that moves.
//!
//! C headers: [`include/linux/splice.h`](srctree/include/linux/splice.h),
//! [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use super::{user::FromUser, CharDevice, Wrap};
use crate::{
    bindings,
    vfs::{
        page::Piece,
        pagecache::{Place, Source},
    },
};
use core::ptr::NonNull;
use kernel::{error::to_result, page::PAGE_SIZE, prelude::*};

/// The buffers of a message.
///
/// # Invariants
///
/// The pipe is valid. What the buffers refer to is ours, as it was the pipe's before, but of those without operations, which are used up.
/// So are all before `at`; `used` bytes of that one are taken.
pub(super) struct Message {
    pipe: NonNull<bindings::pipe_inode_info>,
    buffers: KVVec<bindings::pipe_buffer>,
    at: usize,
    used: usize,
    left: usize,
    moves: bool,
}

impl Message {
    /// Takes `len` bytes out of a pipe.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there are fewer; `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The pipe is valid while this exists, and not locked by the caller.
    unsafe fn take(
        pipe: NonNull<bindings::pipe_inode_info>,
        len: usize,
        moves: bool,
    ) -> Result<Self> {
        let mut this = Self {
            pipe,
            buffers: KVVec::new(),
            at: 0,
            used: 0,
            left: len,
            moves,
        };
        let raw = pipe.as_ptr();
        // SAFETY: By the caller's promise.
        unsafe { bindings::pipe_lock(raw) };
        let mut take = || {
            // SAFETY: The pipe is locked.
            let nth = |i| NonNull::new(unsafe { bindings::rust_fuse_pipe_nth(raw, i) });
            let (mut count, mut there) = (0, 0);
            while let (true, Some(buffer)) = (there < len, nth(count)) {
                // SAFETY: It is one of the pipe's.
                there += unsafe { (*buffer.as_ptr()).len } as usize;
                count += 1;
            }
            if there < len {
                return Err(EINVAL);
            }
            this.buffers.reserve(count as usize, GFP_KERNEL)?;
            let mut left = len;
            while let (true, Some(buffer)) = (left > 0, nth(0)) {
                // SAFETY: The pipe is locked, and this is its first buffer. There is room for it here.
                unsafe {
                    let mut ours = *buffer.as_ptr();
                    if left >= ours.len as usize {
                        bindings::rust_fuse_pipe_take_first(raw);
                    } else {
                        if !bindings::rust_fuse_pipe_buf_get(raw, buffer.as_ptr()) {
                            return Err(EFAULT);
                        }
                        // The rest of the page is somebody else's.
                        ours.flags &= !bindings::PIPE_BUF_FLAG_GIFT;
                        ours.len = left as u32;
                        (*buffer.as_ptr()).offset += left as u32;
                        (*buffer.as_ptr()).len -= left as u32;
                    }
                    left -= ours.len as usize;
                    // INVARIANT: It was taken over, or has a reference of its own.
                    let _ = this.buffers.push_within_capacity(ours);
                }
            }
            Ok(())
        };
        let taken = take();
        // SAFETY: It was locked above.
        unsafe {
            bindings::rust_fuse_pipe_wake_writers(raw);
            bindings::pipe_unlock(raw);
        }
        taken.map(|()| this)
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// The buffer that comes next, with what it refers to in place, and how much of it is taken.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there is none; `EIO`, `ENODATA` when its page could not be read, or is in its file no more.
    fn next(&mut self) -> Result<(&mut bindings::pipe_buffer, usize)> {
        while self
            .buffers
            .get(self.at)
            .is_some_and(|b| self.used == b.len as usize)
        {
            self.at += 1;
            self.used = 0;
        }
        let buffer = self.buffers.get_mut(self.at).ok_or(EFAULT)?;
        if self.used == 0 {
            // SAFETY: By the type invariants.
            to_result(unsafe { bindings::rust_fuse_pipe_buf_confirm(self.pipe.as_ptr(), buffer) })?;
        }
        Ok((buffer, self.used))
    }

    /// Copies the next `len` bytes, which others may change meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`Self::next`].
    ///
    /// # Safety
    ///
    /// There is room for so many.
    pub(super) unsafe fn copy(&mut self, mut to: *mut u8, mut len: usize) -> Result {
        while len > 0 {
            let (buffer, used) = self.next()?;
            let from = Piece {
                page: buffer.page,
                offset: buffer.offset as usize + used,
                len: (buffer.len as usize - used).min(len),
            };
            // SAFETY: A buffer lies within its page, which is in the linear map: the kernel is 64-bit. There is room, as the caller
            // promises; the copy is made by C, as the bytes may change.
            unsafe {
                bindings::rust_fuse_memcpy(to.cast(), from.address().cast_const().cast(), from.len);
                to = to.add(from.len);
            }
            self.used += from.len;
            self.left -= from.len;
            len -= from.len;
        }
        Ok(())
    }
}

impl Source for Message {
    unsafe fn copy(&mut self, to: Piece) -> Result {
        // SAFETY: By the caller's promise.
        unsafe { Message::copy(self, to.address(), to.len) }
    }

    fn exchange(&mut self, place: Place<'_>) -> bool {
        if !self.moves {
            return false;
        }
        let pipe = self.pipe.as_ptr();
        // What is wrong with it, who copies it is told.
        let Ok((buffer, used)) = self.next() else {
            return false;
        };
        if used != 0 || buffer.offset != 0 || buffer.len as usize != PAGE_SIZE {
            return false;
        }
        // SAFETY: By the type invariants; the shim gives a folio that is ours alone, and locked, as `Place::put` wants it. Its buffer
        // has the only reference, and is let go of when there is that of the page cache.
        unsafe {
            let folio = bindings::rust_fuse_pipe_buf_steal(pipe, buffer);
            let Some(folio) = NonNull::new(folio) else {
                return false;
            };
            let listed = buffer.flags & bindings::PIPE_BUF_FLAG_LRU != 0;
            place.put(folio, listed);
            bindings::rust_fuse_pipe_buf_release(pipe, buffer);
        }
        self.used = PAGE_SIZE;
        self.left -= PAGE_SIZE;
        true
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        let pipe = self.pipe.as_ptr();
        // SAFETY: By the type invariants; the lock is not held. A buffer that is gone has no operations.
        unsafe {
            bindings::pipe_lock(pipe);
            for buffer in &mut self.buffers {
                if !buffer.ops.is_null() {
                    bindings::rust_fuse_pipe_buf_release(pipe, buffer);
                }
            }
            bindings::pipe_unlock(pipe);
        }
    }
}

/// # Safety
///
/// For the VFS only: the file was opened by [`Wrap::open`], and the pipe is not locked.
pub(super) unsafe extern "C" fn write<T: CharDevice>(
    pipe: *mut bindings::pipe_inode_info,
    file: *mut bindings::file,
    _: *mut bindings::loff_t,
    len: usize,
    flags: c_uint,
) -> isize {
    let moves = flags & bindings::RUST_FUSE_SPLICE_F_MOVE != 0;
    // SAFETY: As this function requires.
    let data = unsafe { Wrap::<T>::data(file) };
    let message = NonNull::new(pipe)
        .ok_or(EINVAL)
        // SAFETY: As above.
        .and_then(|pipe| unsafe { Message::take(pipe, len, moves) });
    crate::vfs::to_len(
        message.and_then(|mut message| T::write(data, &mut FromUser::pipe(&mut message))),
    )
}
