// SPDX-License-Identifier: GPL-2.0

//! Operations on names: looking up, creating, linking, renaming, removing.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use zerocopy::IntoBytes;

use super::attr::decode_dev;
use super::{Inode, Reply, Request, Server};
use crate::creds::AsUser;
use crate::gate::Pass;
use crate::proto::{self, init, op};
use crate::sys::{self, Errno, Res};

/// The thread's credentials and umask for a creation, put back when dropped.
struct Creator {
    _user: AsUser,
    umask: bool,
}

impl Drop for Creator {
    fn drop(&mut self) {
        if self.umask {
            sys::umask(0);
        }
    }
}

impl Server {
    /// Creates as the caller. The client has applied the umask already, unless it was asked not to: then the kernel
    /// here does, because it depends on default ACLs.
    fn creator(&self, req: &Request, umask: u32) -> Res<Creator> {
        let user = AsUser::new(req.hdr.uid, req.hdr.gid, req.group())?;
        let dont_mask = self.has(init::DONT_MASK);
        if dont_mask {
            thread_local!(static OWN: () = sys::own_umask());
            OWN.with(|()| sys::umask(umask & 0o777));
        }
        Ok(Creator {
            _user: user,
            umask: dont_mask,
        })
    }

    /// Takes a reference to the inode of a descriptor, for the client.
    fn entry(&self, fd: OwnedFd, name: &[u8], pass: &Pass) -> Res<proto::EntryOut> {
        let (inode, _) = self.inodes().add(fd, name)?;
        let attr = match self.attr(&inode, pass) {
            Ok(attr) => attr,
            Err(e) => {
                self.inodes().forget(inode.nodeid, 1);
                return Err(e);
            }
        };
        let valid = self.config().cache.timeout();
        Ok(proto::EntryOut {
            nodeid: inode.nodeid,
            generation: 0,
            entry_valid: valid.as_secs(),
            attr_valid: valid.as_secs(),
            entry_valid_nsec: valid.subsec_nanos(),
            attr_valid_nsec: valid.subsec_nanos(),
            attr,
        })
    }

    /// Looks a name up and takes a reference for the client.
    pub(super) fn lookup_in(&self, dir: &Inode, name: &CStr, pass: &Pass) -> Res<proto::EntryOut> {
        let fd = sys::open_beneath(dir.fd.as_raw_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        let submount = self.has(init::SUBMOUNTS)
            && sys::mount_of(fd.as_raw_fd())? != sys::mount_of(dir.fd.as_raw_fd())?;
        let mut entry = self.entry(fd, name.to_bytes(), pass)?;
        if submount && entry.attr.mode & libc::S_IFMT == libc::S_IFDIR {
            entry.attr.flags |= proto::ATTR_SUBMOUNT;
        }
        Ok(entry)
    }

    /// Gives back a reference that the client was not told of.
    pub(super) fn unlookup(&self, nodeid: u64) {
        let (_, gone) = self.inodes().forget(nodeid, 1);
        drop(gone);
    }

    /// Looks up an inode by its node id alone, or the folder that a folder is in. For clients that keep handles.
    fn lookup_dots(&self, req: &Request) -> Res<Reply> {
        let stale = Errno(libc::ESTALE);
        let inode = self.inodes().get(req.hdr.nodeid).ok_or(stale)?;
        let up = |fd: &OwnedFd| sys::openat(fd.as_raw_fd(), c"..", libc::O_PATH, 0);
        let fd = if req.body == b".\0" {
            let fd = inode.fd.try_clone().map_err(|_| Errno(libc::EMFILE))?;
            if sys::fstat(fd.as_raw_fd())?.st_nlink == 0 {
                return Err(stale);
            }
            fd
        } else {
            let root = self.inodes().get(proto::ROOT_ID).ok_or(stale)?;
            let parent = up(&inode.fd)?;
            // A folder may have been moved out of what is shared.
            let mut above = parent.try_clone().map_err(|_| Errno(libc::EMFILE))?;
            let id = |fd: &OwnedFd| sys::fstat(fd.as_raw_fd()).map(|st| (st.st_dev, st.st_ino));
            let top = id(&root.fd)?;
            while id(&above)? != top {
                let next = up(&above)?;
                if inode.nodeid == proto::ROOT_ID || id(&next)? == id(&above)? {
                    return Err(stale);
                }
                above = next;
            }
            parent
        };
        Reply::of(&self.entry(fd, b"", req.pass)?)
    }

    pub(super) fn lookup(&self, req: &Request) -> Res<Reply> {
        if self.has(init::EXPORT_SUPPORT) && matches!(req.body, b".\0" | b"..\0") {
            return self.lookup_dots(req);
        }
        let (name, _) = req.name(req.body)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        Reply::of(&self.lookup_in(&dir, name, req.pass)?)
    }

    pub(super) fn readlink(&self, req: &Request) -> Res<Reply> {
        let inode = self.node(req, req.hdr.nodeid)?;
        Ok(Reply::Bytes(sys::readlink(inode.fd.as_raw_fd())?))
    }

    pub(super) fn symlink(&self, req: &Request) -> Res<Reply> {
        let (name, rest) = req.name(req.body)?;
        let (target, _) = req.string(rest)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let creator = self.creator(req, 0)?;
        sys::symlinkat(target, dir.fd.as_raw_fd(), name)?;
        drop(creator);
        Reply::of(&self.lookup_in(&dir, name, req.pass)?)
    }

    pub(super) fn mknod(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::MknodIn, _) = req.arg()?;
        let (name, _) = req.name(rest)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let creator = self.creator(req, arg.umask)?;
        sys::mknodat(dir.fd.as_raw_fd(), name, arg.mode, decode_dev(arg.rdev))?;
        drop(creator);
        Reply::of(&self.lookup_in(&dir, name, req.pass)?)
    }

    pub(super) fn mkdir(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::MkdirIn, _) = req.arg()?;
        let (name, _) = req.name(rest)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let creator = self.creator(req, arg.umask)?;
        sys::mkdirat(dir.fd.as_raw_fd(), name, arg.mode & 0o7777)?;
        drop(creator);
        Reply::of(&self.lookup_in(&dir, name, req.pass)?)
    }

    pub(super) fn unlink(&self, req: &Request, flags: i32) -> Res<Reply> {
        let (name, _) = req.name(req.body)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        sys::unlinkat(dir.fd.as_raw_fd(), name, flags)?;
        Reply::OK
    }

    pub(super) fn rename(&self, req: &Request) -> Res<Reply> {
        let (newdir, flags, rest) = if req.hdr.opcode == op::RENAME {
            let (arg, rest): (proto::RenameIn, _) = req.arg()?;
            (arg.newdir, 0, rest)
        } else {
            let (arg, rest): (proto::Rename2In, _) = req.arg()?;
            (arg.newdir, arg.flags, rest)
        };
        let (old, rest) = req.name(rest)?;
        let (new, _) = req.name(rest)?;
        if flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE | libc::RENAME_WHITEOUT) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let dir = self.node(req, req.hdr.nodeid)?;
        let newdir = self.node(req, newdir)?;
        let _creator = (flags & libc::RENAME_WHITEOUT != 0)
            .then(|| self.creator(req, 0))
            .transpose()?;
        sys::renameat2(dir.fd.as_raw_fd(), old, newdir.fd.as_raw_fd(), new, flags)?;
        Reply::OK
    }

    pub(super) fn link(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::LinkIn, _) = req.arg()?;
        let (name, _) = req.name(rest)?;
        let inode = self.node(req, arg.oldnodeid)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let proc_fd = self.proc_fd.as_raw_fd();
        sys::linkat(
            proc_fd,
            &sys::fd_name(&inode.fd),
            dir.fd.as_raw_fd(),
            name,
            libc::AT_SYMLINK_FOLLOW,
        )?;
        Reply::of(&self.lookup_in(&dir, name, req.pass)?)
    }

    /// Reply with an entry and an open handle of a file that has just been created.
    fn created(&self, fd: OwnedFd, name: &[u8], req: &Request) -> Res<Reply> {
        let path = sys::openat(
            self.proc_fd.as_raw_fd(),
            &sys::fd_name(&fd),
            libc::O_PATH,
            0,
        )?;
        let entry = self.entry(path, name, req.pass)?;
        let fh = self.add_handle(fd, entry.nodeid, false);
        let open = proto::OpenOut {
            fh,
            open_flags: self.open_reply_flags(),
            backing_id: 0,
        };
        Ok(Reply::Bytes([entry.as_bytes(), open.as_bytes()].concat()))
    }

    pub(super) fn create(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::CreateIn, _) = req.arg()?;
        let (name, _) = req.name(rest)?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let flags = self.open_flags(arg.flags);
        let creator = self.creator(req, arg.umask)?;
        let excl = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let made = sys::open_beneath(dir.fd.as_raw_fd(), name, flags | excl, arg.mode & 0o7777);
        drop(creator);
        match made {
            Ok(fd) => self.created(fd, name.to_bytes(), req),
            // Somebody else was faster. What is there now is only opened if it is a regular file.
            Err(Errno(libc::EEXIST)) if arg.flags as i32 & libc::O_EXCL == 0 => {
                let entry = self.lookup_in(&dir, name, req.pass)?;
                match self
                    .node(req, entry.nodeid)
                    .and_then(|inode| self.open_inode(&inode, flags, arg.open_flags, req))
                {
                    Ok(open) => Ok(Reply::Bytes([entry.as_bytes(), open.as_bytes()].concat())),
                    Err(e) => {
                        self.unlookup(entry.nodeid);
                        Err(e)
                    }
                }
            }
            Err(e) => Err(e),
        }
    }

    pub(super) fn tmpfile(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::CreateIn, _) = req.arg()?;
        let dir = self.node(req, req.hdr.nodeid)?;
        let flags =
            self.open_flags(arg.flags) | libc::O_TMPFILE | (arg.flags as i32 & libc::O_EXCL);
        let creator = self.creator(req, arg.umask)?;
        let name = sys::fd_name(&dir.fd);
        let fd = sys::openat(self.proc_fd.as_raw_fd(), &name, flags, arg.mode & 0o7777)?;
        drop(creator);
        self.created(fd, b"", req)
    }
}
