// SPDX-License-Identifier: GPL-2.0

//! The character device `/dev/fuse`. An open file of it belongs to one connection at most, from the mount that names its
//! descriptor, or from the ioctl that makes it another file of a connection that is there. No locks.

use super::channel::Channel;
use crate::{
    chardev::{CharDevice, Files, FromUser, Ready, SignalList, ToUser},
    proto::device::{BackingMap, DEV_IOC_MAGIC},
    sync::{waitq::new_waitq, WaitQueue},
    vfs::file::AnyFile,
};
use core::mem::size_of;
use kernel::{
    ioctl::{_IO, _IOR, _IOW},
    prelude::*,
    seq_file::{seq_print, SeqFile},
    str::CStr,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, ArcBorrow, SetOnce,
    },
    uaccess::UserSlice,
};

const IOC_CLONE: u32 = _IOR::<u32>(DEV_IOC_MAGIC as u32, 0);
const IOC_BACKING_OPEN: u32 = _IOW::<BackingMap>(DEV_IOC_MAGIC as u32, 1);
const IOC_BACKING_CLOSE: u32 = _IOW::<u32>(DEV_IOC_MAGIC as u32, 2);
const IOC_SYNC_INIT: u32 = _IO(DEV_IOC_MAGIC as u32, 3);

/// An open file of `/dev/fuse`.
#[pin_data]
pub(crate) struct Device {
    channel: SetOnce<Arc<Channel>>,
    /// Tells the files of one connection apart.
    id: u32,
    sync_init: AtomicFlag,
    /// Servers that wait for the mount.
    #[pin]
    mounting: WaitQueue,
}

impl Device {
    /// Makes it serve a connection.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it serves one already; `ENODEV` when the session is over.
    pub(super) fn connect(&self, channel: &Arc<Channel>) -> Result {
        channel.attach()?;
        if !self.channel.populate(channel.clone()) {
            Channel::detach(channel.as_arc_borrow(), u32::MAX);
            return Err(EINVAL);
        }
        self.mounting.wake_all();
        Ok(())
    }

    /// Whether it serves a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.channel.as_ref().is_some()
    }

    /// Whether a mount is to wait for the server's INIT.
    pub(super) fn sync_init(&self) -> bool {
        self.sync_init.load(Relaxed)
    }

    fn channel(&self) -> Result<ArcBorrow<'_, Channel>> {
        Ok(self.channel.as_ref().ok_or(EPERM)?.as_arc_borrow())
    }

    /// As [`Self::channel`]; a server that answers INIT before the mount returns waits for the mount here.
    fn mounted(&self) -> Result<ArcBorrow<'_, Channel>> {
        if !self.sync_init() {
            return self.channel();
        }
        let channel = self.mounting.wait_one(|| self.channel.as_ref())?;
        Ok(channel.as_arc_borrow())
    }
}

impl CharDevice for Device {
    const NAME: &'static CStr = c"fuse";
    const MINOR: u32 = 229;

    fn open() -> Result<Arc<Self>> {
        static NEXT: Atomic<u32> = Atomic::new(0);
        Arc::pin_init(
            try_pin_init!(Self {
                channel: SetOnce::new(),
                id: NEXT.fetch_add(1, Relaxed),
                sync_init: AtomicFlag::new(false),
                mounting <- new_waitq!("fuse mount"),
            }),
            GFP_KERNEL,
        )
    }

    fn release(this: &Self) {
        if let Ok(channel) = this.channel() {
            Channel::detach(channel, this.id);
        }
    }

    fn read(this: ArcBorrow<'_, Self>, to: &mut ToUser<'_, '_>, nonblock: bool) -> Result<usize> {
        Channel::read(this.mounted()?, this.id, to, nonblock)
    }

    fn write(this: ArcBorrow<'_, Self>, from: &mut FromUser<'_, '_>) -> Result<usize> {
        Channel::write(this.channel()?, this.id, from)
    }

    fn poll_queue(this: &Self) -> Option<&WaitQueue> {
        Some(this.channel.as_ref()?.readers())
    }

    fn signal_list(this: &Self) -> Result<&SignalList> {
        Ok(this.channel.as_ref().ok_or(EPERM)?.signals())
    }

    fn ready(this: ArcBorrow<'_, Self>) -> Ready {
        let Ok(channel) = this.channel() else {
            return Ready::Error;
        };
        match channel.readable() {
            None => Ready::Error,
            Some(true) => Ready::ReadWrite,
            Some(false) => Ready::Write,
        }
    }

    fn ioctl(
        this: ArcBorrow<'_, Self>,
        cmd: u32,
        arg: usize,
        files: Files<'_, Self>,
    ) -> Result<i32> {
        match cmd {
            IOC_CLONE => {
                let fd: u32 = UserSlice::new(kernel::uaccess::UserPtr::from_addr(arg), 4)
                    .reader()
                    .read()?;
                let file = AnyFile::from_descriptor(fd).map_err(|_| EINVAL)?;
                let other = files.of(&file).ok_or(EINVAL)?;
                let channel: Arc<Channel> = other.channel()?.into();
                this.connect(&channel)?;
                Ok(0)
            }
            IOC_BACKING_OPEN => {
                let channel = this.mounted()?;
                let mut map = BackingMap::default();
                UserSlice::new(
                    kernel::uaccess::UserPtr::from_addr(arg),
                    size_of::<BackingMap>(),
                )
                .reader()
                .read_slice(map.as_mut_bytes())?;
                channel.backings().open(&map)
            }
            IOC_BACKING_CLOSE => {
                let channel = this.mounted()?;
                let id: i32 = UserSlice::new(kernel::uaccess::UserPtr::from_addr(arg), 4)
                    .reader()
                    .read()?;
                channel.backings().close(id)?;
                Ok(0)
            }
            IOC_SYNC_INIT => {
                if this.is_connected() {
                    return Err(EINVAL);
                }
                this.sync_init.store(true, Relaxed);
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn show_fdinfo(this: ArcBorrow<'_, Self>, out: &SeqFile) {
        if let Ok(channel) = this.channel() {
            seq_print!(out, "fuse_connection:\t{}\n", channel.id());
        }
    }
}
