// SPDX-License-Identifier: GPL-2.0

//! Names that become known while their directory is read.
//!
//! The VFS holds the directory's inode lock for reading meanwhile. A name that is not in the dentry cache is reserved here
//! and then joined to its inode, as in a lookup; who looks it up meanwhile waits for that.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{Emitter, Found};
use crate::{
    bindings,
    vfs::{dentry::Cached, from_err_ptr, inode, FileSystem},
};
use core::{marker::PhantomData, mem::ManuallyDrop, ops::Deref, ptr::NonNull};
use kernel::{prelude::*, types::NotThreadSafe};

/// A name in the directory that is being read.
pub(crate) enum Slot<'a, T: FileSystem> {
    /// It is in the cache.
    Known(Known<'a, T>),
    /// It is not.
    New(Fresh<'a, T>),
}

/// A name that is in the cache.
///
/// # Invariants
///
/// One count of the dentry is ours.
pub(crate) struct Known<'a, T: FileSystem>(NonNull<bindings::dentry>, PhantomData<&'a Cached<T>>);

/// A name that is being looked up by us.
///
/// # Invariants
///
/// The dentry is in lookup, and the inode lock of its parent is held for `'a`, by this task.
pub(crate) struct Fresh<'a, T: FileSystem>(ManuallyDrop<Known<'a, T>>, NotThreadSafe);

impl<T: FileSystem> Emitter<'_, T> {
    /// Finds or reserves `name` in the directory that is being read.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn slot(&self, name: &[u8]) -> Result<Slot<'_, T>> {
        let len = u32::try_from(name.len()).map_err(|_| EINVAL)?;
        let mut q = bindings::qstr {
            name: name.as_ptr(),
            ..Default::default()
        };
        // SAFETY: The file is open, so its dentry is counted. The directory's inode lock is held by the type invariant.
        let dentry = unsafe {
            let parent = (*self.dir().as_raw()).__bindgen_anon_1.f_path.dentry;
            q.__bindgen_anon_1.__bindgen_anon_1.len = len;
            q.__bindgen_anon_1.__bindgen_anon_1.hash =
                bindings::full_name_hash(parent.cast(), name.as_ptr().cast(), len);
            // Most often it is known: that search takes no memory.
            let known = bindings::d_lookup(parent, &q);
            if known.is_null() {
                from_err_ptr(bindings::d_alloc_parallel(parent, &q))?
            } else {
                known
            }
        };
        let dentry = NonNull::new(dentry).ok_or(ENOMEM)?;
        // INVARIANT: Both searches gave us a count.
        let known = Known(dentry, PhantomData);
        // SAFETY: The dentry is valid.
        let new = unsafe { bindings::rust_fuse_d_in_lookup(dentry.as_ptr()) };
        if new {
            // INVARIANT: Only its own task finds a dentry in lookup, so it was reserved just now.
            Ok(Slot::New(Fresh(ManuallyDrop::new(known), NotThreadSafe)))
        } else {
            Ok(Slot::Known(known))
        }
    }
}

impl<T: FileSystem> Known<'_, T> {
    /// Takes the name out of the cache: it is something else now.
    pub(crate) fn invalidate(self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::d_invalidate(self.0.as_ptr()) };
    }
}

impl<T: FileSystem> Deref for Known<'_, T> {
    type Target = Cached<T>;

    fn deref(&self) -> &Cached<T> {
        // SAFETY: By the type invariant it is counted.
        unsafe { Cached::from_raw(self.0.as_ptr()) }
    }
}

impl<T: FileSystem> Drop for Known<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::dput(self.0.as_ptr()) };
    }
}

impl<T: FileSystem> Fresh<'_, T> {
    /// Joins the name to what was found.
    ///
    /// # Errors
    ///
    /// `ELOOP` for a directory that would be below itself, `ESTALE`, `ENOMEM`.
    pub(crate) fn join(self, found: Found<T>) -> Result {
        if !self.0.may_lead_to(found.inode.as_deref()) {
            return Err(EIO);
        }
        let inode = found
            .inode
            .map_or(core::ptr::null_mut(), inode::Ref::into_raw);
        // SAFETY: By the type invariant; the reference to the inode is handed over.
        let other = from_err_ptr(unsafe { bindings::d_splice_alias(inode, self.0 .0.as_ptr()) })?;
        match NonNull::new(other) {
            // INVARIANT: The splice gave us a count.
            Some(other) => Known::<T>(other, PhantomData).believe(found.belief),
            None => self.0.believe(found.belief),
        }
        Ok(())
    }
}

impl<T: FileSystem> Drop for Fresh<'_, T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is in lookup, and nothing uses it afterwards.
        unsafe {
            bindings::rust_fuse_d_lookup_done(self.0 .0.as_ptr());
            ManuallyDrop::drop(&mut self.0);
        }
    }
}
