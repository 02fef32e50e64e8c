// SPDX-License-Identifier: GPL-2.0

//! Inodes: memory, identity, attributes and the two locks of an inode.
//!
//! An inode's memory holds the C inode, the 64-bit key that it is hashed by (the node id), and the private data of the
//! file system, which is set up when the memory is taken and dropped when it is given back.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{to_int, xattr, FileSystem, SuperBlock};
use crate::bindings;
use core::{
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ops::Deref,
    ptr::NonNull,
};
use kernel::{
    prelude::*,
    sync::atomic::{AtomicFlag, Relaxed},
    types::{NotThreadSafe, Opaque},
};

/// The memory of an inode.
#[repr(C)]
pub(super) struct Slot<T: FileSystem> {
    inode: Opaque<bindings::inode>,
    key: u64,
    bad: AtomicFlag,
    data: MaybeUninit<T::Inode>,
}

/// An `inode` of the file system `T`.
///
/// # Invariants
///
/// It is the first member of a [`Slot<T>`] whose data is initialised. While there is a shared reference its memory stays:
/// because of a count, because the VFS evicts it only now, or because it is freed by RCU.
#[repr(transparent)]
pub(crate) struct Inode<T: FileSystem>(Opaque<bindings::inode>, PhantomData<T>);

// SAFETY: Inodes are shared between threads.
unsafe impl<T: FileSystem> Send for Inode<T> {}
// SAFETY: As above; what `&Inode` offers is safe to call concurrently.
unsafe impl<T: FileSystem> Sync for Inode<T> {}

/// A counted reference to an inode.
///
/// Unlike an `ARef` it cannot be made from every `&Inode`: an inode that is being evicted, or that a lockless walk came
/// across, has no count that could be raised.
///
/// # Invariants
///
/// One count is ours.
pub(crate) struct Ref<T: FileSystem>(NonNull<Inode<T>>);

// SAFETY: Inodes are `Sync`, and counts may be raised and dropped by every thread.
unsafe impl<T: FileSystem> Send for Ref<T> {}
// SAFETY: As above.
unsafe impl<T: FileSystem> Sync for Ref<T> {}

impl<T: FileSystem> Ref<T> {
    /// # Safety
    ///
    /// `inode` belongs to `T`, and one count of it goes over.
    unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
        // INVARIANT: By the caller's promise.
        Self(inode.cast())
    }

    /// The inode, whose count goes to the caller.
    pub(super) fn into_raw(self) -> *mut bindings::inode {
        ManuallyDrop::new(self).as_raw()
    }
}

impl<T: FileSystem> Deref for Ref<T> {
    type Target = Inode<T>;

    fn deref(&self) -> &Inode<T> {
        // SAFETY: By the type invariant.
        unsafe { self.0.as_ref() }
    }
}

impl<T: FileSystem> Clone for Ref<T> {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant there is a count already.
        unsafe { bindings::rust_fuse_ihold(self.as_raw()) };
        // INVARIANT: Just raised.
        Self(self.0)
    }
}

impl<T: FileSystem> Drop for Ref<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::iput(self.as_raw()) };
    }
}

/// What a server says of an inode.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attributes {
    /// Inode number that users see.
    pub(crate) ino: u64,
    /// File type and permissions.
    pub(crate) mode: u32,
    /// Number of names.
    pub(crate) nlink: u32,
    /// Owner, in the mount's user namespace.
    pub(crate) uid: u32,
    /// Group, in the mount's user namespace.
    pub(crate) gid: u32,
    /// Device number in the 32-bit wire encoding.
    pub(crate) rdev: u32,
    /// Size in bytes.
    pub(crate) size: u64,
    /// 512-byte blocks.
    pub(crate) blocks: u64,
    /// Access, modification and change time: seconds and nanoseconds.
    pub(crate) times: [(i64, u32); 3],
}

impl<T: FileSystem> Inode<T> {
    /// # Safety
    ///
    /// `inode` belongs to `T`, and its memory stays for `'a`.
    pub(crate) unsafe fn from_raw<'a>(inode: *mut bindings::inode) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*inode.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::inode {
        self.0.get()
    }

    fn slot(&self) -> &Slot<T> {
        // SAFETY: By the type invariant.
        unsafe { &*self.as_raw().cast() }
    }

    /// The private data.
    pub(crate) fn data(&self) -> &T::Inode {
        // SAFETY: By the type invariant it is initialised.
        unsafe { self.slot().data.assume_init_ref() }
    }

    /// The key that the inode is hashed by.
    pub(crate) fn key(&self) -> u64 {
        self.slot().key
    }

    /// The super block.
    pub(crate) fn sb(&self) -> &SuperBlock<T> {
        // SAFETY: An inode's super block outlives it.
        unsafe { SuperBlock::from_raw((*self.as_raw()).i_sb) }
    }

    /// File type and permissions.
    pub(crate) fn mode(&self) -> u32 {
        // SAFETY: The inode is valid; a racing change gives either value.
        u32::from(unsafe { (&raw const (*self.as_raw()).i_mode).read_volatile() })
    }

    /// Whether it is a regular file.
    pub(crate) fn is_regular(&self) -> bool {
        self.mode() & bindings::S_IFMT == bindings::S_IFREG
    }

    /// Whether its data is reached by DAX.
    pub(crate) fn is_dax(&self) -> bool {
        // SAFETY: `S_DAX` is set before the inode becomes visible and never changes.
        unsafe { (*self.as_raw()).i_flags & bindings::RUST_FUSE_S_DAX != 0 }
    }

    /// Whether the inode was given up because the server changed what it is.
    pub(crate) fn is_bad(&self) -> bool {
        self.slot().bad.load(Relaxed)
    }

    /// Gives the inode up: every later use of it fails with `EIO`, and no search finds it.
    ///
    /// `make_bad_inode` is for inodes that nobody uses yet: it changes the type, which confuses those who do (dnotify).
    pub(crate) fn make_bad(&self) {
        self.slot().bad.store(true, Relaxed);
        // SAFETY: The inode is valid; taking it out twice is harmless.
        unsafe { bindings::__remove_inode_hash(self.as_raw()) };
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_i_size_read(self.as_raw()) as u64 }
    }

    /// Sets the size. Callers serialise among themselves with the private data's lock.
    pub(crate) fn set_size(&self, size: u64) {
        // SAFETY: The inode is valid; sizes from a server are cut to what `loff_t` holds.
        unsafe {
            bindings::rust_fuse_i_size_write(self.as_raw(), size.min(i64::MAX as u64) as i64)
        };
    }

    /// Modification time: seconds and nanoseconds.
    pub(crate) fn mtime(&self) -> (i64, u32) {
        let (mut sec, mut nsec) = (0, 0);
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_inode_mtime(self.as_raw(), &mut sec, &mut nsec) };
        (sec, nsec)
    }

    /// Takes over everything but the type and the size.
    pub(crate) fn set_attributes(&self, a: &Attributes) {
        let inode = self.as_raw();
        let t = a.times.map(|(s, n)| (s, n.min(999_999_999)));
        // SAFETY: The inode is valid. These fields are read without a lock everywhere; each store is whole.
        unsafe {
            (*inode).i_ino = a.ino;
            (*inode).i_mode =
                ((*inode).i_mode & bindings::S_IFMT as u16) | (a.mode & 0o7777) as u16;
            bindings::set_nlink(inode, a.nlink);
            bindings::rust_fuse_i_uid_write(inode, a.uid);
            bindings::rust_fuse_i_gid_write(inode, a.gid);
            (*inode).i_blocks = a.blocks;
            bindings::rust_fuse_inode_set_times(
                inode, t[0].0, t[0].1, t[1].0, t[1].1, t[2].0, t[2].1,
            );
            // The server may have set suid, sgid or file capabilities for another client.
            (*inode).i_flags &= !bindings::RUST_FUSE_S_NOSEC;
        }
    }

    /// Forgets one name.
    pub(crate) fn drop_link(&self) {
        // SAFETY: The inode is valid. Others may set the number meanwhile, so unlike `drop_nlink` this does not complain.
        unsafe {
            let known = (&raw const (*self.as_raw()).__bindgen_anon_1.i_nlink).read_volatile();
            if known > 0 {
                bindings::set_nlink(self.as_raw(), known - 1);
            }
        }
    }

    /// Lets the inode leave memory with its last user.
    pub(crate) fn mark_dontcache(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::d_mark_dontcache(self.as_raw()) };
    }

    /// Takes the inode lock for writing.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn lock_killable(&self) -> Result<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_inode_lock_killable(self.as_raw()) } != 0 {
            return Err(EINTR);
        }
        Ok(Locked::new(self, bindings::rust_fuse_inode_unlock))
    }

    /// Takes the inode lock for writing if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_inode_trylock(self.as_raw()) }
            .then(|| Locked::new(self, bindings::rust_fuse_inode_unlock))
    }

    /// Takes the inode lock for reading.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn lock_shared_killable(&self) -> Result<Locked<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_inode_lock_shared_killable(self.as_raw()) } != 0 {
            return Err(EINTR);
        }
        Ok(Locked::new(self, bindings::rust_fuse_inode_unlock_shared))
    }

    /// Keeps faults out: the invalidate lock for writing. Its holders never wait for the server.
    pub(crate) fn invalidate_lock(&self) -> Invalidate<'_, T> {
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_filemap_invalidate_lock(self.as_raw()) };
        Invalidate(self, NotThreadSafe)
    }

    /// Keeps invalidation out: the invalidate lock for reading.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn invalidate_lock_shared_killable(&self) -> Result<InvalidateShared<'_, T>> {
        // SAFETY: The inode is valid.
        if unsafe { bindings::rust_fuse_filemap_invalidate_lock_shared_killable(self.as_raw()) }
            != 0
        {
            return Err(EINTR);
        }
        Ok(InvalidateShared(self, NotThreadSafe))
    }
}

/// The inode lock, held for reading or writing.
pub(crate) struct Locked<'a, T: FileSystem> {
    inode: &'a Inode<T>,
    unlock: unsafe extern "C" fn(*mut bindings::inode),
    _here: NotThreadSafe,
}

impl<'a, T: FileSystem> Locked<'a, T> {
    fn new(inode: &'a Inode<T>, unlock: unsafe extern "C" fn(*mut bindings::inode)) -> Self {
        Self {
            inode,
            unlock,
            _here: NotThreadSafe,
        }
    }
}

impl<T: FileSystem> Locked<'_, T> {
    /// Whether this is the lock of `inode`.
    pub(crate) fn is_of(&self, inode: &Inode<T>) -> bool {
        core::ptr::eq(self.inode, inode)
    }
}

impl<T: FileSystem> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The lock was taken by this task when the guard was made, in the way that `unlock` undoes.
        unsafe { (self.unlock)(self.inode.as_raw()) };
    }
}

/// The invalidate lock, held for reading.
pub(crate) struct InvalidateShared<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<T: FileSystem> InvalidateShared<'_, T> {
    /// Whether this is the lock of `inode`.
    pub(crate) fn is_of(&self, inode: &Inode<T>) -> bool {
        core::ptr::eq(self.0, inode)
    }
}

impl<T: FileSystem> Drop for InvalidateShared<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken by `invalidate_lock_shared_killable`.
        unsafe { bindings::rust_fuse_filemap_invalidate_unlock_shared(self.0.as_raw()) };
    }
}

/// The invalidate lock, held for writing.
pub(crate) struct Invalidate<'a, T: FileSystem>(&'a Inode<T>, NotThreadSafe);

impl<'a, T: FileSystem> Invalidate<'a, T> {
    /// The inode that is locked.
    pub(crate) fn inode(&self) -> &'a Inode<T> {
        self.0
    }
}

impl<T: FileSystem> Drop for Invalidate<'_, T> {
    fn drop(&mut self) {
        // SAFETY: Taken by `invalidate_lock`.
        unsafe { bindings::rust_fuse_filemap_invalidate_unlock(self.0.as_raw()) };
    }
}

/// A new inode that nobody else can use yet. Dropping it unfinished gives it up.
///
/// # Invariants
///
/// The inode is locked as new (`I_NEW`) and owned.
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

    /// Makes it a device, FIFO or socket.
    pub(crate) fn init_special(&self, a: &Attributes) {
        // SAFETY: As in `init`.
        unsafe {
            let rdev = bindings::rust_fuse_new_decode_dev(a.rdev);
            bindings::init_special_inode(self.as_raw(), (a.mode & bindings::S_IFMT) as u16, rdev);
        }
    }

    /// Sets its inode operations.
    pub(super) fn set_inode_ops(&self, ops: &'static bindings::inode_operations) {
        // SAFETY: As in `init`.
        unsafe { (*self.as_raw()).i_op = ops };
    }

    /// Sets its file operations.
    pub(super) fn set_file_ops(&self, ops: &'static bindings::file_operations) {
        // SAFETY: As in `init`.
        unsafe { (*self.as_raw()).__bindgen_anon_3.i_fop = ops };
    }

    /// Sets its mapping's operations.
    pub(super) fn set_mapping_ops(&self, ops: &'static bindings::address_space_operations) {
        // SAFETY: As in `init`.
        unsafe { (*(*self.as_raw()).i_mapping).a_ops = ops };
    }

    /// Sets whether its data is reached by DAX.
    pub(super) fn set_dax(&self, dax: bool) {
        // SAFETY: As in `init`.
        unsafe {
            (*self.as_raw()).i_flags &= !bindings::RUST_FUSE_S_DAX;
            if dax {
                (*self.as_raw()).i_flags |= bindings::RUST_FUSE_S_DAX;
            }
        }
    }

    /// Makes it visible.
    pub(crate) fn done(mut self) -> Ref<T> {
        // SAFETY: By the type invariant it is locked as new.
        unsafe { bindings::unlock_new_inode(self.as_raw()) };
        // SAFETY: `self` is forgotten right after.
        let inode = unsafe { ManuallyDrop::take(&mut self.0) };
        core::mem::forget(self);
        inode
    }
}

impl<T: FileSystem> Drop for New<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours; this drops the reference too.
        unsafe { bindings::iget_failed(self.as_raw()) };
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

/// Finds an inode in memory; see [`SuperBlock::find_inode`].
pub(super) fn find<T: FileSystem>(sb: &SuperBlock<T>, key: u64) -> Option<Ref<T>> {
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
    c_int::from(unsafe { (*inode.cast::<Slot<T>>()).key == *key.cast::<u64>() })
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

/// Constructor of the slab cache.
///
/// # Safety
///
/// For the slab cache only: `slot` is fresh memory for a [`Slot<T>`].
pub(super) unsafe extern "C" fn construct<T: FileSystem>(slot: *mut c_void) {
    // SAFETY: The cache hands in memory for a slot.
    unsafe { bindings::inode_init_once((&raw mut (*slot.cast::<Slot<T>>()).inode).cast()) };
}

/// Sets up the private data of fresh memory; gives it back when that fails.
///
/// # Safety
///
/// `slot` is null or comes from the file system's cache and is not used otherwise.
pub(super) unsafe fn init_slot<T: FileSystem>(slot: *mut Slot<T>) -> *mut bindings::inode {
    if slot.is_null() {
        return core::ptr::null_mut();
    }
    // SAFETY: The memory is ours; it does not move until `free`.
    unsafe {
        (*slot).key = 0;
        (&raw mut (*slot).bad).write(AtomicFlag::new(false));
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
pub(super) unsafe extern "C" fn free<T: FileSystem>(inode: *mut bindings::inode) {
    let slot: *mut Slot<T> = inode.cast();
    // SAFETY: The VFS gives up the inode; its data was set up by `init_slot`. `kfree` takes slab objects of every cache.
    unsafe {
        (*slot).data.assume_init_drop();
        bindings::rust_fuse_kfree(slot.cast());
    }
}

/// Ends an inode's life in memory.
///
/// # Safety
///
/// For the VFS only: the inode belongs to `T`, has no count any more, and this is called once.
pub(super) unsafe extern "C" fn evict<T: FileSystem>(inode: *mut bindings::inode) {
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

/// A change of attributes that a user asks for.
pub(crate) struct Change<'a> {
    attr: &'a bindings::iattr,
    sb: *mut bindings::super_block,
}

impl Change<'_> {
    fn has(&self, bit: u32) -> bool {
        self.attr.ia_valid & bit != 0
    }

    /// New permissions.
    pub(crate) fn mode(&self) -> Option<u32> {
        self.has(bindings::ATTR_MODE)
            .then_some(u32::from(self.attr.ia_mode))
    }

    /// New size.
    pub(crate) fn size(&self) -> Option<u64> {
        self.has(bindings::ATTR_SIZE)
            .then_some(self.attr.ia_size as u64)
    }

    /// New owner.
    pub(crate) fn uid(&self) -> Option<u32> {
        self.has(bindings::ATTR_UID)
            // SAFETY: Both pointers are valid for the call.
            .then(|| unsafe { bindings::rust_fuse_iattr_uid(self.sb, self.attr) })
    }

    /// New group.
    pub(crate) fn gid(&self) -> Option<u32> {
        self.has(bindings::ATTR_GID)
            // SAFETY: Both pointers are valid for the call.
            .then(|| unsafe { bindings::rust_fuse_iattr_gid(self.sb, self.attr) })
    }

    /// New access time, and whether it was given (else it is the present).
    pub(crate) fn atime(&self) -> Option<(i64, u32, bool)> {
        let t = &self.attr.ia_atime;
        self.has(bindings::ATTR_ATIME).then(|| {
            (
                t.tv_sec,
                t.tv_nsec as u32,
                self.has(bindings::ATTR_ATIME_SET),
            )
        })
    }

    /// New modification time, as [`Self::atime`].
    pub(crate) fn mtime(&self) -> Option<(i64, u32, bool)> {
        let t = &self.attr.ia_mtime;
        self.has(bindings::ATTR_MTIME).then(|| {
            (
                t.tv_sec,
                t.tv_nsec as u32,
                self.has(bindings::ATTR_MTIME_SET),
            )
        })
    }
}

/// Operations on inodes of every kind.
pub(crate) trait Operations: xattr::Operations {
    /// Makes sure that cached attributes are fresh enough; `force` asks for those of this moment. With `may_block` false
    /// it answers `ECHILD` where it would have to wait.
    fn refresh(inode: &Inode<Self>, force: bool, may_block: bool) -> Result;

    /// Changes attributes. The inode lock is held.
    fn setattr(inode: &Inode<Self>, change: &Change<'_>) -> Result;

    /// The size of a preferred block, as a power of two.
    fn block_bits(inode: &Inode<Self>) -> u32;
}

/// Wrappers of [`Operations`] for tables.
pub(super) struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    /// Table of inodes without children: files, devices, FIFOs and sockets.
    pub(super) const TABLE: bindings::inode_operations = bindings::inode_operations {
        permission: Some(Self::permission),
        getattr: Some(Self::getattr),
        setattr: Some(Self::setattr),
        listxattr: Some(xattr::Wrap::<T>::list),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`; with `MAY_NOT_BLOCK` it is inside a lockless walk.
    pub(super) unsafe extern "C" fn permission(
        idmap: *mut bindings::mnt_idmap,
        inode: *mut bindings::inode,
        mask: c_int,
    ) -> c_int {
        // SAFETY: The inode belongs to this file system.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if this.is_bad() {
            return EIO.to_errno();
        }
        if let Err(e) = T::refresh(this, false, mask & bindings::MAY_NOT_BLOCK as c_int == 0) {
            return e.to_errno();
        }
        // SAFETY: As given.
        unsafe { bindings::generic_permission(idmap, inode, mask) }
    }

    /// # Safety
    ///
    /// For the VFS only: `path` leads to an inode of `T`, and `stat` takes the answer.
    pub(super) unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: The path leads to an inode of this file system.
        let this = unsafe { Inode::<T>::from_raw((*(*path).dentry).d_inode) };
        if this.is_bad() {
            return EIO.to_errno();
        }
        let force = flags & bindings::AT_STATX_FORCE_SYNC != 0;
        if flags & bindings::AT_STATX_DONT_SYNC == 0 {
            if let Err(e) = T::refresh(this, force, true) {
                return e.to_errno();
            }
        }
        // SAFETY: As given; `stat` is valid for writes.
        unsafe {
            bindings::generic_fillattr(idmap, mask, this.as_raw(), stat);
            (*stat).blksize = 1 << T::block_bits(this);
            (*stat).attributes_mask |= u64::from(bindings::STATX_ATTR_DAX);
            if this.is_dax() {
                (*stat).attributes |= u64::from(bindings::STATX_ATTR_DAX);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the VFS only: `dentry` leads to an inode of `T` whose lock is held for writing, and `attr` is the caller's own.
    pub(super) unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: The dentry is positive and belongs to this file system; the inode lock is held.
        to_int(unsafe {
            let inode = Inode::<T>::from_raw((*dentry).d_inode);
            if inode.is_bad() {
                Err(EIO)
            } else {
                kernel::error::to_result(bindings::setattr_prepare(idmap, dentry, attr)).and_then(
                    |()| {
                        let change = Change {
                            attr: &*attr,
                            sb: (*inode.as_raw()).i_sb,
                        };
                        T::setattr(inode, &change)
                    },
                )
            }
        })
    }
}

/// Operations on symbolic links.
pub(crate) trait LinkOperations: Operations {
    /// What the link says, without a NUL.
    fn read_link(inode: &Inode<Self>) -> Result<KVec<u8>>;
}

/// Wrappers of [`LinkOperations`].
struct LinkWrap<T: LinkOperations>(PhantomData<T>);

impl<T: LinkOperations> LinkWrap<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        ..Wrap::<T>::TABLE
    };

    /// # Safety
    ///
    /// For the VFS only: the inode is a link of `T`, and `done` is used once, after the result was read.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            return super::err_ptr::<c_char>(ECHILD);
        }
        // SAFETY: As this function requires.
        let this = unsafe { Inode::<T>::from_raw(inode) };
        if this.is_bad() {
            return super::err_ptr::<c_char>(EIO);
        }
        let text = T::read_link(this).and_then(|mut text| {
            if text.is_empty() || text.contains(&0) {
                return Err(EIO);
            }
            text.push(0, GFP_KERNEL)?;
            Ok(text)
        });
        match text {
            Ok(text) => {
                let (p, _, _) = text.into_raw_parts();
                // SAFETY: The memory came from kmalloc; `kfree_link` gives it back when the VFS is done with it.
                unsafe {
                    (*done).fn_ = Some(bindings::kfree_link);
                    (*done).arg = p.cast();
                }
                p.cast_const().cast()
            }
            Err(e) => super::err_ptr::<c_char>(e),
        }
    }
}

impl<T: LinkOperations> New<T> {
    /// Makes it a symbolic link.
    pub(crate) fn set_link(&self) {
        self.set_inode_ops(&LinkWrap::<T>::TABLE);
    }
}

impl<T: Operations> New<T> {
    /// Gives it the operations that every inode has.
    pub(crate) fn set_plain(&self) {
        self.set_inode_ops(&Wrap::<T>::TABLE);
    }
}
