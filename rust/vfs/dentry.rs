// SPDX-License-Identifier: GPL-2.0

//! Names in the dentry cache, and how long they are believed.
//!
//! `d_time` and `d_fsdata` hold the [`Belief`] in a name: while it holds, nobody needs to be asked about it.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{submount, time::Moment, FileSystem, Inode};
use crate::bindings;
use core::{marker::PhantomData, ops::Deref};
use kernel::{prelude::*, types::Opaque};

/// How far a name is believed to be what it was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Belief {
    until: Moment,
    epoch: usize,
}

impl Belief {
    /// Not at all: it is asked for each time.
    pub(crate) const NONE: Self = Self {
        until: Moment::PAST,
        epoch: 0,
    };

    /// For ever, in every epoch: for file systems that know about each change.
    #[allow(dead_code, reason = "for file systems that need no server")]
    pub(crate) const FOREVER: Self = Self {
        until: Moment::NEVER,
        epoch: usize::MAX,
    };

    /// Until that moment, unless `epoch`, the one in which it was asked for, is over before.
    pub(crate) fn new(until: Moment, epoch: usize) -> Self {
        Self { until, epoch }
    }

    /// Whether it holds now, in `epoch`.
    pub(crate) fn holds(self, epoch: usize) -> bool {
        self.epoch >= epoch && !self.until.passed()
    }
}

/// A `dentry` of the file system `T`, whose parent and name may change at any time.
#[repr(transparent)]
pub(crate) struct Cached<T: FileSystem>(Opaque<bindings::dentry>, PhantomData<T>);

/// A `dentry` of the file system `T`, with its parent and name stable for as long as the reference lives.
#[repr(transparent)]
pub(crate) struct Dentry<T: FileSystem>(Cached<T>);

impl<T: FileSystem> Deref for Dentry<T> {
    type Target = Cached<T>;

    fn deref(&self) -> &Cached<T> {
        &self.0
    }
}

impl<T: FileSystem> Dentry<T> {
    /// # Safety
    ///
    /// `dentry` belongs to `T`, and the lock of its parent is held for `'a`, which keeps its name stable.
    pub(super) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*dentry.cast() }
    }

    /// The name.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: The name is stable, as promised to `from_raw`.
        unsafe { qstr(&raw const (*self.as_raw()).__bindgen_anon_1.d_name) }
    }
}

impl<T: FileSystem> Cached<T> {
    /// # Safety
    ///
    /// `dentry` belongs to `T`, and is counted or inside a lockless walk for `'a`.
    pub(super) unsafe fn from_raw<'a>(dentry: *mut bindings::dentry) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*dentry.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    /// The inode, if the name is known to exist.
    pub(crate) fn inode(&self) -> Option<&Inode<T>> {
        // SAFETY: The dentry is valid and its inode, if any, belongs to this file system. The inode is freed by RCU, so it
        // lives under the parent's lock, under a reference to the dentry, and in a lockless walk alike.
        unsafe {
            let inode = (&raw const (*self.as_raw()).d_inode).read_volatile();
            (!inode.is_null()).then(|| Inode::from_raw(inode))
        }
    }

    /// Whether the name may be given to `inode`: both have to be of one super block.
    pub(super) fn may_lead_to(&self, inode: Option<&Inode<T>>) -> bool {
        // SAFETY: The dentry is valid; its super block does not change.
        let sb = unsafe { (*self.as_raw()).d_sb };
        inode.is_none_or(|inode| sb == inode.sb().as_raw())
    }

    /// How far the name is believed.
    pub(crate) fn belief(&self) -> Belief {
        // SAFETY: The dentry is valid; the words are read whole. Where they are being changed, either of both may be the one
        // before, which was true as well.
        unsafe {
            Belief {
                until: Moment::from_raw((&raw const (*self.as_raw()).d_time).read_volatile() as u64),
                epoch: (&raw const (*self.as_raw()).d_fsdata).read_volatile() as usize,
            }
        }
    }

    /// Believes the name from now on.
    pub(crate) fn believe(&self, belief: Belief) {
        // SAFETY: As in `belief`; nothing else uses these words. What is believed for no time at all leaves the cache with
        // its last user.
        unsafe {
            (&raw mut (*self.as_raw()).d_fsdata).write_volatile(belief.epoch as *mut c_void);
            (&raw mut (*self.as_raw()).d_time).write_volatile(belief.until.to_raw() as usize);
            bindings::rust_fuse_d_set_delete(self.as_raw(), belief.until == Moment::PAST);
        };
    }
}

/// The bytes of a name.
///
/// # Safety
///
/// `q` is valid and its bytes do not change for `'a`.
unsafe fn qstr<'a>(q: *const bindings::qstr) -> &'a [u8] {
    // SAFETY: By the caller's promise.
    unsafe {
        let len = (*q).__bindgen_anon_1.__bindgen_anon_1.len;
        core::slice::from_raw_parts((*q).name, len as usize)
    }
}

/// How a name is to be confirmed.
#[derive(Clone, Copy)]
pub(crate) struct Confirm {
    /// Whether the server may be asked here. In a lockless walk it may not; the answer is `ECHILD` then.
    pub(crate) may_block: bool,
    /// What is cached does not do: the name is to be created or to be taken over, or what it led to was stale.
    pub(crate) anew: bool,
}

/// The table of dentry operations.
struct Ops<T: FileSystem>(PhantomData<T>);

impl<T: FileSystem> Ops<T> {
    const TABLE: &'static bindings::dentry_operations = &bindings::dentry_operations {
        d_revalidate: Some(Self::revalidate),
        d_delete: Some(Self::delete),
        d_automount: Some(submount::automount::<T>),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: `dentry` belongs to `T`, and its lock is held.
    unsafe extern "C" fn delete(dentry: *const bindings::dentry) -> c_int {
        // SAFETY: As this function requires.
        let dentry = unsafe { Cached::<T>::from_raw(dentry.cast_mut()) };
        c_int::from(dentry.belief().until.passed())
    }

    /// # Safety
    ///
    /// For the VFS only: `dir` and `dentry` belong to `T`, `name` is a copy that does not change, and with `LOOKUP_RCU` all this is inside a
    /// lockless walk.
    unsafe extern "C" fn revalidate(
        dir: *mut bindings::inode,
        name: *const bindings::qstr,
        dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (dir, name, dentry) =
            unsafe { (Inode::from_raw(dir), qstr(name), Cached::from_raw(dentry)) };
        let anew = bindings::RUST_FUSE_LOOKUP_EXCL
            | bindings::RUST_FUSE_LOOKUP_REVAL
            | bindings::RUST_FUSE_LOOKUP_RENAME_TARGET;
        let confirm = Confirm {
            may_block: flags & bindings::RUST_FUSE_LOOKUP_RCU == 0,
            anew: flags & anew != 0,
        };
        match T::revalidate(dir, name, dentry, confirm) {
            Ok(valid) => c_int::from(valid),
            Err(e) => e.to_errno(),
        }
    }
}

/// Sets the operations of every dentry of a new super block.
///
/// # Safety
///
/// `sb` is being filled.
pub(super) unsafe fn set_ops<T: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: By the caller's promise; the table is static.
    unsafe { bindings::set_default_d_op(sb, Ops::<T>::TABLE) };
}
