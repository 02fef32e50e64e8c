// SPDX-License-Identifier: GPL-2.0

//! The file system types `fuse` and `fuseblk`: from the descriptor of a server to a mounted super block.
//!
//! The server need not run yet: INIT is sent, and the first who needs its answer waits for it. A server that asked for it by
//! an ioctl answers before the mount returns. No locks.

use super::{Channel, Device};
use crate::{
    access::{Access, Allow},
    attr::{S_IFDIR, S_IFMT},
    chardev,
    conn::{Conn, DaxMode, LockMode},
    control::{Control, FuseCtl},
    debug,
    inode::{self, InodeRef},
    notify::Told,
    super_block::{Mount, Origin},
    sync::OwnedQueue,
    vfs::{
        context::{Call, Param, Parsed},
        cred::{Kgid, Kuid},
        fs::{self, Type},
        tree::{Shown, Things},
        SuperBlock,
    },
    Fuse,
};
use kernel::{
    debugfs::Dir,
    prelude::*,
    str::{CStr, CString},
    sync::{Arc, SetOnce},
};

/// The size of a block of the device where `blksize` does not say.
pub(crate) const BLOCK_SIZE: u32 = 512;
/// Least value of `max_read`.
const MAX_READ_MIN: usize = 4096;

/// The options of a mount.
#[derive(Default)]
pub(crate) struct Options {
    device: Option<Arc<Device>>,
    rootmode: Option<u32>,
    user: Option<Kuid>,
    group: Option<Kgid>,
    default_permissions: bool,
    allow_other: bool,
    max_read: Option<u32>,
    subtype: Option<CString>,
    block_size: Option<u32>,
    by_backing: bool,
}

/// What all mounts share.
#[pin_data]
pub(crate) struct Shared {
    /// The device.
    #[pin]
    devices: chardev::Registration<Device>,
    /// Works off notifications. Dropped when no mount is left.
    work: Arc<OwnedQueue>,
    /// What `fusectl` shows.
    control: Arc<Things<FuseCtl>>,
    debug: Dir,
}

impl Shared {
    /// Registers the device.
    ///
    /// # Errors
    ///
    /// `EBUSY` while the C module is loaded, `ENOMEM`.
    pub(crate) fn new(
        module: &'static ThisModule,
        control: Arc<Things<FuseCtl>>,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                devices <- chardev::Registration::new(module),
                work: Arc::new(OwnedQueue::new(c"rust_fuse_notify")?, GFP_KERNEL)?,
                control,
                debug: debug::dir(),
            }),
            GFP_KERNEL,
        )
    }
}

/// The connection of a mount.
pub(crate) struct Served {
    channel: Arc<Channel>,
    /// The file whose descriptor was given.
    device: Arc<Device>,
    /// Works off notifications.
    work: Arc<OwnedQueue>,
    control: Arc<Things<FuseCtl>>,
    /// Its server is trusted to answer at the end.
    pub(crate) block: bool,
    /// It is shown by `fusectl`.
    shown: SetOnce<Shown<FuseCtl>>,
    debug: Dir,
    modes: SetOnce<debug::Modes>,
}

impl Served {
    /// Ends the session.
    pub(crate) fn abort(&self) {
        Channel::abort(self.channel.as_arc_borrow());
    }
}

/// The file system type `fuse`, or `fuseblk`: that is mounted from a block device, and its server is waited for when it is
/// unmounted and synchronised.
pub(crate) struct FuseType<const BLOCK: bool>;

impl<const BLOCK: bool> Type for FuseType<BLOCK> {
    type Fs = Fuse;

    const NAME: &'static CStr = if BLOCK { c"fuseblk" } else { c"fuse" };
    const FLAGS: u32 = if BLOCK {
        fs::HAS_SUBTYPE | fs::ALLOW_IDMAP
    } else {
        fs::HAS_SUBTYPE | fs::USERNS_MOUNT | fs::ALLOW_IDMAP
    };
    const BLOCK: bool = BLOCK;

    type Context = Shared;
    type Options = Options;

    fn parse_param(shared: &Shared, options: &mut Options, param: &Param<'_>) -> Result<Parsed> {
        match param.remount() {
            // Programs repeat every option there.
            Some(true) => return Ok(Parsed::Taken),
            Some(false) => return Err(EINVAL),
            None => (),
        }
        match param.key.to_bytes() {
            b"fd" => {
                if options.device.is_some() {
                    return Err(EINVAL);
                }
                let file = param.file()?;
                // Whoever opened the device must not be able to do less than who mounts.
                if !param.same_user_ns(&file) {
                    return Err(EINVAL);
                }
                options.device = Some(shared.devices.files().of(&file).ok_or(EINVAL)?);
            }
            b"rootmode" => {
                let mode = param.number(8)?;
                if mode & S_IFMT == 0 {
                    return Err(EINVAL);
                }
                options.rootmode = Some(mode);
            }
            b"user_id" => options.user = Some(param.user()?),
            b"group_id" => options.group = Some(param.group()?),
            b"default_permissions" => options.default_permissions = true,
            b"allow_other" => options.allow_other = true,
            b"blksize" if BLOCK => options.block_size = Some(param.number(10)?),
            b"attrs" => {
                if param.value.map(CStr::to_bytes) != Some(b"backing") {
                    return Err(EINVAL);
                }
                options.by_backing = true;
            }
            b"max_read" => options.max_read = Some(param.number(10)?),
            b"subtype" => {
                if options.subtype.is_some() {
                    return Err(EINVAL);
                }
                options.subtype = Some(CString::try_from(param.value.ok_or(EINVAL)?)?);
            }
            // The VFS keeps it: nothing but a name, or the device of `fuseblk`.
            b"source" => return Ok(Parsed::Unknown),
            _ => return Ok(Parsed::Unknown),
        }
        Ok(Parsed::Taken)
    }

    fn prepare(
        shared: &Shared,
        options: &Call<'_, Options>,
        _source: Option<&CStr>,
    ) -> Result<Arc<Mount>> {
        let (Some(device), Some(_), Some(user), Some(group)) = (
            &options.device,
            options.rootmode,
            options.user,
            options.group,
        ) else {
            options.error(fmt!("fd=, rootmode=, user_id= and group_id= are needed"));
            return Err(EINVAL);
        };
        let channel = Channel::new()?;
        let conn = Conn::new(channel.clone(), DaxMode::Never, LockMode::Default)?;
        conn.set_backings(channel.backings().clone());
        if let Some(max) = options.max_read {
            conn.limit_read((max as usize).max(MAX_READ_MIN));
        }
        if options.default_permissions {
            conn.go_by_mode();
        }
        if options.by_backing {
            conn.ask_backing();
        }
        let access = Access {
            user,
            group,
            allow: if options.allow_other {
                Allow::Namespace
            } else {
                Allow::Owner
            },
            default_permissions: options.default_permissions,
            max_read: options.max_read,
        };
        let served = Served {
            channel,
            device: device.clone(),
            work: shared.work.clone(),
            control: shared.control.clone(),
            block: BLOCK,
            shown: SetOnce::new(),
            debug: shared.debug.clone(),
            modes: SetOnce::new(),
        };
        Mount::new(conn, Origin::Dev(served), Some(access))
    }

    fn same(existing: &Mount, candidate: &Mount) -> bool {
        match (existing.origin(), candidate.origin()) {
            (Origin::Dev(existing), Origin::Dev(candidate)) => {
                Arc::ptr_eq(&existing.device, &candidate.device)
            }
            _ => false,
        }
    }

    fn fill_super(sb: &SuperBlock<Fuse>, options: &Call<'_, Options>) -> Result<InodeRef> {
        let mount = sb.data();
        let Origin::Dev(served) = mount.origin() else {
            return Err(EINVAL);
        };
        if BLOCK {
            sb.set_block_size(options.block_size.unwrap_or(BLOCK_SIZE))?;
        }
        if !sb.in_initial_ns() {
            sb.set_untrusted();
        }
        sb.limit_dirty();
        // What the server agrees to is known later.
        sb.set_export(true);
        if let Some(subtype) = &options.subtype {
            sb.set_subtype(subtype)?;
        }
        let root = inode::root(sb, options.rootmode.unwrap_or(S_IFDIR), None)?;
        served.channel.set_id(sb.raw_device());
        served.channel.set_told(Told::new(
            mount.lent().clone(),
            served.work.clone(),
            mount.polls.clone(),
        ));
        let owner = mount.access().map(|access| (access.user, access.group));
        served.shown.populate(served.control.show(
            CString::try_from_fmt(fmt!("{}", sb.raw_device()))?,
            owner.ok_or(EINVAL)?,
            Arc::new(Control::new(served.channel.clone()), GFP_KERNEL)?,
        )?);
        let modes = debug::Modes::new(&served.debug, sb.raw_device(), mount.lent())?;
        served.modes.populate(modes);
        mount.search_names()?;
        served.device.connect(&served.channel)?;
        mount.start(sb)?;
        if served.device.sync_init() {
            mount.ready(sb)?;
        }
        Ok(root)
    }

    fn reconfigure(_sb: &SuperBlock<Fuse>, _options: &Call<'_, Options>) -> Result {
        Ok(())
    }
}
