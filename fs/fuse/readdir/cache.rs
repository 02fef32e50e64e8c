// SPDX-License-Identifier: GPL-2.0

//! Lists of directories that the server allows to be kept (FOPEN_CACHE_DIR).
//!
//! What is handed to a reader that reads from the beginning to the end is kept as the server sent it, in pages that the
//! kernel may take back, and later read from there as if it came from the server. A list that is not complete serves
//! nobody. It is begun anew, and those who read the old one ask the server for the rest, when a reader starts and finds
//! that names or the modification time have changed.
//!
//! Locks: the list's own spinlock, inside a locked page; nothing waits inside it.

use super::{emit, report};
use crate::{
    inode::Inode,
    proto::{
        dir::{DirentRef, Dirents},
        flags::InitFlags,
        reply::BadReply,
    },
    stat,
    vfs::{dir::Emitter, file::File, inode::fields, page::zeroed_bytes},
    Fuse,
};
use kernel::{
    new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        SpinLock,
    },
};

/// Bytes that are read from a list at a time: the longest entry fits.
const CHUNK: usize = 2 * PAGE_SIZE;

/// The list of a directory.
#[pin_data]
pub(crate) struct List {
    #[pin]
    state: SpinLock<State>,
    /// Changes of names by this client.
    changes: Atomic<u64>,
}

/// What is kept.
#[derive(Default)]
struct State {
    /// Which list it is.
    version: u64,
    /// The end was seen.
    complete: bool,
    /// Bytes that are kept, and the server's position behind them.
    size: u64,
    pos: u64,
    since: Since,
}

/// What was known of a directory when its list was begun: one that changed since is begun anew.
#[derive(Default, PartialEq, Eq)]
struct Since {
    /// When it was changed last.
    mtime: (i64, u32),
    /// How often by this client.
    changes: u64,
    /// The connection's epoch.
    epoch: usize,
}

impl State {
    fn begin(&mut self, since: Since) {
        *self = Self {
            version: self.version + 1,
            since,
            ..Self::default()
        };
    }
}

/// Where a reader is in a list. What is here is a hint for one reader; it is checked against the list.
pub(crate) struct Stream {
    version: Atomic<u64>,
    pos: Atomic<u64>,
    off: Atomic<u64>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            version: Atomic::new(0),
            pos: Atomic::new(0),
            off: Atomic::new(0),
        }
    }
}

impl Stream {
    fn set(&self, version: u64, pos: u64, off: u64) {
        self.version.store(version, Relaxed);
        self.pos.store(pos, Relaxed);
        self.off.store(off, Relaxed);
    }
}

/// Entries from the server that may continue a list.
pub(super) struct Batch {
    version: u64,
    start: u64,
    records: KVec<u8>,
    whole: bool,
    end: bool,
}

impl Batch {
    /// Nothing comes behind the reader's position.
    pub(super) fn ends(&mut self) {
        self.end = true;
    }

    /// Adds an entry that the reader took.
    pub(super) fn add(&mut self, dirent: &DirentRef<'_>) {
        const ZEROES: [u8; 8] = [0; 8];
        let head = dirent.head();
        let padding = dirent.name.len().next_multiple_of(8) - dirent.name.len();
        let parts = [
            head.as_bytes(),
            dirent.name,
            ZEROES.get(..padding).unwrap_or_default(),
        ];
        self.whole = self.whole
            && parts
                .iter()
                .all(|part| self.records.extend_from_slice(part, GFP_KERNEL).is_ok());
    }

    /// Continues the list with what was added, up to the position `pos`.
    pub(super) fn keep(self, dir: &Inode, pos: u64) {
        let list = &dir.data().list;
        let at = {
            let mut state = list.state.lock();
            if state.version != self.version || state.complete || state.pos != self.start {
                return;
            }
            state.complete = self.end;
            state.size
        };
        if self.end {
            dir.keep_until(at);
            return;
        }
        let same = |state: &State| state.version == self.version && state.size == at;
        let kept = self.whole && dir.keep(at, &self.records, || same(&list.state.lock()));
        let mut state = list.state.lock();
        if kept && same(&state) {
            state.size = at + self.records.len() as u64;
            state.pos = pos;
        }
    }
}

impl List {
    /// An empty one.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::default(), "fuse list"),
            changes: Atomic::new(0),
        })
    }

    /// Does away with the list `version`, in which something is missing.
    fn broken(&self, version: u64) {
        let mut state = self.state.lock();
        if state.version == version {
            state.begin(Since::default());
        }
    }
}

/// Names in `dir` were changed by this client, or may have been.
pub(crate) fn changed(dir: &Inode) {
    dir.data().list.changes.fetch_add(1, Relaxed);
}

/// Does away with what is kept of `dir`.
pub(crate) fn forget(dir: &Inode) {
    dir.data().list.state.lock().begin(Since::default());
    dir.invalidate_all_pages();
}

/// Reads from the list. Returns what to do with the server's answer where the server must be asked.
pub(super) fn read(file: &File<Fuse>, out: &mut Emitter<'_, Fuse>) -> Result<Option<Batch>> {
    let dir = file.inode();
    let list = &dir.data().list;
    let stream = &file.data().stream;
    let start = out.pos();
    if start == 0 && dir.sb().data().has(InitFlags::AUTO_INVAL_DATA) {
        stat::refresh(dir, None, fields::DATA, false, true)?;
    }
    let ask = |version| {
        Ok(Some(Batch {
            version,
            start,
            records: KVec::new(),
            whole: true,
            end: false,
        }))
    };
    let (version, size) = {
        let mut state = list.state.lock();
        let now = Since {
            mtime: dir.mtime(),
            changes: list.changes.load(Relaxed),
            epoch: dir.sb().data().epoch(),
        };
        if start == 0 && (!state.complete || state.since != now) {
            state.begin(now);
        }
        if !state.complete {
            return ask(state.version);
        }
        (state.version, state.size)
    };
    // Where the reader went elsewhere, it is looked for from the beginning.
    let (mut pos, mut off) = (stream.pos.load(Relaxed), stream.off.load(Relaxed));
    if stream.version.load(Relaxed) != version || pos != start || off > size {
        (pos, off) = (0, 0);
    }
    let mut room = zeroed_bytes(CHUNK.min(size as usize))?;
    while off < size {
        let len = room.len().min((size - off) as usize);
        let bytes = room.get_mut(..len).ok_or(EIO)?;
        if !dir.kept(off, bytes) || list.state.lock().version != version {
            list.broken(version);
            return if out.pos() == start { ask(0) } else { Ok(None) };
        }
        let before = off;
        for dirent in Dirents::new(bytes) {
            let dirent = dirent.map_err(|bad| report(dir, bad))?;
            if pos == out.pos() && !emit(out, &dirent) {
                stream.set(version, pos, off);
                return Ok(None);
            }
            pos = dirent.off;
            off += dirent.record_len() as u64;
        }
        if off == before {
            list.broken(version);
            return Err(report(dir, BadReply::TooShort));
        }
    }
    stream.set(version, pos, off);
    if pos == out.pos() {
        Ok(None)
    } else {
        // The list has no such position: it comes from an earlier one.
        ask(0)
    }
}
