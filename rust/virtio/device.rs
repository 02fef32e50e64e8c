// SPDX-License-Identifier: GPL-2.0

//! A virtio device: identity, features, config space, status, shared-memory regions.
//!
//! What needs a bound driver or the order of probe and remove is on `Device<Core>`, which only the callbacks of
//! [`Driver`](super::Driver) get.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    device::{self, Core, DeviceContext, Normal},
    prelude::*,
    str::CStr,
    sync::aref::AlwaysRefCounted,
    types::Opaque,
};

/// A `struct virtio_device`.
///
/// # Invariants
///
/// Always a registered device with a reference count above zero. `Ctx` says what the holder may rely on, as for
/// [`device::Device`].
#[repr(transparent)]
pub(crate) struct Device<Ctx: DeviceContext = Normal>(
    Opaque<bindings::virtio_device>,
    PhantomData<Ctx>,
);

// SAFETY: The device is reference counted and what is offered on a shared reference may be called from every thread.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

// SAFETY: `Device` wraps `Opaque<bindings::virtio_device>` whatever its context is.
kernel::impl_device_context_deref!(unsafe { Device });
kernel::impl_device_context_into_aref!(Device);

// SAFETY: The embedded `struct device` counts the references and its release frees the virtio device.
unsafe impl AlwaysRefCounted for Device {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant the count is above zero.
        unsafe { kernel::bindings::get_device(self.raw_dev()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up one reference.
        unsafe { kernel::bindings::put_device(obj.as_ref().raw_dev()) };
    }
}

impl<Ctx: DeviceContext> AsRef<device::Device> for Device<Ctx> {
    fn as_ref(&self) -> &device::Device {
        self.dev()
    }
}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// # Safety
    ///
    /// `ptr` must be a registered device that stays referenced, and in the state that `Ctx` stands for, during `'a`.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::virtio_device) -> &'a Self {
        // SAFETY: As this function requires; the type is transparent.
        unsafe { &*ptr.cast::<Self>() }
    }

    /// The C device; for the abstractions only.
    pub(crate) fn as_raw(&self) -> *mut bindings::virtio_device {
        self.0.get()
    }

    /// The embedded `struct device`; for the abstractions only.
    pub(crate) fn raw_dev(&self) -> *mut kernel::bindings::device {
        // SAFETY: The field is in bounds of a live structure. CAST: Both bindings come from the same C type.
        unsafe { &raw mut (*self.as_raw()).dev }.cast()
    }

    /// The generic device, for log messages.
    pub(crate) fn dev(&self) -> &device::Device {
        // SAFETY: The embedded device lives and is referenced as long as `self`.
        unsafe { device::Device::from_raw(self.raw_dev()) }
    }

    /// The device's name, such as `virtio3`.
    pub(crate) fn name(&self) -> &CStr {
        self.dev().name()
    }
}

impl Device {
    /// Takes the device from its driver and gives it to one again, as if it had been unplugged for a moment. Sleeps; the
    /// driver's `remove` and `probe` run here.
    ///
    /// # Errors
    ///
    /// What the driver core says; without a driver there is none.
    pub(crate) fn rebind(&self) -> Result {
        // SAFETY: By the type invariant it is registered and referenced; the driver core takes the locks.
        kernel::error::to_result(unsafe { kernel::bindings::device_reprobe(self.raw_dev()) })
    }
}

impl Device<Core<'_>> {
    /// Reads `N` bytes of the config space at `offset`, all from one generation of it. Sleeps.
    pub(crate) fn read_config<const N: usize>(&self, offset: u32) -> [u8; N] {
        let mut out = [0; N];
        // SAFETY: `out` is valid for `N` bytes; the transport reads them one by one.
        unsafe {
            bindings::rust_fuse_virtio_cread_bytes(
                self.as_raw(),
                offset,
                out.as_mut_ptr().cast(),
                N,
            )
        };
        out
    }

    /// Reads a little-endian 32-bit field of the config space. Sleeps.
    pub(crate) fn read_le32(&self, offset: u32) -> u32 {
        // SAFETY: The device is bound, so its transport can be asked.
        unsafe { bindings::rust_fuse_virtio_cread_le32(self.as_raw(), offset) }
    }

    /// Which of the queues `[first, first + count)`, counted from 0, is for each CPU: the one whose interrupt it handles or,
    /// where the transport does not say, neighbours together. The queues have been found.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn queues_of_cpus(&self, first: usize, count: usize) -> Result<KVec<usize>> {
        let cpus = kernel::cpu::nr_cpu_ids() as usize;
        let mut map = KVec::with_capacity(cpus, GFP_KERNEL)?;
        for cpu in 0..cpus {
            let mine = (0..count).find(|n| {
                // SAFETY: The device is bound and has its queues.
                unsafe {
                    bindings::rust_fuse_virtio_vq_on_cpu(
                        self.as_raw(),
                        (first + n) as c_int,
                        cpu as c_uint,
                    ) > 0
                }
            });
            map.push(mine.unwrap_or(cpu * count / cpus), GFP_KERNEL)?;
        }
        Ok(map)
    }

    fn status(&self) -> u8 {
        // SAFETY: The device is bound, so its transport can be asked.
        unsafe { bindings::rust_fuse_virtio_get_status(self.as_raw()) }
    }

    /// Sets DRIVER_OK, so that the queues work from now on. Probe calls it once the queues are there and it wants to
    /// use them; without it the bus does it after probe. A second call does nothing.
    pub(crate) fn ready(&self) {
        if u32::from(self.status()) & bindings::VIRTIO_CONFIG_S_DRIVER_OK == 0 {
            // SAFETY: In probe, features are settled, and DRIVER_OK is not set yet.
            unsafe { bindings::rust_fuse_virtio_device_ready(self.as_raw()) };
        }
    }

    /// Stops the device: no interrupts and no access to memory after this. Queues that exist keep their chains until
    /// [`Queues::shutdown`](super::Queues::shutdown), which resets by itself and is what a driver with queues wants.
    pub(crate) fn reset(&self) {
        // SAFETY: Only probe and remove have a `Device<Core>`, and they exclude each other.
        unsafe { bindings::virtio_reset_device(self.as_raw()) };
    }

    /// Resets the device unless that was done already.
    pub(super) fn ensure_reset(&self) {
        if self.status() != 0 {
            self.reset();
        }
    }

    /// The transport's answer for the shared-memory region `id`: physical address and length, not validated.
    pub(crate) fn shm_region(&self, id: u8) -> Option<(u64, u64)> {
        let mut region = bindings::virtio_shm_region::default();
        // SAFETY: The device is bound and `region` is valid for writes.
        unsafe { bindings::rust_fuse_virtio_get_shm_region(self.as_raw(), &mut region, id) }
            .then_some((region.addr, region.len))
    }
}
