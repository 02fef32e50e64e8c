// SPDX-License-Identifier: GPL-2.0

//! SETUPMAPPING and REMOVEMAPPING, as far as files are concerned; the window is in `dax`.

use std::os::fd::AsFd;

use super::{Reply, Request, Server};
use crate::proto;
use crate::sys::{Errno, Res};

impl Server {
    pub(super) fn setupmapping(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::SetupmappingIn, _) = req.arg()?;
        if self.window.size() == 0 {
            return Err(Errno(libc::ENOSYS));
        }
        // The client maps inodes, not handles: `fh` is usually -1, and a read-only handle would not do for QEMU.
        let inode = self.node(req, req.hdr.nodeid)?;
        if inode.kind != libc::S_IFREG {
            return Err(req.bad("not a regular file"));
        }
        let file = self.reopen(&inode, libc::O_RDWR)?;
        req.pass.outside(|| {
            let _io = self.io_alone(&inode);
            self.window.setup(inode.nodeid, file.as_fd(), &arg)
        })?;
        Reply::OK
    }

    pub(super) fn removemapping(&self, req: &Request) -> Res<Reply> {
        let (arg, mut rest): (proto::RemovemappingIn, _) = req.arg()?;
        if self.window.size() == 0 {
            return Err(Errno(libc::ENOSYS));
        }
        if arg.count == 0 || arg.count > proto::REMOVEMAPPING_MAX_ENTRY {
            return Err(req.bad("a wrong number of entries"));
        }
        let mut entries = Vec::with_capacity(arg.count as usize);
        for _ in 0..arg.count {
            let (one, next) = req.split::<proto::RemovemappingOne>(rest)?;
            entries.push(one);
            rest = next;
        }
        req.pass.outside(|| self.window.remove(&entries))?;
        Reply::OK
    }
}
