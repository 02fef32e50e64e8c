// SPDX-License-Identifier: GPL-2.0

//! Super blocks: their table of operations, allocation of inodes, and the end of a mount.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    context::Call,
    fs::{Common, Type},
    inode, to_int, xattr, FileSystem, Inode,
};
use crate::bindings;
use core::{
    fmt::{self, Write},
    marker::PhantomData,
    ptr::NonNull,
};
use kernel::{prelude::*, str::CStr, sync::Arc, types::Opaque};

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

/// Makes the slab cache of a file system's inodes.
pub(super) fn create_cache<T: FileSystem>() -> Result<NonNull<bindings::kmem_cache>> {
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
pub(super) unsafe fn fill<M: Type>(
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
pub(super) unsafe fn fill_below<T: FileSystem>(
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
        super::dentry::set_ops::<T>(sb);
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
pub(super) unsafe extern "C" fn kill_sb<T: FileSystem>(sb: *mut bindings::super_block) {
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

/// The table of super block operations.
struct Ops<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Ops<T> {
    const TABLE: &'static bindings::super_operations = &bindings::super_operations {
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
            let gone =
                (*inode).__bindgen_anon_1.i_nlink == 0 || bindings::rust_fuse_inode_unhashed(inode);
            c_int::from(gone || !T::has_news(Inode::from_raw(inode)))
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
