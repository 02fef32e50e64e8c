// SPDX-License-Identifier: GPL-2.0

//! File systems that show values: one directory for each thing, with a few small files, all in memory.
//!
//! There is one super block at most, shared by all its mounts. The things are kept here whether it is mounted or not, and an
//! inode has nothing but the number of its thing, so a file that is open outlives what it shows: reading then gives nothing.
//!
//! Locks: one mutex around the list of things and the super block, inside `s_umount` of both file systems involved, and
//! outside the inode lock of the root.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h), [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::{
    cred::{Kgid, Kuid},
    to_int, to_len,
};
use crate::bindings;
use core::{
    fmt::Write as _,
    marker::{PhantomData, PhantomPinned},
    ptr::NonNull,
};
use kernel::{
    error::to_result,
    new_mutex,
    prelude::*,
    str::{CStr, CString},
    sync::{Arc, Mutex},
    types::Opaque,
};

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

/// A registered file system. Dropping it unregisters it.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Tree> {
    #[pin]
    fs: Opaque<bindings::file_system_type>,
    things: Arc<Things<T>>,
    registered: bool,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The type is only reached through functions that may be called from every thread.
unsafe impl<T: Tree> Send for Registration<T> {}
// SAFETY: As above; `&Registration` offers nothing that changes it.
unsafe impl<T: Tree> Sync for Registration<T> {}

impl<T: Tree> Registration<T> {
    /// What it shows.
    pub(crate) fn things(&self) -> &Arc<Things<T>> {
        &self.things
    }

    /// Registers the file system, which shows `things`. Each `things` belongs to one registration.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the name is taken.
    pub(crate) fn new(
        module: &'static ThisModule,
        things: Arc<Things<T>>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            fs <- Opaque::ffi_init(|fs: *mut bindings::file_system_type| {
                // SAFETY: `fs` is valid for writes; all zeroes is a valid type that is not registered.
                unsafe {
                    fs.write(pin_init::zeroed());
                    (*fs).owner = module.as_ptr().cast();
                    (*fs).name = T::NAME.as_char_ptr();
                    (*fs).init_fs_context = Some(Ops::<T>::init_fs_context);
                    (*fs).kill_sb = Some(Ops::<T>::kill_sb);
                }
            }),
            things,
            registered: false,
            _pin: PhantomPinned,
        })
        .pin_chain(|this: Pin<&mut Self>| {
            // SAFETY: Nothing is moved out; only a flag is set.
            let this = unsafe { this.get_unchecked_mut() };
            // SAFETY: The type is initialised, pinned, and unregistered before it goes away.
            to_result(unsafe { bindings::register_filesystem(this.fs.get()) })?;
            this.registered = true;
            Ok(())
        })
    }
}

#[pinned_drop]
impl<T: Tree> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.registered {
            // SAFETY: It was registered. The module is not in use, so no super block of this type is left.
            let _ = unsafe { bindings::unregister_filesystem(self.fs.get()) };
        }
    }
}

/// What the VFS calls.
struct Ops<T: Tree>(PhantomData<T>);

impl<T: Tree> Ops<T> {
    const CONTEXT: &'static bindings::fs_context_operations = &bindings::fs_context_operations {
        get_tree: Some(Self::get_tree),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// Files without positions.
    const FILE: bindings::file_operations = bindings::file_operations {
        open: Some(bindings::nonseekable_open),
        read: Some(Self::read),
        write: Some(Self::write),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// `sb` belongs to a live `Registration<T>`.
    unsafe fn things<'a>(sb: *mut bindings::super_block) -> &'a Things<T> {
        // SAFETY: By the caller's promise the type is the member of a registration; `Opaque` is transparent.
        unsafe {
            let fs = Opaque::cast_from((*sb).s_type);
            &(*kernel::container_of!(fs, Registration<T>, fs)).things
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` is new.
    unsafe extern "C" fn init_fs_context(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: As this function requires.
        unsafe { (*fc).ops = Self::CONTEXT };
        0
    }

    /// # Safety
    ///
    /// For the VFS only: `fc` has no root yet.
    unsafe extern "C" fn get_tree(fc: *mut bindings::fs_context) -> c_int {
        // SAFETY: As this function requires.
        unsafe { bindings::get_tree_single(fc, Some(Self::fill)) }
    }

    /// # Safety
    ///
    /// For the VFS only: `sb` is new.
    unsafe extern "C" fn fill(
        sb: *mut bindings::super_block,
        _fc: *mut bindings::fs_context,
    ) -> c_int {
        let end = bindings::tree_descr {
            name: c"".as_char_ptr(),
            ops: core::ptr::null(),
            mode: 0,
        };
        // SAFETY: As this function requires; the list of files is empty.
        unsafe {
            let r = bindings::simple_fill_super(sb, T::MAGIC as usize, &end);
            if r != 0 {
                return r;
            }
            let mut state = Self::things(sb).state.lock();
            // INVARIANT: It has a root; `kill_sb` takes it away.
            state.sb = NonNull::new(sb);
            let made = state
                .items
                .iter()
                .try_for_each(|item| Things::make(sb, item));
            if made.is_err() {
                state.sb = None;
            }
            to_int(made)
        }
    }

    /// # Safety
    ///
    /// For the VFS only: `sb` was made by [`Self::get_tree`], and ends.
    unsafe extern "C" fn kill_sb(sb: *mut bindings::super_block) {
        // SAFETY: As this function requires.
        unsafe {
            Self::things(sb).state.lock().sb = None;
            bindings::kill_anon_super(sb);
        }
    }

    /// What a file shows, and its number.
    ///
    /// # Safety
    ///
    /// `file` is an open file of the file system, not a directory.
    unsafe fn of(file: *mut bindings::file) -> Option<(&'static Value<T::Thing>, usize)> {
        // SAFETY: By the caller's promise.
        let number = unsafe { (*(*file).f_inode).i_private } as usize;
        Some((T::FILES.get(number & ((1 << FILE_BITS) - 1))?, number))
    }

    /// # Safety
    ///
    /// For the VFS only: all are valid, and the file is one of [`Things::add`].
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        to: *mut c_char,
        len: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: As this function requires. Only this function uses the private data, as a number.
        unsafe {
            let Some((value, number)) = Self::of(file) else {
                return 0;
            };
            let Some(get) = value.get else {
                return EINVAL.to_errno() as isize;
            };
            let mut shown = (*file).private_data as u64;
            // Who goes on reading reads on in what was there at the beginning.
            if *pos == 0 {
                let things = Self::things((*(*file).f_inode).i_sb);
                let Some(thing) = things.find(number) else {
                    return 0;
                };
                shown = get(&thing);
                (*file).private_data = shown as *mut c_void;
            }
            let mut text = Text::default();
            if writeln!(text, "{shown}").is_err() {
                return EIO.to_errno() as isize;
            }
            bindings::simple_read_from_buffer(
                to.cast(),
                len,
                pos,
                text.bytes.as_ptr().cast(),
                text.len,
            )
        }
    }

    /// # Safety
    ///
    /// As for [`Self::read`].
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        from: *const c_char,
        len: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: As this function requires.
        let (set, thing, pos) = unsafe {
            let Some((value, number)) = Self::of(file) else {
                return EINVAL.to_errno() as isize;
            };
            let Some(set) = value.set else {
                return EINVAL.to_errno() as isize;
            };
            let things = Self::things((*(*file).f_inode).i_sb);
            (set, things.find(number), *pos as u64)
        };
        let given = Given {
            at: from,
            len,
            pos,
            _call: PhantomData,
        };
        to_len(set(thing.as_deref(), &given).map(|()| len))
    }
}

/// A number and its newline.
#[derive(Default)]
struct Text {
    bytes: [u8; 24],
    len: usize,
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let end = self.len + s.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
