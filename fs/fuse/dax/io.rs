// SPDX-License-Identifier: GPL-2.0

//! Reading and overwriting by DAX. Where no range is to be had, the data goes by READ and WRITE, which is the same data:
//! the host's page cache.
//!
//! Locks: the inode lock around both, as the size must not change under an access: shared, except for a write that changes
//! more than data.

use super::{
    pin::{Want, Why},
    ranges::{By, RANGE_SHIFT, RANGE_SIZE},
};
use crate::{
    attr,
    dax_core::iomap::{Access, Extent, Operations},
    direct,
    inode::Inode,
    trace,
    vfs::{
        inode::{fields, Locked},
        iter::{Io, Read, Write},
    },
    xattr::has_no_privs,
    Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// After so many rounds without a byte, data goes by READ and WRITE, which hold no range while they copy.
const FRUITLESS: u32 = 3;

/// Bytes from `pos` to the end of its range.
fn rest_of_range(pos: u64) -> u64 {
    RANGE_SIZE - (pos & (RANGE_SIZE - 1))
}

/// How many ranges the bytes from `pos` to `end`, which is behind it, lie in.
fn ranges_of(pos: u64, end: u64) -> u64 {
    (end.saturating_sub(1) >> RANGE_SHIFT).saturating_sub(pos >> RANGE_SHIFT) + 1
}

/// Moves data range by range: by DAX where it can, else with `other`. The inode lock is held.
fn each_range<const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    other: impl Fn(&mut Io<'_, Fuse, WRITE>, usize) -> Result<usize>,
) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let dax = inode.sb().data().dax().ok_or(EIO)?;
    let pass = &file.data().pass;
    let mut continues = pass.continues_at(io.pos());
    let mut want = Want::new(WRITE, file.writable());
    let mut done = 0;
    // Rounds in which the user's memory, faulted in, was gone again before a byte was copied.
    let mut fruitless = 0;
    loop {
        let pos = io.pos();
        let left = inode.size().saturating_sub(pos).min(io.len() as u64);
        let n = left.min(rest_of_range(pos)) as usize;
        if n == 0 {
            return Ok(done);
        }
        let index = pos >> RANGE_SHIFT;
        want.ranges = if left > n as u64 {
            ranges_of(pos, pos + left)
        } else {
            1
        };
        want.by = if continues { By::Pass } else { By::Access };
        let moved = if fruitless < FRUITLESS {
            let pinned = match dax.pin(inode, index, &want) {
                Err(Why::NoRange) => {
                    let pass = continues.then_some(pass);
                    dax.pin_cold(inode, pos, &want, pass)
                }
                pinned => pinned,
            };
            match pinned {
                Ok(pin) => {
                    let at_start = pos & (RANGE_SIZE - 1) == 0;
                    if done == 0 && index > 0 && (at_start || want.ranges > 1) {
                        dax.pass_into(inode, index, &want);
                    }
                    pin.window()
                        .copy(pin.addr() + (pos & (RANGE_SIZE - 1)), n, io)
                }
                Err(Why::NoRange) => {
                    dax.stats().fallbacks.add(1);
                    trace::dax_fallback(inode.key(), index);
                    other(io, n)
                }
                Err(Why::Failed(e)) => Err(e),
            }
        } else {
            other(io, n)
        };
        match moved {
            Ok(0) => return Ok(done),
            Ok(m) => {
                done += m;
                fruitless = 0;
                continues = true;
                pass.ended_at(io.pos());
            }
            // The range is let go while the user's memory is faulted in, which may need a range itself.
            Err(e) if e == EFAULT && fruitless < FRUITLESS && io.fault_in(n) => fruitless += 1,
            Err(e) if done == 0 => return Err(e),
            Err(_) => return Ok(done),
        }
    }
}

/// Reads.
pub(crate) fn read(io: &mut Read<'_, Fuse>) -> Result<usize> {
    let _lock = io.file().inode().lock_shared_killable()?;
    each_range(io, direct::read)
}

/// Overwrites with the inode lock shared, so that writers of one file run together: where nothing but data changes. [`None`]
/// when it has to be held for writing; nothing has happened then.
pub(crate) fn overwrite(io: &mut Write<'_, Fuse>) -> Result<Option<usize>> {
    let inode = io.file().inode();
    let inside = |io: &Write<'_, Fuse>| {
        let end = io.pos().checked_add(io.len() as u64);
        !io.append() && end.is_some_and(|end| end <= inode.size())
    };
    if !inside(io) || !has_no_privs(inode) {
        return Ok(None);
    }
    let lock = inode.lock_shared_killable()?;
    // The size stands still from here on.
    if !inside(io) {
        return Ok(None);
    }
    if io.checks()? == 0 {
        return Ok(Some(0));
    }
    write(io, &lock).map(Some)
}

/// Overwrites what lies inside the file. The inode lock is held, and there are no privileges that the write would clear.
pub(crate) fn write(io: &mut Write<'_, Fuse>, lock: &Locked<'_, Fuse>) -> Result<usize> {
    let inode = io.file().inode();
    if !lock.is_of(inode) {
        return Err(EINVAL);
    }
    let done = each_range(io, direct::write)?;
    // The host's times have changed without a request that would say so.
    attr::changed(inode, fields::DATA);
    Ok(done)
}

impl Operations for Fuse {
    fn extent<'a>(inode: &'a Inode, pos: u64, len: u64, access: Access) -> Result<Extent<'a>> {
        let size = inode.size();
        if pos >= size {
            return Ok(Extent::Hole { len });
        }
        let dax = inode.sb().data().dax().ok_or(EIO)?;
        let index = pos >> RANGE_SHIFT;
        // A fault takes whole pages, also the one that the end of the file is in.
        let end = if access.fault {
            size.next_multiple_of(PAGE_SIZE as u64)
        } else {
            size
        };
        let len = len.min(rest_of_range(pos)).min(end - pos);
        let start = if access.fault {
            let page = (pos & (RANGE_SIZE - 1)) / PAGE_SIZE as u64;
            let pages = page..page + len.div_ceil(PAGE_SIZE as u64);
            dax.locate_to_map(inode, index, pages, access.write)
        } else {
            dax.locate(inode, index, access.write)
        };
        let start = start.ok_or(EAGAIN)?;
        Ok(Extent::Window {
            window: dax.window(),
            addr: start + (pos & (RANGE_SIZE - 1)),
            len,
        })
    }
}
