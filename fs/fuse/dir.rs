// SPDX-License-Identifier: GPL-2.0

//! Directories: looking up and confirming names; opening. What is in them is read by [`readdir`].
//!
//! Takes no locks of its own; the VFS holds the directory's inode lock.

use crate::{
    chan::{ForgetNode, Operation},
    conn::tolerate_missing,
    errno,
    handle::FileData,
    inode::{self, Entry, Inode},
    names,
    ops::{
        file::{Fsync, Open, Release},
        names::Lookup,
    },
    proto::{
        attr::EntryOut,
        file::{FsyncIn, OpenIn},
        flags::FsyncFlags,
        ids::NodeId,
        NAME_LOW_MAX,
    },
    readdir, turns,
    vfs::{
        dentry::{Belief, Cached, Confirm},
        dir::{Emitter, Found, NewName, Node, Rename},
        file::{File, Opening},
    },
    Fuse,
};
use kernel::prelude::*;

/// Checks the length of a name, for which there are two limits.
fn check_length(dir: &Inode, name: &[u8]) -> Result {
    let (sb, conn) = (dir.sb(), dir.sb().data());
    if name.len() > NAME_LOW_MAX {
        conn.ready(sb)?;
        if name.len() > conn.negotiated().name_max {
            return Err(errno::enametoolong());
        }
    }
    Ok(())
}

/// Sends an operation that answers with an entry; returns it, and how far the answer is believed.
fn ask<O: Operation<Reply = EntryOut>>(dir: &Inode, op: &O) -> Result<(Option<Entry>, Belief)> {
    let conn = dir.sb().data();
    let node = ForgetNode::new()?;
    let asked = conn.asked();
    let mut out = conn.call(dir.sb(), op)?;
    inode::doubt(dir, &mut out, asked.version);
    let belief = inode::belief(&out, asked);
    Ok((Entry::new(conn, out, node, asked)?, belief))
}

/// As [`ask`], for operations that leave no name that does not exist.
pub(crate) fn entry<O: Operation<Reply = EntryOut>>(dir: &Inode, op: &O) -> Result<Option<Entry>> {
    Ok(ask(dir, op)?.0)
}

/// Whether a name is still what a dentry says, by its own timeout or by asking.
pub(crate) fn revalidate(
    dir: &Inode,
    name: &[u8],
    dentry: &Cached<Fuse>,
    confirm: Confirm,
) -> Result<bool> {
    let inode = dentry.inode();
    if inode.is_some_and(Inode::is_bad) {
        return Ok(false);
    }
    // What is of an earlier epoch is asked for as if its time were over.
    if !confirm.anew && dentry.belief().holds(dir.sb().data().epoch()) {
        return match inode {
            Some(inode) => readdir::confirmed(dir, inode, confirm.may_block).map(|()| true),
            None => Ok(true),
        };
    }
    let Some(inode) = inode else {
        // A name that did not exist: look it up anew.
        return Ok(false);
    };
    if !confirm.may_block {
        return Err(ECHILD);
    }
    let op = Lookup {
        parent: NodeId::new(dir.key()),
        name,
    };
    match entry(dir, &op) {
        Ok(Some(found)) if found.is(inode) => {
            let belief = found.belief();
            found.refresh(inode);
            dentry.believe(belief);
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(e) if e == ENOMEM || e == EINTR => Err(e),
        Err(_) => Ok(false),
    }
}

impl crate::vfs::dir::Operations for Fuse {
    fn lookup(dir: &Inode, name: &[u8]) -> Result<Found<Self>> {
        check_length(dir, name)?;
        let _turn = turns::wait(dir)?;
        let op = Lookup {
            parent: NodeId::new(dir.key()),
            name,
        };
        let (found, belief) = match ask(dir, &op) {
            Ok(answer) => answer,
            Err(e) if e == ENOENT => (None, Belief::NONE),
            Err(e) => return Err(e),
        };
        let inode = found.map(|found| found.into_inode(dir.sb())).transpose()?;
        if inode.is_some() {
            readdir::looked_up(dir);
        }
        Ok(Found { inode, belief })
    }

    fn create(dir: &Inode, name: &NewName<'_, Self>, node: Node<'_>) -> Result<Found<Self>> {
        names::create(dir, name, node)
    }

    fn create_open(
        dir: &Inode,
        name: &NewName<'_, Self>,
        flags: u32,
        mode: u32,
    ) -> Result<Option<(Found<Self>, KBox<FileData>)>> {
        names::create_open(dir, name, flags, mode)
    }

    fn tmpfile(
        dir: &Inode,
        name: &NewName<'_, Self>,
        flags: u32,
        mode: u32,
    ) -> Result<(Found<Self>, KBox<FileData>)> {
        names::tmpfile(dir, name, flags, mode)
    }

    fn link(dir: &Inode, name: &[u8], inode: &Inode) -> Result<Found<Self>> {
        names::link(dir, name, inode)
    }

    fn rename(rename: &Rename<'_, Self>) -> Result {
        names::rename(rename)
    }

    fn unlink(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
        names::remove::<false>(dir, name, victim)
    }

    fn rmdir(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
        names::remove::<true>(dir, name, victim)
    }
}

impl crate::vfs::inode::LinkOperations for Fuse {
    fn read_link(inode: &Inode) -> Result<(KVec<u8>, bool)> {
        names::read_link(inode)
    }
}

impl crate::vfs::file::DirOperations for Fuse {
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
        if conn.missing.opendir.get() {
            data.opened_dir_locally();
        }
        if !data.keeps_cache() {
            readdir::cache::forget(inode);
        }
        Ok(data)
    }

    fn release_dir(inode: &Inode, flags: u32, data: KBox<FileData>) {
        if let Some(fh) = data.fh() {
            let op = Release::<true>::new(NodeId::new(inode.key()), fh, flags);
            inode.sb().data().close(inode.sb(), &op);
        }
    }

    fn read_dir(file: &File<Self>, out: &mut Emitter<'_, Self>) -> Result {
        readdir::read(file, out)
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
pub(crate) fn fsync_in(file: &File<Fuse>, datasync: bool) -> FsyncIn {
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
