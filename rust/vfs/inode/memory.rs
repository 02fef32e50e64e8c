// SPDX-License-Identifier: GPL-2.0

//! The memory of inodes: taking it, giving it back, and the end of an inode's life in it.
//!
//! It holds the C inode, the 64-bit key that it is hashed by (the node id), and the private data of the file system, which
//! is set up when the memory is taken and dropped when it is given back. By then nobody else uses the inode: no locks.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{FileSystem, Inode};
use crate::bindings;
use core::mem::MaybeUninit;
use kernel::{
    prelude::*,
    sync::{atomic::AtomicFlag, SetOnce},
    types::Opaque,
};

/// The memory of an inode.
#[repr(C)]
pub(in crate::vfs) struct Slot<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    pub(super) key: u64,
    pub(super) bad: AtomicFlag,
    /// What a symbolic link says, with a NUL.
    pub(super) link: SetOnce<KVec<u8>>,
    pub(super) data: MaybeUninit<T::Inode>,
}

/// Constructor of the slab cache.
///
/// # Safety
///
/// For the slab cache only: `slot` is fresh memory for a [`Slot<T>`].
pub(in crate::vfs) unsafe extern "C" fn construct<T: FileSystem>(slot: *mut c_void) {
    // SAFETY: The cache hands in memory for a slot.
    unsafe { bindings::inode_init_once((&raw mut (*slot.cast::<Slot<T>>()).inode).cast()) };
}

/// Sets up the private data of fresh memory; gives it back when that fails.
///
/// # Safety
///
/// `slot` is null or comes from the file system's cache and is not used otherwise.
pub(in crate::vfs) unsafe fn init_slot<T: FileSystem>(slot: *mut Slot<T>) -> *mut bindings::inode {
    if slot.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: The memory is ours; it does not move until `free`.
    unsafe {
        (*slot).key = 0;
        (&raw mut (*slot).bad).write(AtomicFlag::new(false));
        (&raw mut (*slot).link).write(SetOnce::new());
        if T::new_inode()
            .__pinned_init((&raw mut (*slot).data).cast())
            .is_err()
        {
            bindings::rust_fuse_kfree(slot.cast());
            return core::ptr::null_mut();
        }
    }
    slot.cast()
}

/// Gives an inode's memory back, after a grace period.
///
/// # Safety
///
/// For the VFS only: nobody uses the inode any more, also no lockless walk. May run in a softirq.
pub(in crate::vfs) unsafe extern "C" fn free<T: FileSystem>(inode: *mut bindings::inode) {
    let slot: *mut Slot<T> = inode.cast();
    // SAFETY: The VFS gives up the inode; its data was set up by `init_slot`. `kfree` takes slab objects of every cache.
    unsafe {
        (*slot).data.assume_init_drop();
        core::ptr::drop_in_place(&raw mut (*slot).link);
        bindings::rust_fuse_kfree(slot.cast());
    }
}

/// Ends an inode's life in memory.
///
/// # Safety
///
/// For the VFS only: the inode belongs to `T`, has no count any more, and this is called once.
pub(in crate::vfs) unsafe extern "C" fn evict<T: FileSystem>(inode: *mut bindings::inode) {
    // SAFETY: The VFS calls this once per inode, with nobody else using it.
    unsafe {
        let this = Inode::<T>::from_raw(inode);
        if this.is_dax() {
            bindings::dax_break_layout_final(inode);
        }
        bindings::truncate_inode_pages_final(&raw mut (*inode).i_data);
        bindings::clear_inode(inode);
        let active = (*(*inode).i_sb).s_flags & bindings::RUST_FUSE_SB_ACTIVE != 0;
        T::evict(this, !active);
    }
}
