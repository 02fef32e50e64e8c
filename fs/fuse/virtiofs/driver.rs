// SPDX-License-Identifier: GPL-2.0

//! Devices come and go: the virtio driver for device id 26.
//!
//! Source: virtio specification, section "File System Device".

use super::{channel::Channel, registry::InSysfs, unplug, Parts, Registry};
use crate::{
    dax::stats::Stats,
    dax_core::device::Window,
    virtio::{device::Device, DeviceId, Driver},
};
use kernel::{
    device::Core,
    prelude::*,
    str::CStr,
    sync::{aref::ARef, atomic::AtomicFlag, Arc},
};

/// Bytes of the tag in config space.
const TAG_LEN: usize = 36;
/// Where the number of request queues is in config space.
const NUM_REQUEST_QUEUES: u32 = 36;
/// The shared-memory region that is the DAX window.
const SHM_DAX: u8 = 0;

/// One device.
pub(crate) struct Instance {
    device: ARef<Device>,
    tag: KVec<u8>,
    channel: Arc<Channel>,
    window: Option<Arc<Window>>,
    dax_stats: Arc<Stats>,
    parts: Arc<Parts>,
    in_session: AtomicFlag,
}

impl Instance {
    /// Set while a session is on.
    pub(super) fn in_session(&self) -> &AtomicFlag {
        &self.in_session
    }

    /// The device itself.
    pub(super) fn device(&self) -> &ARef<Device> {
        &self.device
    }

    /// The name that it is mounted by, without NULs.
    pub(crate) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// Its queues.
    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// What happened in its window.
    pub(crate) fn dax_stats(&self) -> &Arc<Stats> {
        &self.dax_stats
    }

    /// The super blocks of its mounts, if there are any.
    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Its DAX window, if it has one that can be used.
    pub(crate) fn window(&self) -> Option<&Arc<Window>> {
        self.window.as_ref()
    }
}

/// What the driver keeps for a device.
pub(crate) struct Bound {
    registry: Arc<Registry>,
    instance: Arc<Instance>,
    _shown: InSysfs,
}

/// The driver.
pub(crate) struct VirtioFs;

impl Driver for VirtioFs {
    type Data = KBox<Bound>;
    type Context = Registry;
    const NAME: &'static CStr = c"virtio_fs";
    const IDS: &'static [DeviceId] = &[DeviceId::any_vendor(26)];
    const FEATURES: &'static [u32] = &[];

    fn probe(dev: &Device<Core<'_>>, registry: &Arc<Registry>) -> Result<KBox<Bound>> {
        let tag = read_tag(dev)?;
        let request_queues = dev.read_le32(NUM_REQUEST_QUEUES);
        if request_queues == 0 {
            dev_err!(dev, "the device has no request queue\n");
            return Err(EINVAL);
        }
        let channel = Channel::new(dev, registry, request_queues)?;
        let window =
            crate::shm::discover(dev, SHM_DAX).and_then(|region| Window::new(dev, region).ok());
        let instance = Arc::new(
            Instance {
                device: dev.into(),
                tag,
                channel,
                window,
                dax_stats: Arc::new(Stats::default(), GFP_KERNEL)?,
                parts: Arc::pin_init(Parts::new(), GFP_KERNEL)?,
                in_session: AtomicFlag::new(false),
            },
            GFP_KERNEL,
        )?;
        dev.ready();
        registry.add(instance.clone()).inspect_err(|e| {
            if *e == EEXIST {
                dev_err!(dev, "another device has the same tag\n");
            }
        })?;
        // Who learns of the device by its event finds it mountable.
        registry
            .show(dev.dev(), &instance)
            .and_then(|shown| {
                Ok(KBox::new(
                    Bound {
                        registry: registry.clone(),
                        instance: instance.clone(),
                        _shown: shown,
                    },
                    GFP_KERNEL,
                )?)
            })
            .inspect_err(|_| registry.remove(&instance))
    }

    fn remove(dev: &Device<Core<'_>>, data: &Bound) {
        data.registry.remove(&data.instance);
        // As long as the window still shows what it showed.
        unplug::close_window(&data.instance);
        data.instance.channel.shutdown(dev);
    }
}

/// Reads and checks the tag.
///
/// # Errors
///
/// `EINVAL` for one that is empty or has a newline.
fn read_tag(dev: &Device<Core<'_>>) -> Result<KVec<u8>> {
    let raw: [u8; TAG_LEN] = dev.read_config(0);
    let len = raw.iter().position(|b| *b == 0).unwrap_or(TAG_LEN);
    let tag = raw.get(..len).unwrap_or(&[]);
    if tag.is_empty() {
        dev_err!(
            dev,
            "the device's tag is empty: give it a tag to mount it\n"
        );
        return Err(EINVAL);
    }
    if tag.contains(&b'\n') {
        dev_err!(dev, "the device's tag contains a newline\n");
        return Err(EINVAL);
    }
    let mut v = KVec::new();
    v.extend_from_slice(tag, GFP_KERNEL)?;
    Ok(v)
}
