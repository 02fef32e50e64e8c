// SPDX-License-Identifier: GPL-2.0

//! The file system type `virtiofs`: from a tag to a mounted super block.

use super::{Instance, Parts, Registry};
use crate::{
    attr::S_IFDIR,
    conn::{options::Options, Conn, DaxMode, LockMode},
    dax::Dax,
    export,
    inode::{self, InodeRef},
    super_block::{Mount, Origin},
    vfs::{
        context::{Call, Param, Parsed},
        fs::Type,
        SuperBlock,
    },
    Fuse,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        atomic::{AtomicFlag, Full, Relaxed, Release},
        Arc,
    },
};

/// The device of a session.
pub(crate) struct Device {
    instance: Arc<Instance>,
    registry: Arc<Registry>,
    /// The instance is in use by this session.
    holds: AtomicFlag,
}

impl Device {
    /// Whether it is this one.
    pub(super) fn is(&self, instance: &Instance) -> bool {
        core::ptr::eq(&*self.instance, instance)
    }

    /// The super blocks of the device.
    pub(crate) fn parts(&self) -> &Arc<Parts> {
        self.instance.parts()
    }

    /// Takes the device for a session. Another one would have the server forget what this one knows.
    fn enter(&self) -> Result {
        if self.instance.in_session().xchg(true, Full) {
            return Err(EBUSY);
        }
        self.holds.store(true, Relaxed);
        Ok(())
    }

    /// Has the device reset and its driver start anew, which ends every request. Does not wait for that.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn restart(&self) -> Result {
        let device = self.instance.device().clone();
        self.registry.work().try_spawn(GFP_KERNEL, move || {
            if let Err(e) = device.rebind() {
                dev_err!(device.dev(), "the device cannot be started again: {e:?}\n");
            }
        })?;
        Ok(())
    }

    /// The session is over.
    pub(crate) fn leave(&self) {
        if self.holds.xchg(false, Full) {
            self.instance.in_session().store(false, Release);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The file system type `virtiofs`.
pub(crate) struct VirtioFs;

impl Type for VirtioFs {
    type Fs = Fuse;

    const NAME: &'static CStr = c"virtiofs";
    const FLAGS: u32 = crate::vfs::fs::ALLOW_IDMAP;

    type Context = ContextData;
    type Options = Options;

    fn parse_param(
        _context: &ContextData,
        options: &mut Options,
        param: &Param<'_>,
    ) -> Result<Parsed> {
        options.parse(param)
    }

    fn prepare(
        context: &ContextData,
        options: &Call<'_, Options>,
        source: Option<&CStr>,
    ) -> Result<Arc<Mount>> {
        let Some(tag) = source else {
            options.error(fmt!(
                "no source: give the tag of a device, as in mount -t virtiofs TAG DIR"
            ));
            return Err(EINVAL);
        };
        let Some(instance) = context.0.find(tag.to_bytes()) else {
            options.error(fmt!("tag <{}> not found", tag));
            return Err(EINVAL);
        };
        let conn = Conn::new(instance.channel().clone(), options.dax, options.locks)?;
        conn.go_by_mode();
        conn.mount_below();
        let device = Device {
            instance,
            registry: context.0.clone(),
            holds: AtomicFlag::new(false),
        };
        Mount::new(conn, Origin::Virtiofs(device), None)
    }

    fn same(existing: &Mount, candidate: &Mount) -> bool {
        match (existing.origin(), candidate.origin()) {
            (Origin::Virtiofs(device), Origin::Virtiofs(candidate)) => {
                existing.is_whole() && device.is(&candidate.instance)
            }
            _ => false,
        }
    }

    fn fill_super(sb: &SuperBlock<Fuse>, options: &Call<'_, Options>) -> Result<InodeRef> {
        let conn = sb.data();
        let Origin::Virtiofs(device) = conn.origin() else {
            return Err(EINVAL);
        };
        device.enter().inspect_err(|_| {
            options.error(fmt!(
                "a mount from inside this one is still there; unmount it first"
            ))
        })?;
        if options.dax != DaxMode::Never {
            match device.instance.window() {
                Some(window) => conn.set_dax(Dax::new(
                    window.clone(),
                    conn.transport().clone(),
                    device.registry.clone(),
                    device.instance.dax_stats().clone(),
                    device.parts().clone(),
                )?),
                None if options.dax == DaxMode::Always => {
                    options.error(fmt!(
                        "dax=always, but the device has no window that can be used"
                    ));
                    return Err(EINVAL);
                }
                None => (),
            }
        }
        conn.init(sb)?;
        conn.search_names()?;
        export::set_up(sb);
        inode::root(sb, S_IFDIR, None)
    }

    fn reconfigure(sb: &SuperBlock<Fuse>, options: &Call<'_, Options>) -> Result {
        let (has, wants) = (sb.data().dax_mode(), options.dax);
        if wants != DaxMode::Default && wants != has {
            options.error(fmt!(
                "mounted with dax={} already; unmount it first to change that",
                has.name().unwrap_or("(default)")
            ));
            return Err(EINVAL);
        }
        let (has, wants) = (sb.data().lock_mode(), options.locks);
        if wants != LockMode::Default && wants != has {
            options.error(fmt!(
                "mounted with locks={} already; unmount it first to change that",
                has.name().unwrap_or("(default)")
            ));
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// What all mounts share: the devices.
pub(crate) struct ContextData(pub(crate) Arc<Registry>);
