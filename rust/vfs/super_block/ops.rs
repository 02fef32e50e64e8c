// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of super blocks: memory for inodes, write-back, sync, statistics and the text of mount options.
//!
//! `sync_fs` is called with `s_umount` held, `drop_inode` with the inode's spinlock. Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::SuperBlock;
use crate::{
    bindings,
    vfs::{fs::Common, inode, to_int, FileSystem, Inode},
};
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    ptr::NonNull,
};
use kernel::prelude::*;

/// What `statfs` reports.
#[derive(Default)]
pub(crate) struct StatFs {
    /// Blocks of `frsize` bytes in all.
    pub(crate) blocks: u64,
    /// Free blocks.
    pub(crate) bfree: u64,
    /// Free blocks for users.
    pub(crate) bavail: u64,
    /// Inodes in all.
    pub(crate) files: u64,
    /// Free inodes.
    pub(crate) ffree: u64,
    /// Preferred block size in bytes.
    pub(crate) bsize: u32,
    /// Unit of the counts in bytes.
    pub(crate) frsize: u32,
    /// Longest name in bytes.
    pub(crate) namelen: u32,
}

/// Writes mount options into a `seq_file`.
pub(crate) struct OptionWriter<'a>(NonNull<bindings::seq_file>, PhantomData<&'a mut ()>);

impl Write for OptionWriter<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: The file is valid while `self` lives; the bytes are copied.
        unsafe { bindings::seq_write(self.0.as_ptr(), s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// The table of super block operations.
pub(super) struct Ops<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Ops<T> {
    pub(super) const TABLE: &'static bindings::super_operations = &bindings::super_operations {
        alloc_inode: Some(Self::alloc_inode),
        free_inode: Some(inode::free::<T>),
        drop_inode: Some(Self::drop_inode),
        write_inode: Some(Self::write_inode),
        evict_inode: Some(inode::evict::<T>),
        put_super: Some(Self::put_super),
        sync_fs: Some(Self::sync_fs),
        umount_begin: Some(Self::umount_begin),
        statfs: Some(Self::statfs),
        show_options: Some(Self::show_options),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: `sb` is a super block of `T`.
    unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
        // SAFETY: The super block's type is the member of a registration that outlives it.
        let cache = unsafe { Common::<T>::of((*sb).s_type) }.cache();
        // SAFETY: Both are valid; the result is null or a slot that the constructor has seen.
        let slot = unsafe { bindings::rust_fuse_alloc_inode_sb(sb, cache.as_ptr()) };
        // SAFETY: As above.
        unsafe { inode::init_slot::<T>(slot.cast()) }
    }

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`, has lost its last user, and is locked by its spinlock.
    unsafe extern "C" fn drop_inode(inode: *mut bindings::inode) -> c_int {
        // SAFETY: As this function requires.
        unsafe {
            let this = Inode::<T>::from_raw(inode);
            let gone = (*inode).__bindgen_anon_1.i_nlink == 0
                || bindings::rust_fuse_inode_unhashed(inode)
                || this.is_bad();
            c_int::from(gone || !T::has_news(this))
        }
    }

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T` and is being written back.
    unsafe extern "C" fn write_inode(
        inode: *mut bindings::inode,
        wbc: *mut bindings::writeback_control,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, wait) = unsafe {
            (
                Inode::<T>::from_raw(inode),
                (*wbc).sync_mode == bindings::writeback_sync_modes_WB_SYNC_ALL,
            )
        };
        if inode.is_bad() {
            return 0;
        }
        to_int(T::write_inode(inode, wait))
    }

    /// # Safety
    ///
    /// For the VFS only: `sb` is a super block of `T` that has no inodes any more.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // SAFETY: The private data lives until the end of `kill_sb`.
        T::put_super(unsafe { SuperBlock::<T>::from_raw(sb) }.data());
    }

    /// # Safety
    ///
    /// For the VFS only: `sb` is a super block of `T` whose `s_umount` is held.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
        // SAFETY: As this function requires; the root stays while `s_umount` is held.
        let root = unsafe {
            let root = (*sb).s_root;
            // Who will not wait comes again to wait; and at the end of an unmount there is no root any more.
            if wait == 0 || root.is_null() {
                return 0;
            }
            Inode::<T>::from_raw((*root).d_inode)
        };
        to_int(T::sync(root))
    }

    /// # Safety
    ///
    /// For the VFS only: `sb` is a super block of `T`.
    unsafe extern "C" fn umount_begin(sb: *mut bindings::super_block) {
        // SAFETY: The private data lives until the end of `kill_sb`.
        T::abort(unsafe { SuperBlock::<T>::from_raw(sb) }.data());
    }

    /// # Safety
    ///
    /// For the VFS only: `dentry` leads to an inode of `T`, and `buf` takes the answer.
    unsafe extern "C" fn statfs(
        dentry: *mut bindings::dentry,
        buf: *mut bindings::kstatfs,
    ) -> c_int {
        let mut st = StatFs::default();
        // SAFETY: The dentry is positive and belongs to this file system.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        to_int(T::statfs(inode, &mut st).map(|()| {
            // SAFETY: `buf` is valid for writes.
            unsafe {
                (*buf).f_type = T::MAGIC as c_long;
                (*buf).f_bsize = st.bsize as isize;
                (*buf).f_blocks = st.blocks;
                (*buf).f_bfree = st.bfree;
                (*buf).f_bavail = st.bavail;
                (*buf).f_files = st.files;
                (*buf).f_ffree = st.ffree;
                (*buf).f_namelen = st.namelen as isize;
                (*buf).f_frsize = st.frsize as isize;
            }
        }))
    }

    /// # Safety
    ///
    /// For the VFS only: `dentry` is the root of a super block of `T`, and `seq` is being written.
    unsafe extern "C" fn show_options(
        seq: *mut bindings::seq_file,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: Both are valid for the call.
        let (sb, seq) = unsafe {
            (
                SuperBlock::<T>::from_raw((*dentry).d_sb),
                NonNull::new_unchecked(seq),
            )
        };
        to_int(T::show_options(sb, &mut OptionWriter(seq, PhantomData)))
    }
}
