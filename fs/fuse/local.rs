// SPDX-License-Identifier: GPL-2.0

//! What the client knows better than the server: size and times of a file that is written to a cache first.
//!
//! With WRITEBACK_CACHE a write changes the page cache and the inode here, and the server learns of it later. From the first
//! such change until the server has everything, the file's size, mtime and ctime are the client's own: what the server
//! says of them meanwhile is old. The times go to the server by a SETATTR after the data, since writing back sets times
//! of its own there.
//!
//! Locks: the inode's own spinlock, briefly. Nothing is held while the server is asked.

use crate::{
    inode::Inode,
    ops::attr::Setattr,
    proto::{
        attr::SetattrIn,
        flags::{InitFlags, SetattrValid},
        ids::NodeId,
    },
    vfs::cred::Caller,
    writeback::WriteBack,
};
use kernel::prelude::*;

/// What of an inode is the client's own. Part of its [`State`](crate::inode::State).
#[derive(Default)]
pub(crate) struct Local {
    /// The server may not know size and times yet.
    owned: bool,
    /// How often the times changed, and with which of these changes the server was told of them.
    changes: u64,
    told: u64,
    /// Tasks that are about to change the data.
    writers: u32,
}

impl Local {
    /// Whether the server's word about size and times does not count.
    pub(crate) fn is_ours(&self) -> bool {
        self.owned || self.writers > 0
    }

    fn has_news(&self) -> bool {
        self.told != self.changes
    }
}

/// Whether data of `inode` is written to the page cache first.
pub(crate) fn caches_writes(inode: &Inode) -> bool {
    inode.is_regular() && !inode.is_dax() && inode.sb().data().has(InitFlags::WRITEBACK_CACHE)
}

/// Whether the server's word about size and times of `inode` does not count.
pub(crate) fn is_ours(inode: &Inode) -> bool {
    inode.data().state.lock().local.is_ours()
}

/// Somebody who changes the data in the page cache.
pub(crate) struct Writer<'a>(&'a Inode);

impl<'a> Writer<'a> {
    /// From now on the size is the client's own.
    pub(crate) fn begin(inode: &'a Inode) -> Self {
        let mut state = inode.data().state.lock();
        state.local.owned = true;
        state.local.writers += 1;
        Self(inode)
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.0.data().state.lock().local.writers -= 1;
    }
}

/// The times are about to change here.
pub(crate) fn times_change(inode: &Inode) {
    let mut state = inode.data().state.lock();
    state.local.owned = true;
    state.local.changes += 1;
}

/// Data was written back: the server has set times of its own, so it has to be told once more.
pub(crate) fn written_back(inode: &Inode) {
    if caches_writes(inode) {
        times_change(inode);
        inode.mark_dirty();
    }
}

/// Whether the inode holds what the server has not been told.
pub(crate) fn has_news(inode: &Inode) -> bool {
    // Entries of DAX files are marked dirty for good; the host has what is in them.
    !inode.is_dax() && (inode.has_dirty_pages() || inode.data().state.lock().local.has_news())
}

/// Adds the client's own times to a change that goes to the server anyhow, at `now`. The result is for [`times_told`].
pub(crate) fn add_times(inode: &Inode, arg: &mut SetattrIn, now: (i64, u32)) -> Option<Told> {
    let state = inode.data().state.lock();
    if !state.local.is_ours() {
        return None;
    }
    let given = arg.valid.contains(SetattrValid::MTIME);
    let mtime = if given && !arg.valid.contains(SetattrValid::MTIME_NOW) {
        (arg.mtime as i64, arg.mtimensec)
    } else if given || arg.valid.contains(SetattrValid::SIZE) && arg.size != inode.size() {
        now
    } else {
        inode.mtime()
    };
    arg.valid.remove(SetattrValid::MTIME_NOW);
    arg.valid |= SetattrValid::MTIME | SetattrValid::CTIME;
    (arg.mtime, arg.mtimensec) = (mtime.0 as u64, mtime.1);
    (arg.ctime, arg.ctimensec) = (now.0 as u64, now.1);
    Some(Told {
        changes: state.local.changes,
        times: Some((mtime, now)),
    })
}

/// Times that the server is being told.
pub(crate) struct Told {
    changes: u64,
    times: Option<((i64, u32), (i64, u32))>,
}

/// The server has them.
pub(crate) fn times_told(inode: &Inode, told: Told) {
    let mut state = inode.data().state.lock();
    // Whoever changed them since will tell again.
    if state.local.changes == told.changes {
        state.local.told = told.changes;
        if let Some((mtime, ctime)) = told.times {
            inode.set_times(mtime, ctime);
        }
    }
}

/// Tells the server of the times, if they have changed here, and waits.
///
/// # Errors
///
/// What the server says to it; `EINTR` on a fatal signal. It is tried again later.
pub(crate) fn tell_times(inode: &Inode) -> Result {
    let told = {
        let state = inode.data().state.lock();
        if !state.local.has_news() {
            return Ok(());
        }
        Told {
            changes: state.local.changes,
            times: None,
        }
    };
    let (mtime, ctime) = (inode.mtime(), inode.ctime());
    let mut arg = SetattrIn {
        valid: SetattrValid::MTIME | SetattrValid::CTIME,
        mtime: mtime.0 as u64,
        mtimensec: mtime.1,
        ctime: ctime.0 as u64,
        ctimensec: ctime.1,
        ..Default::default()
    };
    let handle = inode.data().writeback.file();
    if let Some(handle) = &handle {
        arg.valid |= SetattrValid::FH;
        arg.fh = handle.fh;
    }
    let op = Setattr {
        nodeid: NodeId::new(inode.key()),
        arg,
    };
    let conn = inode.sb().data();
    // Not the user's own doing: who may write a file may not always set its times.
    crate::chan::call(&**conn.transport(), Caller::default(), &op)?;
    times_told(inode, told);
    drop(handle);
    Ok(())
}

/// The server has all there is to know, and nothing that was written here counts any more. The inode lock is held.
pub(crate) fn forget(inode: &Inode) {
    let mut state = inode.data().state.lock();
    state.local.told = state.local.changes;
    state.local.owned = false;
}

/// Gives size and times back to the server, if it has everything.
pub(crate) fn settle(inode: &Inode) {
    let mut state = inode.data().state.lock();
    let local = &mut state.local;
    if !local.owned || local.writers > 0 || local.has_news() || inode.has_dirty_pages() {
        return;
    }
    local.owned = false;
    // What was asked before now may be from before the last change.
    let version = inode.sb().data().next_attr_version();
    (state.sized, state.changed) = (version, version);
    state.valid_until = crate::vfs::time::Moment::PAST;
    drop(state);
    WriteBack::prune(inode);
}
