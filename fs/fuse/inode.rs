// SPDX-License-Identifier: GPL-2.0

//! Inodes: from a server's answer to an inode in memory, and back to a FORGET.
//!
//! Locks: an inode's own spinlock guards its [`State`]; nothing waits inside it.

use crate::{
    attr::{self, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    chan::{ForgetNode, Lookup},
    conn::{Asked, Conn, DaxMode, Flag},
    dax, errno,
    local::{self, Local},
    modes::Modes,
    passthrough::Watch,
    proto::{
        attr::{Attr, EntryOut},
        flags::{AttrFlags, InitFlags},
        ids::NodeId,
    },
    readdir,
    turns::Taken,
    vfs::{
        dentry::Belief,
        inode::{fields, Got, New},
        time::Moment,
        SuperBlock,
    },
    writeback::WriteBack,
    Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc, SpinLock,
    },
};

/// An inode of a FUSE mount.
pub(crate) type Inode = crate::vfs::Inode<Fuse>;
/// A counted reference to one.
pub(crate) type InodeRef = crate::vfs::inode::Ref<Fuse>;

/// What an inode holds.
#[pin_data]
pub(crate) struct InodeData {
    #[pin]
    pub(crate) state: SpinLock<State>,
    /// Which life of its node id it is. Set before others see the inode.
    generation: Atomic<u64>,
    /// Of a directory: the connection's version when the server said that a name in it changed.
    name_told: Atomic<u64>,
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
    nlookup: u64,
    /// The memory for giving them back.
    forget: Option<KBox<ForgetNode>>,
    /// Where another file system begins: a reference that this inode and the root of that one share.
    submount: Option<Arc<Lookup>>,
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

    /// Believes the attributes for as long as the server says.
    pub(crate) fn believe(&mut self, sec: u64, nsec: u32) {
        self.ttl = (sec, nsec);
        self.valid_until = self.believed_for();
        self.stale &= !fields::BASIC;
    }

    /// Counts a reference of the server. Memory for giving it back that there is already is returned.
    fn count(&mut self, node: Option<KBox<ForgetNode>>) -> Option<KBox<ForgetNode>> {
        self.nlookup += 1;
        if self.forget.is_some() {
            return node;
        }
        self.forget = node;
        None
    }

    /// Whether the attributes `wanted` are believed.
    pub(crate) fn is_fresh(&self, mut wanted: u32) -> bool {
        if self.local.is_ours() {
            wanted &= !fields::WRITTEN;
        }
        if wanted == 0 {
            return true;
        }
        self.stale & wanted == 0 && !self.valid_until.passed()
    }
}

impl InodeData {
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

/// An answer that names an inode, whose reference is ours until it ends in an inode.
pub(crate) struct Entry {
    lookup: Lookup,
    out: EntryOut,
    asked: Asked,
}

impl Entry {
    /// Takes over an answer to a lookup or creation; `None` when it says that the name does not exist.
    ///
    /// # Errors
    ///
    /// `EIO` for an answer that cannot be.
    pub(crate) fn new(
        conn: &Conn,
        out: EntryOut,
        node: KBox<ForgetNode>,
        asked: Asked,
    ) -> Result<Option<Self>> {
        if out.nodeid == NodeId::NONE {
            return Ok(None);
        }
        let lookup = conn.lookup_ref(out.nodeid, node);
        if out.nodeid == NodeId::ROOT || !attr::is_sane(&out.attr) {
            if crate::vfs::ratelimit() {
                pr_err!(
                    "the server answers with an impossible inode {}\n",
                    out.nodeid.get()
                );
            }
            return Err(EIO);
        }
        Ok(Some(Self { lookup, out, asked }))
    }

    /// How far the name is believed.
    pub(crate) fn belief(&self) -> Belief {
        belief(&self.out, self.asked)
    }

    /// Whether it is an inode of the type `typ`, one of the bits of a mode.
    pub(crate) fn is_type(&self, typ: u32) -> bool {
        self.out.attr.mode & S_IFMT == typ
    }

    /// Whether it still is what `inode` is.
    pub(crate) fn is(&self, inode: &Inode) -> bool {
        inode.key() == self.out.nodeid.get()
            && inode.mode() & S_IFMT == self.out.attr.mode & S_IFMT
            && inode.is_automount() == self.is_submount(inode.sb().data())
            && generation(inode) == self.out.generation.get()
    }

    /// Whether another file system of the server begins there.
    fn is_submount(&self, conn: &Conn) -> bool {
        conn.has(InitFlags::SUBMOUNTS)
            && self.out.attr.flags.contains(AttrFlags::SUBMOUNT)
            && self.is_type(S_IFDIR)
    }

    /// Counts the reference for an inode that it names, and takes over the attributes. Gives memory back that the inode had no
    /// use for.
    pub(crate) fn refresh(self, inode: &Inode) -> Option<KBox<ForgetNode>> {
        let Self { lookup, out, asked } = self;
        let node = lookup.into_node();
        attr::take_with(
            inode,
            &out.attr,
            (out.attr_valid, out.attr_valid_nsec),
            asked.version,
            Some(out.attr.flags),
            |state| state.count(node),
        )
    }

    /// The inode in memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn into_inode(self, sb: &SuperBlock<Fuse>) -> Result<InodeRef> {
        if self.is_submount(sb.data()) {
            return self.into_submount(sb);
        }
        loop {
            match sb.get_inode(self.out.nodeid.get())? {
                Got::Existing(inode) => {
                    if !self.is(&inode) {
                        // The server uses the id for something else now; it tells of the old inode no more.
                        inode.make_bad();
                        continue;
                    }
                    self.refresh(&inode);
                    return Ok(inode);
                }
                Got::New(new) => {
                    self.start(&new);
                    let node = self.lookup.into_node();
                    new.data().state.lock().count(node);
                    return Ok(new.done());
                }
            }
        }
    }

    /// A directory in which another file system begins. Its node id is that of the other one's root, and may be that of a
    /// directory here as well: it stays out of the hash, and each name has one of its own.
    fn into_submount(self, sb: &SuperBlock<Fuse>) -> Result<InodeRef> {
        let new = sb.new_inode(self.out.nodeid.get())?;
        self.start(&new);
        new.set_automount();
        new.data().state.lock().submount = Some(Arc::new(self.lookup, GFP_KERNEL)?);
        Ok(new.done())
    }

    /// Makes a new inode what the answer says.
    fn start(&self, new: &New<Fuse>) {
        start(new, &self.out.attr);
        new.data()
            .generation
            .store(self.out.generation.get(), Relaxed);
        let mut state = new.data().state.lock();
        state.believe(self.out.attr_valid, self.out.attr_valid_nsec);
        state.attr_version = new.sb().data().next_attr_version();
        state.block_bits = attr::block_bits(&self.out.attr);
    }
}

/// How far the name is believed that an answer is about, whether it exists or not.
pub(crate) fn belief(out: &EntryOut, asked: Asked) -> Belief {
    let until = Moment::after(out.entry_valid, out.entry_valid_nsec);
    Belief::new(until, asked.epoch)
}

/// The server said that a name in `dir` changed: what was asked for before is not to be believed.
pub(crate) fn name_told(dir: &Inode) {
    let version = dir.sb().data().next_attr_version();
    dir.data().name_told.store(version, Release);
}

/// Does not believe an answer about a name in `dir`, asked for at `version`, if the server said meanwhile that one changed.
pub(crate) fn doubt(dir: &Inode, out: &mut EntryOut, version: u64) {
    if dir.data().name_told.load(Acquire) > version {
        (out.entry_valid, out.entry_valid_nsec) = (0, 0);
    }
}

/// Gives a new inode its kind and its operations.
fn start(new: &New<Fuse>, attr: &Attr) {
    let mount = new.sb().data();
    let conn: &Conn = mount;
    let a = attr::to_vfs(attr);
    new.init(&a);
    new.set_plain();
    if !conn.has(InitFlags::POSIX_ACL) {
        new.dont_cache_acls();
    }
    match attr.mode & S_IFMT {
        S_IFREG => {
            let limits = conn.negotiated();
            new.set_mapping(
                wants_dax(mount, attr.flags),
                limits.max_read.min(limits.max_write),
            );
            new.set_file();
            if local::caches_writes(new) {
                new.keep_times();
            }
        }
        S_IFDIR => new.set_dir(),
        S_IFLNK => new.set_link(),
        _ => new.init_special(&a),
    }
}

/// Whether a regular file with these flags is reached by DAX.
pub(crate) fn wants_dax(conn: &Conn, flags: AttrFlags) -> bool {
    conn.dax().is_some()
        && match conn.dax_mode() {
            DaxMode::Always => true,
            DaxMode::Never => false,
            DaxMode::Default | DaxMode::Inode => {
                conn.has(InitFlags::HAS_INODE_DAX) && flags.contains(AttrFlags::DAX)
            }
        }
}

/// The root inode of a new mount, or of one that begins at a directory of another. What it is like is asked when somebody
/// wants to know.
///
/// # Errors
///
/// `ESTALE` when nothing begins there any more.
pub(crate) fn root(sb: &SuperBlock<Fuse>, mode: u32, at: Option<&Inode>) -> Result<InodeRef> {
    let (nodeid, held, life) = match at {
        None => (NodeId::ROOT.get(), None, 0),
        Some(at) => {
            let state = at.data().state.lock();
            let held = state.submount.clone().ok_or_else(errno::estale)?;
            (at.key(), Some(held), generation(at))
        }
    };
    match sb.get_inode(nodeid)? {
        Got::New(new) => {
            let attr = Attr {
                mode,
                nlink: 2,
                ..Default::default()
            };
            start(&new, &attr);
            new.data().state.lock().submount = held;
            new.data().generation.store(life, Relaxed);
            Ok(new.done())
        }
        Got::Existing(_) => Err(EIO),
    }
}

/// Which life of its node id it is.
pub(crate) fn generation(inode: &Inode) -> u64 {
    inode.data().generation.load(Relaxed)
}

/// The inode leaves memory: gives back what the server counts, with `tell` by a FORGET.
pub(crate) fn forget(inode: &Inode, tell: bool) {
    let (node, nlookup, submount) = {
        let mut state = inode.data().state.lock();
        let nlookup = core::mem::take(&mut state.nlookup);
        (state.forget.take(), nlookup, state.submount.take())
    };
    drop(submount);
    if let Some(mut node) = node.filter(|_| tell) {
        if nlookup > 0 {
            node.one.nodeid = NodeId::new(inode.key());
            node.one.nlookup = nlookup;
            inode.sb().data().transport().forget(node);
        }
    }
}
