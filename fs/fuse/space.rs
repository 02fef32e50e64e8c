// SPDX-License-Identifier: GPL-2.0

//! Space in files: allocating and punching, finding holes, and copying inside the server.
//!
//! Locks: the inode lock for writing around a change; the invalidate lock only while page tables and pages of the part
//! that changes are taken away, before the server is asked. The window goes on showing the host's pages, so a fault in
//! between finds what the host has.

use crate::{
    attr,
    conn::Conn,
    errno,
    inode::Inode,
    ops::file::{CopyFileRange, CopyFileRange64, Fallocate, Lseek},
    proto::{
        file::{CopyFileRangeIn, FallocateIn, LseekIn},
        ids::NodeId,
    },
    setattr,
    vfs::{file::File, inode::fields},
    writeback, Fuse,
};
use kernel::prelude::*;

const FALLOC_FL_KEEP_SIZE: u32 = 0x01;
const FALLOC_FL_PUNCH_HOLE: u32 = 0x02;
const FALLOC_FL_ZERO_RANGE: u32 = 0x10;
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;
/// Most bytes that COPY_FILE_RANGE can say that it copied, in whole pages.
const COPY_MAX: usize = 0xffff_f000;

/// Takes `[pos, pos + len)` out of page tables and, without DAX, out of the page cache. The inode lock is held for writing.
///
/// # Errors
///
/// `EINTR` on a fatal signal; `ERESTARTSYS` on a signal while a page of a DAX file is pinned.
fn forget_part(inode: &Inode, pos: u64, len: u64) -> Result {
    let last = pos.saturating_add(len - 1);
    let _closed = inode.data().writeback.close()?;
    let mut faults = inode.lock_settled(pos, last)?;
    if inode.is_dax() {
        faults.break_layout(pos, last)?;
    } else {
        faults.drop_pages(pos, len);
    }
    Ok(())
}

/// Allocates, punches or zeroes.
///
/// # Errors
///
/// `EOPNOTSUPP` for modes that the protocol or the server does not have.
pub(crate) fn fallocate(file: &File<Fuse>, mode: u32, pos: u64, len: u64) -> Result {
    let inode = file.inode();
    let conn: &Conn = inode.sb().data();
    let known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if mode & !known != 0 || conn.missing.fallocate.get() {
        return Err(errno::eopnotsupp());
    }
    let _lock = inode.lock_killable()?;
    let end = pos.checked_add(len).ok_or(EFBIG)?;
    if mode & FALLOC_FL_KEEP_SIZE == 0 && end > inode.size() {
        inode.may_grow_to(end)?;
    }
    file.modified()?;
    setattr::drop_privs(file)?;
    let changes = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) != 0;
    if changes {
        writeback::sync(inode, pos, end)?;
        forget_part(inode, pos, len)?;
    }
    let op = Fallocate {
        nodeid: NodeId::new(inode.key()),
        arg: FallocateIn {
            fh: file.data().handle(),
            offset: pos,
            length: len,
            mode,
            padding: 0,
        },
    };
    match conn.call(inode.sb(), &op) {
        Err(e) if e == errno::enosys() => {
            conn.missing.fallocate.set();
            return Err(errno::eopnotsupp());
        }
        other => other?,
    }
    if mode & FALLOC_FL_KEEP_SIZE == 0 {
        attr::extend(inode, end);
    } else {
        attr::changed(inode, fields::DATA);
    }
    if changes && !inode.is_dax() {
        // What was read in while the server was at it.
        forget_part(inode, pos, len)?;
    }
    Ok(())
}

/// Finds the next hole or data; `None` where the server cannot.
pub(crate) fn seek(file: &File<Fuse>, pos: u64, hole: bool) -> Result<Option<u64>> {
    let inode = file.inode();
    let conn: &Conn = inode.sb().data();
    if conn.missing.lseek.get() {
        return Ok(None);
    }
    writeback::sync(inode, pos, u64::MAX)?;
    let op = Lseek {
        nodeid: NodeId::new(inode.key()),
        arg: LseekIn {
            fh: file.data().handle(),
            offset: pos,
            whence: if hole { SEEK_HOLE } else { SEEK_DATA },
            padding: 0,
        },
    };
    match conn.call(inode.sb(), &op) {
        Ok(out) if out.offset <= i64::MAX as u64 => Ok(Some(out.offset)),
        Ok(_) => Err(EIO),
        Err(e) if e == errno::enosys() => {
            conn.missing.lseek.set();
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Copies inside the server; `None` where it cannot.
pub(crate) fn copy(
    from: &File<Fuse>,
    from_pos: u64,
    to: &File<Fuse>,
    to_pos: u64,
    len: usize,
) -> Result<Option<usize>> {
    let inode = to.inode();
    let conn: &Conn = inode.sb().data();
    if len == 0 {
        return Ok(Some(0));
    }
    if conn.missing.copy_file_range.get() {
        return Ok(None);
    }
    // To the end: what the server takes for the end may be a hole.
    writeback::sync(from.inode(), from_pos, u64::MAX)?;
    let _lock = inode.lock_killable()?;
    to.modified()?;
    setattr::drop_privs(to)?;
    writeback::sync(inode, to_pos, to_pos.saturating_add(len as u64))?;
    forget_part(inode, to_pos, len as u64)?;
    let copied = match send_copy(conn, from, from_pos, to, to_pos, len) {
        Err(e) if e == errno::enosys() || e == errno::eopnotsupp() || e == EXDEV => {
            return Ok(None);
        }
        other => other?,
    };
    if copied > len {
        return Err(EIO);
    }
    if copied > 0 {
        attr::extend(inode, to_pos + copied as u64);
        if !inode.is_dax() {
            forget_part(inode, to_pos, copied as u64)?;
        }
    }
    Ok(Some(copied))
}

fn send_copy(
    conn: &Conn,
    from: &File<Fuse>,
    from_pos: u64,
    to: &File<Fuse>,
    to_pos: u64,
    len: usize,
) -> Result<usize> {
    let sb = to.inode().sb();
    let nodeid = NodeId::new(from.inode().key());
    let mut arg = CopyFileRangeIn {
        fh_in: from.data().handle(),
        off_in: from_pos,
        nodeid_out: NodeId::new(to.inode().key()),
        fh_out: to.data().handle(),
        off_out: to_pos,
        len: len as u64,
        flags: 0,
    };
    if !conn.missing.copy_file_range_64.get() {
        match conn.call(sb, &CopyFileRange64 { nodeid, arg }) {
            Ok(out) => return usize::try_from(out.bytes_copied).map_err(|_| EIO),
            Err(e) if e == errno::enosys() => conn.missing.copy_file_range_64.set(),
            Err(e) => return Err(e),
        }
    }
    arg.len = len.min(COPY_MAX) as u64;
    match conn.call(sb, &CopyFileRange { nodeid, arg }) {
        Ok(out) => Ok(out.size as usize),
        Err(e) => {
            if e == errno::enosys() {
                conn.missing.copy_file_range.set();
            }
            Err(e)
        }
    }
}
