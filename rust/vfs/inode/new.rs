// SPDX-License-Identifier: GPL-2.0

//! Finding inodes by their key, and new ones until they are visible.
//!
//! The search takes the VFS's locks of its hash and may wait for another task to finish the inode, unless it says otherwise. A new inode belongs to
//! the task that started it, so nothing else is locked.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{Attributes, FileSystem, Inode, Ref, Slot, SuperBlock};
use crate::bindings;
use core::{mem::ManuallyDrop, ops::Deref, ptr::NonNull};
use kernel::prelude::*;

/// A new inode that nobody else can use yet. Dropping it unfinished gives it up.
///
/// # Invariants
///
/// The inode is owned, and locked as new (`I_NEW`) or not to be found by others.
pub(crate) struct New<T: FileSystem>(ManuallyDrop<Ref<T>>);

impl<T: FileSystem> Deref for New<T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        &self.0
    }
}

impl<T: FileSystem> New<T> {
    /// Sets what kind of inode it is and its size; regular files and directories still need their tables.
    pub(crate) fn init(&self, a: &Attributes) {
        let inode = self.as_raw();
        // SAFETY: By the type invariant nobody else uses the inode yet.
        unsafe {
            (*inode).i_mode = (a.mode & bindings::S_IFMT) as u16;
            // Times are the server's.
            (*inode).i_flags |= bindings::RUST_FUSE_S_NOATIME | bindings::RUST_FUSE_S_NOCMTIME;
            self.set_attributes(a);
            self.set_size(a.size);
        }
    }

    /// Has the client keep modification and change time of a file whose data it keeps.
    pub(crate) fn keep_times(&self) {
        // SAFETY: As in `init`.
        unsafe { (*self.as_raw()).i_flags &= !bindings::RUST_FUSE_S_NOCMTIME };
    }

    /// Makes it a device, FIFO or socket.
    pub(crate) fn init_special(&self, a: &Attributes) {
        let inode = self.as_raw();
        // SAFETY: As in `init`. The mode is set anew by this: permissions are part of it.
        unsafe {
            let rdev = bindings::rust_fuse_new_decode_dev(a.rdev);
            bindings::init_special_inode(inode, (*inode).i_mode, rdev);
        }
    }

    /// Sets its inode operations.
    pub(in crate::vfs) fn set_inode_ops(&self, ops: &'static bindings::inode_operations) {
        // SAFETY: As in `init`.
        unsafe { (*self.as_raw()).i_op = ops };
    }

    /// Has lockdep tell its lock from those of files in other file systems of the type, which this one is stacked on.
    pub(in crate::vfs) fn set_stacked(&self) {
        // SAFETY: As in `init`: nobody has the lock.
        unsafe { bindings::rust_fuse_stacked_inode(self.as_raw()) };
    }

    /// Sets its file operations.
    pub(in crate::vfs) fn set_file_ops(&self, ops: &'static bindings::file_operations) {
        // SAFETY: As in `init`.
        unsafe { (*self.as_raw()).__bindgen_anon_3.i_fop = ops };
    }

    /// Sets its mapping's operations.
    pub(in crate::vfs) fn set_mapping_ops(&self, ops: &'static bindings::address_space_operations) {
        // SAFETY: As in `init`.
        unsafe { (*(*self.as_raw()).i_mapping).a_ops = ops };
    }

    /// Sets whether its data is reached by DAX.
    pub(in crate::vfs) fn set_dax(&self, dax: bool) {
        // SAFETY: As in `init`.
        unsafe {
            (*self.as_raw()).i_flags &= !bindings::RUST_FUSE_S_DAX;
            if dax {
                (*self.as_raw()).i_flags |= bindings::RUST_FUSE_S_DAX;
            }
        }
    }

    /// Whether a search by its key finds it.
    fn is_hashed(&self) -> bool {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_inode_is_new(self.as_raw()) }
    }

    /// Makes it visible.
    pub(crate) fn done(mut self) -> Ref<T> {
        if self.is_hashed() {
            // SAFETY: By the type invariant it is locked as new.
            unsafe { bindings::unlock_new_inode(self.as_raw()) };
        }
        // SAFETY: `self` is forgotten right after.
        let inode = unsafe { ManuallyDrop::take(&mut self.0) };
        core::mem::forget(self);
        inode
    }
}

impl<T: FileSystem> Drop for New<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours; both drop the reference too.
        unsafe {
            if self.is_hashed() {
                bindings::iget_failed(self.as_raw());
            } else {
                ManuallyDrop::drop(&mut self.0);
            }
        }
    }
}

/// What a search by key gives.
pub(crate) enum Got<T: FileSystem> {
    /// It was in memory.
    Existing(Ref<T>),
    /// It was not.
    New(New<T>),
}

impl<T: FileSystem> SuperBlock<T> {
    /// Finds the inode `key` or starts a new one.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn get_inode(&self, key: u64) -> Result<Got<T>> {
        // SAFETY: The callbacks fit this file system's inodes and read `key` during the call only.
        let inode = unsafe {
            bindings::iget5_locked(
                self.as_raw(),
                hash(key),
                Some(has_key::<T>),
                Some(set_key::<T>),
                (&raw const key).cast_mut().cast(),
            )
        };
        let inode = NonNull::new(inode).ok_or(ENOMEM)?;
        // SAFETY: `iget5_locked` returned a reference to an inode of this file system.
        let inode = unsafe { Ref::from_raw(inode) };
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_inode_is_new(inode.as_raw()) } {
            // INVARIANT: It is new, and ours.
            Ok(Got::New(New(ManuallyDrop::new(inode))))
        } else {
            Ok(Got::Existing(inode))
        }
    }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Starts an inode that no search by its key finds, and that leaves memory with its last user.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new_inode(&self, key: u64) -> Result<New<T>> {
        // SAFETY: The super block is valid.
        let inode = NonNull::new(unsafe { bindings::new_inode(self.as_raw()) }).ok_or(ENOMEM)?;
        // SAFETY: The inode is one of this file system, counted, and nobody else sees it.
        let inode = unsafe {
            (*inode.as_ptr().cast::<Slot<T>>()).key = key;
            Ref::from_raw(inode)
        };
        // INVARIANT: It is in no hash.
        Ok(New(ManuallyDrop::new(inode)))
    }
}

/// Finds an inode in memory; see [`SuperBlock::find_inode`].
pub(in crate::vfs) fn find<T: FileSystem>(sb: &SuperBlock<T>, key: u64) -> Option<Ref<T>> {
    // SAFETY: As in `get_inode`.
    let inode = unsafe {
        bindings::ilookup5(
            sb.as_raw(),
            hash(key),
            Some(has_key::<T>),
            (&raw const key).cast_mut().cast(),
        )
    };
    // SAFETY: `ilookup5` returned a reference to an inode of this file system.
    NonNull::new(inode).map(|p| unsafe { Ref::from_raw(p) })
}

/// What a search gives that waits for nothing.
pub(crate) enum Seen<T: FileSystem> {
    /// It is in memory.
    Here(Ref<T>),
    /// It is about to come into memory or to leave it.
    Changing,
    /// It is not in memory.
    Absent,
}

/// A search of [`seek`].
struct Look<'a, F> {
    key: u64,
    is_it: &'a F,
    changing: bool,
}

/// Finds an inode in memory; see [`SuperBlock::seek_inode`].
pub(in crate::vfs) fn seek<T: FileSystem, F: Fn(&Inode<T>) -> bool>(
    sb: &SuperBlock<T>,
    key: u64,
    is_it: &F,
) -> Seen<T> {
    let mut look = Look {
        key,
        is_it,
        changing: false,
    };
    // SAFETY: The callback fits this file system's inodes, and uses `look` during the call only.
    let inode = unsafe {
        bindings::find_inode_nowait(
            sb.as_raw(),
            hash(key),
            Some(take_now::<T, F>),
            (&raw mut look).cast(),
        )
    };
    match NonNull::new(inode) {
        // SAFETY: It is one of this file system, and `take_now` has counted us.
        Some(inode) => Seen::Here(unsafe { Ref::from_raw(inode) }),
        None if look.changing => Seen::Changing,
        None => Seen::Absent,
    }
}

/// # Safety
///
/// For the inode hash only, which is locked: `inode` belongs to `T`, and `look` points to a [`Look<F>`] that nobody else uses.
unsafe extern "C" fn take_now<T: FileSystem, F: Fn(&Inode<T>) -> bool>(
    inode: *mut bindings::inode,
    _hash: u64,
    look: *mut c_void,
) -> c_int {
    // SAFETY: As this function requires. An inode has its key and its data before it is in the hash, and stays while that is
    // locked.
    unsafe {
        let look = &mut *look.cast::<Look<'_, F>>();
        let this = Inode::<T>::from_raw(inode);
        if this.key() != look.key || !(look.is_it)(this) {
            return 0;
        }
        if bindings::rust_fuse_inode_is_new(inode) || bindings::igrab(inode).is_null() {
            look.changing = true;
            return -1;
        }
        1
    }
}

fn hash(key: u64) -> u64 {
    key
}

/// # Safety
///
/// For the inode hash only: `inode` belongs to `T`, and `key` points to a `u64`.
unsafe extern "C" fn has_key<T: FileSystem>(
    inode: *mut bindings::inode,
    key: *mut c_void,
) -> c_int {
    // SAFETY: The hash hands in inodes of this file system and the pointer that was passed along.
    let (this, key) = unsafe { (Inode::<T>::from_raw(inode), *key.cast::<u64>()) };
    c_int::from(this.key() == key && !this.is_bad())
}

/// # Safety
///
/// As for [`has_key`]; the inode is new, and nobody else sees it.
unsafe extern "C" fn set_key<T: FileSystem>(
    inode: *mut bindings::inode,
    key: *mut c_void,
) -> c_int {
    // SAFETY: As in `has_key`; the inode is not visible yet.
    unsafe { (*inode.cast::<Slot<T>>()).key = *key.cast::<u64>() };
    0
}
