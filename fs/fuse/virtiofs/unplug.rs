// SPDX-License-Identifier: GPL-2.0

//! A device goes while it is mounted: its window is taken out of the page tables of every process.
//!
//! Page structures stay until the unmount, and so do the entries of the files; but nothing can be reached any more, so a
//! process that touches a mapping gets SIGBUS, and the same is true for what it maps later. Pages that are pinned stay with
//! whoever pinned them.
//!
//! Locks: the device's is held, and the one that keeps a mount from ending; the invalidate lock of each file for writing, as faults that looked a page up while the
//! window was alive hold it for reading until it is in the page table.

use super::Instance;

/// Ends all access to the window of a device. Its mounts, if any, live on.
pub(super) fn close_window(instance: &Instance) {
    let Some(window) = instance.window() else {
        return;
    };
    window.kill();
    // A mount that comes meanwhile meets a window that is gone.
    instance.parts().for_each(|sb| {
        sb.for_each_inode(|inode| {
            if inode.is_dax() {
                inode.invalidate_lock().unmap();
            }
        });
    });
}
