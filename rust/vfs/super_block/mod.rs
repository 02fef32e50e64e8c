// SPDX-License-Identifier: GPL-2.0

//! Super blocks: what is set while they are filled, and what can be asked of them at any time.
//!
//! How they begin and end is in [`life`], what the VFS asks of them in [`ops`]. What stands here takes no locks.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod life;
mod ops;

pub(super) use life::{create_cache, fill, fill_below, kill_sb};
pub(crate) use ops::{OptionWriter, StatFs};

use super::{inode, xattr, FileSystem, Inode};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{prelude::*, str::CStr, types::Opaque};

/// A `super_block` of the file system `T`.
///
/// # Invariants
///
/// `s_fs_info` is what `Arc::into_raw` gave for an `Arc<T::Super>`, which lives until [`kill_sb`] ends.
#[repr(transparent)]
pub(crate) struct SuperBlock<T: FileSystem>(Opaque<bindings::super_block>, PhantomData<T>);

// SAFETY: Super blocks are shared between threads.
unsafe impl<T: FileSystem> Send for SuperBlock<T> {}
// SAFETY: As above; what `&SuperBlock` offers is safe to call concurrently.
unsafe impl<T: FileSystem> Sync for SuperBlock<T> {}

impl<T: FileSystem> SuperBlock<T> {
    /// # Safety
    ///
    /// `sb` is a super block of `T` with its private data set, and stays so for `'a`.
    pub(crate) unsafe fn from_raw<'a>(sb: *mut bindings::super_block) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*sb.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    /// The private data.
    pub(crate) fn data(&self) -> &T::Super {
        // SAFETY: By the type invariant `s_fs_info` holds an `Arc<T::Super>`, which points at the data.
        unsafe { &*(*self.0.get()).s_fs_info.cast::<T::Super>() }
    }

    /// Whether it is read-only at this moment.
    pub(crate) fn is_read_only(&self) -> bool {
        // SAFETY: The super block is valid. A remount may change the flags at any time; they are one word.
        let flags = unsafe { (&raw const (*self.0.get()).s_flags).read_volatile() };
        flags & bindings::RUST_FUSE_SB_RDONLY != 0
    }

    /// Sets the granularity of times, in nanoseconds.
    pub(crate) fn set_time_gran(&self, gran: u32) {
        // SAFETY: The super block is valid; who reads the word meanwhile sees either value.
        unsafe { (&raw mut (*self.0.get()).s_time_gran).write_volatile(gran) };
    }

    /// Whether it is being filled: nobody else uses it then.
    pub(super) fn is_new(&self) -> bool {
        // SAFETY: The super block is valid; the flag is set once, at the end of that.
        unsafe { (*self.0.get()).s_flags & bindings::RUST_FUSE_SB_ACTIVE == 0 }
    }

    /// Says that a file once found without privileges stays so until its attributes are set. Does nothing once the super block
    /// is in use.
    pub(crate) fn set_nosec(&self) {
        if self.is_new() {
            // SAFETY: Nothing else changes its flags yet.
            unsafe { (*self.0.get()).s_flags |= bindings::RUST_FUSE_SB_NOSEC };
        }
    }

    /// Refuses every change. While the super block is filled.
    #[allow(dead_code, reason = "for file systems that need no server")]
    pub(crate) fn set_read_only(&self) {
        if self.is_new() {
            // SAFETY: Nothing else changes its flags yet.
            unsafe { (*self.0.get()).s_flags |= bindings::RUST_FUSE_SB_RDONLY };
        }
    }

    /// Sets how many bytes are read ahead.
    pub(crate) fn set_readahead(&self, bytes: u32) {
        let pages = bytes as usize >> kernel::page::PAGE_SHIFT;
        // SAFETY: `super_setup_bdi` gave the super block a bdi of its own; see `set_up`. Who reads the word meanwhile sees
        // either value.
        unsafe { (&raw mut (*(*self.0.get()).s_bdi).ra_pages).write_volatile(pages) };
    }

    /// Sets the size of a block of its device in bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that the device does not have.
    pub(crate) fn set_block_size(&self, size: u32) -> Result {
        let size = c_int::try_from(size).map_err(|_| EINVAL)?;
        // SAFETY: Only called while a super block on a block device is filled.
        let set = unsafe { bindings::rust_fuse_sb_set_blocksize(self.0.get(), size) };
        if set == 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// The size of a block in bytes.
    pub(crate) fn block_size(&self) -> usize {
        // SAFETY: It is set while the super block is filled.
        unsafe { (*self.0.get()).s_blocksize }
    }

    /// Whether it is on a block device.
    pub(crate) fn is_on_block_device(&self) -> bool {
        // SAFETY: It does not change.
        unsafe { !(*self.0.get()).s_bdev.is_null() }
    }

    /// Its device number as the kernel has it.
    pub(crate) fn raw_device(&self) -> u32 {
        // SAFETY: The number does not change.
        unsafe { (*self.0.get()).s_dev }
    }

    /// Says what stands behind the dot of the type in `/proc/mounts`. Once, while the super block is filled.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EBUSY`.
    pub(crate) fn set_subtype(&self, subtype: &CStr) -> Result {
        // SAFETY: Nothing else uses the field yet; the VFS frees the copy.
        unsafe {
            if !self.is_new() || !(*self.0.get()).s_subtype.is_null() {
                return Err(EBUSY);
            }
            let copy = bindings::rust_fuse_kstrdup(subtype.as_char_ptr());
            (*self.0.get()).s_subtype = copy;
            NonNull::new(copy).map(drop).ok_or(ENOMEM)
        }
    }

    /// Says how deep file systems are stacked, this one included.
    pub(crate) fn set_stack_depth(&self, depth: u32) {
        // SAFETY: The super block is valid.
        unsafe { bindings::rust_fuse_set_stack_depth(self.0.get(), depth as c_int) };
    }

    /// Says that whoever mounted it is not trusted with what the file system contains. While the super block is filled.
    pub(crate) fn set_untrusted(&self) {
        if self.is_new() {
            // SAFETY: Nothing else changes its flags yet.
            unsafe { (*self.0.get()).s_iflags |= bindings::SB_I_UNTRUSTED_MOUNTER as usize };
        }
    }

    /// Says that what is written back goes to somebody who may take as long as he likes: little is dirty at a time, and a
    /// sync(2) of everything does not wait for it.
    pub(crate) fn limit_dirty(&self) {
        // SAFETY: Only called while the super block is filled; it has a bdi of its own, see `fill`.
        unsafe {
            let sb = self.0.get();
            (*sb).s_iflags |= bindings::SB_I_NO_DATA_INTEGRITY as usize;
            (*(*sb).s_bdi).capabilities |= bindings::BDI_CAP_STRICTLIMIT;
            // One per cent is within bounds.
            let _ = bindings::bdi_set_max_ratio((*sb).s_bdi, 1);
        }
    }

    /// Whether `inode` is one of this super block.
    pub(super) fn has(&self, inode: &Inode<T>) -> bool {
        core::ptr::eq(self, inode.sb())
    }

    /// Finds an inode in memory by its node id.
    pub(crate) fn find_inode(&self, ino: u64) -> Option<inode::Ref<T>> {
        inode::find(self, ino)
    }

    /// Finds the inode of that node id of which `is_it` is true, also one that was given up. Does not wait for one that is about to
    /// come into memory or to leave it. `is_it` runs under a spinlock.
    pub(crate) fn seek_inode(&self, ino: u64, is_it: impl Fn(&Inode<T>) -> bool) -> inode::Seen<T> {
        inode::seek(self, ino, &is_it)
    }
}

/// The extended attribute handlers of a super block.
pub(crate) struct XattrHandlers(*const *const bindings::xattr_handler);

impl XattrHandlers {
    /// None: inodes have no attributes.
    pub(crate) const NONE: Self = Self(core::ptr::null());

    /// Those that call the operations of `T`.
    pub(crate) fn of<T: xattr::Operations>() -> Self {
        Self(xattr::Wrap::<T>::handlers())
    }
}
