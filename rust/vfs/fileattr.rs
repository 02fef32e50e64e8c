// SPDX-License-Identifier: GPL-2.0

//! Flags of files: what `lsattr` and `chattr` show and change, in the form of ext4 (`FS_IOC_GETFLAGS`) and of XFS
//! (`FS_IOC_FSGETXATTR`). The VFS translates what both forms have, checks who may change what, and holds the inode lock for
//! writing around a change. Nothing is locked here.
//!
//! C header: [`include/linux/fileattr.h`](srctree/include/linux/fileattr.h)

use super::{to_int, FileSystem, Inode};
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The form of XFS, in the layout of `struct fsxattr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Extended {
    /// `FS_XFLAG_*`.
    pub(crate) xflags: u32,
    /// Hint for the size of extents.
    pub(crate) extsize: u32,
    /// Number of extents.
    pub(crate) nextents: u32,
    /// Project, for quotas.
    pub(crate) projid: u32,
    /// Hint for the size of extents that are copied on write.
    pub(crate) cowextsize: u32,
    /// Zero.
    pub(crate) pad: [u8; 8],
}

/// Operations on flags of files. `ENOTTY` says that there are none.
pub(crate) trait Operations: FileSystem {
    /// The flags, `FS_*_FL`.
    fn flags(_inode: &Inode<Self>) -> Result<u32> {
        Err(ENOTTY)
    }

    /// Sets the flags, `FS_*_FL`. The inode lock is held.
    fn set_flags(_inode: &Inode<Self>, _flags: u32) -> Result {
        Err(ENOTTY)
    }

    /// The form of XFS.
    fn extended(_inode: &Inode<Self>) -> Result<Extended> {
        Err(ENOTTY)
    }

    /// Sets it. The inode lock is held.
    fn set_extended(_inode: &Inode<Self>, _attr: &Extended) -> Result {
        Err(ENOTTY)
    }
}

/// Wrappers of [`Operations`].
pub(super) struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    /// # Safety
    ///
    /// For the VFS only: `dentry` leads to an inode of `T`, and `fa` is the caller's own.
    pub(super) unsafe extern "C" fn get(
        dentry: *mut bindings::dentry,
        fa: *mut bindings::file_kattr,
    ) -> c_int {
        // SAFETY: As this function requires.
        let inode = unsafe { Inode::<T>::from_raw((*dentry).d_inode) };
        if inode.is_bad() {
            return EIO.to_errno();
        }
        // SAFETY: As this function requires; the VFS says by this field which form it wants.
        let wants_flags = unsafe { (*fa).flags_valid() };
        to_int(if wants_flags {
            T::flags(inode).map(|flags| {
                // SAFETY: As this function requires.
                unsafe { bindings::fileattr_fill_flags(fa, flags) };
            })
        } else {
            T::extended(inode).map(|x| {
                // SAFETY: As this function requires.
                unsafe {
                    bindings::fileattr_fill_xflags(fa, x.xflags);
                    (*fa).fsx_extsize = x.extsize;
                    (*fa).fsx_nextents = x.nextents;
                    (*fa).fsx_projid = x.projid;
                    (*fa).fsx_cowextsize = x.cowextsize;
                }
            })
        })
    }

    /// # Safety
    ///
    /// For the VFS only: `dentry` leads to an inode of `T` whose lock is held for writing, and `fa` is the caller's own.
    pub(super) unsafe extern "C" fn set(
        _idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        fa: *mut bindings::file_kattr,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (inode, fa) = unsafe { (Inode::<T>::from_raw((*dentry).d_inode), &*fa) };
        if inode.is_bad() {
            return EIO.to_errno();
        }
        to_int(if fa.flags_valid() {
            T::set_flags(inode, fa.flags)
        } else {
            T::set_extended(
                inode,
                &Extended {
                    xflags: fa.fsx_xflags,
                    extsize: fa.fsx_extsize,
                    nextents: fa.fsx_nextents,
                    projid: fa.fsx_projid,
                    cowextsize: fa.fsx_cowextsize,
                    pad: [0; 8],
                },
            )
        })
    }
}
