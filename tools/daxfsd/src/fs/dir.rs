// SPDX-License-Identifier: GPL-2.0

//! Reading folders: OPENDIR, READDIR, READDIRPLUS.

use std::ffi::CStr;
use std::os::fd::AsRawFd;

use zerocopy::IntoBytes;

use super::{Cache, Reply, Request, Server};
use crate::proto;
use crate::sys::{self, Errno, Res};

/// Largest reply, whatever the client has room for.
const MAX_REPLY: usize = 1 << 20;

/// Size of the part of struct linux_dirent64 before the name.
const DIRENT64: usize = 19;

/// One record of getdents64(2).
struct Record<'a> {
    ino: u64,
    off: u64,
    typ: u8,
    name: &'a CStr,
}

/// Splits the first record off a buffer that getdents64(2) filled.
fn record(buf: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let word = |at: usize| Some(u64::from_ne_bytes(buf.get(at..at + 8)?.try_into().ok()?));
    let reclen = u16::from_ne_bytes(buf.get(16..18)?.try_into().ok()?) as usize;
    let (ino, off) = (word(0)?, word(8)?);
    let name = CStr::from_bytes_until_nul(buf.get(DIRENT64..reclen)?).ok()?;
    Some((
        Record {
            ino,
            off,
            typ: buf[18],
            name,
        },
        &buf[reclen..],
    ))
}

impl Server {
    pub(super) fn opendir(&self, req: &Request) -> Res<Reply> {
        let inode = self.node(req, req.hdr.nodeid)?;
        let fd = self.reopen(&inode, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let fh = self.add_handle(fd, inode.nodeid, true);
        let open_flags = match self.config().cache {
            Cache::Always => proto::FOPEN_CACHE_DIR | proto::FOPEN_KEEP_CACHE,
            _ => 0,
        };
        Reply::of(&proto::OpenOut {
            fh,
            open_flags,
            backing_id: 0,
        })
    }

    pub(super) fn readdir(&self, req: &Request, plus: bool) -> Res<Reply> {
        let (arg, _): (proto::ReadIn, _) = req.arg()?;
        let handle = self.handle(req, arg.fh, req.hdr.nodeid)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let lock = handle.dir.as_ref().ok_or(Errno(libc::ENOTDIR))?;
        let _position = lock.lock().unwrap_or_else(|e| e.into_inner());
        let room = (arg.size as usize).min(req.out.len()).min(MAX_REPLY);
        sys::lseek(handle.fd.as_raw_fd(), arg.offset as i64, libc::SEEK_SET)?;
        // A record of the host is never larger than ours, so what is read here is used up, but for the last few.
        let mut buf = vec![0u8; room.clamp(512, 64 << 10)];
        let n = sys::getdents(handle.fd.as_raw_fd(), &mut buf)?;
        let mut left = &buf[..n];
        let mut out = Vec::with_capacity(room);
        while let Some((rec, rest)) = record(left) {
            left = rest;
            let name = rec.name.to_bytes();
            let size = std::mem::size_of::<proto::Dirent>() + name.len();
            let size = if plus {
                size + std::mem::size_of::<proto::EntryOut>()
            } else {
                size
            }
            .next_multiple_of(8);
            if out.len() + size > room {
                break;
            }
            let end = out.len() + size;
            if plus {
                let mut entry = proto::EntryOut::default();
                if name != b"." && name != b".." {
                    // What has vanished since is listed without an inode, and the client asks again.
                    entry = self.lookup_in(&dir, rec.name, req.pass).unwrap_or_default();
                }
                out.extend_from_slice(entry.as_bytes());
            }
            let dirent = proto::Dirent {
                // The number of the parent of the shared folder is nobody's business.
                ino: if name == b".." && dir.nodeid == proto::ROOT_ID {
                    proto::ROOT_ID
                } else {
                    rec.ino
                },
                off: rec.off,
                namelen: name.len() as u32,
                typ: rec.typ as u32,
            };
            out.extend_from_slice(dirent.as_bytes());
            out.extend_from_slice(name);
            out.resize(end, 0);
        }
        if out.is_empty() && n > 0 {
            return Err(req.bad("no room for a single entry"));
        }
        Ok(Reply::Bytes(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut buf = Vec::new();
        for (ino, name) in [(5u64, "a"), (6, "bcdefgh")] {
            let reclen = (DIRENT64 + name.len() + 1).next_multiple_of(8);
            let at = buf.len();
            buf.extend_from_slice(&ino.to_ne_bytes());
            buf.extend_from_slice(&(ino * 10).to_ne_bytes());
            buf.extend_from_slice(&(reclen as u16).to_ne_bytes());
            buf.push(libc::DT_REG);
            buf.extend_from_slice(name.as_bytes());
            buf.resize(at + reclen, 0);
        }
        let (a, rest) = record(&buf).unwrap();
        assert_eq!(
            (a.ino, a.off, a.typ, a.name.to_bytes()),
            (5, 50, libc::DT_REG, &b"a"[..])
        );
        let (b, rest) = record(rest).unwrap();
        assert_eq!((b.ino, b.name.to_bytes()), (6, &b"bcdefgh"[..]));
        assert!(record(rest).is_none());
        assert!(record(&buf[..20]).is_none());
    }
}
