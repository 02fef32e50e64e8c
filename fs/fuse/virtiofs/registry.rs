// SPDX-License-Identifier: GPL-2.0

//! The devices that are there, by tag, and the work queue that all of them share.
//!
//! Locks: one mutex around the list, inside nothing.

use super::Instance;
use crate::{sync::OwnedQueue, sysfs};
use kernel::{
    device::Device,
    new_mutex,
    prelude::*,
    str::{CStr, CString},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
};

/// Every virtiofs device.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    instances: Mutex<KVec<Arc<Instance>>>,
    work: OwnedQueue,
    /// `/sys/fs/virtiofs`.
    sysfs: sysfs::Set<Tag>,
    /// The number of the next device there.
    next: Atomic<u32>,
}

/// A device in sysfs.
pub(crate) struct Tag(KVec<u8>);

impl sysfs::Entry for Tag {
    const FILES: &'static [sysfs::File<Self>] = &[sysfs::File::new(c"tag", |this, out| {
        out.bytes(&this.0);
        out.bytes(b"\n");
        Ok(())
    })];

    fn event(&self) -> (&'static CStr, &[u8]) {
        (c"TAG", &self.0)
    }
}

impl Registry {
    /// Makes an empty registry.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                instances <- new_mutex!(KVec::new(), "virtiofs instances"),
                work: OwnedQueue::new(c"rust_fuse")?,
                sysfs: sysfs::Set::new(c"virtiofs")?,
                next: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Where deferred work runs.
    pub(crate) fn work(&self) -> &OwnedQueue {
        &self.work
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
    pub(super) fn show(&self, device: &Device, tag: &[u8]) -> Result<sysfs::Added<Tag>> {
        let mut copy = KVec::new();
        copy.extend_from_slice(tag, GFP_KERNEL)?;
        let number = self.next.fetch_add(1, Relaxed);
        let name = CString::try_from_fmt(fmt!("{number}"))?;
        self.sysfs.add(&name, device, Tag(copy))
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
