// SPDX-License-Identifier: GPL-2.0

//! Extended attributes, through /proc/self/fd because O_PATH descriptors do not allow them directly.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use super::{Inode, Reply, Request, Server};
use crate::creds::KillPriv;
use crate::proto::{self, init};
use crate::sys::{self, Errno, Res};

/// Largest value and largest list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const MAX: usize = 65536;

pub(super) fn path(inode: &Inode) -> CString {
    CString::new(format!("/proc/self/fd/{}", inode.fd.as_raw_fd())).unwrap_or_default()
}

/// Answers a question for `size` bytes: with 0 the client only asks how large the value is.
fn reply(size: u32, get: impl Fn(&mut [u8]) -> Res<usize>) -> Res<Reply> {
    if size == 0 {
        let size = get(&mut [])? as u32;
        return Reply::of(&proto::GetxattrOut { size, padding: 0 });
    }
    let mut buf = vec![0u8; (size as usize).min(MAX)];
    let n = get(&mut buf)?;
    buf.truncate(n);
    Ok(Reply::Bytes(buf))
}

impl Server {
    pub(super) fn setxattr(&self, req: &Request) -> Res<Reply> {
        let (size, flags, kill, rest) = if self.has(init::SETXATTR_EXT) {
            let (arg, rest): (proto::SetxattrExtIn, _) = req.arg()?;
            (
                arg.size,
                arg.flags,
                arg.setxattr_flags & proto::SETXATTR_ACL_KILL_SGID != 0,
                rest,
            )
        } else {
            let (arg, rest): (proto::SetxattrIn, _) = req.arg()?;
            (arg.size, arg.flags, false, rest)
        };
        let (name, rest) = req.string(rest)?;
        let value = rest
            .get(..size as usize)
            .ok_or_else(|| req.bad("less value than announced"))?;
        if value.len() > MAX {
            return Err(Errno(libc::E2BIG));
        }
        let inode = self.node(req, req.hdr.nodeid)?;
        let _kill = KillPriv::new(kill)?;
        sys::setxattr(&path(&inode), name, value, flags as i32)?;
        Reply::OK
    }

    pub(super) fn getxattr(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::GetxattrIn, _) = req.arg()?;
        let (name, _) = req.string(rest)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        reply(arg.size, |buf| sys::getxattr(&path(&inode), name, buf))
    }

    pub(super) fn listxattr(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::GetxattrIn, _) = req.arg()?;
        let inode = self.node(req, req.hdr.nodeid)?;
        reply(arg.size, |buf| sys::listxattr(&path(&inode), buf))
    }

    pub(super) fn removexattr(&self, req: &Request) -> Res<Reply> {
        let (name, _) = req.string(req.body)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        sys::removexattr(&path(&inode), name)?;
        Reply::OK
    }
}
