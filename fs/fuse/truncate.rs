// SPDX-License-Identifier: GPL-2.0

//! open(2) with O_TRUNC, where the server truncates with OPEN itself (ATOMIC_O_TRUNC).
//!
//! It is a change of the size like any other: writers are kept out, and of a DAX file the layout is broken before the server
//! is asked. Locks: the inode lock for writing around OPEN; the invalidate lock while pages go.

use crate::{
    attr,
    chan::Failed,
    inode::Inode,
    local,
    proto::flags::InitFlags,
    vfs::{file::Opening, inode::fields},
};
use kernel::prelude::*;

const O_TRUNC: u32 = 0o1000;

/// Whether OPEN truncates.
pub(crate) fn with_open(inode: &Inode, opening: &Opening<'_>) -> bool {
    opening.flags() & O_TRUNC != 0 && inode.sb().data().has(InitFlags::ATOMIC_O_TRUNC)
}

/// Has `open` ask the server, which then has a file without data.
///
/// # Errors
///
/// What `open` failed with; `EINTR` on a signal before that.
pub(crate) fn around<R>(inode: &Inode, open: impl FnOnce() -> Result<R, Failed>) -> Result<R> {
    let _lock = inode.lock_killable()?;
    let closed = inode.data().writeback.close()?;
    let old = inode.size();
    inode.data().state.lock().resizing = true;
    let done = if inode.is_dax() {
        attr::set_end(inode, 0, true)
    } else {
        Ok(())
    }
    .and_then(|()| match open() {
        Ok(opened) => {
            attr::set_end(inode, 0, true)?;
            // What was dirty is gone, and the server has set the times.
            local::forget(inode);
            Ok(opened)
        }
        Err(failed) => {
            // Where nobody knows what the server did, the lower end is the safe one until it is asked again.
            if failed.known {
                inode.set_size(old);
            }
            Err(failed.error)
        }
    });
    attr::size_changed(inode, fields::BASIC);
    inode.data().state.lock().resizing = false;
    drop(closed);
    done
}
