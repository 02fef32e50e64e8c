// SPDX-License-Identifier: GPL-2.0

//! Changes of names: creating, linking, renaming, removing; and what symbolic links say.
//!
//! Takes the lock of an inode's state where a name is gone; the VFS holds the inode locks of the directories, and of what is
//! renamed or removed.

use crate::{
    attr::{self, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    chan::{self, Flow, ForgetNode, Operation, Payload},
    conn::{Asked, Conn, Flag},
    dir::entry,
    errno,
    extensions::{masked, Extensions},
    handle::FileData,
    inode::{self, Entry, Inode},
    ops::{
        file::Release,
        names::{
            self, Create, EntryAndOpen, Link, Mkdir, Mknod, Readlink, Remove, Rename2, RenameNames,
            Symlink, Tmpfile,
        },
    },
    proto::{
        attr::EntryOut,
        dir::{MkdirIn, MknodIn},
        file::CreateIn,
        flags::{InitFlags, OpenInFlags},
        ids::NodeId,
    },
    readdir,
    vfs::{
        cred::Caller,
        dentry::Belief,
        dir::{Found, NewName, Node, Rename},
        inode::fields,
        page::zeroed_bytes,
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
        belief: made.belief(),
        inode: Some(made.into_inode(dir.sb())?),
    })
}

/// Takes over the answer of an operation that made an inode.
struct Made {
    node: KBox<ForgetNode>,
    asked: Asked,
}

impl Made {
    /// Before the operation is sent.
    fn new(dir: &Inode) -> Result<Self> {
        Ok(Self {
            node: ForgetNode::new()?,
            asked: dir.sb().data().asked(),
        })
    }

    /// The answer must name an inode of the type `typ`.
    fn found(self, dir: &Inode, typ: u32, out: Result<EntryOut>) -> Result<Found<Fuse>> {
        let made = out.and_then(|mut out| {
            inode::doubt(dir, &mut out, self.asked.version);
            Entry::new(dir.sb().data(), out, self.node, self.asked)
        });
        found(dir, typ, made)
    }
}

/// Makes a name for a new inode.
pub(crate) fn create(dir: &Inode, name: &NewName<'_, Fuse>, node: Node<'_>) -> Result<Found<Fuse>> {
    let parent = NodeId::new(dir.key());
    let umask = Caller::umask();
    let conn: &Conn = dir.sb().data();
    let typ = match node {
        Node::Plain { mode, .. } => mode & S_IFMT,
        Node::Directory { .. } => S_IFDIR,
        Node::Symlink { .. } => S_IFLNK,
    };
    let (extensions, made) = (Extensions::new(dir, name, typ)?, Made::new(dir)?);
    let name = name.bytes();
    let out = match node {
        Node::Plain { mode, rdev } => {
            let arg = MknodIn {
                mode: masked(conn, mode),
                rdev,
                umask,
                padding: 0,
            };
            extensions.send(dir, Mknod { parent, name, arg }, None)
        }
        Node::Directory { mode } => {
            let arg = MkdirIn {
                mode: masked(conn, mode),
                umask,
            };
            extensions.send(dir, Mkdir { parent, name, arg }, None)
        }
        Node::Symlink { target } => {
            let mut text = KVec::with_capacity(target.len() + 1, GFP_KERNEL)?;
            text.extend_from_slice(target, GFP_KERNEL)?;
            text.push(0, GFP_KERNEL)?;
            extensions.send(dir, Symlink { parent, name }, Some(&text))
        }
    };
    made.found(dir, typ, out)
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
    let who = r.owner().unwrap_or_else(|| Caller::current(sb));
    let sent = if r.flags == 0 {
        conn.try_call_as(sb, who, &names::Rename(names))
    } else {
        let op = Rename2 {
            names,
            flags: r.flags,
        };
        conn.try_call_as(sb, who, &op)
    };
    if let Err(failed) = &sent {
        if !failed.known || failed.error == EINTR || failed.error == ENOENT {
            // Nobody knows which names there are now: ask.
            r.old.believe(Belief::NONE);
            r.new.believe(Belief::NONE);
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
                lost_name(other);
            }
            attr::changed(other, fields::LINKS);
        }
        if r.exchanges() {
            r.new.believe(Belief::NONE);
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
    lost_name(victim);
    Ok(())
}

/// One name is gone. A directory has no other one, and who watches it is told its end only where none is left.
fn lost_name(inode: &Inode) {
    let state = inode.data().state.lock();
    if inode.is_dir() {
        inode.clear_links();
    } else {
        inode.drop_link();
    }
    drop(state);
}

/// Creates and opens a regular file in one step; `None` where the server cannot.
pub(crate) fn create_open(
    dir: &Inode,
    name: &NewName<'_, Fuse>,
    flags: u32,
    mode: u32,
) -> Result<Option<(Found<Fuse>, KBox<FileData>)>> {
    let missing = &dir.sb().data().missing.create;
    made_open(dir, name, missing, flags, mode, |parent, name, arg| {
        Create { parent, name, arg }
    })
}

/// Creates and opens a regular file without a name.
///
/// # Errors
///
/// `EOPNOTSUPP` where the server cannot.
pub(crate) fn tmpfile(
    dir: &Inode,
    name: &NewName<'_, Fuse>,
    flags: u32,
    mode: u32,
) -> Result<(Found<Fuse>, KBox<FileData>)> {
    let missing = &dir.sb().data().missing.tmpfile;
    made_open(dir, name, missing, flags, mode, |parent, name, arg| {
        Tmpfile { parent, name, arg }
    })?
    .ok_or_else(errno::eopnotsupp)
}

fn made_open<'a, O: Operation<Reply = EntryAndOpen>>(
    dir: &Inode,
    name: &NewName<'a, Fuse>,
    missing: &Flag,
    flags: u32,
    mode: u32,
    op: impl FnOnce(NodeId, &'a [u8], CreateIn) -> O,
) -> Result<Option<(Found<Fuse>, KBox<FileData>)>> {
    let conn: &Conn = dir.sb().data();
    if missing.get() {
        return Ok(None);
    }
    let made = Made::new(dir)?;
    let mut data = FileData::new()?;
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
    let extensions = Extensions::new(dir, name, mode)?;
    let op = op(NodeId::new(dir.key()), name.bytes(), arg);
    let out = match extensions.send(dir, op, None) {
        Ok(out) => out,
        Err(e) if e == errno::enosys() => {
            missing.set();
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    data.opened(&out.open);
    match made.found(dir, S_IFREG, Ok(out.entry)) {
        Ok(made) => Ok(Some((made, data))),
        Err(e) => {
            let release = Release::<false>::new(out.entry.nodeid, out.open.fh, flags);
            let _ = chan::send_detached(&**conn.transport(), Caller::default(), &release);
            Err(e)
        }
    }
}
