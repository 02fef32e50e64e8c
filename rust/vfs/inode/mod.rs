// SPDX-License-Identifier: GPL-2.0

//! Inodes: identity, references and attributes.
//!
//! An inode's life is in [`memory`] (what it is made of) and [`new`] (finding or starting it), its two locks are in
//! [`lock`], and what the VFS asks of it is in [`ops`], with [`change`] for attributes and [`link`] for symbolic links. What
//! stands here takes no locks.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod change;
mod link;
mod lock;
mod memory;
mod new;
mod ops;

pub(crate) use change::{Change, Kill};
pub(crate) use link::LinkOperations;
pub(crate) use lock::{Invalidate, InvalidateShared, Locked};
pub(super) use memory::{construct, evict, free, init_slot, Slot};
pub(super) use new::{find, seek};
pub(crate) use new::{Got, New, Seen};
pub(super) use ops::Wrap;
pub(crate) use ops::{fields, Mask, Operations, Verdict};

use super::{FileSystem, SuperBlock};
use crate::bindings;
use core::{marker::PhantomData, mem::ManuallyDrop, ops::Deref, ptr::NonNull};
use kernel::{sync::atomic::Relaxed, types::Opaque};

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
    pub(super) unsafe fn from_raw(inode: NonNull<bindings::inode>) -> Self {
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
    /// Modification and change time stay what they are here.
    pub(crate) keeps_times: bool,
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

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.mode() & bindings::S_IFMT == bindings::S_IFDIR
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

    /// Gives the inode up: every later use of it fails with `EIO`, and no search by its key finds it. It stays in the hash for who
    /// has to find this very inode ([`SuperBlock::seek_inode`]).
    ///
    /// `make_bad_inode` is for inodes that nobody uses yet: it changes the type, which confuses those who do (dnotify).
    pub(crate) fn make_bad(&self) {
        self.slot().bad.store(true, Relaxed);
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

    /// Change time: seconds and nanoseconds.
    pub(crate) fn ctime(&self) -> (i64, u32) {
        let (mut sec, mut nsec) = (0, 0);
        // SAFETY: The inode is valid.
        unsafe { bindings::rust_fuse_inode_ctime(self.as_raw(), &mut sec, &mut nsec) };
        (sec, nsec)
    }

    /// Sets modification and change time.
    pub(crate) fn set_times(&self, mtime: (i64, u32), ctime: (i64, u32)) {
        let (m, c) = (mtime.1.min(999_999_999), ctime.1.min(999_999_999));
        // SAFETY: The inode is valid; each word is stored whole.
        unsafe { bindings::rust_fuse_inode_set_times(self.as_raw(), mtime.0, m, ctime.0, c) };
    }

    /// Has the flusher look at the inode's attributes, in a while.
    pub(crate) fn mark_dirty(&self) {
        // SAFETY: The inode is valid and in use.
        unsafe { bindings::rust_fuse_mark_inode_dirty_sync(self.as_raw()) };
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
            bindings::rust_fuse_inode_set_atime(inode, t[0].0, t[0].1);
            if !a.keeps_times {
                bindings::rust_fuse_inode_set_times(inode, t[1].0, t[1].1, t[2].0, t[2].1);
            }
            // The server may have set suid, sgid or file capabilities for another client.
            (*inode).i_flags &= !bindings::RUST_FUSE_S_NOSEC;
        }
    }

    /// Forgets access control lists.
    pub(crate) fn forget_acls(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::forget_all_cached_acls(self.as_raw()) };
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

    /// Whether a write has nothing to clear.
    pub(crate) fn is_nosec(&self) -> bool {
        // SAFETY: The inode is valid; the word is read whole.
        let flags = unsafe { (&raw const (*self.as_raw()).i_flags).read_volatile() };
        flags & bindings::RUST_FUSE_S_NOSEC != 0
    }

    /// Says that a write has nothing to clear, until the attributes are set. Callers serialise with who does that by the private
    /// data's lock.
    pub(crate) fn set_nosec(&self) {
        // SAFETY: The inode is valid; the flag is set atomically.
        unsafe { bindings::rust_fuse_inode_set_nosec(self.as_raw()) };
    }

    /// Lets the inode leave memory with its last user.
    pub(crate) fn mark_dontcache(&self) {
        // SAFETY: The inode is valid.
        unsafe { bindings::d_mark_dontcache(self.as_raw()) };
    }
}
