// SPDX-License-Identifier: GPL-2.0

//! Page structures for the memory of a device: reserving the physical range and remapping it as FS-DAX pages.
//!
//! Neither is bound to the device's driver (`devm`): mounts keep using the page structures after the device is unbound,
//! so they live until their last user drops them.
//!
//! C headers: [`include/linux/memremap.h`](srctree/include/linux/memremap.h),
//! [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use crate::{
    bindings,
    shm::{cap::RANGE_SIZE, Region},
    virtio::Device,
};
use core::ptr::NonNull;
use kernel::{
    device::Core,
    error::from_err_ptr,
    prelude::*,
    str::{CStr, CString},
    types::Opaque,
};

/// A reserved range of physical addresses, shown in `/proc/iomem`.
///
/// # Invariants
///
/// The range is reserved under `_name`, which the resource tree points to.
pub(super) struct Reservation {
    addr: u64,
    len: u64,
    _name: CString,
}

impl Reservation {
    /// Reserves the region under a name.
    ///
    /// # Errors
    ///
    /// `EBUSY` when a part of it belongs to somebody else, such as RAM or another driver.
    pub(super) fn new(region: &Region, name: &CStr) -> Result<Self> {
        let (addr, len) = (region.addr(), region.len());
        let name = CString::try_from(name)?;
        // SAFETY: The name is on the heap and outlives the reservation, as both are dropped together.
        if unsafe { bindings::rust_fuse_request_mem_region(addr, len, name.as_char_ptr()) } {
            // INVARIANT: Just reserved.
            Ok(Self {
                addr,
                len,
                _name: name,
            })
        } else {
            Err(EBUSY)
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this range is reserved, by us.
        unsafe { bindings::rust_fuse_release_mem_region(self.addr, self.len) };
    }
}

/// Page structures and a kernel mapping for a region.
///
/// # Invariants
///
/// `map` was given to `memremap_pages`, which mapped the region's `len` bytes at `kaddr`.
pub(super) struct Pagemap {
    map: KBox<Opaque<bindings::dev_pagemap>>,
    kaddr: NonNull<u8>,
    addr: u64,
    len: u64,
}

// SAFETY: A pagemap belongs to no thread.
unsafe impl Send for Pagemap {}
// SAFETY: Shared references only tell where it is.
unsafe impl Sync for Pagemap {}

impl Pagemap {
    /// Makes the page structures and maps the region, which must be reserved.
    ///
    /// # Errors
    ///
    /// `EBUSY` when there are page structures for a part of it, which is so while file systems of an earlier binding of
    /// the device are mounted; else what `memremap_pages` says, mostly `ENOMEM`.
    pub(super) fn new(
        dev: &Device<Core<'_>>,
        region: &Region,
        _reservation: &Reservation,
    ) -> Result<Self> {
        let (addr, len) = (region.addr(), region.len());
        // SAFETY: The function only looks up addresses.
        if unsafe { bindings::rust_fuse_range_has_pagemap(addr, len, RANGE_SIZE) } {
            return Err(EBUSY);
        }
        let map = KBox::new(Opaque::<bindings::dev_pagemap>::zeroed(), GFP_KERNEL)?;
        // SAFETY: The box is ours alone, and all zeros is a valid `dev_pagemap`.
        unsafe {
            let map = &mut *map.get();
            map.type_ = bindings::memory_type_MEMORY_DEVICE_FS_DAX;
            map.nr_range = 1;
            // The last address is inclusive. A region is not empty and does not overflow.
            *map.__bindgen_anon_1.range.as_mut() = bindings::range {
                start: addr,
                end: addr + (len - 1),
            };
        }
        // SAFETY: The map is initialised and stays where it is until `drop`; the range is reserved for us, hence neither
        // RAM nor somebody else's, and has no page structures yet.
        let kaddr = from_err_ptr(unsafe {
            let node = bindings::rust_fuse_dev_to_node(dev.raw_dev().cast());
            bindings::memremap_pages(map.get(), node)
        })?;
        // INVARIANT: Just mapped.
        Ok(Self {
            map,
            kaddr: NonNull::new(kaddr.cast()).ok_or(ENOMEM)?,
            addr,
            len,
        })
    }

    /// Where the kernel sees the region.
    pub(super) fn kaddr(&self) -> NonNull<u8> {
        self.kaddr
    }

    /// The physical address.
    pub(super) fn addr(&self) -> u64 {
        self.addr
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl Drop for Pagemap {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is mapped. This waits until nobody uses the page structures any more.
        unsafe { bindings::memunmap_pages(self.map.get()) };
    }
}
