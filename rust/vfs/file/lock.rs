// SPDX-License-Identifier: GPL-2.0

//! Locks that processes take on files: POSIX locks, those of open file descriptions (OFD), and those of flock(2).
//!
//! The VFS holds nothing around these calls, and nothing is locked here. Who keeps locks of a kind is for the file system to
//! say: itself, or the kernel, whose lists are good for one machine.
//!
//! C header: [`include/linux/filelock.h`](srctree/include/linux/filelock.h)

use super::{File, FileSystem};
use crate::{bindings, errno, vfs::to_int};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Who has locks: a process, or an open file. Differs from all others for as long as it exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// # Safety
    ///
    /// `owner` is what the VFS calls the owner of a lock.
    pub(super) unsafe fn from_raw(owner: bindings::fl_owner_t) -> Self {
        Self(owner as usize as u64)
    }

    /// The current process.
    pub(crate) fn current() -> Self {
        // SAFETY: Reads a field of the current task.
        Self(unsafe { bindings::rust_fuse_current_files() } as usize as u64)
    }

    /// A number in place of the owner. It is an address: not for others to see.
    pub(crate) fn id(self) -> u64 {
        self.0
    }
}

/// What is locked against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Writers.
    Read,
    /// Everybody.
    Write,
    /// Nobody: the lock is given up.
    Unlock,
}

/// A part of a file that is locked, by a process.
pub(crate) struct Held {
    /// How.
    pub(crate) mode: Mode,
    /// The first byte.
    pub(crate) start: u64,
    /// The last byte.
    pub(crate) end: u64,
    /// The process, in the initial namespace; 0 for one of elsewhere.
    pub(crate) pid: u32,
}

/// A lock that is asked for.
///
/// # Invariants
///
/// It is the caller's own for `'a`.
pub(crate) struct Lock<'a>(
    *mut bindings::file_lock,
    PhantomData<&'a mut bindings::file_lock>,
);

impl Lock<'_> {
    /// The first byte.
    pub(crate) fn start(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).fl_start as u64 }
    }

    /// The last byte.
    pub(crate) fn end(&self) -> u64 {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).fl_end as u64 }
    }

    /// How to lock.
    pub(crate) fn mode(&self) -> Mode {
        // SAFETY: By the type invariant.
        match u32::from(unsafe { (*self.0).c.flc_type }) {
            bindings::F_RDLCK => Mode::Read,
            bindings::F_WRLCK => Mode::Write,
            _ => Mode::Unlock,
        }
    }

    /// For whom.
    pub(crate) fn owner(&self) -> Owner {
        // SAFETY: By the type invariant.
        unsafe { Owner::from_raw((*self.0).c.flc_owner) }
    }

    fn has(&self, flag: u32) -> bool {
        // SAFETY: By the type invariant.
        unsafe { (*self.0).c.flc_flags & flag != 0 }
    }

    /// Whether to wait for others to give theirs up.
    pub(crate) fn waits(&self) -> bool {
        self.has(bindings::RUST_FUSE_FL_SLEEP)
    }

    /// Whether it belongs to the open file.
    pub(crate) fn is_ofd(&self) -> bool {
        self.has(bindings::RUST_FUSE_FL_OFDLCK)
    }

    /// Reports what is in the way.
    fn report(&mut self, held: Option<Held>) {
        // SAFETY: By the type invariant.
        unsafe {
            let Some(held) = held else {
                (*self.0).c.flc_type = bindings::F_UNLCK as u8;
                return;
            };
            (*self.0).c.flc_type = match held.mode {
                Mode::Read => bindings::F_RDLCK,
                Mode::Write => bindings::F_WRLCK,
                Mode::Unlock => bindings::F_UNLCK,
            } as u8;
            (*self.0).fl_start = held.start.min(i64::MAX as u64) as i64;
            (*self.0).fl_end = held.end.min(i64::MAX as u64) as i64;
            (*self.0).c.flc_pid = i32::try_from(held.pid).unwrap_or(0);
        }
    }
}

/// Who keeps locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The kernel: other machines do not see them.
    Kernel,
    /// The file system.
    FileSystem,
    /// Nobody: there are none (`ENOLCK`).
    Nobody,
}

/// Operations on the locks of a file.
pub(crate) trait LockOperations: FileSystem {
    /// Who keeps the locks of a file; with `flock` those of flock(2), else the others. Never changes.
    fn keeper(_file: &File<Self>, _flock: bool) -> Keeper {
        Keeper::Kernel
    }

    /// What is in the way of a lock, where the file system keeps them.
    fn find_lock(_file: &File<Self>, _lock: &Lock<'_>) -> Result<Option<Held>> {
        Err(errno::enolck())
    }

    /// Takes a lock or gives one up; with `flock` one of flock(2). `EINTR` has the call restarted where the signal allows.
    fn lock(_file: &File<Self>, _lock: &Lock<'_>, _flock: bool) -> Result {
        Err(errno::enolck())
    }
}

/// Wrappers of [`LockOperations`].
pub(super) struct Wrap<T: LockOperations>(PhantomData<T>);

impl<T: LockOperations> Wrap<T> {
    /// Takes a lock that the file system keeps.
    fn take(file: &File<T>, lock: &Lock<'_>, flock: bool) -> Result {
        T::lock(file, lock, flock).map_err(|e| if e == EINTR { ERESTARTSYS } else { e })
    }

    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`; the lock is the caller's own.
    pub(super) unsafe extern "C" fn lock(
        file: *mut bindings::file,
        cmd: c_int,
        raw: *mut bindings::file_lock,
    ) -> c_int {
        // SAFETY: As this function requires.
        let this = unsafe { File::<T>::from_raw(file) };
        // INVARIANT: As this function requires.
        let mut lock = Lock(raw, PhantomData);
        let test = cmd as u32 == bindings::F_GETLK;
        match T::keeper(this, false) {
            // Who waits in the kernel's list is taken off by its caller.
            _ if cmd as u32 == bindings::RUST_FUSE_F_CANCELLK => 0,
            Keeper::Nobody if test || lock.mode() != Mode::Unlock => errno::enolck().to_errno(),
            // SAFETY: As this function requires.
            Keeper::Kernel | Keeper::Nobody => unsafe {
                if test {
                    bindings::posix_test_lock(file, raw);
                    0
                } else {
                    bindings::posix_lock_file(file, raw, core::ptr::null_mut())
                }
            },
            Keeper::FileSystem if this.inode().is_bad() => EIO.to_errno(),
            Keeper::FileSystem if test => {
                to_int(T::find_lock(this, &lock).map(|held| lock.report(held)))
            }
            Keeper::FileSystem => {
                // SAFETY: As this function requires.
                if unsafe { bindings::rust_fuse_lock_is_async(raw) } {
                    return errno::enolck().to_errno();
                }
                to_int(Self::take(this, &lock, false))
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::lock`].
    pub(super) unsafe extern "C" fn flock(
        file: *mut bindings::file,
        _cmd: c_int,
        raw: *mut bindings::file_lock,
    ) -> c_int {
        // SAFETY: As this function requires.
        let this = unsafe { File::<T>::from_raw(file) };
        // INVARIANT: As this function requires.
        let lock = Lock(raw, PhantomData);
        match T::keeper(this, true) {
            Keeper::Nobody if lock.mode() != Mode::Unlock => errno::enolck().to_errno(),
            // SAFETY: As this function requires.
            Keeper::Kernel | Keeper::Nobody => unsafe {
                bindings::rust_fuse_locks_lock_file_wait(file, raw)
            },
            Keeper::FileSystem if this.inode().is_bad() => EIO.to_errno(),
            Keeper::FileSystem => to_int(Self::take(this, &lock, true)),
        }
    }
}
