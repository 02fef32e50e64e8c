// SPDX-License-Identifier: GPL-2.0

//! Attributes: GETATTR, SETATTR, STATX, STATFS.

use std::os::fd::AsRawFd;

use super::{Inode, Reply, Request, Server};
use crate::counters::count;
use crate::gate::Pass;
use crate::proto::{self, init};
use crate::sys::{self, Errno, Res};

/// A device number in the form that the protocol carries.
fn encode_dev(dev: u64) -> u32 {
    let (major, minor) = (libc::major(dev), libc::minor(dev));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// A device number from the protocol.
pub(super) fn decode_dev(dev: u32) -> u64 {
    libc::makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00))
}

impl Server {
    /// FUSE_ATTR_DAX for files that the rule chooses, if the client asked to be told.
    fn attr_flags(&self, inode: &Inode) -> u32 {
        if inode.kind != libc::S_IFREG || !self.has(init::HAS_INODE_DAX) {
            return 0;
        }
        if self.wants_dax(inode) {
            proto::ATTR_DAX
        } else {
            0
        }
    }

    /// The attributes of an inode.
    pub(super) fn attr(&self, inode: &Inode, pass: &Pass) -> Res<proto::Attr> {
        let _io = self.io_shared(inode, pass)?;
        let st = sys::fstat(inode.fd.as_raw_fd())?;
        Ok(proto::Attr {
            ino: st.st_ino,
            size: st.st_size as u64,
            blocks: st.st_blocks as u64,
            atime: st.st_atime as u64,
            mtime: st.st_mtime as u64,
            ctime: st.st_ctime as u64,
            atimensec: st.st_atime_nsec as u32,
            mtimensec: st.st_mtime_nsec as u32,
            ctimensec: st.st_ctime_nsec as u32,
            mode: st.st_mode,
            nlink: st.st_nlink as u32,
            uid: st.st_uid,
            gid: st.st_gid,
            rdev: encode_dev(st.st_rdev),
            blksize: st.st_blksize as u32,
            flags: self.attr_flags(inode),
        })
    }

    fn attr_reply(&self, inode: &Inode, pass: &Pass) -> Res<Reply> {
        let valid = self.config().cache.timeout();
        Reply::of(&proto::AttrOut {
            attr_valid: valid.as_secs(),
            attr_valid_nsec: valid.subsec_nanos(),
            dummy: 0,
            attr: self.attr(inode, pass)?,
        })
    }

    pub(super) fn getattr(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::GetattrIn, _) = req.arg()?;
        if arg.getattr_flags & proto::GETATTR_FH != 0 {
            self.handle(req, arg.fh, req.hdr.nodeid)?;
            count(&self.counters.by_handle);
        }
        self.attr_reply(&*self.node(req, req.hdr.nodeid)?, req.pass)
    }

    pub(super) fn setattr(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::SetattrIn, _) = req.arg()?;
        let inode = self.node(req, req.hdr.nodeid)?;
        let on = |flag| arg.valid & flag != 0;
        let (proc_fd, name) = (self.proc_fd.as_raw_fd(), sys::fd_name(&inode.fd));
        if on(proto::FATTR_FH) {
            self.handle(req, arg.fh, inode.nodeid)?;
            count(&self.counters.by_handle);
        }
        if on(proto::FATTR_MODE) {
            if inode.kind == libc::S_IFLNK {
                return Err(Errno(libc::EOPNOTSUPP));
            }
            sys::fchmodat(proc_fd, &name, arg.mode & 0o7777)?;
        }
        if on(proto::FATTR_UID | proto::FATTR_GID) {
            let uid = if on(proto::FATTR_UID) {
                arg.uid
            } else {
                u32::MAX
            };
            let gid = if on(proto::FATTR_GID) {
                arg.gid
            } else {
                u32::MAX
            };
            let _kill = self.kill_priv(on(proto::FATTR_KILL_SUIDGID))?;
            sys::chown_fd(inode.fd.as_raw_fd(), uid, gid)?;
        }
        if on(proto::FATTR_SIZE) {
            let handle = on(proto::FATTR_FH)
                .then(|| self.handle(req, arg.fh, inode.nodeid))
                .transpose()?;
            let _io = self.io_shared(&inode, req.pass)?;
            let _kill = self.kill_priv(on(proto::FATTR_KILL_SUIDGID))?;
            let by_handle = handle.map(|h| sys::ftruncate(h.fd.as_raw_fd(), arg.size));
            match by_handle {
                // A handle that is open only for reading: the client has checked the right to write.
                None | Some(Err(Errno(libc::EINVAL | libc::EBADF)))
                    if inode.kind == libc::S_IFREG =>
                {
                    sys::ftruncate(self.reopen(&inode, libc::O_WRONLY)?.as_raw_fd(), arg.size)?;
                }
                Some(done) => done?,
                None => return Err(Errno(libc::EINVAL)),
            }
        }
        if on(proto::FATTR_ATIME
            | proto::FATTR_MTIME
            | proto::FATTR_ATIME_NOW
            | proto::FATTR_MTIME_NOW)
        {
            let time = |set: bool, now: bool, sec: u64, nsec: u32| libc::timespec {
                tv_sec: sec as i64,
                tv_nsec: match (set, now) {
                    (_, true) => libc::UTIME_NOW,
                    (true, _) => nsec.min(999_999_999) as i64,
                    _ => libc::UTIME_OMIT,
                },
            };
            let times = [
                time(
                    on(proto::FATTR_ATIME),
                    on(proto::FATTR_ATIME_NOW),
                    arg.atime,
                    arg.atimensec,
                ),
                time(
                    on(proto::FATTR_MTIME),
                    on(proto::FATTR_MTIME_NOW),
                    arg.mtime,
                    arg.mtimensec,
                ),
            ];
            // Mapping into the window puts times back, so this must not happen in between.
            let _io = self.io_shared(&inode, req.pass)?;
            sys::utimensat(proc_fd, &name, &times)?;
        }
        self.attr_reply(&inode, req.pass)
    }

    pub(super) fn statx(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::StatxIn, _) = req.arg()?;
        if arg.getattr_flags & proto::GETATTR_FH != 0 {
            self.handle(req, arg.fh, req.hdr.nodeid)?;
            count(&self.counters.by_handle);
        }
        let inode = self.node(req, req.hdr.nodeid)?;
        let io = self.io_shared(&inode, req.pass)?;
        let sync = arg.sx_flags as i32 & libc::AT_STATX_SYNC_TYPE;
        let st = sys::statx(
            inode.fd.as_raw_fd(),
            sync,
            arg.sx_mask & libc::STATX_ALL | libc::STATX_BTIME,
        )?;
        drop(io);
        let time = |t: libc::statx_timestamp| proto::SxTime {
            tv_sec: t.tv_sec,
            tv_nsec: t.tv_nsec,
            reserved: 0,
        };
        let valid = self.config().cache.timeout();
        Reply::of(&proto::StatxOut {
            attr_valid: valid.as_secs(),
            attr_valid_nsec: valid.subsec_nanos(),
            flags: 0,
            spare: [0; 2],
            stat: proto::Statx {
                mask: st.stx_mask & (libc::STATX_BASIC_STATS | libc::STATX_BTIME),
                blksize: st.stx_blksize,
                attributes: st.stx_attributes,
                nlink: st.stx_nlink,
                uid: st.stx_uid,
                gid: st.stx_gid,
                mode: st.stx_mode,
                spare0: 0,
                ino: st.stx_ino,
                size: st.stx_size,
                blocks: st.stx_blocks,
                attributes_mask: st.stx_attributes_mask,
                atime: time(st.stx_atime),
                btime: time(st.stx_btime),
                ctime: time(st.stx_ctime),
                mtime: time(st.stx_mtime),
                rdev_major: st.stx_rdev_major,
                rdev_minor: st.stx_rdev_minor,
                dev_major: st.stx_dev_major,
                dev_minor: st.stx_dev_minor,
                spare2: [0; 14],
            },
        })
    }

    pub(super) fn statfs(&self, req: &Request) -> Res<Reply> {
        let inode = self.node(req, req.hdr.nodeid)?;
        let st = sys::fstatvfs(inode.fd.as_raw_fd())?;
        Reply::of(&proto::StatfsOut {
            blocks: st.f_blocks,
            bfree: st.f_bfree,
            bavail: st.f_bavail,
            files: st.f_files,
            ffree: st.f_ffree,
            bsize: st.f_bsize as u32,
            namelen: st.f_namemax as u32,
            frsize: st.f_frsize as u32,
            padding: 0,
            spare: [0; 6],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers() {
        for (major, minor) in [(0, 0), (8, 1), (259, 0x12345), (4095, 255)] {
            let dev = libc::makedev(major, minor);
            assert_eq!(decode_dev(encode_dev(dev)), dev);
        }
    }
}
