// SPDX-License-Identifier: GPL-2.0

//! IOCTL: the flags of files, and a few ioctls of our own for tests.
//!
//! Flags are the host file's, except whether a file is to be reached by DAX: that is for the guest alone, and stands in an
//! extended attribute of the file.

use std::os::fd::AsRawFd;

use zerocopy::{FromBytes, IntoBytes};

use super::xattr::path;
use super::{Inode, Reply, Request, Server};
use crate::proto::{self, Fsxattr};
use crate::sys::{self, Errno, Res};

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_DAX_FL: u32 = 0x0200_0000;
const FS_XFLAG_DAX: u32 = 0x8000;

/// `1`: by DAX; `0`: not by DAX; else the rule decides.
const DAX_XATTR: &std::ffi::CStr = c"user.daxfsd.dax";

/// The type of the ioctls for tests. Any direction and size; the number says what happens:
/// 0: answers with the data that came, each byte inverted, then zeroes, and returns how many bytes came;
/// 1: says that the client is to come again with more memory; 2: returns ENOSYS; 3: returns EDOM together with data;
/// 4: answers with half of the data that is expected; 5: returns what is no errno; 6: returns the flags of the request;
/// 7: returns the number of the caller.
const TEST_TYPE: u32 = 0xda;

/// What a host file system without an ioctl says.
fn has_none(e: Errno) -> bool {
    matches!(e.0, libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS)
}

/// Reads flags of a host file; a host file system that has none shows none.
fn get<T: IntoBytes + FromBytes>(fd: i32, cmd: u32) -> Res<T> {
    let mut value = T::new_zeroed();
    match sys::ioctl(fd, cmd, value.as_mut_bytes()) {
        Err(e) if !has_none(e) => Err(e),
        _ => Ok(value),
    }
}

fn answer(result: i32, flags: u32, data: &[u8]) -> Res<Reply> {
    let out = proto::IoctlOut {
        result,
        flags,
        ..Default::default()
    };
    Ok(Reply::Bytes([out.as_bytes(), data].concat()))
}

impl Server {
    /// Whether a regular file is to be reached by DAX: by its own mark, else by the rule.
    pub(super) fn wants_dax(&self, inode: &Inode) -> bool {
        let mut mark = [0];
        match sys::getxattr(&path(inode), DAX_XATTR, &mut mark) {
            Ok(1) => mark[0] == b'1',
            _ => self.rule_wants_dax(inode),
        }
    }

    fn rule_wants_dax(&self, inode: &Inode) -> bool {
        let name = inode.name.lock().unwrap_or_else(|e| e.into_inner());
        let files = self.dax_files.read().unwrap_or_else(|e| e.into_inner());
        files.matches(&name)
    }

    fn has_dax_mark(&self, inode: &Inode) -> bool {
        inode.kind == libc::S_IFREG && self.wants_dax(inode)
    }

    fn mark_dax(&self, inode: &Inode, dax: bool) -> Res<()> {
        if self.has_dax_mark(inode) == dax {
            return Ok(());
        }
        if inode.kind != libc::S_IFREG {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        if self.rule_wants_dax(inode) == dax {
            return sys::removexattr(&path(inode), DAX_XATTR);
        }
        sys::setxattr(&path(inode), DAX_XATTR, if dax { b"1" } else { b"0" }, 0)
    }

    pub(super) fn ioctl(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::IoctlIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        let inode = self.node(req, req.hdr.nodeid)?;
        let data = rest
            .get(..arg.in_size as usize)
            .ok_or_else(|| req.bad("less data than announced"))?;
        let fd = handle.fd.as_raw_fd();
        match arg.cmd {
            FS_IOC_GETFLAGS => {
                let mut flags: u32 = get(fd, arg.cmd)?;
                flags &= !FS_DAX_FL;
                if self.has_dax_mark(&inode) {
                    flags |= FS_DAX_FL;
                }
                answer(0, 0, flags.as_bytes())
            }
            FS_IOC_SETFLAGS => {
                let (flags, _): (u32, _) = req.split(data)?;
                let old: u32 = get(fd, FS_IOC_GETFLAGS)?;
                let mut new = flags & !FS_DAX_FL | old & FS_DAX_FL;
                if new != old {
                    sys::ioctl(fd, arg.cmd, new.as_mut_bytes())?;
                }
                self.mark_dax(&inode, flags & FS_DAX_FL != 0)?;
                answer(0, 0, &[])
            }
            FS_IOC_FSGETXATTR => {
                let mut attr: Fsxattr = get(fd, arg.cmd)?;
                attr.xflags &= !FS_XFLAG_DAX;
                if self.has_dax_mark(&inode) {
                    attr.xflags |= FS_XFLAG_DAX;
                }
                answer(0, 0, attr.as_bytes())
            }
            FS_IOC_FSSETXATTR => {
                let (wanted, _): (Fsxattr, _) = req.split(data)?;
                let old: Fsxattr = get(fd, FS_IOC_FSGETXATTR)?;
                let mut new = Fsxattr {
                    xflags: wanted.xflags & !FS_XFLAG_DAX | old.xflags & FS_XFLAG_DAX,
                    nextents: old.nextents,
                    ..wanted
                };
                if new.as_bytes() != old.as_bytes() {
                    sys::ioctl(fd, arg.cmd, new.as_mut_bytes())?;
                }
                self.mark_dax(&inode, wanted.xflags & FS_XFLAG_DAX != 0)?;
                answer(0, 0, &[])
            }
            cmd if cmd >> 8 & 0xff == TEST_TYPE => {
                let mut out: Vec<u8> = data.iter().map(|b| !b).collect();
                out.resize((arg.out_size as usize).min(req.out.len()), 0);
                match cmd & 0xff {
                    0 => answer(arg.in_size as i32, 0, &out),
                    1 => answer(0, proto::IOCTL_RETRY, &[]),
                    2 => answer(-libc::ENOSYS, 0, &[]),
                    3 => answer(-libc::EDOM, 0, &out),
                    4 => answer(0, 0, &out[..out.len() / 2]),
                    5 => answer(-100_000, 0, &out),
                    6 => answer(arg.flags as i32, 0, &out),
                    7 => answer(req.hdr.pid as i32, 0, &out),
                    _ => Err(Errno(libc::ENOSYS)),
                }
            }
            // What reaches the host's files is for the host to allow: nothing else.
            _ => Err(Errno(libc::ENOTTY)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn numbers_of_the_c_header() {
        let number = |dir: u32, typ: u8, nr: u32, size: usize| {
            dir << 30 | (size as u32) << 16 | u32::from(typ) << 8 | nr
        };
        assert_eq!(FS_IOC_GETFLAGS, number(2, b'f', 1, 8));
        assert_eq!(FS_IOC_SETFLAGS, number(1, b'f', 2, 8));
        assert_eq!(FS_IOC_FSGETXATTR, number(2, b'X', 31, size_of::<Fsxattr>()));
        assert_eq!(FS_IOC_FSSETXATTR, number(1, b'X', 32, size_of::<Fsxattr>()));
    }
}
