// SPDX-License-Identifier: GPL-2.0

//! Reading and overwriting without waiting (RWF_NOWAIT, io_uring): what lies in ranges that are mapped, as far as it goes.
//!
//! What would take a request, another's lock or a page fault fails with EAGAIN, and its caller comes again with time to wait. Nothing is
//! mapped ahead here, as that may wait for memory.
//!
//! Locks: the inode lock shared, by trylock.

use super::{
    io::rest_of_range,
    ranges::{RANGE_SHIFT, RANGE_SIZE},
};
use crate::{
    attr,
    direct::O_SYNC,
    inode::Inode,
    vfs::{
        inode::fields,
        iter::{Io, Read, Write},
    },
    xattr::has_no_privs,
    Fuse,
};
use kernel::prelude::*;

/// Moves data range by range, up to the first that is not there. The inode lock is held.
fn each_mapped<const WRITE: bool>(io: &mut Io<'_, Fuse, WRITE>) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let dax = inode.sb().data().dax().ok_or(EIO)?;
    let mut done = 0;
    loop {
        let pos = io.pos();
        let left = inode.size().saturating_sub(pos).min(io.len() as u64);
        let n = left.min(rest_of_range(pos)) as usize;
        if n == 0 {
            return Ok(done);
        }
        let pin = dax.pin_mapped(inode, pos >> RANGE_SHIFT, WRITE);
        let moved = pin.ok_or(EAGAIN).and_then(|pin| {
            let at = pin.addr() + (pos & (RANGE_SIZE - 1));
            pin.window().copy(at, n, io)
        });
        match moved {
            Ok(m) if m > 0 => {
                done += m;
                file.data().pass.ended_at(io.pos());
            }
            // The user's memory is not there, or never will be.
            Err(EFAULT) if done == 0 => return Err(EAGAIN),
            Err(e) if done == 0 => return Err(e),
            _ => return Ok(done),
        }
    }
}

/// Whether a size is believed without asking.
fn knows_size(inode: &Inode) -> bool {
    inode.data().state.lock().is_fresh(fields::SIZE)
}

/// Reads what is mapped.
///
/// # Errors
///
/// `EAGAIN` when not one byte can be had without waiting.
pub(crate) fn read(io: &mut Read<'_, Fuse>) -> Result<usize> {
    let inode = io.file().inode();
    if io.pos().saturating_add(io.len() as u64) > inode.size() && !knows_size(inode) {
        return Err(EAGAIN);
    }
    let _lock = inode.try_lock_shared().ok_or(EAGAIN)?;
    each_mapped(io)
}

/// Overwrites what is mapped for writing, where nothing but data changes.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn write(io: &mut Write<'_, Fuse>) -> Result<usize> {
    let inode = io.file().inode();
    // Who wants it durable at once waits for the server.
    if io.append() || io.sync_flags() & O_SYNC != 0 || !has_no_privs(inode) {
        return Err(EAGAIN);
    }
    let _lock = inode.try_lock_shared().ok_or(EAGAIN)?;
    let end = io.pos().checked_add(io.len() as u64);
    if end.is_none_or(|end| end > inode.size()) {
        return Err(EAGAIN);
    }
    if io.checks()? == 0 {
        return Ok(0);
    }
    let done = each_mapped(io)?;
    // The host's times have changed without a request that would say so.
    attr::changed(inode, fields::DATA);
    Ok(done)
}
