// SPDX-License-Identifier: GPL-2.0

//! What an inode in memory holds, and how far its attributes are believed.
//!
//! Locks: an inode's own spinlock "fuse inode" guards its [`State`]; nothing waits inside it.

use crate::{
    chan::{ForgetNode, Lookup},
    conn::Flag,
    dax,
    local::Local,
    modes::Modes,
    passthrough::Watch,
    readdir,
    turns::Taken,
    vfs::{inode::fields, time::Moment},
    writeback::WriteBack,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, SpinLock,
    },
};

/// What an inode holds.
#[pin_data]
pub(crate) struct InodeData {
    #[pin]
    pub(crate) state: SpinLock<State>,
    /// The time of access that is known is from before a read. Reads say so without the lock, and most find it said.
    pub(crate) was_read: AtomicFlag,
    /// Which life of its node id it is. Set before others see the inode.
    pub(super) generation: Atomic<u64>,
    /// Of a directory: the connection's version when the server said that a name in it changed.
    pub(super) name_told: Atomic<u64>,
    /// Whether attributes are to be read along with names.
    pub(crate) advice: readdir::Advice,
    /// Of a directory: somebody has his turn in it.
    pub(crate) taken: Taken,
    /// A process has asked the server for a POSIX lock.
    pub(crate) posix_locked: Flag,
    /// What is kept of a directory's entries.
    #[pin]
    pub(crate) list: readdir::cache::List,
    /// Where its parts are in the DAX window.
    #[pin]
    pub(crate) ranges: dax::map::Map,
    /// What is being written back.
    #[pin]
    pub(crate) writeback: WriteBack,
    /// Who uses its page cache, and who must not find it used.
    #[pin]
    pub(crate) modes: Modes,
    /// Its backing file, while that may change on its own.
    #[pin]
    pub(crate) watch: Watch,
}

/// What changes.
pub(crate) struct State {
    /// References that the server counts.
    pub(super) nlookup: u64,
    /// The memory for giving them back.
    pub(super) forget: Option<KBox<ForgetNode>>,
    /// Where another file system begins: a reference that this inode and the root of that one share.
    pub(super) submount: Option<Arc<Lookup>>,
    /// Until when the attributes are believed.
    pub(crate) valid_until: Moment,
    /// Attributes ([`fields`]) that are not believed all the same, because something changed them.
    pub(crate) stale: u32,
    /// The connection's version when attributes were taken over.
    pub(crate) attr_version: u64,
    /// As it was when something changed attributes here; answers that were under way then do not end that they are asked for.
    pub(crate) changed: u64,
    /// As it was when the size changed here; answers that were under way then say nothing of the size.
    pub(crate) sized: u64,
    /// The time of birth, where it is known.
    pub(crate) btime: Option<(i64, u32)>,
    /// The preferred block size, as a power of two.
    pub(crate) block_bits: u32,
    /// How long the server wants them believed: seconds and nanoseconds.
    pub(crate) ttl: (u64, u32),
    /// Until when it is believed that there are no file capabilities.
    pub(crate) no_caps_until: Moment,
    /// A change of the size is on its way to the server: what it says of the size meanwhile is not to be believed.
    pub(crate) resizing: bool,
    /// What the client knows better.
    pub(crate) local: Local,
}

impl State {
    /// Until when something that is known now is believed.
    pub(crate) fn believed_for(&self) -> Moment {
        Moment::after(self.ttl.0, self.ttl.1)
    }

    /// Counts a reference of the server. Memory for giving it back that there is already is returned.
    pub(super) fn count(&mut self, node: Option<KBox<ForgetNode>>) -> Option<KBox<ForgetNode>> {
        self.nlookup += 1;
        if self.forget.is_some() {
            return node;
        }
        self.forget = node;
        None
    }
}

impl InodeData {
    /// Believes the attributes for as long as the server says.
    pub(crate) fn believe(&self, state: &mut State, sec: u64, nsec: u32) {
        state.ttl = (sec, nsec);
        state.valid_until = state.believed_for();
        state.stale &= !fields::BASIC;
        self.was_read.store(false, Relaxed);
    }

    /// Whether the attributes `wanted` are believed.
    pub(crate) fn is_fresh(&self, mut wanted: u32) -> bool {
        let state = self.state.lock();
        if state.local.is_ours() {
            wanted &= !fields::WRITTEN;
        }
        if wanted == 0 {
            return true;
        }
        let was_read = if self.was_read.load(Relaxed) {
            fields::ATIME
        } else {
            0
        };
        (state.stale | was_read) & wanted == 0 && !state.valid_until.passed()
    }

    /// Makes the data of a new inode.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            state <- new_spinlock!(State {
                nlookup: 0,
                forget: None,
                submount: None,
                valid_until: Moment::PAST,
                stale: fields::BTIME,
                attr_version: 0,
                changed: 0,
                sized: 0,
                btime: None,
                block_bits: 12,
                ttl: (0, 0),
                no_caps_until: Moment::PAST,
                resizing: false,
                local: Local::default(),
            }, "fuse inode"),
            was_read: AtomicFlag::new(false),
            generation: Atomic::new(0),
            name_told: Atomic::new(0),
            advice: readdir::Advice::default(),
            taken: Taken::default(),
            posix_locked: Flag::default(),
            list <- readdir::cache::List::new(),
            ranges <- dax::map::Map::new(),
            writeback <- WriteBack::new(),
            modes <- Modes::new(),
            watch <- Watch::new(),
        })
    }
}
