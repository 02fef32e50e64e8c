// SPDX-License-Identifier: GPL-2.0

//! Asking for attributes: GETATTR, and STATX where the time of birth is wanted.
//!
//! Attributes are believed until their time is over, except for those ([`fields`]) that a change of our own made stale: a
//! write does not make the server be asked who may read the file. Takes no locks but the inode's own spinlock, briefly.

use crate::{
    attr,
    conn::Conn,
    errno,
    inode::Inode,
    local,
    ops::attr::{Getattr, Statx},
    passthrough,
    proto::{
        attr::{Attr, GetattrIn, Statx as Stat, StatxIn},
        flags::GetattrFlags,
        ids::{Fh, NodeId},
    },
    vfs::{file::File, inode::fields},
    Fuse,
};
use kernel::prelude::*;

/// The handle that a question about `file` names. Handles of directories are of another kind.
fn handle(file: Option<&File<Fuse>>) -> (GetattrFlags, Fh) {
    match file.and_then(|file| file.data().fh().filter(|_| file.inode().is_regular())) {
        Some(fh) => (GetattrFlags::FH, fh),
        None => (GetattrFlags::empty(), Fh::default()),
    }
}

/// Gives an inode up whose server says what cannot be.
fn impossible(inode: &Inode) -> Error {
    inode.make_bad();
    EIO
}

fn getattr(inode: &Inode, file: Option<&File<Fuse>>) -> Result {
    let conn: &Conn = inode.sb().data();
    let (getattr_flags, fh) = handle(file);
    let version = conn.attr_version();
    let out = conn.call(
        inode.sb(),
        &Getattr {
            nodeid: NodeId::new(inode.key()),
            arg: GetattrIn {
                getattr_flags,
                fh,
                ..Default::default()
            },
        },
    )?;
    if !attr::is_sane(&out.attr) || !attr::is_of_type(inode, out.attr.mode) {
        return Err(impossible(inode));
    }
    let ttl = (out.attr_valid, out.attr_valid_nsec);
    attr::take(inode, &out.attr, ttl, version, Some(out.attr.flags));
    Ok(())
}

/// Asks for everything; says whether all that GETATTR has was in the answer.
fn statx(inode: &Inode, file: Option<&File<Fuse>>) -> Result<bool> {
    let conn: &Conn = inode.sb().data();
    let (getattr_flags, fh) = handle(file);
    let version = conn.attr_version();
    let out = conn.call(
        inode.sb(),
        &Statx {
            nodeid: NodeId::new(inode.key()),
            arg: StatxIn {
                getattr_flags,
                fh,
                sx_mask: fields::BASIC | fields::BTIME,
                ..Default::default()
            },
        },
    )?;
    let stat = &out.stat;
    let has = |fields| stat.mask & fields == fields;
    if (has(fields::SIZE) && stat.size > i64::MAX as u64)
        || (has(fields::TYPE) && !attr::is_of_type(inode, u32::from(stat.mode)))
    {
        return Err(impossible(inode));
    }
    let complete = has(fields::BASIC);
    if complete {
        let ttl = (out.attr_valid, out.attr_valid_nsec);
        // Nothing in this answer says how the file is to be reached.
        attr::take(inode, &attr_of(stat), ttl, version, None);
    }
    let mut state = inode.data().state.lock();
    state.stale &= !fields::BTIME;
    state.btime = has(fields::BTIME).then_some((stat.btime.tv_sec, stat.btime.tv_nsec));
    Ok(complete)
}

/// The same in the form of GETATTR.
fn attr_of(stat: &Stat) -> Attr {
    Attr {
        ino: stat.ino,
        size: stat.size,
        blocks: stat.blocks,
        atime: stat.atime.tv_sec as u64,
        mtime: stat.mtime.tv_sec as u64,
        ctime: stat.ctime.tv_sec as u64,
        atimensec: stat.atime.tv_nsec,
        mtimensec: stat.mtime.tv_nsec,
        ctimensec: stat.ctime.tv_nsec,
        mode: u32::from(stat.mode),
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        blksize: stat.blksize,
        ..Default::default()
    }
}

/// Makes sure that the attributes `wanted` are fresh; says whether the server was asked.
///
/// # Errors
///
/// `ECHILD` when it would have to be asked and the caller may not wait.
pub(crate) fn refresh(
    inode: &Inode,
    file: Option<&File<Fuse>>,
    wanted: u32,
    force: bool,
    may_block: bool,
) -> Result<bool> {
    let conn: &Conn = inode.sb().data();
    let known = if conn.missing.statx.get() {
        fields::BASIC
    } else {
        fields::BASIC | fields::BTIME
    };
    let wanted = wanted & known;
    if wanted & (fields::DATA | fields::SIZE) != 0 {
        passthrough::look(inode);
    }
    if wanted == 0 || (!force && inode.data().is_fresh(wanted)) {
        return Ok(false);
    }
    if !may_block {
        return Err(ECHILD);
    }
    if wanted & fields::BTIME != 0 {
        match statx(inode, file) {
            Ok(true) => return Ok(true),
            Ok(false) => (),
            Err(e) if e == errno::enosys() => {
                conn.missing.statx.set();
                return refresh(inode, file, wanted, force, may_block);
            }
            Err(e) => return Err(e),
        }
    }
    getattr(inode, file)?;
    Ok(true)
}

/// Makes sure that the size of an open file is fresh.
pub(crate) fn refresh_size(file: &File<Fuse>, force: bool) -> Result {
    if force && local::is_ours(file.inode()) {
        return Ok(());
    }
    refresh(file.inode(), Some(file), fields::SIZE, force, true).map(drop)
}
