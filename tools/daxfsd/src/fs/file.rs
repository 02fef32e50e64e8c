// SPDX-License-Identifier: GPL-2.0

//! Operations on open files. Data goes straight between the file and guest memory.

use std::os::fd::AsRawFd;

use super::{Cache, Inode, Reply, Request, Server};
use crate::creds::KillPriv;
use crate::proto::{self, init, op};
use crate::sys::{self, Errno, Res};

impl Server {
    /// The flags with which a file is opened here. O_APPEND is left to each write, since the client writes its page
    /// cache back through any handle; O_DIRECT is about the client's cache only.
    pub(super) fn open_flags(&self, flags: u32) -> i32 {
        let keep = libc::O_ACCMODE | libc::O_TRUNC | libc::O_SYNC | libc::O_NOATIME;
        let mut flags = flags as i32 & keep;
        if self.has(init::WRITEBACK_CACHE) && flags & libc::O_ACCMODE == libc::O_WRONLY {
            // The client may have to read a page before it changes a part of it.
            flags = flags & !libc::O_ACCMODE | libc::O_RDWR;
        }
        flags
    }

    /// Has this thread clear set-user-id bits with what it changes: where the client says so, or leaves it to the server.
    pub(super) fn kill_priv(&self, told: bool) -> Res<KillPriv> {
        KillPriv::new(told || self.has(init::HANDLE_KILLPRIV))
    }

    pub(super) fn open_reply_flags(&self) -> u32 {
        let config = self.config();
        let usual = match config.cache {
            Cache::Never => proto::FOPEN_DIRECT_IO,
            Cache::Auto => 0,
            Cache::Always => proto::FOPEN_KEEP_CACHE,
        };
        usual | config.fopen
    }

    /// Opens a regular file for the client.
    pub(super) fn open_inode(
        &self,
        inode: &Inode,
        flags: i32,
        how: u32,
        req: &Request,
    ) -> Res<proto::OpenOut> {
        if inode.kind != libc::S_IFREG {
            return Err(Errno(if inode.kind == libc::S_IFDIR {
                libc::EISDIR
            } else {
                libc::ENXIO
            }));
        }
        let _io = (flags & libc::O_TRUNC != 0)
            .then(|| self.io_shared(inode, req.pass))
            .transpose()?;
        let _kill = KillPriv::new(how & proto::OPEN_KILL_SUIDGID != 0)?;
        let fd = self.reopen(inode, flags)?;
        let fh = self.add_handle(fd, inode.nodeid, false);
        Ok(proto::OpenOut {
            fh,
            open_flags: self.open_reply_flags(),
            backing_id: 0,
        })
    }

    pub(super) fn open(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::OpenIn, _) = req.arg()?;
        let inode = self.node(req, req.hdr.nodeid)?;
        Reply::of(&self.open_inode(&inode, self.open_flags(arg.flags), arg.open_flags, req)?)
    }

    pub(super) fn release(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::ReleaseIn, _) = req.arg()?;
        self.handle(req, arg.fh, req.hdr.nodeid)?;
        self.locks.released(req.hdr.nodeid, arg.fh);
        let gone = self.handles().remove(&arg.fh);
        drop(gone);
        Reply::OK
    }

    pub(super) fn read(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::ReadIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        let out = req.out.take(arg.size as usize);
        if out.truncated {
            return Err(Errno(libc::EFAULT));
        }
        let _io = self.io_shared(&inode, req.pass)?;
        out.read_from(handle.fd.as_raw_fd(), arg.offset)
            .map(Reply::InPlace)
    }

    pub(super) fn write(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::WriteIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        let data = req.data.take(arg.size as usize);
        if data.truncated {
            return Err(Errno(libc::EFAULT));
        }
        if data.len() < arg.size as usize {
            return Err(req.bad("less data than announced"));
        }
        let _io = self.io_shared(&inode, req.pass)?;
        let _kill = self.kill_priv(arg.write_flags & proto::WRITE_KILL_SUIDGID != 0)?;
        // Others may append to the same file on the host. Pages that are written back have their place already.
        let append = arg.flags as i32 & libc::O_APPEND != 0
            && arg.write_flags & proto::WRITE_CACHE == 0
            && !self.has(init::WRITEBACK_CACHE);
        let flags = if append { libc::RWF_APPEND } else { 0 };
        let size = data.write_to(handle.fd.as_raw_fd(), arg.offset, flags)? as u32;
        Reply::of(&proto::WriteOut { size, padding: 0 })
    }

    pub(super) fn flush(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::FlushIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        self.locks.flushed(req.hdr.nodeid, arg.lock_owner);
        sys::flush(handle.fd.as_raw_fd())?;
        Reply::OK
    }

    pub(super) fn fsync(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::FsyncIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        sys::fsync(
            handle.fd.as_raw_fd(),
            arg.fsync_flags & proto::FSYNC_FDATASYNC != 0,
        )?;
        Reply::OK
    }

    pub(super) fn syncfs(&self, req: &Request) -> Res<Reply> {
        let inode = self.node(req, req.hdr.nodeid)?;
        let fd = self.reopen(&inode, libc::O_RDONLY)?;
        sys::syncfs(fd.as_raw_fd())?;
        Reply::OK
    }

    pub(super) fn fallocate(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::FallocateIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        let _io = self.io_shared(&inode, req.pass)?;
        sys::fallocate(
            handle.fd.as_raw_fd(),
            arg.mode as i32,
            arg.offset,
            arg.length,
        )?;
        Reply::OK
    }

    pub(super) fn lseek(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::LseekIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        if handle.dir.is_some()
            || !(libc::SEEK_SET..=libc::SEEK_HOLE).contains(&(arg.whence as i32))
        {
            return Err(Errno(libc::EINVAL));
        }
        let inode = self.node(req, req.hdr.nodeid)?;
        let _io = self.io_shared(&inode, req.pass)?;
        let offset = sys::lseek(handle.fd.as_raw_fd(), arg.offset as i64, arg.whence as i32)?;
        Reply::of(&proto::LseekOut { offset })
    }

    pub(super) fn copy_file_range(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::CopyFileRangeIn, _) = req.arg()?;
        let from = self.handle(req, arg.fh_in, req.hdr.nodeid)?;
        let to = self.handle(req, arg.fh_out, arg.nodeid_out)?;
        let (a, b) = (self.node(req, from.nodeid)?, self.node(req, to.nodeid)?);
        // Always in the order of the node ids, and never twice the same: a waiting writer would lock us out.
        let (first, second) = if a.nodeid <= b.nodeid {
            (&a, &b)
        } else {
            (&b, &a)
        };
        let _first = self.io_shared(first, req.pass)?;
        let _second = (first.nodeid != second.nodeid)
            .then(|| self.io_shared(second, req.pass))
            .transpose()?;
        let len = arg.len.min(i32::MAX as u64 & !4095) as usize;
        let (fd_in, fd_out) = (from.fd.as_raw_fd(), to.fd.as_raw_fd());
        let n = sys::copy_file_range(
            fd_in,
            arg.off_in,
            fd_out,
            arg.off_out,
            len,
            arg.flags as u32,
        )?;
        if req.hdr.opcode == op::COPY_FILE_RANGE_64 {
            return Reply::of(&proto::CopyFileRangeOut {
                bytes_copied: n as u64,
            });
        }
        Reply::of(&proto::WriteOut {
            size: n as u32,
            padding: 0,
        })
    }
}
