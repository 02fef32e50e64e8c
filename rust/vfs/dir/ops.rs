// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of directories: names to inodes, and opening what is made. What only changes names is in [`changes`].
//!
//! The VFS holds the directory's inode lock around every operation: for reading around lookup, for writing around changes.
//! Nothing is locked here.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod changes;

use super::{Dentry, Found, Inode, NewName, Node, Opened, Rename};
use crate::{
    bindings, errno,
    vfs::{
        acl,
        cred::Idmap,
        err_ptr, file, fileattr, from_err_ptr,
        inode::{self, New},
        to_int, xattr,
    },
};
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*};

/// Operations on directories.
pub(crate) trait Operations:
    inode::Operations + file::Operations + file::DirOperations
{
    /// Finds `name`.
    fn lookup(dir: &Inode<Self>, name: &[u8]) -> Result<Found<Self>>;
    /// Makes an inode and gives it `name`. What was made is named in the answer.
    fn create(
        _dir: &Inode<Self>,
        _name: &NewName<'_, Self>,
        _node: Node<'_>,
    ) -> Result<Found<Self>> {
        Err(EPERM)
    }
    /// Gives `inode` another name.
    fn link(_dir: &Inode<Self>, _name: &[u8], _inode: &Inode<Self>) -> Result<Found<Self>> {
        Err(EPERM)
    }
    /// Renames. The locks of both directories and of what the names lead to are held.
    fn rename(_rename: &Rename<'_, Self>) -> Result {
        Err(EPERM)
    }
    /// Creates the regular file `name` and opens it, in one step. `None` when the server cannot; the two steps follow then.
    fn create_open(
        _dir: &Inode<Self>,
        _name: &NewName<'_, Self>,
        _flags: u32,
        _mode: u32,
    ) -> Result<Option<Opened<Self>>> {
        Ok(None)
    }
    /// Creates a regular file without a name and opens it. `name` stands for that.
    fn tmpfile(
        _dir: &Inode<Self>,
        _name: &NewName<'_, Self>,
        _flags: u32,
        _mode: u32,
    ) -> Result<Opened<Self>> {
        Err(errno::eopnotsupp())
    }
    /// Removes a name that is no directory.
    fn unlink(_dir: &Inode<Self>, _name: &[u8], _victim: &Inode<Self>) -> Result {
        Err(EPERM)
    }
    /// Removes an empty directory.
    fn rmdir(_dir: &Inode<Self>, _name: &[u8], _victim: &Inode<Self>) -> Result {
        Err(EPERM)
    }
}

/// Wrappers of [`Operations`].
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    const TABLE: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(Self::lookup),
        atomic_open: Some(Self::atomic_open),
        tmpfile: Some(Self::tmpfile),
        create: Some(Self::create),
        mknod: Some(Self::mknod),
        mkdir: Some(Self::mkdir),
        symlink: Some(Self::symlink),
        link: Some(Self::link),
        rename: Some(Self::rename),
        listxattr: Some(xattr::Wrap::<T>::list),
        get_inode_acl: Some(acl::Wrap::<T>::get_inode),
        get_acl: Some(acl::Wrap::<T>::get),
        set_acl: Some(acl::Wrap::<T>::set),
        fileattr_get: Some(fileattr::Wrap::<T>::get),
        fileattr_set: Some(fileattr::Wrap::<T>::set),
        unlink: Some(Self::unlink),
        rmdir: Some(Self::rmdir),
        permission: Some(inode::Wrap::<T>::permission),
        getattr: Some(inode::Wrap::<T>::getattr),
        setattr: Some(inode::Wrap::<T>::setattr),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: the directory and the name belong to `T`; the directory is locked, and
    /// `dentry` is in lookup.
    unsafe extern "C" fn lookup(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        _flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: As this function requires; the lock keeps the name stable.
        let (this, name) = unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(dentry)) };
        if this.is_bad() {
            return err_ptr(EIO);
        }
        match T::lookup(this, name.name()) {
            // SAFETY: As above.
            Ok(found) => unsafe { Self::splice(dentry, found) },
            Err(e) => err_ptr(e),
        }
    }

    /// Joins what was found to its name. Returns null, or the dentry that takes the place of `dentry`.
    ///
    /// # Safety
    ///
    /// `dentry` is in lookup or negative, of this file system, with its parent locked.
    unsafe fn splice(dentry: *mut bindings::dentry, found: Found<T>) -> *mut bindings::dentry {
        // SAFETY: By the caller's promise.
        if !unsafe { Dentry::<T>::from_raw(dentry) }.may_lead_to(found.inode.as_deref()) {
            return err_ptr(EIO);
        }
        let inode = found
            .inode
            .map_or(core::ptr::null_mut(), inode::Ref::into_raw);
        // SAFETY: By the caller's promise; the reference to the inode is handed over.
        let other = unsafe { bindings::d_splice_alias(inode, dentry) };
        match from_err_ptr(other) {
            Ok(other) => {
                let used = if other.is_null() { dentry } else { other };
                // SAFETY: Both are dentries of this file system.
                unsafe { Dentry::<T>::from_raw(used) }.believe(found.belief);
                other
            }
            Err(e) => err_ptr(e),
        }
    }

    /// Creates and joins; returns what `mkdir` returns.
    ///
    /// # Safety
    ///
    /// As for `splice`; the directory is locked for writing, and `idmap` is valid.
    unsafe fn make(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        node: Node<'_>,
    ) -> *mut bindings::dentry {
        // SAFETY: By the caller's promise.
        unsafe {
            let idmap = Idmap::from_raw(idmap);
            Self::make_with(dir, dentry, |dir, dentry| {
                T::create(dir, &NewName::new(dir, dentry, idmap), node)
            })
        }
    }

    /// # Safety
    ///
    /// As for `make`.
    unsafe fn make_with(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        create: impl FnOnce(&Inode<T>, &Dentry<T>) -> Result<Found<T>>,
    ) -> *mut bindings::dentry {
        // SAFETY: By the caller's promise.
        let (this, name) = unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(dentry)) };
        if this.is_bad() {
            return err_ptr(EIO);
        }
        match create(this, name) {
            // The VFS looks at what is there now.
            Ok(found) if found.inode.is_none() => err_ptr(EIO),
            // SAFETY: By the caller's promise. The dentry is unhashed first, as a splice adds it anew.
            Ok(found) => unsafe {
                bindings::d_drop(dentry);
                Self::splice(dentry, found)
            },
            Err(e) => err_ptr(e),
        }
    }

    /// As `make`, for operations that return an errno.
    ///
    /// # Safety
    ///
    /// As for `make`.
    unsafe fn make_plain(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: u32,
        rdev: u32,
    ) -> c_int {
        // SAFETY: By the caller's promise.
        Self::end_plain(unsafe { Self::make(idmap, dir, dentry, Node::Plain { mode, rdev }) })
    }

    /// What an operation returns that gives no dentry back.
    fn end_plain(made: *mut bindings::dentry) -> c_int {
        match from_err_ptr(made) {
            Ok(other) => {
                if !other.is_null() {
                    // SAFETY: The splice returned a reference; only directories have other names in the cache.
                    unsafe { bindings::dput(other) };
                }
                0
            }
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// For the VFS only: the directory and the name belong to `T`; the directory is locked, for
    /// writing where a file may be created, `dentry` is in lookup or negative, and `file` is being opened.
    unsafe extern "C" fn atomic_open(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        file: *mut bindings::file,
        flags: c_uint,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: As this function requires.
        to_int(unsafe { Self::try_atomic_open(dir, dentry, file, flags, mode) })
    }

    /// # Safety
    ///
    /// As `atomic_open` is called.
    unsafe fn try_atomic_open(
        dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        file: *mut bindings::file,
        flags: c_uint,
        mode: bindings::umode_t,
    ) -> Result {
        // SAFETY: By the caller's promise.
        let (this, name) = unsafe { (Inode::<T>::from_raw(dir), Dentry::<T>::from_raw(dentry)) };
        if this.is_bad() {
            return Err(EIO);
        }
        // SAFETY: By the caller's promise.
        unsafe {
            if bindings::rust_fuse_d_in_lookup(dentry) {
                let found = from_err_ptr(Self::lookup(dir, dentry, 0))?;
                if !found.is_null() || name.inode().is_some() {
                    return to_result(bindings::finish_no_open(file, found));
                }
            }
            if flags & bindings::O_CREAT == 0 {
                return to_result(bindings::finish_no_open(file, core::ptr::null_mut()));
            }
            (*file).f_mode |= bindings::RUST_FUSE_FMODE_CREATED;
        }
        // SAFETY: By the caller's promise; the file keeps its mount.
        let idmap = unsafe { bindings::rust_fuse_file_idmap(file) };
        // SAFETY: As above.
        let new = NewName::new(this, name, unsafe { Idmap::from_raw(idmap) });
        let Some((found, data)) = T::create_open(this, &new, flags, mode.into())? else {
            // SAFETY: By the caller's promise.
            return unsafe {
                to_result(Self::make_plain(idmap, dir, dentry, mode.into(), 0))?;
                to_result(bindings::finish_no_open(file, core::ptr::null_mut()))
            };
        };
        // SAFETY: By the caller's promise; the lookup has ended.
        unsafe { Self::open_made(dentry, file, flags, found, data) }
    }

    /// Joins a file that was created and opened at the server.
    ///
    /// # Safety
    ///
    /// `dentry` is negative and not in lookup, of this file system, with a stable name, and `file` is being opened at it.
    unsafe fn open_made(
        dentry: *mut bindings::dentry,
        file: *mut bindings::file,
        flags: u32,
        found: Found<T>,
        data: KBox<T::File>,
    ) -> Result {
        let inode = found.inode.ok_or(EIO)?;
        // A directory must not get a second name.
        // SAFETY: By the caller's promise.
        let fits = unsafe { Dentry::<T>::from_raw(dentry) }.may_lead_to(Some(&inode));
        if !inode.is_regular() || !fits {
            T::release(&inode, flags, data);
            return Err(EIO);
        }
        // SAFETY: By the caller's promise; the reference to the inode is handed over.
        unsafe {
            bindings::d_instantiate(dentry, inode.clone().into_raw());
            Dentry::<T>::from_raw(dentry).believe(found.belief);
            file::adopt::<T>(&inode, dentry, file, data)
        }
    }

    /// # Safety
    ///
    /// For the VFS only: the directory belongs to `T`, and `file` is being opened at a negative name of its own.
    unsafe extern "C" fn tmpfile(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: As this function requires; nobody else knows the name.
        let (this, dentry, flags) = unsafe {
            let dentry = (*file).__bindgen_anon_1.f_path.dentry;
            (Inode::<T>::from_raw(dir), dentry, (*file).f_flags)
        };
        if this.is_bad() {
            return EIO.to_errno();
        }
        // SAFETY: As above.
        let name = unsafe { NewName::new(this, Dentry::from_raw(dentry), Idmap::from_raw(idmap)) };
        to_int(
            T::tmpfile(this, &name, flags, mode.into()).and_then(|(found, data)| {
                // SAFETY: As above.
                unsafe { Self::open_made(dentry, file, flags, found, data) }
            }),
        )
    }
}

impl<T: Operations> New<T> {
    /// Makes it a directory.
    pub(crate) fn set_dir(&self) {
        self.set_inode_ops(&Wrap::<T>::TABLE);
        self.set_file_ops(file::dir_table::<T>());
    }
}
