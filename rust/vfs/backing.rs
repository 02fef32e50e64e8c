// SPDX-License-Identifier: GPL-2.0

//! Backing files: files of another file system whose data stands for that of files of ours.
//!
//! A [`Backing`] is such a file with the rights of who gave it. For each file that is opened here, one is opened there
//! ([`BackingFile`]), which reads, writes and maps with those rights, and knows the path that users see. Writing takes the
//! caller's inode lock; what an asynchronous write has to tell is told by a work item, before the call ends.
//!
//! C header: [`include/linux/backing-file.h`](srctree/include/linux/backing-file.h)

use super::{
    file::{AnyFile, File, Mmap, Opening, Operations, Splice},
    inode::Locked,
    iter::{from_len, Read, Write},
    FileSystem, Inode,
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{cred::Credential, error::to_result, prelude::*, sync::aref::ARef};

/// A regular file whose data may be used in place of that of files of ours.
pub(crate) struct Backing {
    file: AnyFile,
    cred: ARef<Credential>,
}

impl Backing {
    /// The file behind a descriptor of the current task, with its rights, for a file system that is stacked `max_depth` deep.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EISDIR` and `EINVAL` for what is no regular file; `ELOOP` for one of a file system that is as deep itself.
    pub(crate) fn new(fd: u32, max_depth: u32) -> Result<Self> {
        let file = AnyFile::from_any_descriptor(fd)?;
        // SAFETY: The file is referenced.
        to_result(unsafe { bindings::rust_fuse_backing_check(file.as_raw(), max_depth) })?;
        // SAFETY: The task has credentials; one count of them was raised for us. The type is that of the kernel crate.
        let cred = unsafe {
            let cred = bindings::rust_fuse_get_current_cred().cast_mut();
            ARef::from_raw(NonNull::new(cred.cast::<Credential>()).ok_or(EINVAL)?)
        };
        Ok(Self { file, cred })
    }
}

/// What a change of a backing file's data changes there: size and times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([i64; 5]);

/// What a backing file has to say of its data.
#[derive(Clone, Copy)]
pub(crate) struct DataAttributes {
    pub(crate) size: u64,
    /// Of 512 bytes.
    pub(crate) blocks: u64,
    /// Of access, modification and change: seconds and nanoseconds.
    pub(crate) times: [(i64, u32); 3],
}

impl Backing {
    fn numbers(&self) -> [i64; 8] {
        let mut numbers = [0; 8];
        // SAFETY: The file is referenced; the shim writes eight numbers.
        unsafe { bindings::rust_fuse_backing_stamp(self.file.as_raw(), numbers.as_mut_ptr()) };
        numbers
    }

    /// Size and times now.
    pub(crate) fn stamp(&self) -> Stamp {
        let [size, mtime, mtime_nsec, ctime, ctime_nsec, ..] = self.numbers();
        Stamp([size, mtime, mtime_nsec, ctime, ctime_nsec])
    }

    /// What it has to say of its data now.
    pub(crate) fn attributes(&self) -> DataAttributes {
        let [size, mtime, mtime_nsec, ctime, ctime_nsec, blocks, atime, atime_nsec] =
            self.numbers();
        DataAttributes {
            size: size as u64,
            blocks: blocks as u64,
            times: [
                (atime, atime_nsec as u32),
                (mtime, mtime_nsec as u32),
                (ctime, ctime_nsec as u32),
            ],
        }
    }

    /// Whether somebody may change its data by a mapping.
    pub(crate) fn is_mapped_for_writing(&self) -> bool {
        // SAFETY: The file is referenced.
        unsafe { bindings::rust_fuse_backing_mapped_for_writing(self.file.as_raw()) }
    }
}

/// Whether the current task may name backing files at all: its server is then trusted with every file it can open.
pub(crate) fn may_back() -> bool {
    // SAFETY: Reads the current task.
    unsafe { bindings::rust_fuse_capable_sys_admin() }
}

/// What was opened at a backing file for one file of ours.
///
/// # Invariants
///
/// The file was made by `backing_file_open`.
pub(crate) struct BackingFile {
    file: AnyFile,
    cred: ARef<Credential>,
}

impl Opening<'_> {
    /// Opens at `backing` what the user's file reads and writes.
    ///
    /// # Errors
    ///
    /// What opening fails with there.
    pub(crate) fn open_backing(&self, backing: &Backing) -> Result<BackingFile> {
        // SAFETY: The user's file is being opened and knows its path; the other file and the credentials are referenced.
        let file = unsafe {
            AnyFile::from_raw(bindings::backing_file_open(
                self.as_raw(),
                self.flags() as c_int,
                &raw const (*backing.file.as_raw()).__bindgen_anon_1.f_path,
                backing.cred.as_ptr().cast(),
            ))
        }?;
        // INVARIANT: It was just made.
        Ok(BackingFile {
            file,
            cred: backing.cred.clone(),
        })
    }
}

impl BackingFile {
    fn context<T: Operations>(&self) -> bindings::backing_file_ctx {
        bindings::backing_file_ctx {
            cred: self.cred.as_ptr().cast(),
            accessed: Some(accessed::<T>),
            end_write: Some(written::<T>),
        }
    }

    /// The file, with the flags that `user`'s has now.
    fn file_for<T: Operations>(&self, user: &File<T>) -> *mut bindings::file {
        let file = self.file.as_raw();
        // SAFETY: The file is referenced.
        unsafe { bindings::rust_fuse_backing_follow_flags(file, user.flags()) };
        file
    }
}

/// # Safety
///
/// For backing files only: `file` is open and belongs to `T`.
unsafe extern "C" fn accessed<T: Operations>(file: *mut bindings::file) {
    // SAFETY: As this function requires.
    T::backing_read(unsafe { File::from_raw(file) });
}

/// # Safety
///
/// For backing files only: the file of `iocb` is open and belongs to `T`.
unsafe extern "C" fn written<T: Operations>(iocb: *mut bindings::kiocb, result: isize) {
    // SAFETY: As this function requires.
    let (file, pos) = unsafe { (File::from_raw((*iocb).ki_filp), (*iocb).ki_pos as u64) };
    T::backing_written(file, pos, from_len(result));
}

impl<T: FileSystem> Inode<T> {
    /// Takes over what a backing file says. Callers serialise among themselves with the private data's lock.
    pub(crate) fn set_data_attributes(&self, from: &DataAttributes) {
        let [atime, mtime, ctime] = from.times;
        self.set_size(from.size);
        // SAFETY: The inode is valid. These fields are read without a lock everywhere; each store is whole.
        unsafe {
            let inode = self.as_raw();
            (*inode).i_blocks = from.blocks;
            bindings::rust_fuse_inode_set_atime(inode, atime.0, atime.1);
            bindings::rust_fuse_inode_set_times(inode, mtime.0, mtime.1, ctime.0, ctime.1);
        }
    }
}

impl<T: Operations> Read<'_, T> {
    /// Whether what can be read later is read at once all the same: by way of the page cache, or it is nowhere but in memory.
    /// Such a call needs no memory of its own.
    fn ends_at_once(&self, backing: &BackingFile) -> bool {
        // SAFETY: The file is referenced.
        unsafe { bindings::rust_fuse_backing_reads_at_once(backing.file.as_raw(), self.direct()) }
    }

    /// Reads from a backing file. `EIOCBQUEUED` says that the call goes on.
    pub(crate) fn backing(&mut self, backing: &BackingFile) -> Result<usize> {
        if self.is_sync() || self.ends_at_once(backing) {
            let (file, cred) = (backing.file.as_raw(), backing.cred.as_ptr().cast());
            // SAFETY: Call and iterator are valid; the file and the credentials are referenced.
            let read =
                unsafe { bindings::rust_fuse_backing_read(file, self.iocb, self.iter(), cred) };
            T::backing_read(self.file());
            return from_len(read);
        }
        // The call's own flags go along, so the file need not have them.
        let file = backing.file.as_raw();
        // SAFETY: Call and iterator are valid. By the type invariant it is a backing file; what goes on later has references
        // of its own. The context is used during the call only, and its functions are for files of `T`, as the call's is.
        from_len(unsafe {
            bindings::backing_file_read_iter(
                file,
                self.iter(),
                self.iocb,
                (*self.iocb).ki_flags,
                &mut backing.context::<T>(),
            )
        })
    }
}

impl<T: Operations> Write<'_, T> {
    /// Writes to a backing file, with the inode lock of the user's file held for writing. `EIOCBQUEUED` says that the call goes
    /// on.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is another's lock.
    pub(crate) fn backing(&mut self, backing: &BackingFile, lock: &Locked<'_, T>) -> Result<usize> {
        if !lock.is_of(self.file().inode()) {
            return Err(EINVAL);
        }
        let file = backing.file_for(self.file());
        // SAFETY: As for reading; of the context only the function pointer is used after the call.
        from_len(unsafe {
            bindings::backing_file_write_iter(
                file,
                self.iter(),
                self.iocb,
                (*self.iocb).ki_flags,
                &mut backing.context::<T>(),
            )
        })
    }
}

impl<T: Operations> Splice<'_, T> {
    /// Moves pages from a backing file into the pipe.
    pub(crate) fn backing(self, backing: &BackingFile) -> Result<usize> {
        let file = backing.file_for(self.file());
        // SAFETY: The file is a backing file; everything else is valid for the call.
        from_len(unsafe {
            bindings::rust_fuse_backing_splice_read(
                self.file().as_raw(),
                file,
                self.pos,
                self.pipe,
                self.len,
                self.flags,
                &mut backing.context::<T>(),
            )
        })
    }
}

impl<T: Operations> Mmap<'_, T> {
    /// Maps a backing file. The mapping is no longer one of the user's file then.
    ///
    /// # Errors
    ///
    /// What the other file system says.
    pub(crate) fn use_backing(self, backing: &BackingFile) -> Result {
        // SAFETY: The VMA is being made and locked for writing; the file is a backing file, and the context is used during the
        // call only.
        to_result(unsafe {
            bindings::backing_file_mmap(
                backing.file.as_raw(),
                self.vma,
                &mut backing.context::<T>(),
            )
        })
    }
}
