// SPDX-License-Identifier: GPL-2.0

//! Changes of attributes: what a user asks for becomes SETATTR, and what the server says then is taken over.
//!
//! Locks: the caller holds the inode lock for writing; the rest is as in [`attr`].

use crate::{
    attr,
    conn::Conn,
    inode::Inode,
    local,
    ops::attr::Setattr,
    passthrough,
    proto::{
        attr::{AttrOut, SetattrIn},
        flags::{InitFlags, SetattrValid},
        ids::NodeId,
    },
    vfs::{
        file::File,
        inode::{fields, Attributes, Change, Kill, Operations as _},
        time::Moment,
    },
    writeback, Fuse,
};
use kernel::prelude::*;

/// The arguments of SETATTR for a change.
fn setattr_in(change: &Change<'_, Fuse>) -> SetattrIn {
    let mut arg = SetattrIn::default();
    let mut valid = SetattrValid::empty();
    if let Some(mode) = change.mode() {
        valid |= SetattrValid::MODE;
        arg.mode = mode;
    }
    if let Some(uid) = change.uid() {
        valid |= SetattrValid::UID;
        arg.uid = uid;
    }
    if let Some(gid) = change.gid() {
        valid |= SetattrValid::GID;
        arg.gid = gid;
    }
    if let Some((sec, nsec, given)) = change.atime() {
        valid |= SetattrValid::ATIME;
        (arg.atime, arg.atimensec) = (sec as u64, nsec);
        if !given {
            valid |= SetattrValid::ATIME_NOW;
        }
    }
    if let Some((sec, nsec, given)) = change.mtime() {
        valid |= SetattrValid::MTIME;
        (arg.mtime, arg.mtimensec) = (sec as u64, nsec);
        if !given {
            valid |= SetattrValid::MTIME_NOW;
        }
    }
    if let Some(size) = change.size() {
        valid |= SetattrValid::SIZE;
        arg.size = size;
    }
    if let Some(fh) = change.file().and_then(|file| file.data().fh()) {
        if !valid.is_empty() {
            valid |= SetattrValid::FH;
            arg.fh = fh;
        }
    }
    arg.valid = valid;
    arg
}

/// Adds the mode without the bits that go, where it has them.
fn set_mode(arg: &mut SetattrIn, inode: &Inode, kill: Kill) {
    let mode = kill.apply(inode.mode());
    if mode != inode.mode() {
        arg.valid |= SetattrValid::MODE;
        arg.mode = mode;
    }
}

/// Clears set-user-id and set-group-id bits because of a change of the data that is no WRITE, where the server has promised to
/// do so with a WRITE only. The inode lock is held.
pub(crate) fn drop_privs(file: &File<Fuse>) -> Result {
    let inode = file.inode();
    let conn: &Conn = inode.sb().data();
    if !conn.kills_privs() {
        return Ok(());
    }
    let Some(kill) = file.kills() else {
        return Ok(());
    };
    Fuse::refresh(inode, fields::ACCESS, true, true)?;
    let mut arg = SetattrIn::default();
    set_mode(&mut arg, inode, kill);
    if arg.valid.is_empty() {
        return Ok(());
    }
    let nodeid = NodeId::new(inode.key());
    let version = conn.attr_version();
    let out = conn.call(inode.sb(), &Setattr { nodeid, arg })?;
    take_setattr(inode, &out, version)
}

/// Takes over the answer to a SETATTR that was sent at `version`.
fn take_setattr(inode: &Inode, out: &AttrOut, version: u64) -> Result {
    if !attr::is_sane(&out.attr) || !attr::is_of_type(inode, out.attr.mode) {
        inode.make_bad();
        return Err(EIO);
    }
    let corrected = passthrough::corrected(inode, &out.attr).unwrap_or(out.attr);
    let mut state = inode.data().state.lock();
    if state.attr_version.max(state.changed) <= version {
        inode
            .data()
            .believe(&mut state, out.attr_valid, out.attr_valid_nsec);
    } else {
        state.valid_until = Moment::PAST;
    }
    state.attr_version = inode.sb().data().next_attr_version();
    inode.set_attributes(&Attributes {
        keeps_times: state.local.is_ours(),
        ..attr::to_vfs(&corrected)
    });
    if inode.sb().data().has(InitFlags::POSIX_ACL) {
        // A change of the mode changes them.
        inode.forget_acls();
    }
    Ok(())
}

/// Changes the size, and with it what else `arg` says. The inode lock is held for writing.
fn resize(inode: &Inode, arg: SetattrIn) -> Result {
    let old = inode.size();
    let moved = inode.is_dax() && arg.size < old;
    // A WRITE that is still on its way must not make the file longer again.
    let closed = inode.data().writeback.close()?;
    if moved {
        attr::set_end(inode, arg.size, true)?;
    }
    let op = Setattr {
        nodeid: NodeId::new(inode.key()),
        arg,
    };
    let conn: &Conn = inode.sb().data();
    let version = conn.attr_version();
    match conn.try_call(inode.sb(), &op) {
        Ok(out) => {
            take_setattr(inode, &out, version)?;
            // Who is killed meanwhile leaves the new end to whoever asks next.
            attr::set_end(inode, out.attr.size, true).inspect_err(|_| attr::expire(inode))?;
            drop(closed);
            if !inode.is_dax() && !inode.has_dirty_pages() {
                inode.invalidate_all_pages();
            }
            Ok(())
        }
        Err(failed) => {
            // Where nobody knows what the server did, the lower end is the safe one until it is asked again.
            if moved && failed.known {
                inode.set_size(old);
            }
            attr::expire(inode);
            // Answers that are under way may be from before or after.
            inode.data().state.lock().sized = conn.next_attr_version();
            Err(failed.error)
        }
    }
}

/// Changes attributes as a user asks. The inode lock is held for writing.
pub(crate) fn setattr(inode: &Inode, change: &Change<'_, Fuse>) -> Result {
    let mut arg = setattr_in(change);
    let conn: &Conn = inode.sb().data();
    if change.of_open() && conn.has(InitFlags::ATOMIC_O_TRUNC) {
        // OPEN has done it. What is left are bits that the server does not clear itself.
        arg.valid = SetattrValid::empty();
    }
    if let Some(kill) = change.kills() {
        arg.valid.remove(SetattrValid::MODE);
        if !conn.kills_privs() {
            Fuse::refresh(inode, fields::ACCESS, true, true)?;
            set_mode(&mut arg, inode, kill);
        }
    }
    let owner = change.uid().is_some() || change.gid().is_some();
    if owner
        && inode.mode() & attr::S_IFMT != attr::S_IFDIR
        && conn.has(InitFlags::HANDLE_KILLPRIV_V2)
        || arg.valid.contains(SetattrValid::SIZE) && conn.tells_to_kill()
    {
        arg.valid |= SetattrValid::KILL_SUIDGID;
    }
    if arg.valid.difference(SetattrValid::FH).is_empty() {
        return Ok(());
    }
    if !arg.valid.contains(SetattrValid::SIZE) && local::is_ours(inode) {
        // Written back later it would set times, or clear bits, after this.
        writeback::sync(inode, 0, u64::MAX)?;
    }
    let told = local::add_times(inode, &mut arg, change.now());
    if told.is_none() && change.size().is_some() && change.by_file() {
        // Cutting sets the time at the server, and some servers do not take both at once.
        arg.valid
            .remove(SetattrValid::MTIME | SetattrValid::MTIME_NOW);
    }
    send(inode, arg)?;
    if let Some(told) = told {
        local::times_told(inode, told);
        local::settle(inode);
    }
    Ok(())
}

/// Has the server make a change, and takes over what it says then.
fn send(inode: &Inode, mut arg: SetattrIn) -> Result {
    let conn: &Conn = inode.sb().data();
    if arg.valid.contains(SetattrValid::SIZE) {
        arg.valid |= SetattrValid::LOCKOWNER;
        arg.lock_owner = inode.sb().data().current_owner();
        inode.data().state.lock().resizing = true;
        let done = resize(inode, arg);
        inode.data().state.lock().resizing = false;
        return done;
    }
    let op = Setattr {
        nodeid: NodeId::new(inode.key()),
        arg,
    };
    let version = conn.attr_version();
    let out = conn.call(inode.sb(), &op)?;
    take_setattr(inode, &out, version)
}
