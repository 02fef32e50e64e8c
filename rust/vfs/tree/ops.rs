// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of a [`Tree`]: mounting it, and reading and writing its files.
//!
//! Locks: the mutex of [`Things`] for a moment, and around filling the super block.

use super::{Given, Things, Tree, Value, FILE_BITS};
use crate::{
    bindings,
    vfs::{to_int, to_len},
};
use core::{
    fmt::Write as _,
    marker::{PhantomData, PhantomPinned},
    ptr::NonNull,
};
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

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
pub(super) struct Ops<T: Tree>(PhantomData<T>);

impl<T: Tree> Ops<T> {
    const CONTEXT: &'static bindings::fs_context_operations = &bindings::fs_context_operations {
        get_tree: Some(Self::get_tree),
        // SAFETY: A table without further operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// Files without positions.
    pub(super) const FILE: bindings::file_operations = bindings::file_operations {
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
