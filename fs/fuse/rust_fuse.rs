// SPDX-License-Identifier: GPL-2.0

//! A FUSE and virtiofs client.
//!
//! The module registers the file systems `virtiofs`, `fuse` and `fuseblk`, a virtio driver for file system devices, and `/dev/fuse`,
//! and `fusectl`, which shows its connections.
//! Three layers, each using only what stands before it:
//!
//! 1. `bindings`: C declarations, and shims for what C defines inline.
//! 2. The abstractions, the only home of `unsafe`: [`vfs`] (the virtual file system), [`dax_core`] (file data in device
//!    memory), [`virtio`] (devices and queues), [`shm`] (shared-memory regions), [`chardev`], [`sysfs`], [`sysctl_core`], [`params`], [`sync`],
//!    [`trace`].
//! 3. The file system, without `unsafe`: [`proto`] (the wire format), [`ops`] (one type for each operation), [`chan`]
//!    (requests and their way), [`conn`] (a mounted server), [`super_block`], [`mod@inode`], [`attr`], [`mod@setattr`], [`stat`], [`dir`],
//!    [`names`], [`extensions`], [`readdir`], [`turns`] (one at a time in a directory), [`export`], [`mod@file`], [`cache`] (its pages), [`through`] and [`direct`] (its
//!    reads and writes),
//!    [`handle`], [`writeback`], [`local`] (what the client knows better), [`truncate`], [`iomode`] and [`modes`] (who may use
//!    the page cache), [`backing`] and [`passthrough`] (data in other file systems), [`lock`], [`space`], [`xattr`],
//!    [`ioctl`], [`poll`], [`notify`] (what the server tells), [`dax`] (the window), [`virtiofs`] (devices and mounts), [`dev`] (`/dev/fuse`), [`access`] (who may use
//!    such a mount), [`control`] (`fusectl`), [`sysctl`], [`debug`].
//!
//! A system call on a mounted file comes in through a table of [`vfs`], becomes an operation of [`ops`], travels as a
//! [`chan::Request`] through [`virtiofs::channel`] into a queue of [`virtio`], or through [`dev`] to a process, and is
//! answered the same way back. Data of a DAX file takes no such way: [`dax`] has the server map it into the window once, and
//! copies or faults it from there.

#![deny(unsafe_op_in_unsafe_fn)]

use kernel::{prelude::*, sync::Arc};

#[path = "../../rust/bindings/mod.rs"]
mod bindings;
#[path = "../../rust/chardev/mod.rs"]
mod chardev;
#[path = "../../rust/dax/mod.rs"]
mod dax_core;
#[path = "../../rust/errno.rs"]
mod errno;
#[path = "../../rust/params.rs"]
mod params;
#[path = "../../drivers/virtio/shm.rs"]
mod shm;
#[path = "../../rust/sync/mod.rs"]
mod sync;
#[path = "../../rust/sysctl.rs"]
mod sysctl_core;
#[path = "../../rust/sysfs.rs"]
mod sysfs;
#[path = "../../rust/trace.rs"]
mod trace;
#[path = "../../rust/vfs/mod.rs"]
mod vfs;
#[path = "../../rust/virtio/mod.rs"]
mod virtio;

#[deny(unsafe_code)]
mod access;
#[deny(unsafe_code)]
mod attr;
#[deny(unsafe_code)]
mod backing;
#[deny(unsafe_code)]
mod cache;
#[deny(unsafe_code)]
pub mod chan;
#[deny(unsafe_code)]
mod conn;
#[deny(unsafe_code)]
mod control;
#[deny(unsafe_code)]
pub mod dax;
#[deny(unsafe_code)]
mod debug;
#[deny(unsafe_code)]
mod dev;
#[deny(unsafe_code)]
mod dir;
#[deny(unsafe_code)]
mod direct;
#[deny(unsafe_code)]
mod export;
#[deny(unsafe_code)]
mod extensions;
#[deny(unsafe_code)]
mod file;
#[deny(unsafe_code)]
mod handle;
#[deny(unsafe_code)]
mod inode;
#[deny(unsafe_code)]
mod ioctl;
#[deny(unsafe_code)]
pub mod iomode;
#[deny(unsafe_code)]
mod local;
#[deny(unsafe_code)]
mod lock;
#[deny(unsafe_code)]
mod modes;
#[deny(unsafe_code)]
mod names;
#[deny(unsafe_code)]
mod notify;
#[deny(unsafe_code)]
mod ops;
#[deny(unsafe_code)]
mod passthrough;
#[deny(unsafe_code)]
mod poll;
#[deny(unsafe_code)]
pub mod proto;
#[deny(unsafe_code)]
mod readdir;
#[deny(unsafe_code)]
mod setattr;
#[deny(unsafe_code)]
mod space;
#[deny(unsafe_code)]
mod stat;
#[deny(unsafe_code)]
mod super_block;
#[deny(unsafe_code)]
mod sysctl;
#[deny(unsafe_code)]
mod through;
#[deny(unsafe_code)]
mod truncate;
#[deny(unsafe_code)]
mod turns;
#[deny(unsafe_code)]
mod virtiofs;
#[deny(unsafe_code)]
mod writeback;
#[deny(unsafe_code)]
mod xattr;

module! {
    type: RustFuse,
    name: "rust_fuse",
    authors: ["The rust_fuse developers"],
    description: "FUSE and virtiofs client",
    license: "GPL",
    alias: ["fs-fuse", "fs-fuseblk", "fs-fusectl", "char-major-10-229", "devname:fuse", "fs-virtiofs", "virtio:d0000001Av*"],
}

/// The file system: what super blocks, inodes and files of every mount are typed by, however it reaches its server.
pub(crate) struct Fuse;

/// Everything that the module registers. Fields are dropped in order: no new mounts, then no devices, then the work queue.
#[pin_data]
struct RustFuse {
    #[pin]
    fuse: vfs::Registration<dev::mount::FuseType<false>>,
    #[pin]
    fuseblk: vfs::Registration<dev::mount::FuseType<true>>,
    #[pin]
    virtiofs: vfs::Registration<virtiofs::mount::VirtioFs>,
    #[pin]
    driver: virtio::Registration<virtiofs::driver::VirtioFs>,
    registry: virtiofs::registry::Owner,
    dev: Arc<dev::mount::Shared>,
    connections: sysfs::MountPoint,
    sysctl: sysctl_core::Directory,
    #[pin]
    fusectl: vfs::tree::Registration<control::FuseCtl>,
    common: Arc<vfs::Common<Fuse>>,
}

impl kernel::InPlaceModule for RustFuse {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            common: vfs::Common::new()?,
            fusectl <- vfs::tree::Registration::new(module, vfs::tree::Things::new()?),
            sysctl: sysctl::new()?,
            connections: sysfs::MountPoint::new(c"fuse", c"connections")?,
            dev: dev::mount::Shared::new(module, fusectl.things().clone())?,
            fuse <- vfs::Registration::new(module, common.clone(), dev.clone()),
            fuseblk <- vfs::Registration::new(module, common.clone(), dev.clone()),
            registry: virtiofs::registry::Owner::new()?,
            virtiofs <- vfs::Registration::new(
                module,
                common.clone(),
                Arc::new(virtiofs::mount::ContextData(registry.get()), GFP_KERNEL)?,
            ),
            driver <- {
                registry.get().publish()?;
                virtio::Registration::new(module, registry.get())
            },
        })
    }
}
