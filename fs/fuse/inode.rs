// SPDX-License-Identifier: GPL-2.0

//! Inodes: from a server's answer to an inode in memory, and back to a FORGET.
//!
//! Locks: an inode's own spinlock, which guards what changes of it ([`data`]).

mod data;

pub(crate) use data::{InodeData, State};

use crate::{
    attr::{self, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG},
    chan::{ForgetNode, Lookup},
    conn::{Asked, Conn, DaxMode},
    errno, local,
    proto::{
        attr::{Attr, EntryOut},
        flags::{AttrFlags, InitFlags},
        ids::NodeId,
    },
    vfs::{
        dentry::Belief,
        inode::{Got, New},
        time::Moment,
        SuperBlock,
    },
    Fuse,
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{Acquire, Relaxed, Release},
        Arc,
    },
};

/// An inode of a FUSE mount.
pub(crate) type Inode = crate::vfs::Inode<Fuse>;
/// A counted reference to one.
pub(crate) type InodeRef = crate::vfs::inode::Ref<Fuse>;

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
        new.data()
            .believe(&mut state, self.out.attr_valid, self.out.attr_valid_nsec);
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
            // The server has pages to give, and nothing can take the place of a part of a folio.
            let largest = if conn.has(InitFlags::SPLICE_MOVE) {
                PAGE_SIZE
            } else {
                limits.max_read.min(limits.max_write)
            };
            new.set_mapping(wants_dax(mount, attr.flags), largest);
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
