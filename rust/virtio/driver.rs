// SPDX-License-Identifier: GPL-2.0

//! Registration of a virtio driver, and the glue between the bus and the [`Driver`] trait.
//!
//! The driver's data lives in the device's `driver_data`, put there when probe succeeds and dropped after remove.
//! `virtio_device.priv` belongs to the queues, see [`queues`](super::queues).
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::{queues, Device};
use crate::bindings;
use core::{marker::PhantomData, ptr};
use kernel::{
    device::{Core, Normal},
    error::{from_result, to_result},
    prelude::*,
    str::CStr,
    sync::Arc,
    types::{ForeignOwnable, Opaque},
    ThisModule,
};

/// What a driver serves: a device type, and a vendor or any.
#[derive(Clone, Copy)]
pub(crate) struct DeviceId {
    device: u32,
    vendor: u32,
}

impl DeviceId {
    /// A device type of any vendor.
    pub(crate) const fn any_vendor(device: u32) -> Self {
        Self {
            device,
            vendor: bindings::VIRTIO_DEV_ANY_ID,
        }
    }
}

/// A virtio driver.
pub(crate) trait Driver: 'static {
    /// What probe makes for a device; it lives until after remove.
    type Data: ForeignOwnable + Send + Sync;

    /// What all its devices share.
    type Context: Send + Sync + 'static;

    /// The driver's name on the virtio bus, and the first word of its log messages.
    const NAME: &'static CStr;

    /// The devices it serves.
    const IDS: &'static [DeviceId];

    /// The feature bits it understands.
    const FEATURES: &'static [u32];

    /// A device has come. On an error the device is reset and its queues are deleted.
    fn probe(dev: &Device<Core<'_>>, context: &Arc<Self::Context>) -> Result<Self::Data>;

    /// The device goes. When this returns, the device is reset and its queues are deleted if that was not done here,
    /// then `data` is dropped.
    fn remove(dev: &Device<Core<'_>>, data: <Self::Data as ForeignOwnable>::Borrowed<'_>);

    /// The device changed its config space. May run in a hard interrupt, under a spinlock.
    fn config_changed(_dev: &Device, _data: <Self::Data as ForeignOwnable>::Borrowed<'_>) {}

    /// The system wants to sleep. The default refuses, as the device's state would be lost.
    ///
    /// # Errors
    ///
    /// Any error stops the suspend.
    fn freeze(_dev: &Device, _data: <Self::Data as ForeignOwnable>::Borrowed<'_>) -> Result {
        Err(Error::from_errno(-(kernel::bindings::EOPNOTSUPP as c_int)))
    }
}

/// The registration of the driver `T`; dropping it removes the driver from all its devices.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Driver> {
    #[pin]
    driver: Opaque<bindings::virtio_driver>,
    /// Read by the bus while the driver is registered; ends with an empty entry.
    ids: KVec<bindings::virtio_device_id>,
    context: Arc<T::Context>,
    _driver: PhantomData<fn() -> T>,
}

// SAFETY: There is nothing to do with a shared registration.
unsafe impl<T: Driver> Sync for Registration<T> {}
// SAFETY: Registering and unregistering may happen on different threads.
unsafe impl<T: Driver> Send for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers the driver. Devices that are there already are probed before this returns.
    pub(crate) fn new(
        module: &'static ThisModule,
        context: Arc<T::Context>,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            ids: id_table(T::IDS)?,
            context,
            driver <- Opaque::try_ffi_init(|slot: *mut bindings::virtio_driver| {
                // SAFETY: `slot` is valid for writes, and `virtio_driver` is a C structure that may be all zeros.
                unsafe { slot.write(pin_init::zeroed()) };
                // SAFETY: Just initialised, and nobody else sees it before it is registered.
                let driver = unsafe { &mut *slot };
                driver.driver.name = T::NAME.as_char_ptr();
                driver.id_table = ids.as_ptr();
                driver.feature_table = T::FEATURES.as_ptr();
                driver.feature_table_size = T::FEATURES.len().try_into()?;
                driver.probe = Some(Self::probe);
                driver.remove = Some(Self::remove);
                driver.config_changed = Some(Self::config_changed);
                driver.freeze = Some(Self::freeze);
                // SAFETY: The structure and what it points to stay until `drop` unregisters it: `self` is pinned, the
                // name and the features are static, the ids are on the heap and owned by `self`.
                to_result(unsafe { bindings::__register_virtio_driver(slot, module.as_ptr().cast()) })
            }),
            _driver: PhantomData,
        })
    }

    /// # Safety
    ///
    /// For the bus only: `vdev` is a registered device that is being bound to `T`, under its device lock.
    unsafe extern "C" fn probe(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As this function requires.
        let dev = unsafe { Device::<Core<'_>>::from_raw(vdev) };
        // SAFETY: The device is being bound to the driver that is the member of a registration, which outlives the binding.
        let registration = unsafe {
            let driver = kernel::container_of!((*vdev).dev.driver, bindings::virtio_driver, driver);
            &*kernel::container_of!(Opaque::cast_from(driver), Self, driver)
        };
        queues::init(dev);
        from_result(|| match T::probe(dev, &registration.context) {
            Ok(data) => {
                // SAFETY: The device is ours from here to remove; the bus does not use `driver_data`.
                unsafe { kernel::bindings::dev_set_drvdata(dev.raw_dev(), data.into_foreign()) };
                Ok(0)
            }
            Err(e) => {
                queues::delete(dev);
                dev.ensure_reset();
                Err(e)
            }
        })
    }

    /// # Safety
    ///
    /// For the bus only: `vdev` is a device that `T` was bound to, under its device lock.
    unsafe extern "C" fn remove(vdev: *mut bindings::virtio_device) {
        // SAFETY: As this function requires.
        let dev = unsafe { Device::<Core<'_>>::from_raw(vdev) };
        // SAFETY: Probe succeeded, so it is set.
        let data = unsafe { kernel::bindings::dev_get_drvdata(dev.raw_dev()) };
        // SAFETY: The pointer came from `into_foreign` and is turned back only below.
        T::remove(dev, unsafe { T::Data::borrow(data) });
        queues::delete(dev);
        dev.ensure_reset();
        // SAFETY: The bus has stopped config changes before remove, so nobody uses the data any more.
        unsafe {
            kernel::bindings::dev_set_drvdata(dev.raw_dev(), ptr::null_mut());
            drop(T::Data::from_foreign(data));
        }
    }

    /// # Safety
    ///
    /// For the bus only: `vdev` is a device bound to `T`, after probe and before remove.
    unsafe extern "C" fn config_changed(vdev: *mut bindings::virtio_device) {
        // SAFETY: As this function requires; probe has set the data.
        unsafe {
            let dev = Device::<Normal>::from_raw(vdev);
            let data = kernel::bindings::dev_get_drvdata(dev.raw_dev());
            T::config_changed(dev, T::Data::borrow(data));
        }
    }

    /// # Safety
    ///
    /// For the bus only: `vdev` is a device bound to `T`, under its device lock.
    unsafe extern "C" fn freeze(vdev: *mut bindings::virtio_device) -> c_int {
        // SAFETY: As this function requires.
        let dev = unsafe { Device::<Normal>::from_raw(vdev) };
        from_result(|| {
            // SAFETY: The device is bound, so probe has set the data, and remove cannot run meanwhile.
            T::freeze(dev, unsafe {
                T::Data::borrow(kernel::bindings::dev_get_drvdata(dev.raw_dev()))
            })?;
            Ok(0)
        })
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `new` registered it.
        unsafe { bindings::unregister_virtio_driver(self.driver.get()) };
    }
}

/// The ids as the bus wants them: ended by an entry of zeros.
fn id_table(ids: &[DeviceId]) -> Result<KVec<bindings::virtio_device_id>> {
    let mut table = KVec::with_capacity(ids.len() + 1, GFP_KERNEL)?;
    for id in ids {
        table.push(
            bindings::virtio_device_id {
                device: id.device,
                vendor: id.vendor,
            },
            GFP_KERNEL,
        )?;
    }
    table.push(bindings::virtio_device_id::default(), GFP_KERNEL)?;
    Ok(table)
}
