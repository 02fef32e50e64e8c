// SPDX-License-Identifier: GPL-2.0

//! Thin wrappers around the system calls that the server needs, with errors as plain errno values. All `unsafe` system
//! call code of the file server is in this file and in `creds.rs`.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::proto::FileLock;

/// A positive errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Result of an operation of the file server.
pub type Res<T> = Result<T, Errno>;

impl Errno {
    /// The calling thread's errno.
    pub fn last() -> Self {
        std::io::Error::last_os_error().into()
    }
}

impl From<std::io::Error> for Errno {
    fn from(e: std::io::Error) -> Self {
        Errno(e.raw_os_error().unwrap_or(libc::EIO))
    }
}

fn check(ret: libc::c_int) -> Res<()> {
    if ret < 0 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

fn check_len(ret: isize) -> Res<usize> {
    usize::try_from(ret).map_err(|_| Errno::last())
}

fn own(ret: libc::c_int) -> Res<OwnedFd> {
    if ret < 0 {
        return Err(Errno::last());
    }
    // SAFETY: the call succeeded and gave us a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(ret) })
}

/// openat2(2) of one component below `dir`: no symlink, no magic link and no way up is followed.
pub fn open_beneath(dir: RawFd, name: &CStr, flags: i32, mode: u32) -> Res<OwnedFd> {
    // SAFETY: open_how is plain data, all zero is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = mode as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    for _ in 0..128 {
        // SAFETY: `name` and `how` outlive the call.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir,
                name.as_ptr(),
                &how,
                std::mem::size_of::<libc::open_how>(),
            )
        };
        // EAGAIN says that a rename or mount went on meanwhile: try again.
        if ret >= 0 || Errno::last() != Errno(libc::EAGAIN) {
            return own(ret as libc::c_int);
        }
    }
    Err(Errno(libc::EAGAIN))
}

/// openat(2), for paths that the server itself makes.
pub fn openat(dir: RawFd, name: &CStr, flags: i32, mode: u32) -> Res<OwnedFd> {
    // SAFETY: `name` outlives the call.
    own(unsafe { libc::openat(dir, name.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

pub fn fstat(fd: RawFd) -> Res<libc::stat> {
    // SAFETY: stat is plain data.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is a valid out buffer.
    check(unsafe { libc::fstat(fd, &mut st) })?;
    Ok(st)
}

pub fn statx(fd: RawFd, flags: i32, mask: u32) -> Res<libc::statx> {
    // SAFETY: statx is plain data.
    let mut st: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the empty string is a valid path with AT_EMPTY_PATH, `st` a valid out buffer.
    check(unsafe { libc::statx(fd, c"".as_ptr(), flags | libc::AT_EMPTY_PATH, mask, &mut st) })?;
    Ok(st)
}

/// The mount that a descriptor was opened through.
pub fn mount_of(fd: RawFd) -> Res<u64> {
    Ok(statx(fd, 0, libc::STATX_MNT_ID)?.stx_mnt_id)
}

pub fn fstatvfs(fd: RawFd) -> Res<libc::statvfs> {
    // SAFETY: statvfs is plain data.
    let mut st: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is a valid out buffer.
    check(unsafe { libc::fstatvfs(fd, &mut st) })?;
    Ok(st)
}

pub fn readlink(fd: RawFd) -> Res<Vec<u8>> {
    let mut buf = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `buf` is valid for its length.
    let n = check_len(unsafe {
        libc::readlinkat(fd, c"".as_ptr(), buf.as_mut_ptr().cast(), buf.len())
    })?;
    buf.truncate(n);
    Ok(buf)
}

pub fn ftruncate(fd: RawFd, size: u64) -> Res<()> {
    let size = i64::try_from(size).map_err(|_| Errno(libc::EFBIG))?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::ftruncate64(fd, size) })
}

pub fn fallocate(fd: RawFd, mode: i32, offset: u64, len: u64) -> Res<()> {
    let offset = i64::try_from(offset).map_err(|_| Errno(libc::EINVAL))?;
    let len = i64::try_from(len).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::fallocate64(fd, mode, offset, len) })
}

pub fn lseek(fd: RawFd, offset: i64, whence: i32) -> Res<u64> {
    // SAFETY: no memory is passed.
    let ret = unsafe { libc::lseek64(fd, offset, whence) };
    u64::try_from(ret).map_err(|_| Errno::last())
}

pub fn fsync(fd: RawFd, datasync: bool) -> Res<()> {
    // SAFETY: no memory is passed.
    check(unsafe {
        if datasync {
            libc::fdatasync(fd)
        } else {
            libc::fsync(fd)
        }
    })
}

pub fn syncfs(fd: RawFd) -> Res<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syncfs(fd) })
}

/// close(2) of a duplicate, which makes network file systems report late write errors.
pub fn flush(fd: RawFd) -> Res<()> {
    // SAFETY: no memory is passed; the duplicate is ours to close.
    check(unsafe { libc::close(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0)) })
}

pub fn fchmodat(dir: RawFd, name: &CStr, mode: u32) -> Res<()> {
    // SAFETY: `name` outlives the call.
    check(unsafe { libc::fchmodat(dir, name.as_ptr(), mode, 0) })
}

pub fn chown_fd(fd: RawFd, uid: u32, gid: u32) -> Res<()> {
    // SAFETY: the empty string is a valid path with AT_EMPTY_PATH.
    check(unsafe { libc::fchownat(fd, c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) })
}

pub fn utimensat(dir: RawFd, name: &CStr, times: &[libc::timespec; 2]) -> Res<()> {
    // SAFETY: `name` and `times` outlive the call.
    check(unsafe { libc::utimensat(dir, name.as_ptr(), times.as_ptr(), 0) })
}

pub fn futimens(fd: RawFd, times: &[libc::timespec; 2]) -> Res<()> {
    // SAFETY: `times` outlives the call.
    check(unsafe { libc::futimens(fd, times.as_ptr()) })
}

pub fn mkdirat(dir: RawFd, name: &CStr, mode: u32) -> Res<()> {
    // SAFETY: `name` outlives the call.
    check(unsafe { libc::mkdirat(dir, name.as_ptr(), mode) })
}

pub fn mknodat(dir: RawFd, name: &CStr, mode: u32, rdev: u64) -> Res<()> {
    // SAFETY: `name` outlives the call.
    check(unsafe { libc::mknodat(dir, name.as_ptr(), mode, rdev) })
}

pub fn symlinkat(target: &CStr, dir: RawFd, name: &CStr) -> Res<()> {
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::symlinkat(target.as_ptr(), dir, name.as_ptr()) })
}

pub fn unlinkat(dir: RawFd, name: &CStr, flags: i32) -> Res<()> {
    // SAFETY: `name` outlives the call.
    check(unsafe { libc::unlinkat(dir, name.as_ptr(), flags) })
}

pub fn linkat(dir: RawFd, name: &CStr, newdir: RawFd, newname: &CStr, flags: i32) -> Res<()> {
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::linkat(dir, name.as_ptr(), newdir, newname.as_ptr(), flags) })
}

pub fn renameat2(dir: RawFd, name: &CStr, newdir: RawFd, newname: &CStr, flags: u32) -> Res<()> {
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::renameat2(dir, name.as_ptr(), newdir, newname.as_ptr(), flags) })
}

pub fn setxattr(path: &CStr, name: &CStr, value: &[u8], flags: i32) -> Res<()> {
    // SAFETY: strings and value outlive the call.
    check(unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags,
        )
    })
}

pub fn getxattr(path: &CStr, name: &CStr, buf: &mut [u8]) -> Res<usize> {
    // SAFETY: `buf` is valid for its length; with length 0 only the size is asked for.
    check_len(unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            buf.as_mut_ptr().cast(),
            buf.len(),
        )
    })
}

pub fn listxattr(path: &CStr, buf: &mut [u8]) -> Res<usize> {
    // SAFETY: `buf` is valid for its length; with length 0 only the size is asked for.
    check_len(unsafe { libc::listxattr(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) })
}

pub fn removexattr(path: &CStr, name: &CStr) -> Res<()> {
    // SAFETY: both strings outlive the call.
    check(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })
}

/// ioctl(2) that fills `buf` or reads it, as its number says.
pub fn ioctl(fd: RawFd, cmd: u32, buf: &mut [u8]) -> Res<()> {
    // SAFETY: callers pass the numbers of ioctls that touch at most the bytes of their `buf`.
    check(unsafe { libc::ioctl(fd, cmd as libc::Ioctl, buf.as_mut_ptr()) })
}

/// The lock's place, as fcntl(2) takes it.
fn flock_of(lk: &FileLock) -> libc::flock64 {
    // SAFETY: flock64 is plain data.
    let mut l: libc::flock64 = unsafe { std::mem::zeroed() };
    l.l_type = lk.typ as i16;
    l.l_whence = libc::SEEK_SET as i16;
    l.l_start = lk.start as i64;
    if lk.end < i64::MAX as u64 {
        l.l_len = (lk.end - lk.start + 1) as i64;
    }
    l
}

/// Takes or drops a lock that belongs to the open file `fd`; `EAGAIN` when another one is in the way.
pub fn set_lock(fd: RawFd, lk: &FileLock, flock: bool) -> Res<()> {
    if flock {
        let op = match lk.typ as i32 {
            libc::F_RDLCK => libc::LOCK_SH,
            libc::F_WRLCK => libc::LOCK_EX,
            _ => libc::LOCK_UN,
        };
        // SAFETY: no memory is passed.
        return check(unsafe { libc::flock(fd, op | libc::LOCK_NB) });
    }
    let l = flock_of(lk);
    // SAFETY: `l` outlives the call.
    check(unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &l) })
}

/// The lock of another open file that is in the way of `lk`, or one of type `F_UNLCK`. Its process is not known.
pub fn get_lock(fd: RawFd, lk: &FileLock) -> Res<FileLock> {
    let mut l = flock_of(lk);
    // SAFETY: `l` outlives the call.
    check(unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &mut l) })?;
    let end = match l.l_len {
        0 => i64::MAX as u64,
        n => (l.l_start + n - 1) as u64,
    };
    Ok(FileLock {
        start: l.l_start as u64,
        end,
        typ: l.l_type as u32,
        pid: 0,
    })
}

pub fn getdents(fd: RawFd, buf: &mut [u8]) -> Res<usize> {
    // SAFETY: `buf` is valid for its length.
    check_len(
        unsafe { libc::syscall(libc::SYS_getdents64, fd, buf.as_mut_ptr(), buf.len()) } as isize,
    )
}

pub fn copy_file_range(
    fd_in: RawFd,
    off_in: u64,
    fd_out: RawFd,
    off_out: u64,
    len: usize,
    flags: u32,
) -> Res<usize> {
    let mut off_in = i64::try_from(off_in).map_err(|_| Errno(libc::EINVAL))?;
    let mut off_out = i64::try_from(off_out).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the offsets outlive the call.
    check_len(unsafe {
        libc::copy_file_range(fd_in, &mut off_in, fd_out, &mut off_out, len, flags)
    })
}

/// The number of open descriptors that this process may have is raised to what the system allows: every inode that the
/// guest knows holds one.
pub fn raise_nofile() -> u64 {
    // SAFETY: rlimit is plain data and outlives the calls.
    unsafe {
        let mut lim: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut lim);
        lim.rlim_cur = lim.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &lim);
        lim.rlim_cur
    }
}

/// Gives the calling thread its own umask, and clears it: the client sends modes that are already masked.
pub fn own_umask() {
    // SAFETY: only the calling thread's file system attributes are concerned.
    unsafe {
        libc::unshare(libc::CLONE_FS);
        libc::umask(0);
    }
}

/// Sets the calling thread's umask.
pub fn umask(mask: u32) {
    // SAFETY: no memory is passed.
    unsafe { libc::umask(mask) };
}

/// Name of a descriptor below /proc/self/fd.
pub fn fd_name(fd: &impl AsRawFd) -> std::ffi::CString {
    std::ffi::CString::new(fd.as_raw_fd().to_string()).unwrap_or_default()
}
