// SPDX-License-Identifier: GPL-2.0

//! Inodes: from a server's answer to an inode in memory, and its attributes.
//!
//! Locks: an inode's own spinlock guards its [`State`]. A size that the server changes is taken over under the inode lock
//! when that means less data, because DAX mappings beyond the new end must go first.

use crate::{
    chan::{ForgetNode, Lookup},
    conn::{Conn, DaxMode},
    dax,
    ops::attr::{Getattr, Setattr},
    proto::{
        attr::{Attr, EntryOut, GetattrIn, SetattrIn},
        flags::{AttrFlags, GetattrFlags, InitFlags, SetattrValid},
        ids::NodeId,
    },
    vfs::{
        inode::{Attributes, Change, Got},
        time::Moment,
        SuperBlock,
    },
    virtiofs::Virtiofs,
};
use kernel::{new_spinlock, prelude::*, sync::aref::ARef, sync::SpinLock};

/// An inode of a FUSE mount.
pub(crate) type Inode = crate::vfs::Inode<Virtiofs>;

const S_IFMT: u32 = 0o170000;
const S_IFREG: u32 = 0o100000;
const S_IFDIR: u32 = 0o040000;
const S_IFLNK: u32 = 0o120000;
const S_IFCHR: u32 = 0o020000;
const S_IFBLK: u32 = 0o060000;
const S_IFIFO: u32 = 0o010000;
const S_IFSOCK: u32 = 0o140000;

/// What an inode holds.
#[pin_data]
pub(crate) struct InodeData {
    #[pin]
    state: SpinLock<State>,
    /// Where its parts are in the DAX window.
    #[pin]
    pub(crate) ranges: dax::map::Map,
}

/// What changes.
struct State {
    /// References that the server counts.
    nlookup: u64,
    /// The memory for giving them back.
    forget: Option<KBox<ForgetNode>>,
    generation: u64,
    /// Until when the attributes are believed.
    valid_until: Moment,
    /// The connection's version when they were asked for.
    attr_version: u64,
    block_bits: u32,
}

impl InodeData {
    /// Makes the data of a new inode.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            state <- new_spinlock!(State {
                nlookup: 0,
                forget: None,
                generation: 0,
                valid_until: Moment::PAST,
                attr_version: 0,
                block_bits: 12,
            }, "fuse inode"),
            ranges <- dax::map::Map::new(),
        })
    }
}

/// Whether the server may say this of an inode.
fn attr_is_sane(attr: &Attr) -> bool {
    matches!(
        attr.mode & S_IFMT,
        S_IFREG | S_IFDIR | S_IFLNK | S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK
    ) && attr.size <= i64::MAX as u64
}

fn attributes(attr: &Attr) -> Attributes {
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
    }
}

/// An answer that names an inode, whose reference is ours until it ends in an inode.
pub(crate) struct Entry {
    lookup: Lookup,
    out: EntryOut,
    attr_version: u64,
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
        attr_version: u64,
    ) -> Result<Option<Self>> {
        if out.nodeid == NodeId::NONE {
            return Ok(None);
        }
        let lookup = conn.lookup_ref(out.nodeid, node);
        if out.nodeid == NodeId::ROOT || !attr_is_sane(&out.attr) {
            if crate::vfs::ratelimit() {
                pr_err!(
                    "the server answers with an impossible inode {}\n",
                    out.nodeid.get()
                );
            }
            return Err(EIO);
        }
        Ok(Some(Self {
            lookup,
            out,
            attr_version,
        }))
    }

    /// The inode that it names.
    pub(crate) fn nodeid(&self) -> NodeId {
        self.out.nodeid
    }

    /// Until when the name is believed.
    pub(crate) fn valid_until(&self) -> Moment {
        Moment::after(self.out.entry_valid, self.out.entry_valid_nsec)
    }

    /// Whether it still is what `inode` is.
    pub(crate) fn is(&self, inode: &Inode) -> bool {
        inode.key() == self.out.nodeid.get()
            && inode.mode() & S_IFMT == self.out.attr.mode & S_IFMT
            && inode.data().state.lock().generation == self.out.generation.get()
    }

    /// Counts the reference for an inode that it names, and takes over the attributes.
    pub(crate) fn refresh(self, inode: &Inode) -> Result {
        let Self {
            lookup,
            out,
            attr_version,
        } = self;
        count(inode, lookup);
        take_attr(inode, &out.attr, attr_valid(&out), attr_version)
    }

    /// The inode in memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn into_inode(self, sb: &SuperBlock<Virtiofs>) -> Result<ARef<Inode>> {
        loop {
            match sb.get_inode(self.out.nodeid.get())? {
                Got::Existing(inode) => {
                    if !self.is(&inode) {
                        // The server uses the id for something else now; it tells of the old inode no more.
                        inode.make_bad();
                        continue;
                    }
                    self.refresh(&inode)?;
                    return Ok(inode);
                }
                Got::New(new) => {
                    start(sb.data(), &new, &self.out.attr);
                    {
                        let mut state = new.data().state.lock();
                        state.generation = self.out.generation.get();
                        state.valid_until = attr_valid(&self.out);
                        state.attr_version = sb.data().next_attr_version();
                        state.block_bits = block_bits(&self.out.attr);
                    }
                    count(&new, self.lookup);
                    return Ok(new.done());
                }
            }
        }
    }
}

fn attr_valid(out: &EntryOut) -> Moment {
    Moment::after(out.attr_valid, out.attr_valid_nsec)
}

fn block_bits(attr: &Attr) -> u32 {
    attr.blksize.checked_ilog2().unwrap_or(12).clamp(9, 30)
}

/// Adds a reference of the server to an inode's count.
fn count(inode: &Inode, lookup: Lookup) {
    let node = lookup.into_node();
    let mut state = inode.data().state.lock();
    state.nlookup += 1;
    let spare = if state.forget.is_none() {
        state.forget = node;
        None
    } else {
        node
    };
    drop(state);
    drop(spare);
}

/// Gives a new inode its kind and its operations.
fn start(conn: &Conn, new: &crate::vfs::inode::New<Virtiofs>, attr: &Attr) {
    let a = attributes(attr);
    new.init(&a);
    new.set_plain();
    match attr.mode & S_IFMT {
        S_IFREG => {
            if wants_dax(conn, attr.flags) {
                new.set_dax();
            }
            new.set_mapping();
            new.set_file();
        }
        S_IFDIR => new.set_dir(),
        S_IFLNK => (),
        _ => new.init_special(&a),
    }
}

/// Whether a regular file with these flags is reached by DAX.
fn wants_dax(conn: &Conn, flags: AttrFlags) -> bool {
    conn.dax().is_some()
        && match conn.dax_mode() {
            DaxMode::Always => true,
            DaxMode::Never => false,
            DaxMode::Default | DaxMode::Inode => {
                conn.has(InitFlags::HAS_INODE_DAX) && flags.contains(AttrFlags::DAX)
            }
        }
}

/// The root inode of a new mount. What it is like is asked when somebody wants to know.
pub(crate) fn root(sb: &SuperBlock<Virtiofs>) -> Result<ARef<Inode>> {
    match sb.get_inode(NodeId::ROOT.get())? {
        Got::New(new) => {
            let attr = Attr {
                mode: S_IFDIR,
                nlink: 2,
                ..Default::default()
            };
            start(sb.data(), &new, &attr);
            Ok(new.done())
        }
        Got::Existing(_) => Err(EIO),
    }
}

/// Takes over attributes that were asked for at `version`, unless newer ones came in between.
fn take_attr(inode: &Inode, attr: &Attr, valid_until: Moment, version: u64) -> Result {
    let conn = inode.sb().data();
    let mut state = inode.data().state.lock();
    if state.attr_version > version {
        return Ok(());
    }
    state.attr_version = conn.next_attr_version();
    state.valid_until = valid_until;
    state.block_bits = block_bits(attr);
    let (old_size, old_mtime) = (inode.size(), inode.mtime());
    inode.set_attributes(&attributes(attr));
    let grows = attr.size >= old_size;
    if grows || !inode.is_dax() {
        inode.set_size(attr.size);
    }
    drop(state);

    if inode.is_regular() {
        if inode.is_dax() {
            if !grows {
                shrink(inode, attr.size)?;
            }
        } else if attr.size != old_size || inode.mtime() != old_mtime {
            if !grows {
                inode.invalidate_lock().truncate_pages(attr.size);
            }
            if attr.size != old_size || conn.has(InitFlags::AUTO_INVAL_DATA) {
                inode.invalidate_all_pages();
            }
        }
        // What DAX makes of an inode is settled when it comes into memory: let it leave soon.
        if conn.dax().is_some() && wants_dax(conn, attr.flags) != inode.is_dax() {
            inode.mark_dontcache();
        }
    }
    Ok(())
}

/// The server says that a DAX file has less data: nobody may see its old end any more.
fn shrink(inode: &Inode, size: u64) -> Result {
    let _lock = inode.lock_killable()?;
    truncate_locked(inode, size)
}

/// Makes a file end at `size`. The inode lock is held for writing.
fn truncate_locked(inode: &Inode, size: u64) -> Result {
    let mut faults = inode.invalidate_lock();
    if inode.is_dax() {
        faults.break_layout(size & !(kernel::page::PAGE_SIZE as u64 - 1), u64::MAX)?;
    }
    inode.set_size(size);
    faults.truncate_pages(size);
    Ok(())
}

/// Says that the attributes must be asked for again, because a write changed them.
pub(crate) fn expire_attr(inode: &Inode) {
    let mut state = inode.data().state.lock();
    state.attr_version = inode.sb().data().next_attr_version();
    state.valid_until = Moment::PAST;
}

/// A write made the file end at `end` at least.
pub(crate) fn extend(inode: &Inode, end: u64) {
    let mut state = inode.data().state.lock();
    state.attr_version = inode.sb().data().next_attr_version();
    state.valid_until = Moment::PAST;
    if inode.size() < end {
        inode.set_size(end);
    }
}

/// Sends FORGET for what the server counts. The inode leaves memory.
pub(crate) fn forget(inode: &Inode) {
    let (node, nlookup) = {
        let mut state = inode.data().state.lock();
        (state.forget.take(), core::mem::take(&mut state.nlookup))
    };
    if let Some(mut node) = node {
        if nlookup > 0 {
            node.one.nodeid = NodeId::new(inode.key());
            node.one.nlookup = nlookup;
            inode.sb().data().transport().forget(node);
        }
    }
}

impl crate::vfs::inode::Operations for Virtiofs {
    fn refresh(inode: &Inode, force: bool, may_block: bool) -> Result {
        if !force && !inode.data().state.lock().valid_until.passed() {
            return Ok(());
        }
        if !may_block {
            return Err(ECHILD);
        }
        let conn = inode.sb().data();
        let version = conn.attr_version();
        let out = conn.call(
            inode.sb(),
            &Getattr {
                nodeid: NodeId::new(inode.key()),
                arg: GetattrIn {
                    getattr_flags: GetattrFlags::empty(),
                    ..Default::default()
                },
            },
        )?;
        if !attr_is_sane(&out.attr) || (out.attr.mode ^ inode.mode()) & S_IFMT != 0 {
            inode.make_bad();
            return Err(EIO);
        }
        take_attr(
            inode,
            &out.attr,
            Moment::after(out.attr_valid, out.attr_valid_nsec),
            version,
        )
    }

    fn setattr(inode: &Inode, change: &Change<'_>) -> Result {
        let conn = inode.sb().data();
        let mut arg = SetattrIn::default();
        let mut valid = SetattrValid::empty();
        if let Some(mode) = change.mode() {
            valid = valid | SetattrValid::MODE;
            arg.mode = mode;
        }
        if let Some(uid) = change.uid() {
            valid = valid | SetattrValid::UID;
            arg.uid = uid;
        }
        if let Some(gid) = change.gid() {
            valid = valid | SetattrValid::GID;
            arg.gid = gid;
        }
        if let Some((sec, nsec, given)) = change.atime() {
            valid = valid | SetattrValid::ATIME;
            arg.atime = sec as u64;
            arg.atimensec = nsec;
            if !given {
                valid = valid | SetattrValid::ATIME_NOW;
            }
        }
        if let Some((sec, nsec, given)) = change.mtime() {
            valid = valid | SetattrValid::MTIME;
            arg.mtime = sec as u64;
            arg.mtimensec = nsec;
            if !given {
                valid = valid | SetattrValid::MTIME_NOW;
            }
        }
        if let Some(size) = change.size() {
            valid = valid | SetattrValid::SIZE;
            arg.size = size;
            // The data behind the new end goes before the server drops it; what it holds then is the server's.
            if inode.is_dax() && size < inode.size() {
                inode
                    .invalidate_lock()
                    .break_layout(size & !(kernel::page::PAGE_SIZE as u64 - 1), u64::MAX)?;
            }
        }
        arg.valid = valid;
        let out = conn.call(
            inode.sb(),
            &Setattr {
                nodeid: NodeId::new(inode.key()),
                arg,
            },
        )?;
        if !attr_is_sane(&out.attr) || (out.attr.mode ^ inode.mode()) & S_IFMT != 0 {
            inode.make_bad();
            return Err(EIO);
        }
        {
            let mut state = inode.data().state.lock();
            state.attr_version = conn.next_attr_version();
            state.valid_until = Moment::after(out.attr_valid, out.attr_valid_nsec);
            inode.set_attributes(&attributes(&out.attr));
        }
        if change.size().is_some() {
            truncate_locked(inode, out.attr.size)?;
            if !inode.is_dax() {
                inode.invalidate_all_pages();
            }
        }
        Ok(())
    }

    fn block_bits(inode: &Inode) -> u32 {
        inode.data().state.lock().block_bits
    }
}
