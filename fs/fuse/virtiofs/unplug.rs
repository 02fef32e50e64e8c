// SPDX-License-Identifier: GPL-2.0

//! A device goes while it is mounted: its window is taken out of the page tables of every process.
//!
//! Page structures stay until the unmount, and so do the entries of the files; but nothing can be reached any more, so a
//! process that touches a mapping gets SIGBUS, and the same is true for what it maps later. Pages that are pinned stay with
//! whoever pinned them.
//!
//! Locks: the device's is held; the invalidate lock of each file for writing, as faults that looked a page up while the
//! window was alive hold it for reading until it is in the page table.

use super::{Instance, Registry};
use crate::{super_block::Origin, vfs::supers::Active, Fuse};

/// Ends all access to the window of a device. The mount of it, if any, lives on until the result is dropped.
pub(super) fn close_window(registry: &Registry, instance: &Instance) -> Option<Active<Fuse>> {
    let window = instance.window()?;
    window.kill();
    let mounted = registry
        .supers()?
        .find(|mount| matches!(mount.origin(), Origin::Virtiofs(device) if device.is(instance)))?;
    mounted.for_each_inode(|inode| {
        if inode.is_dax() {
            inode.invalidate_lock().unmap();
        }
    });
    Some(mounted)
}
