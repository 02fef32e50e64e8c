// SPDX-License-Identifier: GPL-2.0

//! File handles: names for inodes that outlive their stay in memory, for NFS and open_by_handle_at(2).
//!
//! A handle holds the inode's key and generation, and for who asks for it those of its parent. Nothing is locked here.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::{
    dentry::{Belief, Cached},
    err_ptr, from_err_ptr, inode, FileSystem, Inode, SuperBlock,
};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// Words of a handle for one inode.
const WORDS: usize = 3;

/// What a handle says of an inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    /// The key that it is hashed by.
    pub(crate) key: u64,
    /// Which life of the key it is.
    pub(crate) generation: u32,
}

impl Handle {
    /// Reads the handle from the start of `words`.
    fn read(words: &[u32]) -> Option<Self> {
        match words {
            [high, low, generation, ..] => Some(Self {
                key: u64::from(*high) << 32 | u64::from(*low),
                generation: *generation,
            }),
            _ => None,
        }
    }

    fn words(self) -> [u32; WORDS] {
        [(self.key >> 32) as u32, self.key as u32, self.generation]
    }
}

/// Operations of file systems that can be exported.
pub(crate) trait Operations: FileSystem {
    /// The handle of an inode.
    fn handle(inode: &Inode<Self>) -> Handle;

    /// The inode of a handle.
    ///
    /// # Errors
    ///
    /// `ESTALE` when there is no such inode any more.
    fn by_handle(sb: &SuperBlock<Self>, handle: Handle) -> Result<inode::Ref<Self>>;

    /// The directory that a directory is in.
    ///
    /// # Errors
    ///
    /// `ESTALE` when that cannot be found.
    fn parent(inode: &Inode<Self>) -> Result<inode::Ref<Self>>;
}

/// Wrappers of [`Operations`].
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> SuperBlock<T> {
    /// Lets handles be made of inodes and, with `open`, inodes be found by them. While the super block is filled.
    pub(crate) fn set_export(&self, open: bool) {
        // SAFETY: The tables are static; who reads the word meanwhile sees either.
        unsafe {
            (*self.as_raw()).s_export_op = if open {
                Wrap::<T>::BOTH_WAYS
            } else {
                Wrap::<T>::ONE_WAY
            };
        }
    }
}

impl<T: Operations> Wrap<T> {
    const ONE_WAY: &'static bindings::export_operations = &bindings::export_operations {
        encode_fh: Some(Self::encode),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    const BOTH_WAYS: &'static bindings::export_operations = &bindings::export_operations {
        encode_fh: Some(Self::encode),
        fh_to_dentry: Some(Self::to_dentry),
        fh_to_parent: Some(Self::to_parent),
        get_parent: Some(Self::get_parent),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: `inode` and `parent`, if any, belong to `T`, and `fh` has room for `max_len` words.
    unsafe extern "C" fn encode(
        inode: *mut bindings::inode,
        fh: *mut u32,
        max_len: *mut c_int,
        parent: *mut bindings::inode,
    ) -> c_int {
        let with_parent = !parent.is_null();
        let len = if with_parent { 2 * WORDS } else { WORDS };
        // SAFETY: As this function requires.
        unsafe {
            let room = core::mem::replace(&mut *max_len, len as c_int);
            if room < len as c_int {
                return bindings::fid_type_FILEID_INVALID as c_int;
            }
            fh.cast::<[u32; WORDS]>()
                .write(T::handle(Inode::from_raw(inode)).words());
            if !with_parent {
                return bindings::fid_type_FILEID_INO64_GEN as c_int;
            }
            fh.add(WORDS)
                .cast::<[u32; WORDS]>()
                .write(T::handle(Inode::from_raw(parent)).words());
        }
        bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int
    }

    /// The words of a handle; none of one of another kind.
    ///
    /// # Safety
    ///
    /// `fid` has `len` words for `'a`.
    unsafe fn words<'a>(fid: *mut bindings::fid, len: c_int, kind: c_int) -> &'a [u32] {
        let known = kind == bindings::fid_type_FILEID_INO64_GEN as c_int
            || kind == bindings::fid_type_FILEID_INO64_GEN_PARENT as c_int;
        match usize::try_from(len) {
            // SAFETY: By the caller's promise.
            Ok(len) if known => unsafe { core::slice::from_raw_parts(fid.cast(), len) },
            _ => &[],
        }
    }

    /// A name in `sb` for an inode that was found otherwise than by its name.
    fn alias(sb: &SuperBlock<T>, found: Result<inode::Ref<T>>) -> *mut bindings::dentry {
        let inode = match found {
            Ok(inode) if !sb.has(&inode) => return err_ptr(EIO),
            Ok(inode) => inode,
            Err(e) => return err_ptr(e),
        };
        // SAFETY: The reference to the inode is handed over.
        let alias = unsafe { bindings::d_obtain_alias(inode.into_raw()) };
        if let Ok(dentry) = from_err_ptr(alias) {
            // SAFETY: The dentry is counted, and belongs to this file system.
            unsafe {
                if (*(*dentry).d_sb).s_root != dentry {
                    Cached::<T>::from_raw(dentry).believe(Belief::NONE);
                }
            }
        }
        alias
    }

    /// # Safety
    ///
    /// For exportfs only: the super block belongs to `T`, and `fid` has `len` words.
    unsafe extern "C" fn to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: As this function requires.
        let (sb, words) = unsafe { (SuperBlock::from_raw(sb), Self::words(fid, len, kind)) };
        match Handle::read(words) {
            Some(handle) => Self::alias(sb, T::by_handle(sb, handle)),
            None => core::ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// As for [`Self::to_dentry`].
    unsafe extern "C" fn to_parent(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: As this function requires.
        let (sb, words) = unsafe { (SuperBlock::from_raw(sb), Self::words(fid, len, kind)) };
        match words.get(WORDS..).and_then(Handle::read) {
            Some(handle) => Self::alias(sb, T::by_handle(sb, handle)),
            None => core::ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// For exportfs only: `child` leads to a directory of `T`.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: As this function requires.
        let child = unsafe { Inode::<T>::from_raw((*child).d_inode) };
        Self::alias(child.sb(), T::parent(child))
    }
}
