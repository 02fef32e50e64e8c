// SPDX-License-Identifier: GPL-2.0

//! What the super blocks of every mount have in common, however it reaches its server.
//!
//! Takes no locks.

use crate::{
    access::{self, Access, Allow},
    chan::{self, Operation, Transport},
    conn::{tolerate_missing, Conn},
    dev, dir, errno,
    handle::FileData,
    inode::{self, Inode, InodeData},
    local,
    ops::{
        attr::Statfs,
        mount::{Destroy, Syncfs},
    },
    proto::{file::SyncfsIn, ids::NodeId},
    vfs::{
        cred::Caller,
        dentry::{Cached, Confirm},
        file::Positions,
        super_block::{OptionWriter, StatFs, XattrHandlers},
        FileSystem, Mounted, SuperBlock,
    },
    virtiofs, Fuse,
};
use core::fmt::Write as _;
use kernel::{prelude::*, str::CStr, sync::Arc};

/// What a mount holds: the connection to its server, and where that came from.
pub(crate) struct Mount {
    conn: Conn,
    origin: Origin,
    mounted: Arc<Mounted<Fuse>>,
    /// Who may use it; everybody of whom a virtiofs server is told may.
    access: Option<Access>,
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
    pub(crate) fn new(conn: Conn, origin: Origin, access: Option<Access>) -> Result<Self> {
        let mounted = match &origin {
            // Whoever works for the device finds its mount.
            Origin::Virtiofs(device) => device.lent().clone(),
            Origin::Dev(_) => Arc::pin_init(Mounted::new(), GFP_KERNEL)?,
        };
        Ok(Self {
            conn,
            origin,
            mounted,
            access,
        })
    }

    /// What lends the super block to work in the background.
    pub(crate) fn lent(&self) -> &Arc<Mounted<Fuse>> {
        &self.mounted
    }

    /// Tells the server that a file is closed. A server that is a process may be the one that closes it, so nobody waits for
    /// such a server.
    pub(crate) fn close<O: Operation<Reply = ()>>(&self, sb: &SuperBlock<Fuse>, op: &O) {
        let waits = self.is_trusted();
        let t = &**self.transport();
        if waits || chan::send_detached(t, Caller::current(sb), op).is_err() {
            let _ = self.call(sb, op);
        }
    }

    /// Whether the server is trusted to answer, so that a close, sync(2) and the end of the mount may wait for it.
    fn is_trusted(&self) -> bool {
        match &self.origin {
            Origin::Virtiofs(_) => true,
            Origin::Dev(served) => served.block,
        }
    }

    /// Who may use it.
    pub(crate) fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// What was mounted.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl core::ops::Deref for Mount {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl FileSystem for Fuse {
    const INODE_CACHE: &'static CStr = c"rust_fuse_inode";
    const MAGIC: u64 = 0x6573_5546;

    type Super = Mount;
    type Inode = InodeData;
    type File = FileData;

    fn mounted(data: &Mount) -> &Mounted<Self> {
        &data.mounted
    }

    fn put_super(data: &Mount) {
        if let Some(dax) = data.conn.dax() {
            dax.finish();
        }
        match &data.origin {
            Origin::Virtiofs(_) => data.conn.end(),
            Origin::Dev(served) => {
                if served.block && data.conn.is_negotiated() {
                    data.conn.end();
                }
                served.abort();
                data.conn.stop();
                if let Some(backings) = data.conn.backings() {
                    backings.end();
                }
                data.conn.transport().pool().end_session();
            }
        }
    }

    fn abort(data: &Mount) {
        if let Origin::Dev(served) = &data.origin {
            served.abort();
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
        if let Some(dax) = inode.sb().data().conn.dax() {
            dax.evict(inode);
        }
        // The end of the session forgets everything at once.
        if !unmounting {
            inode::forget(inode);
        }
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
        if let Some(access) = &data.access {
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
            let block = sb.block_size();
            if sb.is_on_block_device() && block != dev::mount::BLOCK_SIZE as usize {
                write!(out, ",blksize={block}").map_err(|_| EINVAL)?;
            }
        }
        if let Some(mode) = data.conn.dax_mode().name() {
            write!(out, ",dax={mode}").map_err(|_| EINVAL)?;
        }
        if let Some(mode) = data.conn.lock_mode().name() {
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
