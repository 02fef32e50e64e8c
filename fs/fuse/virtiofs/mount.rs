// SPDX-License-Identifier: GPL-2.0

//! The file system type `virtiofs`: from a tag to a mounted super block and back.

use super::Registry;
use crate::{
    chan::Transport,
    conn::{options::Options, Conn, DaxMode},
    dax::Dax,
    dir, errno,
    file::FileData,
    inode::{self, Inode, InodeData, InodeRef},
    ops::{attr::Statfs, mount::Destroy},
    proto::ids::NodeId,
    vfs::{
        cred::Caller,
        dentry::Cached,
        fs::{FileSystem, Param, Parsed},
        super_block::{OptionWriter, StatFs, XattrHandlers},
        SuperBlock,
    },
    Fuse,
};
use core::fmt::Write as _;
use kernel::{prelude::*, str::CStr, sync::Arc};

/// What a mount of virtiofs holds: its device and the connection through it.
pub(crate) struct Mount {
    instance: Arc<super::Instance>,
    registry: Arc<Registry>,
    conn: Conn,
}

impl core::ops::Deref for Mount {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl Mount {
    /// Whether it is served by this device.
    pub(super) fn is_of(&self, instance: &super::Instance) -> bool {
        core::ptr::eq(&*self.instance, instance)
    }
}

impl FileSystem for Fuse {
    const NAME: &'static CStr = c"virtiofs";
    const INODE_CACHE: &'static CStr = c"rust_fuse_inode";
    const MAGIC: u64 = 0x6573_5546;

    type Context = ContextData;
    type Options = Options;
    type Super = Mount;
    type Inode = InodeData;
    type File = FileData;

    fn parse_param(options: &mut Options, param: &Param<'_>) -> Result<Parsed> {
        options.parse(param)
    }

    fn prepare(
        context: &ContextData,
        options: &Options,
        source: Option<&CStr>,
    ) -> Result<Arc<Mount>> {
        let Some(tag) = source else {
            pr_err!(
                "virtiofs: no source: give the tag of a device, as in mount -t virtiofs TAG DIR\n"
            );
            return Err(EINVAL);
        };
        let Some(instance) = context.0.find(tag.to_bytes()) else {
            pr_err!("virtiofs: tag <{}> not found\n", tag);
            return Err(EINVAL);
        };
        let conn = Conn::new(instance.channel().clone(), options.dax);
        Ok(Arc::new(
            Mount {
                instance,
                registry: context.0.clone(),
                conn,
            },
            GFP_KERNEL,
        )?)
    }

    fn same(existing: &Mount, candidate: &Mount) -> bool {
        Arc::ptr_eq(&existing.instance, &candidate.instance)
    }

    fn fill_super(sb: &SuperBlock<Self>, options: &Options) -> Result<InodeRef> {
        let mount = sb.data();
        if options.dax != DaxMode::Never {
            match mount.instance.window() {
                Some(window) => mount.conn.set_dax(Dax::new(
                    window.clone(),
                    mount.conn.transport().clone(),
                    mount.registry.clone(),
                    mount.instance.dax_stats().clone(),
                )?),
                None if options.dax == DaxMode::Always => {
                    pr_err!(
                        "virtiofs: dax=always, but the device has no window that can be used\n"
                    );
                    return Err(EINVAL);
                }
                None => (),
            }
        }
        mount.conn.init(sb)?;
        inode::root(sb)
    }

    fn reconfigure(sb: &SuperBlock<Self>, options: &Options) -> Result {
        let (has, wants) = (sb.data().conn.dax_mode(), options.dax);
        if wants != DaxMode::Default && wants != has {
            pr_err!(
                "virtiofs: mounted with dax={} already; unmount it first to change that\n",
                has.name().unwrap_or("(default)")
            );
            return Err(EINVAL);
        }
        Ok(())
    }

    fn put_super(data: &Mount) {
        if let Some(dax) = data.conn.dax() {
            dax.finish();
        }
        data.conn.end();
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
        may_block: bool,
    ) -> Result<bool> {
        dir::revalidate(dir, name, dentry, may_block)
    }

    fn evict(inode: &Inode, unmounting: bool) {
        if let Some(dax) = inode.sb().data().conn.dax() {
            dax.evict(inode);
        }
        // The end of the session forgets everything at once.
        if !unmounting {
            inode::forget(inode);
        }
    }

    fn statfs(root: &Inode, st: &mut StatFs) -> Result {
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

    fn show_options(data: &Mount, out: &mut OptionWriter<'_>) -> Result {
        if let Some(mode) = data.conn.dax_mode().name() {
            write!(out, ",dax={mode}").map_err(|_| EINVAL)?;
        }
        Ok(())
    }
}

/// What all mounts share: the devices.
pub(crate) struct ContextData(pub(crate) Arc<Registry>);

impl Conn {
    /// Ends the session: the server forgets everything of it.
    fn end(&self) {
        let t: &dyn Transport = &**self.transport();
        t.drop_forgets();
        if let Err(failed) = crate::chan::call(t, Caller::default(), &Destroy) {
            let quiet = [errno::enosys(), errno::enotconn()];
            if !quiet.contains(&failed.error) {
                pr_warn!(
                    "virtiofs: the server did not end the session: {:?}\n",
                    failed.error
                );
            }
        }
        t.pool().end_session();
    }
}
