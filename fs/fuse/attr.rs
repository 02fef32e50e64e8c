// SPDX-License-Identifier: GPL-2.0

//! Attributes: how long they are believed, and how a size changes. What users change is in [`setattr`].
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
    inode::{wants_dax, Inode, State},
    local, passthrough,
    proto::{
        attr::Attr,
        flags::{AttrFlags, InitFlags},
    },
    setattr, stat,
    vfs::{
        inode::{fields, Attributes, Change, Mask, Verdict},
        time::Moment,
    },
    Fuse,
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::Relaxed,
        lock::{spinlock::SpinLockBackend, Guard},
    },
};

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

/// The time of the last change of the data, as an inode has it.
fn mtime(attr: &Attr) -> (i64, u32) {
    (attr.mtime as i64, attr.mtimensec.min(999_999_999))
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
    take_with(inode, attr, ttl, version, hint, |_| ());
}

/// As [`take`], and does something else before, under the same lock.
pub(crate) fn take_with<R>(
    inode: &Inode,
    attr: &Attr,
    ttl: (u64, u32),
    version: u64,
    hint: Option<AttrFlags>,
    before: impl FnOnce(&mut State) -> R,
) -> R {
    let corrected = passthrough::corrected(inode, attr);
    let attr = corrected.as_ref().unwrap_or(attr);
    let mut state = inode.data().state.lock();
    let done = before(&mut state);
    take_locked(inode, state, attr, ttl, version, hint);
    done
}

fn take_locked(
    inode: &Inode,
    mut state: Guard<'_, State, SpinLockBackend>,
    attr: &Attr,
    ttl: (u64, u32),
    version: u64,
    hint: Option<AttrFlags>,
) {
    let conn: &Conn = inode.sb().data();
    if state.attr_version > version {
        return;
    }
    // What was changed here since then they do not know: they are better than what there was, and asked for again.
    let kept = state.local.is_ours();
    let knows_size = state.sized <= version && !state.resizing && !kept;
    let ours = conn.next_attr_version();
    state.attr_version = ours;
    if knows_size && state.changed <= version {
        inode.data().believe(&mut state, ttl.0, ttl.1);
    }
    state.block_bits = block_bits(attr);
    let (old_size, old_mtime) = (inode.size(), inode.mtime());
    let keeps_times = kept || (state.changed > version && local::caches_writes(inode));
    inode.set_attributes(&Attributes {
        keeps_times,
        ..to_vfs(attr)
    });
    let new_mtime = if keeps_times { old_mtime } else { mtime(attr) };
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
    } else if !kept && (size != old_size || new_mtime != old_mtime) {
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
    let was_read = &inode.data().was_read;
    if !was_read.load(Relaxed) && !inode.sb().is_read_only() {
        was_read.store(true, Relaxed);
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
        setattr::setattr(inode, change)
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
