// SPDX-License-Identifier: GPL-2.0

//! Changes of names: creating, linking, renaming, removing; and what symbolic links say.
//!
//! Takes no locks of its own; the VFS holds the inode locks of the directories, and of what is renamed or removed.

use crate::{
    attr::{self, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    chan::{self, Flow, ForgetNode, Operation, Payload},
    conn::{Conn, Flag},
    dir::entry,
    errno,
    extensions::{masked, Extensions},
    handle::FileData,
    inode::{self, Entry, Inode},
    ops::{
        file::Release,
        names::{
            self, Create, EntryAndOpen, Extended, Link, Mkdir, Mknod, Readlink, Remove, Rename2,
            RenameNames, Symlink, Tmpfile,
        },
    },
    proto::{
        dir::{MkdirIn, MknodIn},
        file::CreateIn,
        flags::{InitFlags, OpenInFlags},
        ids::NodeId,
    },
    readdir,
    vfs::{
        cred::Caller,
        dir::{Found, Node, Rename},
        inode::fields,
        page::{zeroed_bytes, Pages},
        time::Moment,
    },
    Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*};

const O_NOCTTY: u32 = 0o400;
const O_TRUNC: u32 = 0o1000;

/// Names in `dir` were changed, or may have been.
fn changed(dir: &Inode) {
    attr::changed(dir, fields::ENTRIES);
    readdir::cache::changed(dir);
}

/// What an answer that must name an inode of the type `typ` found.
fn found(dir: &Inode, typ: u32, made: Result<Option<Entry>>) -> Result<Found<Fuse>> {
    changed(dir);
    let made = made?.filter(|made| made.is_type(typ)).ok_or(EIO)?;
    Ok(Found {
        valid_until: made.valid_until(),
        inode: Some(made.into_inode(dir.sb())?),
    })
}

/// Makes a name for a new inode.
pub(crate) fn create(dir: &Inode, name: &[u8], node: Node<'_>) -> Result<Found<Fuse>> {
    let parent = NodeId::new(dir.key());
    let umask = Caller::umask();
    let (conn, extensions): (&Conn, _) = (dir.sb().data(), Extensions::new(dir));
    let typ = match node {
        Node::Plain { mode, .. } => mode & S_IFMT,
        Node::Directory { .. } => S_IFDIR,
        Node::Symlink { .. } => S_IFLNK,
    };
    let made = match node {
        Node::Plain { mode, rdev } => {
            let arg = MknodIn {
                mode: masked(conn, mode),
                rdev,
                umask,
                padding: 0,
            };
            entry(dir, &extensions.with(Mknod { parent, name, arg }))
        }
        Node::Directory { mode } => {
            let arg = MkdirIn {
                mode: masked(conn, mode),
                umask,
            };
            entry(dir, &extensions.with(Mkdir { parent, name, arg }))
        }
        Node::Symlink { target } => symlink(dir, name, target, &extensions),
    };
    found(dir, typ, made)
}

fn symlink(
    dir: &Inode,
    name: &[u8],
    target: &[u8],
    extensions: &Extensions,
) -> Result<Option<Entry>> {
    let conn: &Conn = dir.sb().data();
    let len = target.len() + 1 + extensions.bytes().len();
    let mut pages = Pages::new(len)?;
    let text = Iterator::chain(target.iter().copied(), Some(0));
    let mut text = Iterator::chain(text, extensions.bytes().iter().copied());
    for chunk in pages.chunks_mut(len) {
        for (to, from) in chunk.iter_mut().zip(&mut text) {
            *to = from;
        }
    }
    let node = ForgetNode::new()?;
    let version = conn.attr_version();
    let op = Extended {
        op: Symlink {
            parent: NodeId::new(dir.key()),
            name,
        },
        extensions: extensions.bytes(),
        in_payload: true,
    };
    let flow = Flow::ToServer(u32::try_from(len).map_err(|_| errno::enametoolong())?);
    let (mut out, _, _) = conn.call_with(dir.sb(), &op, Payload::Pages(pages), flow)?;
    inode::doubt(dir, &mut out, version);
    Entry::new(conn, out, node, version)
}

/// What a symbolic link says, and whether that may be believed for as long as the inode is in memory.
pub(crate) fn read_link(inode: &Inode) -> Result<(KVec<u8>, bool)> {
    let room = zeroed_bytes(PAGE_SIZE)?;
    let flow = Flow::FromServer((PAGE_SIZE - 1) as u32);
    let op = Readlink(NodeId::new(inode.key()));
    let ((), payload, len) =
        inode
            .sb()
            .data()
            .call_with(inode.sb(), &op, Payload::Bytes(room), flow)?;
    let Payload::Bytes(mut text) = payload else {
        return Err(EIO);
    };
    text.truncate(len);
    attr::was_read(inode);
    let keep = inode.sb().data().has(InitFlags::CACHE_SYMLINKS);
    Ok((text, keep))
}

/// Gives an inode another name.
pub(crate) fn link(dir: &Inode, name: &[u8], inode: &Inode) -> Result<Found<Fuse>> {
    let conn: &Conn = dir.sb().data();
    if conn.missing.link.get() {
        return Err(EPERM);
    }
    let op = Link {
        inode: NodeId::new(inode.key()),
        parent: NodeId::new(dir.key()),
        name,
    };
    let made = entry(dir, &op).inspect_err(|e| {
        if *e == errno::enosys() {
            conn.missing.link.set();
        }
    });
    attr::changed(inode, fields::LINKS);
    match made {
        Err(e) if e == errno::enosys() => Err(EPERM),
        other => found(dir, inode.mode() & S_IFMT, other),
    }
}

/// Renames.
pub(crate) fn rename(r: &Rename<'_, Fuse>) -> Result {
    let conn: &Conn = r.old_dir.sb().data();
    let names = RenameNames {
        old_dir: NodeId::new(r.old_dir.key()),
        old: r.old.name(),
        new_dir: NodeId::new(r.new_dir.key()),
        new: r.new.name(),
    };
    let sb = r.old_dir.sb();
    let sent = if r.flags == 0 {
        conn.try_call(sb, &names::Rename(names))
    } else {
        let op = Rename2 {
            names,
            flags: r.flags,
        };
        conn.try_call(sb, &op)
    };
    if let Err(failed) = &sent {
        if !failed.known || failed.error == EINTR || failed.error == ENOENT {
            // Nobody knows which names there are now: ask.
            r.old.set_valid_until(Moment::PAST);
            r.new.set_valid_until(Moment::PAST);
            changed(r.old_dir);
            changed(r.new_dir);
        }
    } else {
        changed(r.old_dir);
        changed(r.new_dir);
        if let Some(moved) = r.old.inode() {
            attr::changed(moved, fields::LINKS);
        }
        if let Some(other) = r.new.inode() {
            if !r.exchanges() {
                other.drop_link();
            }
            attr::changed(other, fields::LINKS);
        }
        if r.exchanges() {
            r.new.set_valid_until(Moment::PAST);
        }
    }
    match sent {
        Err(failed) if failed.known && failed.error == errno::enosys() => Err(EINVAL),
        other => Ok(other?),
    }
}

/// Removes a name: RMDIR with `DIR`, else UNLINK.
pub(crate) fn remove<const DIR: bool>(dir: &Inode, name: &[u8], victim: &Inode) -> Result {
    let op = Remove::<'_, DIR> {
        parent: NodeId::new(dir.key()),
        name,
    };
    let done = dir.sb().data().call(dir.sb(), &op);
    changed(dir);
    attr::changed(victim, fields::LINKS);
    done?;
    victim.drop_link();
    Ok(())
}

/// Creates and opens a regular file in one step; `None` where the server cannot.
pub(crate) fn create_open(
    dir: &Inode,
    name: &[u8],
    flags: u32,
    mode: u32,
) -> Result<Option<(Found<Fuse>, KBox<FileData>)>> {
    let missing = &dir.sb().data().missing.create;
    made_open(dir, missing, flags, mode, |parent, arg| Create {
        parent,
        name,
        arg,
    })
}

/// Creates and opens a regular file without a name.
///
/// # Errors
///
/// `EOPNOTSUPP` where the server cannot.
pub(crate) fn tmpfile(
    dir: &Inode,
    name: &[u8],
    flags: u32,
    mode: u32,
) -> Result<(Found<Fuse>, KBox<FileData>)> {
    let missing = &dir.sb().data().missing.tmpfile;
    made_open(dir, missing, flags, mode, |parent, arg| Tmpfile {
        parent,
        name,
        arg,
    })?
    .ok_or(errno::eopnotsupp())
}

fn made_open<O: Operation<Reply = EntryAndOpen>>(
    dir: &Inode,
    missing: &Flag,
    flags: u32,
    mode: u32,
    op: impl FnOnce(NodeId, CreateIn) -> O,
) -> Result<Option<(Found<Fuse>, KBox<FileData>)>> {
    let conn: &Conn = dir.sb().data();
    if missing.get() {
        return Ok(None);
    }
    let node = ForgetNode::new()?;
    let mut data = FileData::new()?;
    let version = conn.attr_version();
    let arg = CreateIn {
        flags: flags & !O_NOCTTY,
        mode: masked(conn, mode),
        umask: Caller::umask(),
        open_flags: if flags & O_TRUNC != 0 && conn.tells_to_kill() {
            OpenInFlags::KILL_SUIDGID
        } else {
            OpenInFlags::empty()
        },
    };
    let extensions = Extensions::new(dir);
    let op = extensions.with(op(NodeId::new(dir.key()), arg));
    let mut out = match conn.call(dir.sb(), &op) {
        Ok(out) => out,
        Err(e) if e == errno::enosys() => {
            missing.set();
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    data.opened(&out.open);
    inode::doubt(dir, &mut out.entry, version);
    match found(dir, S_IFREG, Entry::new(conn, out.entry, node, version)) {
        Ok(made) => Ok(Some((made, data))),
        Err(e) => {
            let release = Release::<false>::new(out.entry.nodeid, out.open.fh, flags);
            let _ = chan::send_detached(&**conn.transport(), Caller::default(), &release);
            Err(e)
        }
    }
}
