// SPDX-License-Identifier: GPL-2.0

//! Shared-memory regions of virtio devices on PCI: our own walk over the vendor capabilities.
//!
//! The transport does this walk too, but only tells that it found nothing where a capability is bad. We want to say why,
//! and a second opinion on numbers that become addresses.

use super::cap::{parse_shm_cap, place, Found, Refusal, CAP_LEN};
use crate::{bindings, virtio::Device};
use kernel::device::Core;

/// A list of PCI capabilities cannot be longer, as they lie in 192 bytes; ends walks over lists that are circles.
const MAX_CAPS: usize = 48;

/// Whether the device's transport is PCI.
pub(super) fn is_pci(dev: &Device<Core<'_>>) -> bool {
    // SAFETY: The device is bound, so it has a parent, which outlives it.
    unsafe { bindings::rust_fuse_virtio_is_pci(dev.as_raw()) }
}

/// Finds the region `id`. The first good capability counts, as the specification says; bad ones are passed over.
///
/// # Errors
///
/// There are only bad ones: what is wrong with the first.
pub(super) fn find(dev: &Device<Core<'_>>, id: u8) -> Result<Option<Found>, Refusal> {
    let mut refusal = None;
    let mut pos = 0;
    for _ in 0..MAX_CAPS {
        let mut bytes = [0u8; CAP_LEN];
        // SAFETY: The transport is PCI (see `shm::discover`); `bytes` is valid for the capability's length.
        pos = unsafe {
            bindings::rust_fuse_virtio_pci_next_cap(
                dev.as_raw(),
                pos,
                bytes.as_mut_ptr(),
                CAP_LEN as u8,
            )
        };
        if pos == 0 {
            break;
        }
        let region = parse_shm_cap(&bytes, id)
            .and_then(|cap| cap.map(|cap| place(&cap, bar(dev, cap.bar))).transpose());
        match region {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(e) => {
                refusal.get_or_insert(e);
            }
        }
    }
    refusal.map_or(Ok(None), Err)
}

/// Address and length of a memory BAR.
fn bar(dev: &Device<Core<'_>>, bar: u8) -> Option<(u64, u64)> {
    let (mut start, mut len) = (0, 0);
    // SAFETY: The transport is PCI; the results are valid for writes.
    unsafe {
        bindings::rust_fuse_virtio_pci_bar(dev.as_raw(), u32::from(bar), &mut start, &mut len)
    }
    .then_some((start, len))
}
