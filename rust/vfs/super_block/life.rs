// SPDX-License-Identifier: GPL-2.0

//! The beginning and the end of a super block: it is filled, gets its root, and is killed by the last unmount.
//!
//! The VFS holds `s_umount` for writing around all of it.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{ops::Ops, SuperBlock};
use crate::{
    bindings,
    vfs::{context::Call, dentry, fs::Type, inode, FileSystem, Inode},
};
use core::ptr::NonNull;
use kernel::{prelude::*, str::CStr, sync::Arc};

/// Makes the slab cache of a file system's inodes.
pub(in crate::vfs) fn create_cache<T: FileSystem>() -> Result<NonNull<bindings::kmem_cache>> {
    let layout = core::alloc::Layout::new::<inode::Slot<T>>();
    // SAFETY: The name is static; the constructor fits the layout.
    let cache = unsafe {
        bindings::rust_fuse_inode_cache_create(
            T::INODE_CACHE.as_char_ptr(),
            layout.size() as u32,
            layout.align() as u32,
            Some(inode::construct::<T>),
        )
    };
    NonNull::new(cache).ok_or(ENOMEM)
}

/// Fills a super block that has no root yet.
///
/// # Safety
///
/// `sb` is new, with `s_umount` held, and its `s_fs_info` is an `Arc<<M::Fs as FileSystem>::Super>`.
pub(in crate::vfs) unsafe fn fill<M: Type>(
    sb: *mut bindings::super_block,
    options: &Call<'_, M::Options>,
) -> Result {
    // SAFETY: By the caller's promise.
    unsafe {
        let this = set_up::<M::Fs>(sb)?;
        finish(this, M::fill_super(this, options)?)
    }
}

/// Fills a super block for what begins at the inode `at` of another.
///
/// # Safety
///
/// As for [`fill`]; `sb` is a super block of `T`.
pub(in crate::vfs) unsafe fn fill_below<T: FileSystem>(
    sb: *mut bindings::super_block,
    at: &Inode<T>,
) -> Result {
    // SAFETY: By the caller's promise; the other one is in use, and what is read of it hardly changes.
    unsafe {
        let this = set_up::<T>(sb)?;
        let parent = at.sb().as_raw();
        let handed_down = bindings::RUST_FUSE_SB_RDONLY
            | bindings::RUST_FUSE_SB_SYNCHRONOUS
            | bindings::RUST_FUSE_SB_NOSEC;
        (*sb).s_flags |= (*parent).s_flags & handed_down;
        let marks = (bindings::SB_I_NOIDMAP | bindings::SB_I_UNTRUSTED_MOUNTER) as usize;
        (*sb).s_iflags = (*sb).s_iflags & !marks | (*parent).s_iflags & marks;
        (*sb).s_time_gran = (*parent).s_time_gran;
        (*sb).s_export_op = (*parent).s_export_op;
        (*(*sb).s_bdi).ra_pages = (*(*parent).s_bdi).ra_pages;
        let subtype = (*parent).s_subtype;
        if !subtype.is_null() {
            this.set_subtype(CStr::from_char_ptr(subtype))?;
        }
        finish(this, T::fill_submount(this, at)?)
    }
}

/// Gives a new super block its operations.
///
/// # Safety
///
/// As for [`fill`]; `sb` is a super block of `T` and stays for `'a`.
unsafe fn set_up<'a, T: FileSystem>(sb: *mut bindings::super_block) -> Result<&'a SuperBlock<T>> {
    // SAFETY: By the caller's promise nothing else uses the super block.
    unsafe {
        (*sb).s_op = Ops::<T>::TABLE;
        (*sb).s_magic = T::MAGIC as usize;
        (*sb).s_maxbytes = bindings::RUST_FUSE_MAX_LFS_FILESIZE;
        (*sb).s_blocksize = kernel::page::PAGE_SIZE as c_ulong;
        (*sb).s_blocksize_bits = kernel::page::PAGE_SHIFT as u8;
        (*sb).s_time_gran = 1;
        (*sb).s_iflags |= (bindings::SB_I_NOIDMAP | bindings::SB_I_NOUMASK) as usize;
        // Lists can be read and set then, also where nobody goes by them; the mask is for the file system to apply.
        (*sb).s_flags |= bindings::RUST_FUSE_SB_POSIXACL;
        (*sb).s_xattr = T::xattr_handlers().0;
        dentry::set_ops::<T>(sb);
        kernel::error::to_result(bindings::rust_fuse_setup_bdi(sb))?;
        Ok(SuperBlock::from_raw(sb))
    }
}

/// Gives a new super block its root.
///
/// # Safety
///
/// As for [`fill`]; [`set_up`] was called.
unsafe fn finish<T: FileSystem>(this: &SuperBlock<T>, root: inode::Ref<T>) -> Result {
    if !this.has(&root) {
        return Err(EINVAL);
    }
    let sb = this.as_raw();
    // SAFETY: `d_make_root` takes over the reference, also when it fails.
    let dentry = unsafe { bindings::d_make_root(root.into_raw()) };
    if dentry.is_null() {
        return Err(ENOMEM);
    }
    // SAFETY: Still ours alone. `kill_sb` closes what lends it before anything else, and takes it off the list; its type is
    // the member of a registration that outlives it.
    unsafe {
        (*sb).s_root = dentry;
        (*sb).s_flags |= bindings::RUST_FUSE_SB_ACTIVE;
        if let Some(mounted) = T::mounted(this.data()) {
            mounted.open(sb);
        }
    }
    Ok(())
}

impl<T: FileSystem> SuperBlock<T> {
    /// Writes what is dirty, and tells what is news. The unmount does that as well, but where no signal ends it. What is
    /// written is waited for with all else that keeps an inode.
    fn write_all(&self) {
        self.for_each_inode(|inode| {
            if inode.has_dirty_pages() {
                let _ = inode.start_write_back(0, u64::MAX);
            }
        });
    }
}

/// Ends a super block.
///
/// # Safety
///
/// For the VFS only: `sb` was made by `sget_fc` with the context of a type of `T`, and this is called once, at its end.
pub(in crate::vfs) unsafe extern "C" fn kill_sb<T: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: Called once, with the super block still valid; afterwards no inode is left that would use the private data.
    unsafe {
        let info = (*sb).s_fs_info;
        if !info.is_null() {
            let this = SuperBlock::<T>::from_raw(sb);
            if !this.is_new() {
                this.write_all();
            }
            if let Some(mounted) = T::mounted(this.data()) {
                mounted.close(sb, || T::give_up(this.data()));
            }
        }
        if (*(*sb).s_type).fs_flags as u32 & bindings::FS_REQUIRES_DEV != 0 {
            bindings::kill_block_super(sb);
        } else {
            bindings::kill_anon_super(sb);
        }
        // Lockless walks may still be in `permission` or `d_revalidate`.
        kernel::bindings::synchronize_rcu();
        if !info.is_null() {
            drop(Arc::<T::Super>::from_raw(info.cast()));
        }
    }
}
