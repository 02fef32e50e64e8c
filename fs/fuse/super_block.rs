// SPDX-License-Identifier: GPL-2.0

//! What the super blocks of every mount have in common, however it reaches its server.
//!
//! Takes no locks.

use crate::{
    access::{self, Access, Allow},
    attr::{S_IFDIR, S_IFMT},
    chan::{self, Operation, Transport},
    conn::{tolerate_missing, Conn},
    dev, dir, errno,
    handle::FileData,
    inode::{self, Inode, InodeData, InodeRef},
    local,
    ops::{
        attr::Statfs,
        mount::{Destroy, Syncfs},
    },
    params,
    proto::{file::SyncfsIn, ids::NodeId},
    sync::Ticker,
    vfs::{
        cred::Caller,
        dentry::{Cached, Confirm},
        file::Positions,
        pids::Pids,
        super_block::{OptionWriter, StatFs, XattrHandlers},
        FileSystem, Mounted, SuperBlock,
    },
    virtiofs, Fuse,
};
use core::fmt::Write as _;
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        atomic::{Atomic, AtomicFlag, Full, Relaxed},
        Arc, SetOnce, UniqueArc,
    },
};

/// What a super block holds.
pub(crate) struct Mount {
    session: Arc<Session>,
    root: Root,
    mounted: Arc<Mounted<Fuse>>,
    /// Its number among those of its device.
    part: u64,
    /// It was in use, and its use ended.
    ended: AtomicFlag,
    /// Searches for names that are not believed any more.
    search: SetOnce<Pin<KBox<Ticker>>>,
}

/// Where a super block begins: at the server's root, or at a file system that the server found below it.
#[derive(PartialEq, Eq)]
struct Root {
    nodeid: NodeId,
    generation: u64,
}

/// What the super blocks of one server share: the connection to it, and where that came from.
struct Session {
    conn: Conn,
    origin: Origin,
    /// Who may use it; everybody of whom a virtiofs server is told may.
    access: Option<Access>,
    /// Super blocks that are in use, or may come to be. With the last one the session ends.
    mounts: Atomic<usize>,
}

/// What was mounted.
pub(crate) enum Origin {
    /// A virtiofs device.
    Virtiofs(virtiofs::mount::Device),
    /// A server behind `/dev/fuse`.
    Dev(dev::mount::Served),
}

impl Mount {
    /// Makes the data of a super block.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(conn: Conn, origin: Origin, access: Option<Access>) -> Result<Arc<Self>> {
        let session = Session {
            conn,
            origin,
            access,
            mounts: Atomic::new(0),
        };
        let root = Root {
            nodeid: NodeId::ROOT,
            generation: 0,
        };
        Self::of(Arc::new(session, GFP_KERNEL)?, root)
    }

    fn of(session: Arc<Session>, root: Root) -> Result<Arc<Self>> {
        let mounted = Arc::pin_init(Mounted::new(), GFP_KERNEL)?;
        let room = UniqueArc::new_uninit(GFP_KERNEL)?;
        let part = match &session.origin {
            Origin::Virtiofs(device) => device.parts().add(mounted.clone())?,
            Origin::Dev(_) => 0,
        };
        session.mounts.fetch_add(1, Full);
        Ok(room
            .write(Self {
                session,
                root,
                mounted,
                part,
                ended: AtomicFlag::new(false),
                search: SetOnce::new(),
            })
            .into())
    }

    /// Whether it begins at the server's root.
    pub(crate) fn is_whole(&self) -> bool {
        self.root.nodeid == NodeId::ROOT
    }

    /// Ends the use of the session, when there are no inodes any more; whether nobody else uses it.
    fn end_use(&self) -> bool {
        if self.ended.xchg(true, Full) {
            return false;
        }
        if let Origin::Virtiofs(device) = self.origin() {
            device.parts().remove(self.part);
        }
        self.session.mounts.fetch_sub(1, Full) == 1
    }

    /// Its number among the super blocks of its device, which no other one ever has.
    pub(crate) fn part(&self) -> u64 {
        self.part
    }

    /// What lends the super block to work in the background.
    pub(crate) fn lent(&self) -> &Arc<Mounted<Fuse>> {
        &self.mounted
    }

    /// Has names leave the cache when they are not believed any more and nobody uses them, so that the server can forget what they
    /// stand for: every so often, where the administrator says so.
    pub(crate) fn search_names(&self) -> Result {
        let seconds = params::search_period();
        if seconds == 0 {
            return Ok(());
        }
        let mounted = self.mounted.clone();
        let search = move || {
            let searched = mounted.with(|sb| {
                sb.for_each_inode(|inode| {
                    if inode.mode() & S_IFMT == S_IFDIR {
                        inode.drop_unbelieved(sb.data().epoch());
                    }
                });
            });
            searched.is_some() && params::search_period() > 0
        };
        let period = seconds.saturating_mul(1000);
        self.search
            .populate(Ticker::new(period, KBox::new(search, GFP_KERNEL)?)?);
        Ok(())
    }

    /// Tells the server that a file is closed. A server that is a process may be the one that closes it, so nobody waits for
    /// such a server.
    pub(crate) fn close<O: Operation<Reply = ()>>(&self, sb: &SuperBlock<Fuse>, op: &O) {
        let waits = matches!(self.session.origin, Origin::Virtiofs(_));
        let t = &**self.transport();
        if waits || chan::send_detached(t, Caller::current(sb), op).is_err() {
            let _ = self.call(sb, op);
        }
    }

    /// Whether the server is trusted to answer, so that sync(2) and the end of the mount may wait for it. Closing a file does not
    /// wait for a process even then, as that may be the one that closes it.
    fn is_trusted(&self) -> bool {
        match self.origin() {
            Origin::Virtiofs(_) => true,
            Origin::Dev(served) => served.block,
        }
    }

    /// Who may use it.
    pub(crate) fn access(&self) -> Option<&Access> {
        self.session.access.as_ref()
    }

    /// What was mounted.
    pub(crate) fn origin(&self) -> &Origin {
        &self.session.origin
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // One that was never in use is not the last: what it would be part of is in use.
        self.end_use();
    }
}

impl core::ops::Deref for Mount {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.session.conn
    }
}

impl FileSystem for Fuse {
    const INODE_CACHE: &'static CStr = c"rust_fuse_inode";
    const MAGIC: u64 = 0x6573_5546;

    type Super = Mount;
    type Inode = InodeData;
    type File = FileData;

    fn pids(data: &Mount) -> Option<&Pids> {
        Some(data.session.conn.pids())
    }

    fn mounted(data: &Mount) -> Option<&Mounted<Self>> {
        Some(&data.mounted)
    }

    fn submount(at: &Inode) -> Result<Arc<Mount>> {
        let root = Root {
            nodeid: NodeId::new(at.key()),
            generation: inode::generation(at),
        };
        Mount::of(at.sb().data().session.clone(), root)
    }

    fn same_submount(existing: &Mount, candidate: &Mount) -> bool {
        Arc::ptr_eq(&existing.session, &candidate.session) && existing.root == candidate.root
    }

    fn fill_submount(sb: &SuperBlock<Self>, at: &Inode) -> Result<InodeRef> {
        inode::root(sb, S_IFDIR, Some(at))
    }

    fn put_super(data: &Mount) {
        if !data.end_use() {
            return;
        }
        if let Some(dax) = data.dax() {
            dax.finish();
        }
        match data.origin() {
            Origin::Virtiofs(device) => {
                data.end();
                device.leave();
            }
            Origin::Dev(served) => {
                if served.block && data.is_negotiated() {
                    data.end();
                }
                served.abort();
                data.stop();
                if let Some(backings) = data.backings() {
                    backings.end();
                }
                data.transport().pool().end_session();
            }
        }
    }

    fn abort(data: &Mount) {
        if let Origin::Dev(served) = data.origin() {
            served.abort();
        }
    }

    fn give_up(data: &Mount) {
        match data.origin() {
            Origin::Dev(served) => served.abort(),
            Origin::Virtiofs(device) => {
                pr_warn!("virtiofs: an unmount was killed, and its device does not answer: it is started anew\n");
                if device.restart().is_err() {
                    pr_err!("virtiofs: no memory to start the device anew\n");
                }
            }
        }
    }

    fn new_inode() -> impl PinInit<InodeData, Error> {
        InodeData::new()
    }

    fn xattr_handlers() -> XattrHandlers {
        XattrHandlers::of::<Self>()
    }

    fn revalidate(
        dir: &Inode,
        name: &[u8],
        dentry: &Cached<Self>,
        confirm: Confirm,
    ) -> Result<bool> {
        dir::revalidate(dir, name, dentry, confirm)
    }

    fn positions(file: &FileData) -> Positions {
        file.positions()
    }

    fn has_news(inode: &Inode) -> bool {
        local::has_news(inode)
    }

    fn write_inode(inode: &Inode, all: bool) -> Result {
        if !local::caches_writes(inode) {
            return Ok(());
        }
        if !all && inode.has_dirty_pages() {
            // The times go behind the data, which sets others.
            inode.mark_dirty();
            return Ok(());
        }
        let told = local::tell_times(inode);
        local::settle(inode);
        told
    }

    fn evict(inode: &Inode, unmounting: bool) {
        inode.data().writeback.end();
        inode.data().watch.stop();
        if let Some(dax) = inode.sb().data().dax() {
            dax.evict(inode);
        }
        // The end of the session forgets everything at once.
        let last = inode.sb().data().session.mounts.load(Relaxed) == 1;
        inode::forget(inode, !(unmounting && last));
    }

    fn sync(root: &Inode) -> Result {
        let conn: &Conn = root.sb().data();
        // A server that is a process must not be able to hold up a sync(2) of everything.
        if !root.sb().data().is_trusted() || conn.missing.syncfs.get() {
            return Ok(());
        }
        let op = Syncfs {
            nodeid: NodeId::new(root.key()),
            arg: SyncfsIn::default(),
        };
        tolerate_missing(conn.call(root.sb(), &op), &conn.missing.syncfs)
    }

    fn statfs(root: &Inode, st: &mut StatFs) -> Result {
        if !access::allowed(root.sb()) {
            return Ok(());
        }
        let out = root.sb().data().call(
            root.sb(),
            &Statfs {
                nodeid: NodeId::new(root.key()),
            },
        )?;
        *st = StatFs {
            blocks: out.st.blocks,
            bfree: out.st.bfree,
            bavail: out.st.bavail,
            files: out.st.files,
            ffree: out.st.ffree,
            bsize: out.st.bsize,
            frsize: out.st.frsize,
            namelen: out.st.namelen,
        };
        Ok(())
    }

    fn show_options(sb: &SuperBlock<Self>, out: &mut OptionWriter<'_>) -> Result {
        let data = sb.data();
        if let Some(access) = data.access() {
            let (user, group) = sb.ids(access.user, access.group);
            write!(out, ",user_id={user},group_id={group}").map_err(|_| EINVAL)?;
            if access.default_permissions {
                write!(out, ",default_permissions").map_err(|_| EINVAL)?;
            }
            if access.allow == Allow::Namespace {
                write!(out, ",allow_other").map_err(|_| EINVAL)?;
            }
            if let Some(max) = access.max_read {
                write!(out, ",max_read={max}").map_err(|_| EINVAL)?;
            }
            if data.asks_backing() {
                write!(out, ",attrs=backing").map_err(|_| EINVAL)?;
            }
            let block = sb.block_size();
            if sb.is_on_block_device() && block != dev::mount::BLOCK_SIZE as usize {
                write!(out, ",blksize={block}").map_err(|_| EINVAL)?;
            }
        }
        if let Some(mode) = data.dax_mode().name() {
            write!(out, ",dax={mode}").map_err(|_| EINVAL)?;
        }
        if let Some(mode) = data.lock_mode().name() {
            write!(out, ",locks={mode}").map_err(|_| EINVAL)?;
        }
        Ok(())
    }
}

impl Conn {
    /// Ends the session: the server forgets everything of it.
    fn end(&self) {
        let t: &dyn Transport = &**self.transport();
        t.drop_forgets();
        if let Err(failed) = crate::chan::call(t, Caller::default(), &Destroy) {
            let quiet = [errno::enosys(), errno::enotconn()];
            if !quiet.contains(&failed.error) {
                pr_warn!("the server did not end the session: {:?}\n", failed.error);
            }
        }
        t.pool().end_session();
    }
}
