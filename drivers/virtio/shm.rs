// SPDX-License-Identifier: GPL-2.0

//! Discovery of a virtio device's shared-memory region, for use as a DAX window.
//!
//! A [`Region`] only exists once it passed all checks; what is refused is said in one line, and the device works on
//! without DAX. On PCI the capabilities are walked here and compared with the transport's answer; on MMIO the transport
//! is the only source, see [`mmio`].

#[path = "cap.rs"]
pub(crate) mod cap;
#[path = "mmio.rs"]
mod mmio;
#[path = "pci.rs"]
mod pci;

use crate::{bindings, virtio::Device};
use cap::{agree, check_window, Found, Refusal};
use kernel::{device::Core, prelude::*};

/// A shared-memory region that can be a window.
///
/// # Invariants
///
/// It passed [`check_window`]: not empty, whole and aligned mappings, no overflow, mappable.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    addr: u64,
    len: u64,
}

impl Region {
    /// The physical address of the first byte, a multiple of [`cap::RANGE_SIZE`].
    pub(crate) fn addr(&self) -> u64 {
        self.addr
    }

    /// The length in bytes, a multiple of [`cap::RANGE_SIZE`] and not 0.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Finds the region `id`. `None` when the device has none, or one that is refused, which is logged.
pub(crate) fn discover(dev: &Device<Core<'_>>, id: u8) -> Option<Region> {
    match find(dev, id) {
        Ok(Some(found)) => {
            // INVARIANT: `find` checked it.
            Some(Region {
                addr: found.addr,
                len: found.len,
            })
        }
        Ok(None) => {
            dev_info!(dev, "no DAX window\n");
            None
        }
        Err(refusal) => {
            refused(dev, format_args!("{refusal}"));
            None
        }
    }
}

/// Logs that the device's window is not used, and why.
pub(crate) fn refused(dev: &Device<Core<'_>>, reason: core::fmt::Arguments<'_>) {
    dev_warn!(
        dev,
        "DAX window refused: {}; continuing without DAX\n",
        reason
    );
}

/// Finds and checks the region.
fn find(dev: &Device<Core<'_>>, id: u8) -> Result<Option<Found>, Refusal> {
    let transport = mmio::find(dev, id);
    let found = match pci::Function::of(dev) {
        Some(function) => agree(function.find(id)?, transport)?,
        None => transport,
    };
    if let Some(found) = found {
        // SAFETY: The function only reads constants of the architecture.
        check_window(found, unsafe { bindings::rust_fuse_mappable_limit() })?;
    }
    Ok(found)
}
