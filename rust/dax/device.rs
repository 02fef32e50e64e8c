// SPDX-License-Identifier: GPL-2.0

//! The DAX window: a device's memory with page structures, behind a `dax_device` that file systems map it by.
//!
//! A mount holds an `Arc<Window>`. When the device goes, [`Window::kill`] makes every later access through the
//! `dax_device` fail and gives the address range back, but the page structures, which mappings and page tables still
//! point to, stay until the last `Arc` is dropped.
//!
//! The caches need no care: the memory is the host's page cache, made persistent by FUSE_FSYNC, so unlike for real
//! persistent memory neither the write cache (`dax_write_cache`) nor cache-bypassing copies (`set_dax_nocache`) are
//! asked for, and `dax_flush` does nothing.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::pagemap::{Pagemap, Reservation};
use crate::{
    bindings,
    shm::{self, cap::RANGE_SIZE, Region},
    virtio::Device,
};
use core::ptr::NonNull;
use kernel::{
    device::Core,
    error::from_err_ptr,
    new_mutex,
    page::{PAGE_SHIFT, PAGE_SIZE},
    prelude::*,
    sync::{Arc, Mutex},
};

/// A DAX window.
///
/// # Invariants
///
/// `dax` is a `dax_device` that is ours and whose private data is `pagemap`; it is killed before `pagemap` goes.
#[pin_data(PinnedDrop)]
pub(crate) struct Window {
    dax: NonNull<bindings::dax_device>,
    pagemap: KBox<Pagemap>,
    /// Given back by [`Self::kill`]: a later binding of the device may want the range.
    #[pin]
    reservation: Mutex<Option<Reservation>>,
}

// SAFETY: A `dax_device` may be used from every thread; the rest is `Send` by itself.
unsafe impl Send for Window {}
// SAFETY: As above.
unsafe impl Sync for Window {}

impl Window {
    /// Makes the region of `dev` a window, and says so or why not.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the region is in use, `EOPNOTSUPP` when the architecture cannot do DAX, `ENOMEM`. None of them is a
    /// reason to fail the probe.
    pub(crate) fn new(dev: &Device<Core<'_>>, region: Region) -> Result<Arc<Self>> {
        match Self::build(dev, &region) {
            Ok(window) => {
                let mib = region.len() >> 20;
                dev_info!(dev, "DAX window: {} MiB at {:#x}\n", mib, region.addr());
                Ok(window)
            }
            Err((what, e)) => {
                shm::refused(dev, fmt!("{} (error {})", what, e.to_errno()));
                Err(e)
            }
        }
    }

    fn build(dev: &Device<Core<'_>>, region: &Region) -> Result<Arc<Self>, (&'static str, Error)> {
        let reservation = Reservation::new(region, dev.name()).map_err(|e| {
            (
                "its addresses cannot be reserved, see /proc/iomem for who has them",
                e,
            )
        })?;
        let pagemap = Pagemap::new(dev, region, &reservation).map_err(|e| {
            let what = if e == EBUSY {
                "its pages are in use, unmount what the device served before"
            } else {
                "it cannot be mapped"
            };
            (what, e)
        })?;
        let no_memory = |e: Error| ("there is no memory for it", e);
        let pagemap = KBox::new(pagemap, GFP_KERNEL).map_err(|e| no_memory(e.into()))?;
        let dax = DaxDevice::new(&pagemap).map_err(|e| ("no DAX device can be made", e))?;
        // INVARIANT: Just made with this pagemap as its private data; `PinnedDrop` kills it.
        let init = try_pin_init!(Self {
            dax: dax.0,
            pagemap,
            reservation <- new_mutex!(Some(reservation), "dax::Window::reservation"),
        });
        let window = Arc::pin_init(init, GFP_KERNEL).map_err(no_memory)?;
        // The window ends it from now on.
        core::mem::forget(dax);
        Ok(window)
    }

    /// The length in bytes, at least one mapping.
    pub(crate) fn len(&self) -> u64 {
        self.pagemap.len()
    }

    /// How many mappings of [`RANGE_SIZE`] have room.
    pub(crate) fn ranges(&self) -> usize {
        (self.len() / RANGE_SIZE) as usize
    }

    /// The C device, valid as long as `self`; for the abstractions that hand it to the kernel.
    pub(crate) fn as_raw(&self) -> *mut bindings::dax_device {
        self.dax.as_ptr()
    }

    /// The device is going: after this, no new access through the `dax_device` succeeds, and the address range is free
    /// for others. Page structures stay. Sleeps; a second call does nothing.
    pub(crate) fn kill(&self) {
        let reservation = self.reservation.lock().take();
        if reservation.is_some() {
            // SAFETY: By the type invariant the device is ours.
            unsafe { bindings::kill_dax(self.dax.as_ptr()) };
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Window {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The device is ours; this is the last reference, as nobody else takes any. Killing twice is harmless.
        unsafe {
            bindings::kill_dax(self.dax.as_ptr());
            bindings::put_dax(self.dax.as_ptr());
        }
        // The fields follow: first the page structures, then the reservation.
    }
}

/// A new `dax_device` until a window takes it over.
struct DaxDevice(NonNull<bindings::dax_device>);

impl DaxDevice {
    /// Makes a device for the memory of a pagemap, which must outlive it.
    fn new(pagemap: &Pagemap) -> Result<Self> {
        let private = core::ptr::from_ref(pagemap).cast_mut().cast();
        // SAFETY: The operations are static and only read the pagemap; it is dropped after `kill_dax`, which waits for
        // running operations.
        let dax = from_err_ptr(unsafe { bindings::alloc_dax(private, &OPERATIONS) })?;
        NonNull::new(dax).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for DaxDevice {
    fn drop(&mut self) {
        // SAFETY: Ours alone, and never used.
        unsafe {
            bindings::kill_dax(self.0.as_ptr());
            bindings::put_dax(self.0.as_ptr());
        }
    }
}

static OPERATIONS: bindings::dax_operations = bindings::dax_operations {
    direct_access: Some(direct_access),
    zero_page_range: Some(zero_page_range),
    recovery_write: None,
};

/// The part of a window from page `pgoff` on: its address in bytes from the start, and how many pages there are.
///
/// # Safety
///
/// `dax` must be a live device of a [`Window`].
unsafe fn rest<'a>(
    dax: *mut bindings::dax_device,
    pgoff: c_ulong,
) -> Result<(&'a Pagemap, usize, usize)> {
    // SAFETY: The private data of a window's device is its pagemap, which outlives running operations; null once the device
    // is killed, which may happen meanwhile.
    let pagemap = unsafe { bindings::dax_get_private(dax).cast::<Pagemap>().as_ref() };
    let pagemap = pagemap.ok_or(ENXIO)?;
    let pages = (pagemap.len() >> PAGE_SHIFT) as usize;
    match pages.checked_sub(pgoff) {
        None | Some(0) => Err(ERANGE),
        Some(left) => Ok((pagemap, pgoff << PAGE_SHIFT, left)),
    }
}

/// Translates a page of the window to its kernel address and page frame.
///
/// # Safety
///
/// For the DAX core only: `dax` is a live device of a [`Window`]; `kaddr` and `pfn` are null or valid for writes.
unsafe extern "C" fn direct_access(
    dax: *mut bindings::dax_device,
    pgoff: c_ulong,
    nr_pages: c_long,
    _mode: bindings::dax_access_mode,
    kaddr: *mut *mut c_void,
    pfn: *mut c_ulong,
) -> c_long {
    // SAFETY: As this function requires.
    let (pagemap, offset, left) = match unsafe { rest(dax, pgoff) } {
        Ok(rest) => rest,
        Err(e) => return e.to_errno() as c_long,
    };
    // SAFETY: Both are null or valid for writes; `offset` is below the length of the mapping.
    unsafe {
        if !kaddr.is_null() {
            *kaddr = pagemap.kaddr().as_ptr().add(offset).cast();
        }
        if !pfn.is_null() {
            *pfn = (pagemap.addr() >> PAGE_SHIFT) as usize + pgoff;
        }
    }
    nr_pages.min(left as c_long)
}

/// Fills pages of the window with zeros.
///
/// # Safety
///
/// For the DAX core only: `dax` is a live device of a [`Window`].
unsafe extern "C" fn zero_page_range(
    dax: *mut bindings::dax_device,
    pgoff: c_ulong,
    nr_pages: usize,
) -> c_int {
    // SAFETY: As this function requires.
    let (pagemap, offset, left) = match unsafe { rest(dax, pgoff) } {
        Ok(rest) => rest,
        Err(e) => return e.to_errno(),
    };
    if nr_pages > left {
        return ERANGE.to_errno();
    }
    let bytes = nr_pages * PAGE_SIZE;
    // SAFETY: The range lies in the mapping. Others may access the memory as well, as they may any DAX memory.
    unsafe {
        let start = pagemap.kaddr().as_ptr().add(offset);
        start.write_bytes(0, bytes);
        bindings::dax_flush(dax, start.cast(), bytes);
    }
    0
}
