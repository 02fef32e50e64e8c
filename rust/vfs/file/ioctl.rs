// SPDX-License-Identifier: GPL-2.0

//! ioctls on open files and directories. Nothing is held around one, and nothing is locked here.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/asm-generic/ioctl.h`](srctree/include/asm-generic/ioctl.h)

use super::{File, FileSystem};
use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    ioctl::{_IOC_DIR, _IOC_SIZE},
    prelude::*,
    uaccess::{UserPtr, UserSlice, UserSliceReader, UserSliceWriter},
};

/// `_IOC_WRITE`: the caller writes to the file.
const IOC_WRITE: u32 = 1;
/// `_IOC_READ`: the caller reads from the file.
const IOC_READ: u32 = 2;

/// What kind of program calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abi {
    /// One of this kernel's own kind.
    Native,
    /// A 32-bit program.
    Compat,
    /// A program with 32-bit pointers that is 64-bit otherwise.
    X32,
}

/// An ioctl that a user asks for.
pub(crate) struct Ioctl {
    cmd: u32,
    arg: usize,
    abi: Abi,
}

impl Ioctl {
    /// The number.
    pub(crate) fn cmd(&self) -> u32 {
        self.cmd
    }

    /// The argument.
    pub(crate) fn arg(&self) -> u64 {
        self.arg as u64
    }

    /// Who calls.
    pub(crate) fn abi(&self) -> Abi {
        self.abi
    }

    fn memory(&self, dir: u32) -> UserSlice {
        let len = if _IOC_DIR(self.cmd) & dir != 0 {
            _IOC_SIZE(self.cmd)
        } else {
            0
        };
        UserSlice::new(UserPtr::from_addr(self.arg), len)
    }

    /// What the number says that the caller hands in.
    pub(crate) fn input(&self) -> UserSliceReader {
        self.memory(IOC_WRITE).reader()
    }

    /// Where the number says that the answer goes.
    pub(crate) fn output(&self) -> UserSliceWriter {
        self.memory(IOC_READ).writer()
    }
}

/// Operations that the VFS does not know itself.
pub(crate) trait IoctlOperations: FileSystem {
    /// Carries out an ioctl and returns its result, which may be an error although there was an answer. `ENOTTY` for one that
    /// the file does not have.
    fn ioctl(_file: &File<Self>, _ioctl: &Ioctl) -> Result<i32> {
        Err(ENOTTY)
    }
}

/// Wrappers of [`IoctlOperations`].
pub(super) struct Wrap<T: IoctlOperations>(PhantomData<T>);

impl<T: IoctlOperations> Wrap<T> {
    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`.
    pub(super) unsafe extern "C" fn native(
        file: *mut bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: As this function requires.
        unsafe { Self::call(file, cmd, arg, Abi::Native) }
    }

    /// # Safety
    ///
    /// As for [`Self::native`].
    pub(super) unsafe extern "C" fn compat(
        file: *mut bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: May be called in every system call.
        let abi = if unsafe { bindings::rust_fuse_in_x32_syscall() } {
            Abi::X32
        } else {
            Abi::Compat
        };
        // SAFETY: As this function requires.
        unsafe { Self::call(file, cmd, arg, abi) }
    }

    /// # Safety
    ///
    /// The file is open and belongs to `T`.
    unsafe fn call(file: *mut bindings::file, cmd: u32, arg: usize, abi: Abi) -> c_long {
        // SAFETY: By the caller's promise.
        let file = unsafe { File::<T>::from_raw(file) };
        if file.inode().is_bad() {
            return EIO.to_errno() as c_long;
        }
        match T::ioctl(file, &Ioctl { cmd, arg, abi }) {
            Ok(result) => result as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }
}
