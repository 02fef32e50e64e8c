// SPDX-License-Identifier: GPL-2.0

//! Shared-memory regions of virtio devices on MMIO, and on every other transport that is not PCI.
//!
//! On MMIO a region is described by registers: SHM_SEL (0x0ac) selects the id, SHM_LEN (0x0b0, 0x0b4) and SHM_BASE
//! (0x0b8, 0x0bc) give its length and address. They belong to the transport's own register block, which a driver has no
//! access to and must not map a second time, so we ask the transport's `get_shm_region`. It reads the registers and
//! checks nothing but for the length that means "no such region" (all ones); the address and the length are whatever
//! the device says. There is no enclosing BAR either. So all checks are ours: [`check_window`](super::cap::check_window)
//! for the numbers, and that the range is no RAM and nobody else's when the window reserves it.

use super::cap::Found;
use crate::virtio::Device;
use kernel::device::Core;

/// The region `id` as the transport found it.
pub(super) fn find(dev: &Device<Core<'_>>, id: u8) -> Option<Found> {
    dev.shm_region(id).map(|(addr, len)| Found { addr, len })
}
