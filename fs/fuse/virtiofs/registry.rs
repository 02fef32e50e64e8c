// SPDX-License-Identifier: GPL-2.0

//! The devices that are there, by tag, and the work queue that all of them share.
//!
//! Locks: one mutex around the list, inside nothing.

use super::{channel::Channel, Instance};
use crate::{dax::stats::Stats, sync::OwnedQueue, sysfs};
use core::fmt::Write as _;
use kernel::{
    device::Device,
    impl_has_work, new_mutex, new_work,
    prelude::*,
    str::{CStr, CString},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex, SetOnce,
    },
    time::{delay::fsleep, Delta},
    workqueue::{Work, WorkItem},
};

/// Every virtiofs device.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    instances: Mutex<KVec<Arc<Instance>>>,
    work: OwnedQueue,
    /// `/sys/fs/virtiofs`.
    sysfs: SetOnce<sysfs::Set<Shown>>,
    /// The number of the next device there.
    next: Atomic<u32>,
    #[pin]
    again: Work<Registry>,
}

impl_has_work! {
    impl HasWork<Self> for Registry { self.again }
}

/// Tries again what devices had no memory for. Locks: that of the list, and within it those of a device's queues.
impl WorkItem for Registry {
    type Pointer = Arc<Registry>;

    fn run(this: Arc<Registry>) {
        fsleep(PAUSE);
        let list = this.instances.lock();
        // All of them have their turn.
        let hungry = list
            .iter()
            .filter(|i| !Channel::try_again(i.channel().as_arc_borrow()))
            .count();
        drop(list);
        if hungry > 0 {
            this.try_again();
        }
    }
}

/// How long memory may take to come back, before it is asked for again.
const PAUSE: Delta = Delta::from_millis(4);

/// A device in sysfs. It has the tag for itself: whoever reads a file of it does not keep the window.
pub(crate) struct Shown {
    tag: KVec<u8>,
    channel: Arc<Channel>,
    dax: Arc<Stats>,
}

impl sysfs::Folder for Shown {
    const FILES: &'static [sysfs::File<Self>] = &[
        sysfs::File::new(c"tag", |this, out| {
            out.bytes(&this.tag);
            out.bytes(b"\n");
            Ok(())
        }),
        sysfs::File::new(c"bad_replies", |this, out| {
            writeln!(out, "{}", this.channel.bad_replies())
        }),
        sysfs::File::new(c"dax", |this, out| this.dax.show(out)),
    ];
}

impl sysfs::Entry for Shown {
    fn event(&self) -> (&'static CStr, &[u8]) {
        (c"TAG", &self.tag)
    }
}

/// The directory `mqs` of a device: one directory for each queue.
pub(crate) struct Queues;

impl sysfs::Folder for Queues {
    const FILES: &'static [sysfs::File<Self>] = &[];
}

/// One queue in sysfs.
pub(crate) struct OneQueue {
    channel: Arc<Channel>,
    index: usize,
}

impl sysfs::Folder for OneQueue {
    const FILES: &'static [sysfs::File<Self>] = &[
        sysfs::File::new(c"name", |this, out| {
            if let Some(name) = this.channel.queue_names().nth(this.index) {
                out.bytes(name.to_bytes());
            }
            writeln!(out)
        }),
        sysfs::File::new(c"cpu_list", |this, out| {
            let cpus = 0..kernel::cpu::nr_cpu_ids() as usize;
            let mut separator = "";
            for cpu in cpus.filter(|cpu| this.channel.serves(this.index, *cpu)) {
                write!(out, "{separator}{cpu}")?;
                separator = ", ";
            }
            writeln!(out)
        }),
    ];
}

/// All of a device that is in sysfs, what lies within first.
pub(crate) struct InSysfs {
    _queues: KVec<sysfs::Added<OneQueue>>,
    _mqs: sysfs::Added<Queues>,
    _entry: sysfs::Added<Shown>,
}

impl Registry {
    /// Makes an empty registry.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                instances <- new_mutex!(KVec::new(), "virtiofs instances"),
                work: OwnedQueue::new(c"rust_fuse")?,
                sysfs: SetOnce::new(),
                next: Atomic::new(0),
                again <- new_work!("virtiofs no memory"),
            }),
            GFP_KERNEL,
        )
    }

    /// Makes `/sys/fs/virtiofs`. After the file system is registered: a C module of that name is met there, with a clear
    /// error, and not here.
    pub(crate) fn publish(&self) -> Result {
        self.sysfs.populate(sysfs::Set::new(c"virtiofs")?);
        Ok(())
    }

    /// Where deferred work runs.
    pub(crate) fn work(&self) -> &OwnedQueue {
        &self.work
    }

    /// Has every device try again in a moment what it had no memory for. From any context.
    pub(super) fn try_again(self: &Arc<Self>) {
        // An error says that this is on its way.
        let _ = self.work.enqueue(self.clone());
    }

    /// Adds a device.
    ///
    /// # Errors
    ///
    /// `EEXIST` when another device has the tag.
    pub(super) fn add(&self, instance: Arc<Instance>) -> Result {
        let mut list = self.instances.lock();
        if list.iter().any(|other| other.tag() == instance.tag()) {
            return Err(EEXIST);
        }
        list.push(instance, GFP_KERNEL)?;
        Ok(())
    }

    /// Shows a device in sysfs for as long as the result lives.
    pub(super) fn show(&self, device: &Device, instance: &Instance) -> Result<InSysfs> {
        let mut tag = KVec::new();
        tag.extend_from_slice(instance.tag(), GFP_KERNEL)?;
        let number = self.next.fetch_add(1, Relaxed);
        let name = CString::try_from_fmt(fmt!("{number}"))?;
        let shown = Shown {
            tag,
            channel: instance.channel().clone(),
            dax: instance.dax_stats().clone(),
        };
        let set = self.sysfs.as_ref().ok_or(ENODEV)?;
        let entry = set.add(&name, device, shown)?;
        let mqs = entry.folder(c"mqs", Queues)?;
        let mut queues = KVec::new();
        for (index, _) in instance.channel().queue_names().enumerate() {
            let channel = instance.channel().clone();
            let number = CString::try_from_fmt(fmt!("{index}"))?;
            queues.push(
                mqs.folder(&number, OneQueue { channel, index })?,
                GFP_KERNEL,
            )?;
        }
        Ok(InSysfs {
            _queues: queues,
            _mqs: mqs,
            _entry: entry,
        })
    }

    /// Takes a device off the list.
    pub(super) fn remove(&self, instance: &Instance) {
        self.instances
            .lock()
            .retain(|other| !core::ptr::eq(&**other, instance));
    }

    /// Finds the device with `tag`.
    pub(super) fn find(&self, tag: &[u8]) -> Option<Arc<Instance>> {
        let list = self.instances.lock();
        list.iter().find(|i| i.tag() == tag).cloned()
    }
}

/// The module's own reference. Dropping it waits for all deferred work, when no device is left that could make more.
pub(crate) struct Owner(Arc<Registry>);

impl Owner {
    /// Makes the registry.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Registry::new()?))
    }

    /// Another reference.
    pub(crate) fn get(&self) -> Arc<Registry> {
        self.0.clone()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Work may hold the last reference to a channel, and with it one to the registry: without this, the queue could be
        // dropped by one of its own items.
        self.0.work().flush();
    }
}
