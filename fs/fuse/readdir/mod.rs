// SPDX-License-Identifier: GPL-2.0

//! Reading directories: READDIR, or READDIRPLUS where lookups are likely to follow.
//!
//! An entry of READDIRPLUS carries what a lookup would have given. It is put into the dentry cache with the reference that
//! the server counts for it; one that cannot be is given back. Whether READDIRPLUS pays is seen from what became of the
//! entries of the last: [`Advice`].
//!
//! What the server allows to be kept is kept by [`cache`].
//!
//! Takes no locks of its own; the VFS holds the directory's inode lock for reading.

pub(crate) mod cache;

use crate::{
    attr,
    chan::{Flow, ForgetNode, Operation, Payload},
    conn::{Asked, Conn},
    errno,
    inode::{self, Entry, Inode},
    ops::file::{Read, ReadPlus},
    proto::{
        dir::{DirentPlusRef, DirentPluses, DirentRef, Dirents},
        file::ReadIn,
        flags::InitFlags,
        ids::NodeId,
        reply::BadReply,
    },
    turns,
    vfs::{
        dir::{Emitter, Found, Slot},
        file::File,
        page::zeroed_bytes,
    },
    Fuse,
};
use cache::Batch;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::atomic::{AtomicFlag, Relaxed},
};

/// Most bytes of entries that are asked for at a time.
const READDIR: usize = 8 * PAGE_SIZE;
/// How much longer entries with attributes are. So much more is asked for in directories that prove to be large.
const PLUS: usize = 4;
/// How often a name that others change at the same time is tried.
const TRIES: usize = 8;

/// What is known about the use of attributes that are read along with names.
pub(crate) struct Advice {
    /// Of a directory: names in it were looked up since it was read last.
    wanted: AtomicFlag,
    /// Of an entry: it came with its directory and was not looked up since.
    listed: AtomicFlag,
}

impl Default for Advice {
    fn default() -> Self {
        Self {
            wanted: AtomicFlag::new(false),
            listed: AtomicFlag::new(false),
        }
    }
}

/// A name in `dir` was looked up: reading it with attributes would have saved that.
pub(crate) fn looked_up(dir: &Inode) {
    dir.data().advice.wanted.store(true, Relaxed);
}

/// A name in `dir` that leads to `inode` was of use without a question.
///
/// # Errors
///
/// `ECHILD` in a lockless walk that must be repeated with references, to take notice of it.
pub(crate) fn confirmed(dir: &Inode, inode: &Inode, may_block: bool) -> Result {
    let listed = &inode.data().advice.listed;
    if listed.load(Relaxed) {
        if !may_block {
            return Err(ECHILD);
        }
        listed.store(false, Relaxed);
        looked_up(dir);
    }
    Ok(())
}

/// Whether attributes are to be read along.
fn wants_plus(conn: &Conn, dir: &Inode, pos: u64) -> bool {
    conn.has(InitFlags::DO_READDIRPLUS)
        && !conn.missing.readdirplus.get()
        && (!conn.has(InitFlags::READDIRPLUS_AUTO)
            || dir.data().advice.wanted.xchg(false, Relaxed)
            || pos == 0)
}

/// Hands what follows the reader's position to the reader, with one request at most.
pub(crate) fn read(file: &File<Fuse>, out: &mut Emitter<'_, Fuse>) -> Result {
    let dir = file.inode();
    let conn: &Conn = dir.sb().data();
    let mut batch = None;
    if file.data().keeps_list() {
        batch = cache::read(file, out)?;
        if batch.is_none() {
            return Ok(());
        }
    }
    let done = ask_server(conn, file, out, &mut batch);
    if let (Ok(()), Some(batch)) = (&done, batch) {
        batch.keep(dir, out.pos());
    }
    done
}

/// Hands what one request brings to the reader, and to a list.
fn ask_server(
    conn: &Conn,
    file: &File<Fuse>,
    out: &mut Emitter<'_, Fuse>,
    batch: &mut Option<Batch>,
) -> Result {
    let dir = file.inode();
    if wants_plus(conn, dir, out.pos()) {
        match read_plus(conn, file, out, batch) {
            Err(e) if e == errno::enosys() => conn.missing.readdirplus.set(),
            other => return other,
        }
    }
    let size = out.room().clamp(PAGE_SIZE, READDIR);
    let entries = ask(conn, file, out.pos(), size, |nodeid, arg| Read::<true> {
        nodeid,
        arg,
    })?;
    let mut any = false;
    for dirent in Dirents::new(&entries) {
        let dirent = dirent.map_err(|bad| report(dir, bad))?;
        any = true;
        if !emit(out, &dirent) {
            break;
        }
        if let Some(batch) = batch {
            batch.add(&dirent);
        }
    }
    end(dir, any, entries.is_empty(), batch)
}

/// As [`read`], by READDIRPLUS. Entries for which the reader has no room are put into the cache all the same.
fn read_plus(
    conn: &Conn,
    file: &File<Fuse>,
    out: &mut Emitter<'_, Fuse>,
    batch: &mut Option<Batch>,
) -> Result {
    let dir = file.inode();
    let size = out.room().clamp(PAGE_SIZE, READDIR) * if out.pos() == 0 { 1 } else { PLUS };
    let asked = conn.asked();
    let mut spare = Some(ForgetNode::new()?);
    let entries = ask(conn, file, out.pos(), size, |nodeid, arg| ReadPlus {
        nodeid,
        arg,
    })?;
    let (mut any, mut full) = (false, false);
    for plus in DirentPluses::new(&entries) {
        let plus = plus.map_err(|bad| report(dir, bad))?;
        any = true;
        if !full {
            full = !emit(out, &plus.dirent);
            if let (false, Some(batch)) = (full, &mut *batch) {
                batch.add(&plus.dirent);
            }
        }
        if !plus.counts() {
            continue;
        }
        match spare.take().map_or_else(ForgetNode::new, Ok) {
            // What cannot be put into the cache can be looked up.
            Ok(node) => spare = link(conn, out, &plus, node, asked).unwrap_or(None),
            Err(_) if crate::vfs::ratelimit() => {
                pr_warn!("no memory to give back a reference of READDIRPLUS\n");
            }
            Err(_) => (),
        }
    }
    end(dir, any, entries.is_empty(), batch)
}

/// Looks at the end of an answer: one without a byte says that there are no more entries.
fn end(dir: &Inode, any: bool, empty: bool, batch: &mut Option<Batch>) -> Result {
    if let (true, Some(batch)) = (empty, batch) {
        batch.ends();
    }
    if any || empty {
        Ok(())
    } else {
        Err(report(dir, BadReply::TooShort))
    }
}

/// Asks for entries behind `pos`: as many as go into `size` bytes.
fn ask<O: Operation<Reply = ()>>(
    conn: &Conn,
    file: &File<Fuse>,
    pos: u64,
    size: usize,
    op: impl FnOnce(NodeId, ReadIn) -> O,
) -> Result<KVec<u8>> {
    let inode = file.inode();
    let size = size.min(conn.negotiated().max_read);
    let (room, size) = match zeroed_bytes(size) {
        Ok(room) => (room, size),
        Err(_) => (zeroed_bytes(PAGE_SIZE)?, PAGE_SIZE),
    };
    let arg = ReadIn {
        fh: file.data().handle(),
        offset: pos,
        size: size as u32,
        flags: file.flags(),
        ..Default::default()
    };
    let op = op(NodeId::new(inode.key()), arg);
    let flow = Flow::FromServer(size as u32);
    // For the request only: what is made of the answer waits for lookups, which wait for their turn.
    let turn = turns::wait(inode)?;
    let ((), payload, len) = conn.call_with(inode.sb(), &op, Payload::Bytes(room), flow)?;
    drop(turn);
    attr::was_read(inode);
    let Payload::Bytes(mut entries) = payload else {
        return Err(EIO);
    };
    if len > entries.len() {
        return Err(EIO);
    }
    entries.truncate(len);
    Ok(entries)
}

fn emit(out: &mut Emitter<'_, Fuse>, dirent: &DirentRef<'_>) -> bool {
    out.emit(dirent.name, dirent.ino, dirent.typ, dirent.off)
}

/// Puts an entry into the dentry cache. Gives `node` back if it was of no use, as for inodes that are known.
///
/// # Errors
///
/// Whatever kept it from that. The reference that the server counts is given back then.
fn link(
    conn: &Conn,
    out: &Emitter<'_, Fuse>,
    plus: &DirentPlusRef<'_>,
    node: KBox<ForgetNode>,
    asked: Asked,
) -> Result<Option<KBox<ForgetNode>>> {
    let mut told = plus.entry();
    inode::doubt(out.inode(), &mut told, asked.version);
    let entry = Entry::new(conn, told, node, asked)?.ok_or(EIO)?;
    let belief = entry.belief();
    let auto = conn.has(InitFlags::READDIRPLUS_AUTO);
    for _ in 0..TRIES {
        match out.slot(plus.dirent.name)? {
            Slot::Known(known) => match known.inode() {
                Some(inode) if !inode.is_bad() && entry.is(inode) => {
                    let spare = entry.refresh(inode);
                    inode.data().advice.listed.store(auto, Relaxed);
                    known.believe(belief);
                    return Ok(spare);
                }
                _ => known.invalidate(),
            },
            Slot::New(slot) => {
                let inode = entry.into_inode(out.inode().sb())?;
                inode.data().advice.listed.store(auto, Relaxed);
                let inode = Some(inode);
                return slot.join(Found { inode, belief }).map(|()| None);
            }
        }
    }
    Err(EAGAIN)
}

/// A reply that lists what cannot be.
fn report(dir: &Inode, bad: BadReply) -> Error {
    if crate::vfs::ratelimit() {
        pr_warn!("directory of node {}: {}\n", dir.key(), bad.as_str());
    }
    EIO
}
