// SPDX-License-Identifier: GPL-2.0

//! Directories: names, and reading entries.
//!
//! Takes no locks of its own; the VFS holds the directory's inode lock.

use crate::{
    attr,
    chan::{Flow, ForgetNode, Operation, Payload},
    conn::tolerate_missing,
    errno,
    file::FileData,
    inode::{Entry, Inode},
    ops::{
        file::{Fsync, Open, Read, Release},
        names::{Create, Lookup, Mkdir, Mknod, Remove},
    },
    proto::{
        attr::EntryOut,
        dir::{Dirents, MkdirIn, MknodIn},
        file::{CreateIn, FsyncIn, OpenIn, ReadIn},
        flags::FsyncFlags,
        ids::NodeId,
    },
    vfs::{
        cred::Caller,
        dentry::Dentry,
        dir::{Emitter, Found, Node},
        file::{File, Opening},
        time::Moment,
    },
    virtiofs::Virtiofs,
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// Longest name that is looked up; the protocol's own limit of old.
const NAME_MAX: usize = 1024;
const O_NOCTTY: u32 = 0o400;
/// Bytes of entries that one READDIR asks for.
const READDIR: usize = 8 * PAGE_SIZE;

/// Sends an operation that answers with an entry.
fn entry<O: Operation<Reply = EntryOut>>(dir: &Inode, op: &O) -> Result<Option<Entry>> {
    let conn = dir.sb().data();
    let node = ForgetNode::new()?;
    let version = conn.attr_version();
    let out = conn.call(dir.sb(), op)?;
    Entry::new(conn, out, node, version)
}

/// Whether a name is still what a dentry says, by its own timeout or by asking.
pub(crate) fn revalidate(
    dir: &Inode,
    name: &[u8],
    dentry: &Dentry<Virtiofs>,
    may_block: bool,
) -> Result<bool> {
    if let Some(inode) = dentry.inode() {
        if inode.is_bad() {
            return Ok(false);
        }
    }
    if !dentry.valid_until().passed() {
        return Ok(true);
    }
    let Some(inode) = dentry.inode() else {
        // A name that did not exist: look it up anew.
        return Ok(false);
    };
    if !may_block {
        return Err(ECHILD);
    }
    let op = Lookup {
        parent: NodeId::new(dir.key()),
        name,
    };
    match entry(dir, &op) {
        Ok(Some(found)) if found.is(inode) => {
            let until = found.valid_until();
            found.refresh(inode);
            dentry.set_valid_until(until);
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(e) if e == ENOMEM || e == EINTR => Err(e),
        Err(_) => Ok(false),
    }
}

impl crate::vfs::dir::Operations for Virtiofs {
    fn lookup(dir: &Inode, name: &[u8]) -> Result<Found<Self>> {
        if name.len() > NAME_MAX {
            return Err(errno::enametoolong());
        }
        let op = Lookup {
            parent: NodeId::new(dir.key()),
            name,
        };
        let found = match entry(dir, &op) {
            Ok(found) => found,
            Err(e) if e == ENOENT => None,
            Err(e) => return Err(e),
        };
        match found {
            Some(found) => Ok(Found {
                valid_until: found.valid_until(),
                inode: Some(found.into_inode(dir.sb())?),
            }),
            None => Ok(Found {
                inode: None,
                valid_until: Moment::PAST,
            }),
        }
    }

    fn create(dir: &Inode, name: &[u8], node: Node) -> Result<Found<Self>> {
        let parent = NodeId::new(dir.key());
        let umask = Caller::umask();
        let made = match node {
            Node::Plain { mode, rdev } => entry(
                dir,
                &Mknod {
                    parent,
                    name,
                    arg: MknodIn {
                        mode,
                        rdev,
                        umask,
                        padding: 0,
                    },
                },
            ),
            Node::Directory { mode } => entry(
                dir,
                &Mkdir {
                    parent,
                    name,
                    arg: MkdirIn { mode, umask },
                },
            ),
        };
        attr::expire(dir);
        let made = made?.ok_or(EIO)?;
        Ok(Found {
            valid_until: made.valid_until(),
            inode: Some(made.into_inode(dir.sb())?),
        })
    }

    fn create_open(
        dir: &Inode,
        name: &[u8],
        flags: u32,
        mode: u32,
    ) -> Result<Option<(Found<Self>, KBox<FileData>)>> {
        let conn = dir.sb().data();
        if conn.missing.create.get() {
            return Ok(None);
        }
        let node = ForgetNode::new()?;
        let mut data = FileData::new()?;
        let version = conn.attr_version();
        let op = Create {
            parent: NodeId::new(dir.key()),
            name,
            arg: CreateIn {
                flags: flags & !O_NOCTTY,
                mode,
                umask: Caller::umask(),
                ..Default::default()
            },
        };
        let out = match conn.call(dir.sb(), &op) {
            Ok(out) => out,
            Err(e) if e == errno::enosys() => {
                conn.missing.create.set();
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        attr::expire(dir);
        data.opened(&out.open);
        let made = Entry::new(conn, out.entry, node, version)
            .and_then(|made| made.ok_or(EIO))
            .and_then(|made| {
                let valid_until = made.valid_until();
                let inode = made.into_inode(dir.sb())?;
                if !inode.is_regular() {
                    return Err(EIO);
                }
                Ok(Found {
                    valid_until,
                    inode: Some(inode),
                })
            });
        match made {
            Ok(found) => Ok(Some((found, data))),
            Err(e) => {
                let release = Release::<false>::new(out.entry.nodeid, out.open.fh, flags);
                let _ = conn.call(dir.sb(), &release);
                Err(e)
            }
        }
    }

    fn unlink(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
        remove::<false>(dir, name, victim)
    }

    fn rmdir(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
        remove::<true>(dir, name, victim)
    }
}

fn remove<const DIR: bool>(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
    dir.sb().data().call(
        dir.sb(),
        &Remove::<'_, DIR> {
            parent: NodeId::new(dir.key()),
            name,
        },
    )?;
    victim.drop_link();
    attr::expire(dir);
    attr::expire(victim);
    Ok(())
}

impl crate::vfs::file::DirOperations for Virtiofs {
    fn open_dir(inode: &Inode, opening: &Opening<'_>) -> Result<KBox<FileData>> {
        let conn = inode.sb().data();
        let mut data = FileData::new()?;
        if !conn.missing.opendir.get() {
            let op = Open::<true> {
                nodeid: NodeId::new(inode.key()),
                arg: OpenIn {
                    flags: opening.flags(),
                    ..Default::default()
                },
            };
            match conn.call(inode.sb(), &op) {
                Ok(out) => data.opened(&out),
                Err(e) if e == errno::enosys() => conn.missing.opendir.set(),
                Err(e) => return Err(e),
            }
        }
        Ok(data)
    }

    fn release_dir(inode: &Inode, flags: u32, data: KBox<FileData>) {
        if let Some(fh) = data.fh() {
            let op = Release::<true>::new(NodeId::new(inode.key()), fh, flags);
            let _ = inode.sb().data().call(inode.sb(), &op);
        }
    }

    fn read_dir(file: &File<Self>, out: &mut Emitter<'_>) -> Result {
        let inode = file.inode();
        let conn = inode.sb().data();
        let size = READDIR.min(conn.negotiated().max_read);
        let mut room = KVec::from_elem(0u8, size, GFP_KERNEL)?;
        loop {
            let op = Read::<true> {
                nodeid: NodeId::new(inode.key()),
                arg: ReadIn {
                    fh: file.data().handle(),
                    offset: out.pos(),
                    size: size as u32,
                    flags: file.flags(),
                    ..Default::default()
                },
            };
            let flow = Flow::FromServer(size as u32);
            let ((), payload, len) = conn.call_with(inode.sb(), &op, Payload::Bytes(room), flow)?;
            let Payload::Bytes(bytes) = payload else {
                return Err(EIO);
            };
            let entries = bytes.get(..len).ok_or(EIO)?;
            let mut any = false;
            for dirent in Dirents::new(entries) {
                let dirent = dirent.map_err(|bad| {
                    if crate::vfs::ratelimit() {
                        pr_warn!("directory of node {}: {}\n", inode.key(), bad.as_str());
                    }
                    EIO
                })?;
                if !out.emit(dirent.name, dirent.ino, dirent.typ, dirent.off) {
                    return Ok(());
                }
                any = true;
            }
            if !any {
                return Ok(());
            }
            room = bytes;
        }
    }

    fn fsync_dir(file: &File<Self>, datasync: bool) -> Result {
        let inode = file.inode();
        let conn = inode.sb().data();
        if conn.missing.fsyncdir.get() {
            return Ok(());
        }
        let op = Fsync::<true> {
            nodeid: NodeId::new(inode.key()),
            arg: fsync_in(file, datasync),
        };
        tolerate_missing(conn.call(inode.sb(), &op), &conn.missing.fsyncdir)
    }
}

/// The arguments of FSYNC and FSYNCDIR.
pub(crate) fn fsync_in(file: &File<Virtiofs>, datasync: bool) -> FsyncIn {
    FsyncIn {
        fh: file.data().handle(),
        fsync_flags: if datasync {
            FsyncFlags::FDATASYNC
        } else {
            FsyncFlags::empty()
        },
        padding: 0,
    }
}
