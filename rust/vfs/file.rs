// SPDX-License-Identifier: GPL-2.0

//! Open files and directories.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    dir::Emitter,
    inode::New,
    iter::{Read, Write},
    to_int, to_len, FileSystem, Inode,
};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// An open file of the file system `T`.
///
/// # Invariants
///
/// `private_data` is a `KBox<T::File>` from `open` until `release`.
#[repr(transparent)]
pub(crate) struct File<T: FileSystem>(Opaque<bindings::file>, PhantomData<T>);

impl<T: FileSystem> File<T> {
    /// # Safety
    ///
    /// `file` is an open file of `T` for `'a`.
    pub(crate) unsafe fn from_raw<'a>(file: *mut bindings::file) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*file.cast() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::file {
        self.0.get()
    }

    /// The private data.
    pub(crate) fn data(&self) -> &T::File {
        // SAFETY: By the type invariant.
        unsafe { &*(*self.as_raw()).private_data.cast() }
    }

    /// The inode.
    pub(crate) fn inode(&self) -> &Inode<T> {
        // SAFETY: An open file keeps its inode.
        unsafe { Inode::from_raw((*self.as_raw()).f_inode) }
    }

    /// `O_*` flags.
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: The file is valid; the word is read whole.
        unsafe { (&raw const (*self.as_raw()).f_flags).read_volatile() }
    }

    /// Does what a change of the data does to set-user-id bits and times. The inode lock is held for writing.
    pub(crate) fn modified(&self) -> Result {
        // SAFETY: The file is valid.
        to_result(unsafe { bindings::rust_fuse_file_modified(self.as_raw()) })
    }

    /// Whether it was opened for writing.
    pub(crate) fn writable(&self) -> bool {
        // SAFETY: The mode does not change while the file is open.
        unsafe { (*self.as_raw()).f_mode & bindings::RUST_FUSE_FMODE_WRITE != 0 }
    }
}

/// A file that is being opened.
pub(crate) struct Opening<'a> {
    flags: u32,
    _file: PhantomData<&'a bindings::file>,
}

impl Opening<'_> {
    /// # Safety
    ///
    /// `file` is being opened.
    unsafe fn new(file: *const bindings::file) -> Self {
        Self {
            // SAFETY: By the caller's promise.
            flags: unsafe { (*file).f_flags },
            _file: PhantomData,
        }
    }

    /// `O_*` flags.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }
}

/// A memory mapping that is being made.
pub(crate) struct Mmap<'a, T: FileSystem> {
    file: *mut bindings::file,
    vma: *mut bindings::vm_area_struct,
    _fs: PhantomData<(&'a (), T)>,
}

impl<T: FileSystem> Mmap<'_, T> {
    /// The inode of the file that is mapped.
    pub(crate) fn inode(&self) -> &Inode<T> {
        // SAFETY: The file is open for as long as this lives, and belongs to `T`.
        unsafe { Inode::from_raw((*self.file).f_inode) }
    }

    /// Makes it a DAX mapping whose faults `ops` handles.
    ///
    /// # Safety
    ///
    /// The file is reached by DAX, and `ops` handles the faults of such files of `T`.
    pub(crate) unsafe fn set_dax_ops(self, ops: &'static bindings::vm_operations_struct) {
        // SAFETY: By the caller's promise. The VMA is being made and locked for writing.
        unsafe { bindings::rust_fuse_vma_set_dax(self.vma, ops) };
    }

    /// Whether stores would be seen by others, now or after `mprotect`.
    pub(crate) fn is_shared(&self) -> bool {
        // SAFETY: The VMA is being made and locked for writing.
        unsafe { bindings::rust_fuse_vma_may_share(self.vma) }
    }

    /// Maps the page cache for reading.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mapping that would be shared and writable.
    pub(crate) fn use_page_cache_read_only(self) -> Result {
        // SAFETY: Both are valid for the call.
        to_result(unsafe { bindings::generic_file_readonly_mmap(self.file, self.vma) })
    }
}

/// Operations on regular files.
pub(crate) trait Operations: FileSystem {
    /// Opens. `EINVAL` and every error of the server are handed to the caller.
    fn open(inode: &Inode<Self>, opening: &Opening<'_>) -> Result<KBox<Self::File>>;
    /// Runs at the last close.
    fn release(inode: &Inode<Self>, flags: u32, data: KBox<Self::File>);
    /// Runs at each close of a descriptor.
    fn flush(file: &File<Self>) -> Result;
    /// Reads; returns the bytes that were read and has moved the position.
    fn read(io: &mut Read<'_, Self>) -> Result<usize>;
    /// Writes; returns the bytes that were written and has moved the position.
    fn write(io: &mut Write<'_, Self>) -> Result<usize>;
    /// Maps into memory.
    fn mmap(file: &File<Self>, mmap: Mmap<'_, Self>) -> Result;
    /// Makes data (and with `datasync` false all attributes) durable.
    fn fsync(file: &File<Self>, datasync: bool) -> Result;
    /// Allocates, punches or zeroes (`FALLOC_FL_*`).
    fn fallocate(file: &File<Self>, mode: u32, pos: u64, len: u64) -> Result;
    /// Finds the next hole or the next data at `pos`. `None` leaves it to what the size says.
    fn seek(file: &File<Self>, pos: u64, hole: bool) -> Result<Option<u64>>;
    /// Copies inside the server; `None` when it cannot. Both files are on the same super block.
    fn copy(
        from: &File<Self>,
        from_pos: u64,
        to: &File<Self>,
        to_pos: u64,
        len: usize,
    ) -> Result<Option<usize>>;
    /// Makes sure that the size is fresh.
    fn fresh_size(file: &File<Self>) -> Result;
}

/// Operations on open directories.
pub(crate) trait DirOperations: FileSystem {
    /// Opens a directory.
    fn open_dir(inode: &Inode<Self>, opening: &Opening<'_>) -> Result<KBox<Self::File>>;
    /// Runs at the last close.
    fn release_dir(inode: &Inode<Self>, flags: u32, data: KBox<Self::File>);
    /// Hands entries to `out`, from its position on.
    fn read_dir(file: &File<Self>, out: &mut Emitter<'_>) -> Result;
    /// Makes names durable.
    fn fsync_dir(file: &File<Self>, datasync: bool) -> Result;
}

/// Sets the private data of a file that was opened.
///
/// # Safety
///
/// `file` is being opened.
unsafe fn set_data<T: FileSystem>(file: *mut bindings::file, r: Result<KBox<T::File>>) -> c_int {
    to_int(r.map(|data| {
        // SAFETY: By the caller's promise; `take_data` takes the box back.
        unsafe { (*file).private_data = KBox::into_raw(data).cast() };
    }))
}

/// Takes the private data of a file that ends.
///
/// # Safety
///
/// `file` was opened with `set_data` and is being released.
unsafe fn take_data<T: FileSystem>(file: *mut bindings::file) -> (u32, Option<KBox<T::File>>) {
    // SAFETY: By the caller's promise.
    unsafe {
        let data = core::mem::replace(&mut (*file).private_data, core::ptr::null_mut());
        let data = NonNull::new(data).map(|p| KBox::from_raw(p.as_ptr().cast()));
        ((*file).f_flags, data)
    }
}

/// Wrappers of [`Operations`].
struct Wrap<T: Operations>(PhantomData<T>);

impl<T: Operations> Wrap<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        flush: Some(Self::flush),
        llseek: Some(Self::llseek),
        fallocate: Some(Self::fallocate),
        copy_file_range: Some(Self::copy_file_range),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        mmap: Some(Self::mmap),
        fsync: Some(Self::fsync),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`, and the file is being opened for it.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The inode belongs to this file system; the file is being opened.
        unsafe {
            let inode = Inode::<T>::from_raw(inode);
            if inode.is_bad() {
                return EIO.to_errno();
            }
            to_result(bindings::generic_file_open(inode.as_raw(), file))
                .map_or_else(Error::to_errno, |()| {
                    set_data::<T>(file, T::open(inode, &Opening::new(file)))
                })
        }
    }

    /// # Safety
    ///
    /// For the VFS only: both belong to `T`, and this is the end of the file.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As in `open`; the file ends.
        unsafe {
            if let (flags, Some(data)) = take_data::<T>(file) {
                T::release(Inode::from_raw(inode), flags, data);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`.
    unsafe extern "C" fn flush(file: *mut bindings::file, _owner: bindings::fl_owner_t) -> c_int {
        // SAFETY: As this function requires.
        let file = unsafe { File::<T>::from_raw(file) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::flush(file))
    }

    /// # Safety
    ///
    /// For the VFS only: the file of `iocb` is open and belongs to `T`; both are the caller's own, and `iter` takes data.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: Both are valid for the call; the VFS calls this for reads only.
        let mut io = unsafe { Read::<T>::new(iocb, iter) };
        if io.file().inode().is_bad() {
            return EIO.to_errno() as isize;
        }
        to_len(T::read(&mut io))
    }

    /// # Safety
    ///
    /// For the VFS only: as for `read_iter`, but `iter` gives data.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: Both are valid for the call; the VFS calls this for writes only.
        let mut io = unsafe { Write::<T>::new(iocb, iter) };
        if io.file().inode().is_bad() {
            return EIO.to_errno() as isize;
        }
        to_len(T::write(&mut io))
    }

    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`; `vma` is new and locked for writing.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        let mmap = Mmap {
            file,
            vma,
            _fs: PhantomData,
        };
        // SAFETY: As this function requires.
        let file = unsafe { File::<T>::from_raw(file) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::mmap(file, mmap))
    }

    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: As this function requires.
        let this = unsafe { File::<T>::from_raw(file) };
        if this.inode().is_bad() {
            return EIO.to_errno().into();
        }
        let hole = whence as u32 == bindings::SEEK_HOLE;
        let found = match whence as u32 {
            bindings::SEEK_HOLE | bindings::SEEK_DATA => match u64::try_from(offset) {
                Ok(pos) => T::seek(this, pos, hole),
                Err(_) => Err(ENXIO),
            },
            bindings::SEEK_END => T::fresh_size(this).map(|()| None),
            _ => Ok(None),
        };
        // SAFETY: As above.
        unsafe {
            match found {
                Ok(Some(pos)) => bindings::vfs_setpos(
                    file,
                    i64::try_from(pos).unwrap_or(-1),
                    (*(*(*file).f_inode).i_sb).s_maxbytes,
                ),
                Ok(None) => bindings::generic_file_llseek(file, offset, whence),
                Err(e) => e.to_errno().into(),
            }
        }
    }

    /// # Safety
    ///
    /// As for `llseek`.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        pos: bindings::loff_t,
        len: bindings::loff_t,
    ) -> c_long {
        // SAFETY: As this function requires. The VFS has checked that position and length are not negative.
        let this = unsafe { File::<T>::from_raw(file) };
        if this.inode().is_bad() {
            return EIO.to_errno() as c_long;
        }
        to_int(T::fallocate(this, mode as u32, pos as u64, len as u64)) as c_long
    }

    /// # Safety
    ///
    /// For the VFS only: both files are open, `to` belongs to `T`, and both have the same operations.
    unsafe extern "C" fn copy_file_range(
        from: *mut bindings::file,
        from_pos: bindings::loff_t,
        to: *mut bindings::file,
        to_pos: bindings::loff_t,
        len: usize,
        _flags: c_uint,
    ) -> isize {
        // SAFETY: As this function requires.
        unsafe {
            let same = (*(*from).f_inode).i_sb == (*(*to).f_inode).i_sb;
            let copied = if same {
                let (a, b) = (File::<T>::from_raw(from), File::<T>::from_raw(to));
                if a.inode().is_bad() || b.inode().is_bad() {
                    return EIO.to_errno() as isize;
                }
                T::copy(a, from_pos as u64, b, to_pos as u64, len)
            } else {
                Ok(None)
            };
            match copied {
                Ok(Some(n)) => n as isize,
                Ok(None) => {
                    bindings::rust_fuse_splice_copy_file_range(from, from_pos, to, to_pos, len)
                }
                Err(e) => e.to_errno() as isize,
            }
        }
    }

    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        start: bindings::loff_t,
        end: bindings::loff_t,
        datasync: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        let (this, written) = unsafe {
            let written = bindings::file_write_and_wait_range(file, start, end);
            (File::<T>::from_raw(file), to_result(written))
        };
        if this.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(written.and_then(|()| T::fsync(this, datasync != 0)))
    }
}

impl<T: Operations> New<T> {
    /// Makes it a regular file.
    pub(crate) fn set_file(&self) {
        self.set_file_ops(&Wrap::<T>::TABLE);
    }
}

/// Opens a file that was opened at the server already.
///
/// # Safety
///
/// `file` is being opened at `dentry`, which leads to `inode`.
pub(super) unsafe fn adopt<T: Operations>(
    inode: &Inode<T>,
    dentry: *mut bindings::dentry,
    file: *mut bindings::file,
    data: KBox<T::File>,
) -> Result {
    /// # Safety
    ///
    /// Nothing is required.
    unsafe extern "C" fn opened(_: *mut bindings::inode, _: *mut bindings::file) -> c_int {
        0
    }
    // SAFETY: By the caller's promise.
    let r = unsafe {
        (*file).private_data = KBox::into_raw(data).cast();
        to_result(bindings::generic_file_open(inode.as_raw(), file))
            .and_then(|()| to_result(bindings::finish_open(file, dentry, Some(opened))))
    };
    if r.is_err() {
        // SAFETY: The file was not opened, so nothing else takes its data.
        if let (flags, Some(data)) = unsafe { take_data::<T>(file) } {
            T::release(inode, flags, data);
        }
    }
    r
}

/// Wrappers of [`DirOperations`].
struct DirWrap<T: DirOperations>(PhantomData<T>);

/// The table of open directories.
pub(super) fn dir_table<T: DirOperations>() -> &'static bindings::file_operations {
    &DirWrap::<T>::TABLE
}

impl<T: DirOperations> DirWrap<T> {
    const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(bindings::generic_file_llseek),
        read: Some(bindings::generic_read_dir),
        iterate_shared: Some(Self::iterate),
        fsync: Some(Self::fsync),
        // SAFETY: A table without operations is valid.
        ..unsafe { core::mem::zeroed() }
    };

    /// # Safety
    ///
    /// For the VFS only: as for regular files.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As for regular files.
        unsafe {
            let inode = Inode::<T>::from_raw(inode);
            if inode.is_bad() {
                return EIO.to_errno();
            }
            set_data::<T>(file, T::open_dir(inode, &Opening::new(file)))
        }
    }

    /// # Safety
    ///
    /// For the VFS only: as for regular files.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: As for regular files.
        unsafe {
            if let (flags, Some(data)) = take_data::<T>(file) {
                T::release_dir(Inode::from_raw(inode), flags, data);
            }
        }
        0
    }

    /// # Safety
    ///
    /// For the VFS only: the directory is open and belongs to `T`; its inode lock is held, and `ctx` is the caller's own.
    unsafe extern "C" fn iterate(
        file: *mut bindings::file,
        ctx: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: The file is open; the context is ours for the call.
        let (file, mut out) = unsafe { (File::<T>::from_raw(file), Emitter::from_raw(ctx)) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::read_dir(file, &mut out))
    }

    /// # Safety
    ///
    /// For the VFS only: the directory is open and belongs to `T`.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        _start: bindings::loff_t,
        _end: bindings::loff_t,
        datasync: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        let file = unsafe { File::<T>::from_raw(file) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::fsync_dir(file, datasync != 0))
    }
}
