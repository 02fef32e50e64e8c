// SPDX-License-Identifier: GPL-2.0

//! Attributes: how long they are believed, and how a size changes.
//!
//! A DAX mapping beyond the end of the file would have the host touch what is not there. So a file's end moves down here
//! first, with faults kept out and the layout behind it broken, and at the server after that; and what the server says of
//! the size while that is under way is not believed.
//!
//! Locks: the inode's own spinlock for what is cached; the inode lock and then the invalidate lock where data goes away.
//! Neither of the two short ones is held while the server is asked.

use crate::{
    access,
    conn::Conn,
    inode::{wants_dax, Inode},
    local,
    ops::attr::Setattr,
    passthrough,
    proto::{
        attr::{Attr, AttrOut, SetattrIn},
        flags::{AttrFlags, InitFlags, SetattrValid},
        ids::NodeId,
    },
    stat,
    vfs::{
        file::File,
        inode::{fields, Attributes, Change, Kill, Mask, Operations as _, Verdict},
        time::Moment,
    },
    writeback, Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// The bits of a mode that are the type.
pub(crate) const S_IFMT: u32 = 0o170000;
pub(crate) const S_IFREG: u32 = 0o100000;
pub(crate) const S_IFDIR: u32 = 0o040000;
pub(crate) const S_IFLNK: u32 = 0o120000;
const S_IFCHR: u32 = 0o020000;
const S_IFBLK: u32 = 0o060000;
const S_IFIFO: u32 = 0o010000;
const S_IFSOCK: u32 = 0o140000;

/// Whether the server may say this of an inode.
pub(crate) fn is_sane(attr: &Attr) -> bool {
    matches!(
        attr.mode & S_IFMT,
        S_IFREG | S_IFDIR | S_IFLNK | S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK
    ) && attr.size <= i64::MAX as u64
}

/// The VFS's view of what the server says.
pub(crate) fn to_vfs(attr: &Attr) -> Attributes {
    Attributes {
        ino: attr.ino,
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        size: attr.size,
        blocks: attr.blocks,
        times: [
            (attr.atime as i64, attr.atimensec),
            (attr.mtime as i64, attr.mtimensec),
            (attr.ctime as i64, attr.ctimensec),
        ],
        keeps_times: false,
    }
}

/// The preferred block size, as a power of two.
pub(crate) fn block_bits(attr: &Attr) -> u32 {
    attr.blksize.checked_ilog2().unwrap_or(12).clamp(9, 30)
}

/// Whether this mode has the type of `inode`.
pub(crate) fn is_of_type(inode: &Inode, mode: u32) -> bool {
    (mode ^ inode.mode()) & S_IFMT == 0
}

/// Takes over attributes that were asked for at `version`, unless newer ones came in between. `hint` is what the server says
/// of how the file is to be reached, where it does.
pub(crate) fn take(
    inode: &Inode,
    attr: &Attr,
    ttl: (u64, u32),
    version: u64,
    hint: Option<AttrFlags>,
) {
    let conn: &Conn = inode.sb().data();
    let attr = &passthrough::corrected(inode, attr);
    let mut state = inode.data().state.lock();
    if state.attr_version > version {
        return;
    }
    // What was changed here since then they do not know: they are better than what there was, and asked for again.
    let kept = state.local.is_ours();
    let knows_size = state.sized <= version && !state.resizing && !kept;
    let ours = conn.next_attr_version();
    state.attr_version = ours;
    if knows_size && state.changed <= version {
        state.believe(ttl.0, ttl.1);
    }
    state.block_bits = block_bits(attr);
    let (old_size, old_mtime) = (inode.size(), inode.mtime());
    inode.set_attributes(&Attributes {
        keeps_times: kept || (state.changed > version && local::caches_writes(inode)),
        ..to_vfs(attr)
    });
    if conn.has(InitFlags::POSIX_ACL) {
        inode.forget_acls();
    }
    let size = if knows_size { attr.size } else { old_size };
    let shrinks = size < old_size;
    if size != old_size && !(shrinks && inode.is_dax()) {
        inode.set_size(size);
    }
    drop(state);

    if !inode.is_regular() {
        return;
    }
    if inode.is_dax() {
        if shrinks {
            shrink(inode, size, ours);
        }
    } else if !kept && (size != old_size || inode.mtime() != old_mtime) {
        if shrinks {
            // Who is killed while a page is read leaves it to the next one that the server tells of a size.
            match inode.lock_settled(size, u64::MAX) {
                Ok(mut faults) => faults.truncate_pages(size),
                Err(_) => return expire(inode),
            }
        }
        // A server that tells of changes itself is not second-guessed.
        let auto = conn.has(InitFlags::AUTO_INVAL_DATA);
        if auto || (size != old_size && !conn.has(InitFlags::EXPLICIT_INVAL_DATA)) {
            inode.invalidate_all_pages();
        }
    }
    // What DAX makes of an inode is settled when it comes into memory: let it leave soon.
    let mount = inode.sb().data();
    if conn.dax().is_some() && hint.is_some_and(|hint| wants_dax(mount, hint) != inode.is_dax()) {
        inode.mark_dontcache();
    }
}

/// The server says, in the answer that became `version`, that a DAX file has less data.
fn shrink(inode: &Inode, size: u64, version: u64) {
    // The caller may hold the inode lock itself. Who cannot have it asks again at the next occasion.
    let done = inode.try_lock().is_some_and(|_lock| {
        let state = inode.data().state.lock();
        let current = state.attr_version == version && state.sized <= version;
        drop(state);
        // Who only looks at the file must not wait until a page behind its end is let go.
        current && set_end(inode, size, false).is_ok()
    });
    if !done {
        expire(inode);
    }
}

/// Makes a file end at `size`. The inode lock is held for writing.
///
/// # Errors
///
/// `ERESTARTSYS` when a page behind the new end is pinned: with `wait` when a signal arrives meanwhile, else at once; `EINTR`
/// when a fatal signal arrives while one is read. Nothing has changed then.
pub(crate) fn set_end(inode: &Inode, size: u64, wait: bool) -> Result {
    let shrinks = size < inode.size();
    {
        let mut faults = if shrinks {
            inode.lock_settled(size, u64::MAX)?
        } else {
            inode.invalidate_lock_killable()?
        };
        if inode.is_dax() && shrinks {
            let start = size & !(PAGE_SIZE as u64 - 1);
            if wait {
                faults.break_layout(start, u64::MAX)?;
            } else {
                faults.try_break_layout(start, u64::MAX)?;
            }
        }
        inode.set_size(size);
        if shrinks {
            faults.truncate_pages(size);
        }
    }
    match inode.sb().data().dax() {
        Some(dax) if shrinks && inode.is_dax() => dax.drop_behind(inode, size),
        _ => (),
    }
    Ok(())
}

/// Says that the attributes must be asked for again, because something changed them.
pub(crate) fn expire(inode: &Inode) {
    let mut state = inode.data().state.lock();
    state.changed = inode.sb().data().next_attr_version();
    state.valid_until = Moment::PAST;
}

/// The server said that what is known of the attributes is stale. Answers that are under way do not count.
pub(crate) fn told(inode: &Inode) {
    let version = inode.sb().data().next_attr_version();
    let mut state = inode.data().state.lock();
    state.attr_version = version;
    state.changed = version;
    state.valid_until = Moment::PAST;
    drop(state);
    inode.forget_acls();
}

/// Says that some attributes ([`fields`]) must be asked for again.
pub(crate) fn changed(inode: &Inode, which: u32) {
    let mut state = inode.data().state.lock();
    state.changed = inode.sb().data().next_attr_version();
    state.stale |= which;
}

/// Says that size and other attributes ([`fields`]) must be asked for again: answers that are under way may be from before or
/// after.
pub(crate) fn size_changed(inode: &Inode, which: u32) {
    let mut state = inode.data().state.lock();
    state.sized = inode.sb().data().next_attr_version();
    state.changed = state.sized;
    state.stale |= which;
}

/// Pages of the file were written back.
pub(crate) fn written_back(inode: &Inode) {
    changed(inode, fields::DATA);
}

/// Something was read, for which the server may have set the time of access: it is asked when somebody wants to know.
pub(crate) fn was_read(inode: &Inode) {
    if !inode.sb().is_read_only() {
        inode.data().state.lock().stale |= fields::ATIME;
    }
}

/// A read, asked for when attributes had `version`, found the end of the file at `size`.
pub(crate) fn ends_at(inode: &Inode, size: u64, version: u64) {
    let mut state = inode.data().state.lock();
    let current = state.attr_version.max(state.sized) <= version && !state.resizing;
    // Else it is a hole that the server does not know of.
    if current && !state.local.is_ours() && size < inode.size() {
        state.sized = inode.sb().data().next_attr_version();
        inode.set_size(size);
    }
}

/// A write made the file end at `end` at least.
pub(crate) fn extend(inode: &Inode, end: u64) {
    let mut state = inode.data().state.lock();
    state.sized = inode.sb().data().next_attr_version();
    state.changed = state.sized;
    state.stale |= fields::DATA | fields::SIZE;
    if inode.size() < end {
        inode.set_size(end);
    }
}

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
    if !is_sane(&out.attr) || !is_of_type(inode, out.attr.mode) {
        inode.make_bad();
        return Err(EIO);
    }
    let attr = passthrough::corrected(inode, &out.attr);
    let mut state = inode.data().state.lock();
    if state.attr_version.max(state.changed) <= version {
        state.believe(out.attr_valid, out.attr_valid_nsec);
    } else {
        state.valid_until = Moment::PAST;
    }
    state.attr_version = inode.sb().data().next_attr_version();
    inode.set_attributes(&Attributes {
        keeps_times: state.local.is_ours(),
        ..to_vfs(&attr)
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
        set_end(inode, arg.size, true)?;
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
            set_end(inode, out.attr.size, true)?;
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
            expire(inode);
            // Answers that are under way may be from before or after.
            inode.data().state.lock().sized = conn.next_attr_version();
            Err(failed.error)
        }
    }
}

impl crate::vfs::inode::Operations for Fuse {
    fn refresh(inode: &Inode, wanted: u32, force: bool, may_block: bool) -> Result<bool> {
        stat::refresh(inode, None, wanted, force, may_block)
    }

    fn permission(inode: &Inode, mask: Mask) -> Result<Verdict> {
        access::permission(inode, mask)
    }

    fn allowed(inode: &Inode) -> (bool, bool) {
        (
            access::allowed(inode.sb()),
            inode.sb().data().goes_by_mode(),
        )
    }

    fn setattr(inode: &Inode, change: &Change<'_, Self>) -> Result {
        let mut arg = setattr_in(change);
        let conn: &Conn = inode.sb().data();
        if change.of_open() && conn.has(InitFlags::ATOMIC_O_TRUNC) {
            // OPEN has done it. What is left are bits that the server does not clear itself.
            arg.valid = SetattrValid::empty();
        }
        if let Some(kill) = change.kills() {
            arg.valid.remove(SetattrValid::MODE);
            if !conn.kills_privs() {
                Self::refresh(inode, fields::ACCESS, true, true)?;
                set_mode(&mut arg, inode, kill);
            }
        }
        let owner = change.uid().is_some() || change.gid().is_some();
        if owner && inode.mode() & S_IFMT != S_IFDIR && conn.has(InitFlags::HANDLE_KILLPRIV_V2)
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
        Self::send(inode, arg)?;
        if let Some(told) = told {
            local::times_told(inode, told);
            local::settle(inode);
        }
        Ok(())
    }

    fn block_bits(inode: &Inode) -> u32 {
        inode.data().state.lock().block_bits
    }

    fn btime(inode: &Inode) -> Option<(i64, u32)> {
        inode.data().state.lock().btime
    }

    fn times_change(inode: &Inode) {
        local::times_change(inode);
    }
}

impl Fuse {
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
}
