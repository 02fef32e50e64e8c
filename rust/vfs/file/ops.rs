// SPDX-License-Identifier: GPL-2.0

//! What the VFS asks of open regular files.
//!
//! It holds no lock of the inode around any of this, and none is taken here. A mapping is made under the mmap lock.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    ioctl, lock, poll, set_data, take_data, File, Inode, IoctlOperations, LockOperations, Mmap,
    Opening, Owner, PollOperations, Splice,
};
use crate::{
    bindings, errno,
    vfs::{
        inode::New,
        iter::{Read, Write},
        to_int, to_len,
    },
};
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*};

/// Operations on regular files.
pub(crate) trait Operations: IoctlOperations + LockOperations + PollOperations {
    /// Opens. `EINVAL` and every error of the server are handed to the caller.
    fn open(inode: &Inode<Self>, opening: &Opening<'_>) -> Result<KBox<Self::File>>;
    /// A file that the server has created and opened is opened here. `flags` of what was opened may change.
    fn opened(_inode: &Inode<Self>, _opening: &Opening<'_>, _data: &mut Self::File) -> Result {
        Ok(())
    }
    /// Runs at the last close.
    fn release(_inode: &Inode<Self>, _flags: u32, _data: KBox<Self::File>) {}
    /// Runs when `owner` closes a descriptor.
    fn flush(_file: &File<Self>, _owner: Owner) -> Result {
        Ok(())
    }
    /// Reads; returns the bytes that were read and has moved the position.
    fn read(io: &mut Read<'_, Self>) -> Result<usize>;
    /// Writes; returns the bytes that were written and has moved the position.
    fn write(_io: &mut Write<'_, Self>) -> Result<usize> {
        Err(EINVAL)
    }
    /// Moves data into a pipe.
    fn splice_read(splice: Splice<'_, Self>) -> Result<usize> {
        splice.read()
    }
    /// Data was read from the file's backing file.
    fn backing_read(_file: &File<Self>) {}
    /// A write to the file's backing file ended: `result` bytes before `pos`. It may have been an asynchronous one; it is told
    /// before the call ends.
    fn backing_written(_file: &File<Self>, _pos: u64, _result: Result<usize>) {}
    /// Maps into memory.
    fn mmap(_file: &File<Self>, _mmap: Mmap<'_, Self>) -> Result {
        Err(ENODEV)
    }
    /// A mapping of the page cache ended.
    fn unmapped(_file: &File<Self>) {}
    /// Makes the data of `[start, end]` (and with `datasync` false all attributes) durable.
    fn fsync(_file: &File<Self>, _start: u64, _end: u64, _datasync: bool) -> Result {
        Ok(())
    }
    /// Allocates, punches or zeroes (`FALLOC_FL_*`).
    fn fallocate(_file: &File<Self>, _mode: u32, _pos: u64, _len: u64) -> Result {
        Err(errno::eopnotsupp())
    }
    /// Finds the next hole or the next data at `pos`. `None` leaves it to what the size says.
    fn seek(_file: &File<Self>, _pos: u64, _hole: bool) -> Result<Option<u64>> {
        Ok(None)
    }
    /// Copies inside the server; `None` when it cannot. Both files are on the same super block.
    fn copy(
        _from: &File<Self>,
        _from_pos: u64,
        _to: &File<Self>,
        _to_pos: u64,
        _len: usize,
    ) -> Result<Option<usize>> {
        Ok(None)
    }
    /// Makes sure that the size is fresh.
    fn fresh_size(_file: &File<Self>) -> Result {
        Ok(())
    }
    /// Somebody begins, or ends, to have read what will be needed, and does not want to wait for it.
    fn advised(_file: &File<Self>, _begins: bool) {}
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
        // Leases hold among the users of this client.
        setlease: Some(bindings::generic_setlease),
        fsync: Some(Self::fsync),
        poll: Some(poll::Wrap::<T>::poll),
        lock: Some(lock::Wrap::<T>::lock),
        flock: Some(lock::Wrap::<T>::flock),
        unlocked_ioctl: Some(ioctl::Wrap::<T>::native),
        compat_ioctl: Some(ioctl::Wrap::<T>::compat),
        splice_read: Some(Self::splice_read),
        // By way of `write`, also to backing files: the pipe's lock comes before the inode's.
        splice_write: Some(bindings::iter_file_splice_write),
        get_unmapped_area: Some(bindings::thp_get_unmapped_area),
        fadvise: Some(Self::fadvise),
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
    unsafe extern "C" fn flush(file: *mut bindings::file, owner: bindings::fl_owner_t) -> c_int {
        // SAFETY: As this function requires.
        let (file, owner) = unsafe { (File::<T>::from_raw(file), Owner::from_raw(owner)) };
        if file.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::flush(file, owner))
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
    /// For the VFS only: the file is open and belongs to `T`; everything is valid for the call.
    unsafe extern "C" fn splice_read(
        file: *mut bindings::file,
        pos: *mut bindings::loff_t,
        pipe: *mut bindings::pipe_inode_info,
        len: usize,
        flags: c_uint,
    ) -> isize {
        // INVARIANT: As this function requires.
        let splice = Splice {
            file,
            pos,
            pipe,
            len,
            flags,
            _fs: PhantomData,
        };
        if splice.file().inode().is_bad() {
            return EIO.to_errno() as isize;
        }
        to_len(T::splice_read(splice))
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
        // SAFETY: As this function requires. The VFS has checked that the positions are not negative.
        let this = unsafe { File::<T>::from_raw(file) };
        if this.inode().is_bad() {
            return EIO.to_errno();
        }
        to_int(T::fsync(this, start as u64, end as u64, datasync != 0))
    }
}

impl<T: Operations> Wrap<T> {
    /// # Safety
    ///
    /// For the VFS only: the file is open and belongs to `T`.
    unsafe extern "C" fn fadvise(
        file: *mut bindings::file,
        pos: bindings::loff_t,
        len: bindings::loff_t,
        advice: c_int,
    ) -> c_int {
        // SAFETY: As this function requires.
        let this = unsafe { File::<T>::from_raw(file) };
        let ahead = advice == bindings::RUST_FUSE_FADV_WILLNEED;
        if ahead {
            T::advised(this, true);
        }
        // SAFETY: As above.
        let r = unsafe { bindings::generic_fadvise(file, pos, len, advice) };
        if ahead {
            T::advised(this, false);
        }
        r
    }
}

impl<T: Operations> New<T> {
    /// Makes it a regular file.
    pub(crate) fn set_file(&self) {
        self.set_file_ops(&Wrap::<T>::TABLE);
        self.set_stacked();
    }
}

/// Opens a file that was opened at the server already.
///
/// # Safety
///
/// `file` is being opened at `dentry`, which leads to `inode`.
pub(in crate::vfs) unsafe fn adopt<T: Operations>(
    inode: &Inode<T>,
    dentry: *mut bindings::dentry,
    file: *mut bindings::file,
    data: KBox<T::File>,
) -> Result {
    /// # Safety
    ///
    /// For the VFS only: the inode belongs to `T`; the file is being opened, and its data is set.
    unsafe extern "C" fn opened<T: Operations>(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> c_int {
        // SAFETY: As this function requires; nobody else uses the file yet.
        unsafe {
            let data = &mut *(*file).private_data.cast::<T::File>();
            to_int(T::opened(Inode::from_raw(inode), &Opening::new(file), data))
        }
    }
    // SAFETY: By the caller's promise.
    let r = unsafe {
        let positions = T::positions(&data);
        (*file).private_data = KBox::into_raw(data).cast();
        to_result(bindings::generic_file_open(inode.as_raw(), file))
            .and_then(|()| to_result(bindings::finish_open(file, dentry, Some(opened::<T>))))
            .inspect(|()| super::set_positions(file, positions))
    };
    if r.is_err() {
        // SAFETY: The file was not opened, so nothing else takes its data.
        if let (flags, Some(data)) = unsafe { take_data::<T>(file) } {
            T::release(inode, flags, data);
        }
    }
    r
}
