// SPDX-License-Identifier: GPL-2.0

//! File systems that show values: one directory for each thing, with a few small files, all in memory.
//!
//! There is one super block at most, shared by all its mounts. The things are kept here whether it is mounted or not, and an
//! inode has nothing but the number of its thing, so a file that is open outlives what it shows: reading then gives nothing.
//! What the VFS asks is answered in [`ops`].
//!
//! Locks: one mutex around the list of things and the super block, inside `s_umount` of both file systems involved, and
//! outside the inode lock of the root.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

mod ops;

pub(crate) use ops::Registration;

use super::cred::{Kgid, Kuid};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::to_result,
    new_mutex,
    prelude::*,
    str::{CStr, CString},
    sync::{Arc, Mutex},
};
use ops::Ops;

/// Such a file system.
pub(crate) trait Tree: Sized + 'static {
    /// What stands in `/proc/filesystems`.
    const NAME: &'static CStr;
    /// `statfs` type.
    const MAGIC: u64;
    /// What a directory shows.
    type Thing: Send + Sync + 'static;
    /// The files of a directory, eight at most.
    const FILES: &'static [Value<Self::Thing>];
}

/// A file that shows or takes a value.
pub(crate) struct Value<T> {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// Its permissions.
    pub(crate) mode: u16,
    /// Gives the value.
    pub(crate) get: Option<fn(&T) -> u64>,
    /// Takes what a user writes.
    pub(crate) set: Option<fn(Option<&T>, &Given<'_>) -> Result>,
}

/// What a user writes.
pub(crate) struct Given<'a> {
    at: *const c_char,
    len: usize,
    /// How much was read and written before.
    pub(crate) pos: u64,
    _call: PhantomData<&'a ()>,
}

impl Given<'_> {
    /// It as a number: decimal, or as its prefix says.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `ERANGE`, `EFAULT`.
    pub(crate) fn number(&self) -> Result<u64> {
        let mut number: c_ulong = 0;
        // SAFETY: The memory is the user's, which the function expects; the number is ours.
        to_result(unsafe { bindings::kstrtoul_from_user(self.at, self.len, 0, &mut number) })?;
        Ok(number as u64)
    }
}

/// One thing.
struct Item<T: Tree> {
    id: usize,
    name: CString,
    user: Kuid,
    group: Kgid,
    thing: Arc<T::Thing>,
}

struct State<T: Tree> {
    /// The super block, if it is mounted.
    sb: Option<NonNull<bindings::super_block>>,
    items: KVec<Item<T>>,
    next: usize,
}

// SAFETY: Super blocks are used by every thread; the rest is `Send`.
unsafe impl<T: Tree> Send for State<T> {}

/// The things that are shown.
///
/// # Invariants
///
/// The super block of the state is one of the registration that holds this, has a root, and lives while it stands there.
#[pin_data]
pub(crate) struct Things<T: Tree> {
    #[pin]
    state: Mutex<State<T>>,
}

/// Bits of a file's number that say which file of its directory it is.
const FILE_BITS: u32 = 3;

impl<T: Tree> Things<T> {
    /// None.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // INVARIANT: There is no super block.
        Arc::pin_init(
            pin_init!(Self {
                state <- new_mutex!(State { sb: None, items: KVec::new(), next: 1 }, "vfs::tree"),
            }),
            GFP_KERNEL,
        )
    }

    /// Shows a thing, owned by these, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn show(
        self: &Arc<Self>,
        name: CString,
        (user, group): (Kuid, Kgid),
        thing: Arc<T::Thing>,
    ) -> Result<Shown<T>> {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.items.push(
            Item {
                id,
                name,
                user,
                group,
                thing,
            },
            GFP_KERNEL,
        )?;
        let shown = Shown {
            things: self.clone(),
            id,
        };
        let made = match (state.sb, state.items.last()) {
            // SAFETY: By the type invariant; the lock keeps it.
            (Some(sb), Some(item)) => unsafe { Self::make(sb.as_ptr(), item) },
            _ => Ok(()),
        };
        drop(state);
        // An error drops `shown`, which takes away what was made.
        made.map(|()| shown)
    }

    /// The thing of a file's number.
    fn find(&self, number: usize) -> Option<Arc<T::Thing>> {
        let state = self.state.lock();
        let mut items = state.items.iter();
        items
            .find(|item| item.id == number >> FILE_BITS)
            .map(|item| item.thing.clone())
    }

    /// Makes the directory of a thing.
    ///
    /// # Safety
    ///
    /// `sb` is the super block and has a root; the list is locked.
    unsafe fn make(sb: *mut bindings::super_block, item: &Item<T>) -> Result {
        // SAFETY: By the caller's promise. A name that was made stays until it is removed, which the lock keeps away.
        unsafe {
            let dir = Self::add((*sb).s_root, &item.name, 0o500, item, None)?;
            for (n, file) in T::FILES.iter().enumerate() {
                Self::add(dir, file.name, file.mode, item, Some(n))?;
            }
        }
        Ok(())
    }

    /// Makes one name: a file, or a directory.
    ///
    /// # Safety
    ///
    /// `parent` is a directory of the file system and stays; the list is locked.
    unsafe fn add(
        parent: *mut bindings::dentry,
        name: &CStr,
        mode: u16,
        item: &Item<T>,
        file: Option<usize>,
    ) -> Result<*mut bindings::dentry> {
        // SAFETY: By the caller's promise. The inode is ours until it is joined to the name.
        unsafe {
            let dentry = bindings::d_alloc_name(parent, name.as_char_ptr());
            let dentry = NonNull::new(dentry).ok_or(ENOMEM)?.as_ptr();
            let Some(inode) = NonNull::new(bindings::new_inode((*parent).d_sb)) else {
                bindings::dput(dentry);
                return Err(ENOMEM);
            };
            let inode = inode.as_ptr();
            (*inode).i_ino = bindings::get_next_ino().into();
            (*inode).i_uid.val = item.user.0;
            (*inode).i_gid.val = item.group.0;
            bindings::simple_inode_init_ts(inode);
            if let Some(n) = file {
                (*inode).i_mode = bindings::S_IFREG as u16 | mode;
                (*inode).__bindgen_anon_3.i_fop = &Ops::<T>::FILE;
                (*inode).i_private = (item.id << FILE_BITS | n) as *mut c_void;
            } else {
                (*inode).i_mode = bindings::S_IFDIR as u16 | mode;
                (*inode).i_op = &raw const bindings::simple_dir_inode_operations;
                (*inode).__bindgen_anon_3.i_fop = &raw const bindings::simple_dir_operations;
                bindings::inc_nlink((*parent).d_inode);
                bindings::inc_nlink(inode);
            }
            bindings::d_make_persistent(dentry, inode);
            bindings::dput(dentry);
            Ok(dentry)
        }
    }
}

/// A thing that is shown; dropping it takes its directory away.
pub(crate) struct Shown<T: Tree> {
    things: Arc<Things<T>>,
    id: usize,
}

impl<T: Tree> Drop for Shown<T> {
    fn drop(&mut self) {
        let mut state = self.things.state.lock();
        let Some(n) = state.items.iter().position(|item| item.id == self.id) else {
            return;
        };
        let Ok(item) = state.items.remove(n) else {
            return;
        };
        if let Some(sb) = state.sb {
            // SAFETY: By the invariant of `Things`; the lock keeps it. The name is NUL-terminated.
            unsafe {
                bindings::simple_remove_by_name(
                    (*sb.as_ptr()).s_root,
                    item.name.as_char_ptr(),
                    None,
                );
            }
        }
    }
}
