// SPDX-License-Identifier: GPL-2.0

//! ioctls, and the flags of files, which travel as ioctls.
//!
//! How many bytes an ioctl carries is in its number, and no server may ask for more: a server cannot read or write other
//! memory of the caller. Flags of files have no open file to be asked through, so one is opened for each question.
//!
//! Takes no locks; the VFS holds the inode lock while flags change.

use crate::{
    attr::{self, S_IFDIR, S_IFMT, S_IFREG},
    chan::{Flow, Payload},
    conn::Conn,
    errno,
    inode::Inode,
    ops::file::{Ioctl, Open, Release},
    proto::{
        file::{IoctlIn, IoctlOut, OpenIn},
        flags::{InitFlags, IoctlFlags},
        ids::{Fh, NodeId},
    },
    stat,
    vfs::{
        file::{self, Abi, File, IoctlOperations},
        fileattr::{self, Extended},
        inode::fields,
        page::Pages,
    },
    Fuse,
};
use kernel::{
    ioctl::{_IOR, _IOW},
    prelude::*,
};
use zerocopy::IntoBytes;

const FS_IOC_GETFLAGS: u32 = _IOR::<c_long>(b'f' as u32, 1);
const FS_IOC_SETFLAGS: u32 = _IOW::<c_long>(b'f' as u32, 2);
const FS_IOC_FSGETXATTR: u32 = _IOR::<Extended>(b'X' as u32, 31);
const FS_IOC_FSSETXATTR: u32 = _IOW::<Extended>(b'X' as u32, 32);

/// Errors lie above this number.
const ERRNO_LIMIT: i32 = -512;

fn is_dir(inode: &Inode) -> bool {
    inode.mode() & S_IFMT == S_IFDIR
}

/// The flags of an ioctl on `inode`.
fn flags_for(inode: &Inode) -> IoctlFlags {
    if is_dir(inode) {
        IoctlFlags::DIR
    } else {
        IoctlFlags::empty()
    }
}

/// A server without this ioctl, or without any.
fn not_a_tty(e: Error) -> Error {
    if e == errno::enosys() {
        ENOTTY
    } else {
        e
    }
}

/// What an answer says that the ioctl returns.
///
/// # Errors
///
/// `EIO` for one that asks for more of the caller's memory, and for a result that is no errno.
fn result_of(inode: &Inode, out: &IoctlOut) -> Result<i32> {
    if out.flags.contains(IoctlFlags::RETRY) || out.result <= ERRNO_LIMIT {
        if crate::vfs::ratelimit() {
            pr_warn!(
                "invalid answer to an ioctl on node {}: it fails with EIO\n",
                inode.key()
            );
        }
        return Err(EIO);
    }
    if out.result == errno::enosys().to_errno() {
        return Ok(ENOTTY.to_errno());
    }
    Ok(out.result)
}

impl IoctlOperations for Fuse {
    fn ioctl(file: &File<Self>, ioctl: &file::Ioctl) -> Result<i32> {
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        let (mut input, mut output) = (ioctl.input(), ioctl.output());
        let (to, from) = (input.len(), output.len());
        if to.max(from) > conn.negotiated().max_read {
            return Err(ENOMEM);
        }
        let (mut sent, room) = (Pages::new(to)?, Pages::new(from)?);
        for chunk in sent.chunks_mut(to) {
            input.read_slice(chunk)?;
        }
        let flags = flags_for(inode)
            | match ioctl.abi() {
                Abi::Native => IoctlFlags::empty(),
                Abi::Compat => IoctlFlags::COMPAT | IoctlFlags::IOCTL_32BIT,
                Abi::X32 => IoctlFlags::COMPAT | IoctlFlags::IOCTL_32BIT | IoctlFlags::COMPAT_X32,
            };
        let op = Ioctl {
            nodeid: NodeId::new(inode.key()),
            arg: IoctlIn {
                fh: file.data().handle(),
                flags,
                cmd: ioctl.cmd(),
                arg: ioctl.arg(),
                in_size: to as u32,
                out_size: from as u32,
            },
        };
        let (out, payload, len) = conn
            .call_with(
                inode.sb(),
                &op,
                Payload::Exchange(sent, room),
                Flow::Both(to as u32, from as u32),
            )
            .map_err(not_a_tty)?;
        let result = result_of(inode, &out)?;
        if let Payload::Exchange(_, room) = payload {
            for chunk in room.chunks(len) {
                output.write_slice(chunk)?;
            }
        }
        Ok(result)
    }
}

/// A file or directory that is open for a question of our own, and released when it is dropped.
struct Opened<'a, const DIR: bool> {
    inode: &'a Inode,
    fh: Option<Fh>,
}

impl<'a, const DIR: bool> Opened<'a, DIR> {
    fn new(inode: &'a Inode) -> Result<Self> {
        let conn: &Conn = inode.sb().data();
        let missing = if DIR {
            &conn.missing.opendir
        } else {
            &conn.missing.open
        };
        if missing.get() {
            return Ok(Self { inode, fh: None });
        }
        let op = Open::<DIR> {
            nodeid: NodeId::new(inode.key()),
            arg: OpenIn::default(),
        };
        match conn.call(inode.sb(), &op) {
            Ok(out) => Ok(Self {
                inode,
                fh: Some(out.fh),
            }),
            Err(e) if e == errno::enosys() => {
                missing.set();
                Ok(Self { inode, fh: None })
            }
            Err(e) => Err(e),
        }
    }

    /// Sends `data` with the ioctl `cmd`, and fills `room` with the answer.
    fn ioctl(&self, cmd: u32, data: &[u8], room: &mut [u8]) -> Result {
        let inode = self.inode;
        let conn: &Conn = inode.sb().data();
        let mut sent = Pages::new(data.len())?;
        for (to, from) in Iterator::zip(
            sent.chunks_mut(data.len()),
            data.chunks(kernel::page::PAGE_SIZE),
        ) {
            to.copy_from_slice(from);
        }
        let (to, from) = (data.len() as u32, room.len() as u32);
        let op = Ioctl {
            nodeid: NodeId::new(inode.key()),
            arg: IoctlIn {
                fh: self.fh.unwrap_or_default(),
                flags: flags_for(inode),
                cmd,
                arg: 0,
                in_size: to,
                out_size: from,
            },
        };
        let payload = Payload::Exchange(sent, Pages::new(room.len())?);
        let (out, payload, len) = conn
            .call_with(inode.sb(), &op, payload, Flow::Both(to, from))
            .map_err(not_a_tty)?;
        let result = result_of(inode, &out)?;
        if result < 0 {
            return Err(Error::from_errno(result));
        }
        match payload {
            Payload::Exchange(_, pages) if len == room.len() => {
                for (to, from) in
                    Iterator::zip(room.chunks_mut(kernel::page::PAGE_SIZE), pages.chunks(len))
                {
                    to.copy_from_slice(from);
                }
                Ok(())
            }
            _ => Err(EIO),
        }
    }
}

impl<const DIR: bool> Drop for Opened<'_, DIR> {
    fn drop(&mut self) {
        if let Some(fh) = self.fh {
            let op = Release::<DIR>::new(NodeId::new(self.inode.key()), fh, 0);
            let _ = self.inode.sb().data().call(self.inode.sb(), &op);
        }
    }
}

/// Asks the server about the flags of a file.
///
/// # Errors
///
/// `ENOTTY` for what is neither a regular file nor a directory, and where the server has no flags.
fn ask(inode: &Inode, cmd: u32, data: &[u8], room: &mut [u8]) -> Result {
    match inode.mode() & S_IFMT {
        S_IFREG => Opened::<false>::new(inode)?.ioctl(cmd, data, room),
        S_IFDIR => Opened::<true>::new(inode)?.ioctl(cmd, data, room),
        _ => Err(ENOTTY),
    }
}

/// The flags were changed, and with them perhaps whether the file is to be reached by DAX. A file that is used by nobody else
/// then leaves memory when it is closed, and comes back as what it is now: this is known here, not when attributes expire.
fn changed(inode: &Inode) {
    attr::expire(inode);
    let conn: &Conn = inode.sb().data();
    if conn.has(InitFlags::HAS_INODE_DAX) && inode.is_regular() {
        let _ = stat::refresh(inode, None, fields::BASIC, true, true);
    }
}

impl fileattr::Operations for Fuse {
    fn flags(inode: &Inode) -> Result<u32> {
        let mut flags = 0u32;
        ask(inode, FS_IOC_GETFLAGS, &[], flags.as_mut_bytes())?;
        Ok(flags)
    }

    fn set_flags(inode: &Inode, flags: u32) -> Result {
        ask(inode, FS_IOC_SETFLAGS, flags.as_bytes(), &mut [])?;
        changed(inode);
        Ok(())
    }

    fn extended(inode: &Inode) -> Result<Extended> {
        let mut attr = Extended::default();
        ask(inode, FS_IOC_FSGETXATTR, &[], attr.as_mut_bytes())?;
        Ok(attr)
    }

    fn set_extended(inode: &Inode, attr: &Extended) -> Result {
        ask(inode, FS_IOC_FSSETXATTR, attr.as_bytes(), &mut [])?;
        changed(inode);
        Ok(())
    }
}
