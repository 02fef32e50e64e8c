// SPDX-License-Identifier: GPL-2.0

//! Reading and overwriting by DAX. Where no range is to be had, the data goes by READ and WRITE, which is the same data:
//! the host's page cache.
//!
//! Locks: the inode lock around both, shared for reading, as the size must not change under an access.

use super::{
    pin::{Want, Why},
    ranges::{RANGE_SHIFT, RANGE_SIZE},
};
use crate::{
    attr,
    dax_core::iomap::{self, Access, Extent},
    file::{read_direct, write_direct},
    inode::Inode,
    vfs::{
        inode::Locked,
        iter::{Io, Read, Write},
    },
    Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// After so many rounds without a byte, data goes by READ and WRITE, which hold no range while they copy.
const FRUITLESS: u32 = 3;

/// Bytes from `pos` to the end of its range.
fn rest_of_range(pos: u64) -> u64 {
    RANGE_SIZE - (pos & (RANGE_SIZE - 1))
}

/// Moves data range by range: by DAX where it can, else with `other`.
fn each_range<const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    lock: &Locked<'_, Fuse>,
    other: impl Fn(&mut Io<'_, Fuse, WRITE>, usize) -> Result<usize>,
) -> Result<usize> {
    let file = io.file();
    let inode = file.inode();
    let dax = inode.sb().data().dax().ok_or(EIO)?;
    let want = Want {
        write: WRITE,
        may_write: file.writable(),
    };
    let mut done = 0;
    // Rounds in which the user's memory, faulted in, was gone again before a byte was copied.
    let mut fruitless = 0;
    loop {
        let pos = io.pos();
        let left = inode.size().saturating_sub(pos).min(rest_of_range(pos));
        let n = io.len().min(left as usize);
        if n == 0 {
            return Ok(done);
        }
        let moved = if fruitless < FRUITLESS {
            match dax.pin(inode, pos >> RANGE_SHIFT, want) {
                Ok(_pin) => {
                    if pos & (RANGE_SIZE - 1) == 0 && pos > 0 {
                        dax.pass_into(inode, pos >> RANGE_SHIFT, want);
                    }
                    io.limited(n, |io| iomap::transfer(io, lock))
                }
                Err(Why::NoRange) if dax.make_room(inode, pos >> RANGE_SHIFT) => continue,
                Err(Why::NoRange) => other(io, n),
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
    let inode = io.file().inode();
    let lock = inode.lock_shared_killable()?;
    each_range(io, &lock, read_direct)
}

/// Overwrites what lies inside the file. The inode lock is held for writing.
pub(crate) fn write(io: &mut Write<'_, Fuse>, lock: &Locked<'_, Fuse>) -> Result<usize> {
    let inode = io.file().inode();
    let done = each_range(io, lock, write_direct)?;
    // The host's times have changed without a request that would say so.
    attr::expire(inode);
    Ok(done)
}

impl iomap::Operations for Fuse {
    fn extent<'a>(inode: &'a Inode, pos: u64, len: u64, access: Access) -> Result<Extent<'a>> {
        let size = inode.size();
        if pos >= size {
            return Ok(Extent::Hole { len });
        }
        let dax = inode.sb().data().dax().ok_or(EIO)?;
        let start = dax
            .locate(inode, pos >> RANGE_SHIFT, access.write)
            .ok_or(EAGAIN)?;
        // A fault takes whole pages, also the one that the end of the file is in.
        let end = if access.fault {
            size.next_multiple_of(PAGE_SIZE as u64)
        } else {
            size
        };
        Ok(Extent::Window {
            window: dax.window(),
            addr: start + (pos & (RANGE_SIZE - 1)),
            len: len.min(rest_of_range(pos)).min(end - pos),
        })
    }
}
