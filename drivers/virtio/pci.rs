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

/// A device that a PCI function is the transport of.
///
/// # Invariants
///
/// Its parent is a PCI function.
pub(super) struct Function<'a, 'b>(&'a Device<Core<'b>>);

impl<'a, 'b> Function<'a, 'b> {
    /// The device's function; `None` when its transport is something else.
    pub(super) fn of(dev: &'a Device<Core<'b>>) -> Option<Self> {
        // SAFETY: The device is bound, so it has a parent, which outlives it. INVARIANT: Just asked.
        unsafe { bindings::rust_fuse_virtio_is_pci(dev.as_raw()) }.then_some(Self(dev))
    }

    /// Finds the region `id`. The first good capability counts, as the specification says; bad ones are passed over.
    ///
    /// # Errors
    ///
    /// There are only bad ones: what is wrong with the first.
    pub(super) fn find(&self, id: u8) -> Result<Option<Found>, Refusal> {
        let mut refusal = None;
        let mut pos = 0;
        for _ in 0..MAX_CAPS {
            let mut bytes = [0u8; CAP_LEN];
            // SAFETY: By the type invariant the transport is PCI; `bytes` is valid for the capability's length.
            pos = unsafe {
                bindings::rust_fuse_virtio_pci_next_cap(
                    self.0.as_raw(),
                    pos,
                    bytes.as_mut_ptr(),
                    CAP_LEN as u8,
                )
            };
            if pos == 0 {
                break;
            }
            let region = parse_shm_cap(&bytes, id)
                .and_then(|cap| cap.map(|cap| place(&cap, self.bar(cap.bar))).transpose());
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
    fn bar(&self, bar: u8) -> Option<(u64, u64)> {
        let (mut start, mut len) = (0, 0);
        // SAFETY: By the type invariant the transport is PCI; the results are valid for writes.
        unsafe {
            bindings::rust_fuse_virtio_pci_bar(
                self.0.as_raw(),
                u32::from(bar),
                &mut start,
                &mut len,
            )
        }
        .then_some((start, len))
    }
}
