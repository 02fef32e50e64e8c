// SPDX-License-Identifier: GPL-2.0

//! Reading and writing past the page cache: calls with O_DIRECT, files that the server wants direct, and what DAX leaves.
//!
//! The server reads and writes the caller's own memory where a device can reach it; else it is copied. Locks: none for
//! reading; the inode lock around a write, shared where the server allows that, nothing but data changes, and nobody uses
//! the page cache ([`crate::modes`]).

mod call;
mod turn;

use crate::{
    attr,
    chan::{Flow, Payload},
    conn::Conn,
    file::fetch,
    inode::Inode,
    local,
    ops::file::{Read, Write},
    proto::{
        file::{ReadIn, WriteIn},
        flags::{FopenFlags, InitFlags, ReadFlags, WriteFlags},
        ids::NodeId,
    },
    vfs::{
        file::File,
        iter::{self, Io},
        page::Pages,
    },
    writeback,
    xattr::S_ISUGID,
    Fuse,
};
use call::{begin, Call};
use kernel::{page::PAGE_SIZE, prelude::*};
use turn::Turn;

/// Does a call by as many requests as it takes. `next` is told how many bytes were moved so far, and gives how many one
/// request moved and how many it was to move; `None` when there is nothing left to do. An error after something was moved
/// is left to the next call.
pub(crate) fn rounds(
    mut next: impl FnMut(usize) -> Result<Option<(usize, usize)>>,
) -> Result<usize> {
    let mut done = 0;
    loop {
        match next(done) {
            Ok(Some((moved, wanted))) => {
                done += moved;
                if moved < wanted {
                    return Ok(done);
                }
            }
            Ok(None) => return Ok(done),
            Err(_) if done > 0 => return Ok(done),
            Err(e) => return Err(e),
        }
    }
}

/// Most bytes of a request.
fn limit<const WRITE: bool>(inode: &Inode) -> usize {
    let limits = inode.sb().data().negotiated();
    if WRITE {
        limits.max_write
    } else {
        limits.max_read
    }
}

/// The WRITE of `len` bytes at `pos` that the caller itself waits for.
fn write_op(file: &File<Fuse>, pos: u64, len: usize) -> Write {
    let inode = file.inode();
    Write {
        nodeid: NodeId::new(inode.key()),
        arg: WriteIn {
            fh: file.data().handle(),
            offset: pos,
            size: len as u32,
            write_flags: WriteFlags::LOCKOWNER,
            lock_owner: inode.sb().data().current_owner(),
            flags: file.flags(),
            ..Default::default()
        },
    }
}

/// The READ of `len` bytes at `pos` that the caller itself waits for.
fn read_op(file: &File<Fuse>, pos: u64, len: usize) -> Read<false> {
    let inode = file.inode();
    Read {
        nodeid: NodeId::new(inode.key()),
        arg: ReadIn {
            fh: file.data().handle(),
            offset: pos,
            size: len as u32,
            read_flags: ReadFlags::LOCKOWNER,
            lock_owner: inode.sb().data().current_owner(),
            flags: file.flags(),
            ..Default::default()
        },
    }
}

/// Reads up to `limit` bytes by pages of our own.
pub(crate) fn read(io: &mut iter::Read<'_, Fuse>, limit: usize) -> Result<usize> {
    let max = io.file().inode().sb().data().negotiated().max_read;
    rounds(|done| {
        let want = (limit - done).min(io.len()).min(max);
        if want == 0 {
            return Ok(None);
        }
        let (file, pos) = (io.file(), io.pos());
        let pages = Payload::Pages(Pages::new(want)?);
        let (fh, flags) = (file.data().handle(), file.flags());
        let (payload, got) = fetch(file.inode(), fh, flags, pos, want, pages)?;
        let Payload::Pages(pages) = payload else {
            return Err(EIO);
        };
        let copied = io.copy_from_pages(&pages, got);
        io.set_pos(pos + copied as u64);
        if copied == 0 && got > 0 {
            return Err(EFAULT);
        }
        Ok(Some((copied, want)))
    })
}

/// Writes up to `limit` bytes by pages of our own. The inode lock is held for writing.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>, limit: usize) -> Result<usize> {
    write_copied(io, limit, &Turn::default())
}

/// As [`write`], with the inode lock as the turn wants it.
fn write_copied(io: &mut iter::Write<'_, Fuse>, limit: usize, turn: &Turn<'_>) -> Result<usize> {
    let max = io.file().inode().sb().data().negotiated().max_write;
    rounds(|done| {
        let n = (limit - done).min(io.len()).min(max);
        match n {
            0 => Ok(None),
            n => write_once(io, n, turn).map(|written| Some((written, n))),
        }
    })
}

/// One WRITE of up to `n` bytes.
fn write_once(io: &mut iter::Write<'_, Fuse>, n: usize, turn: &Turn<'_>) -> Result<usize> {
    let mut pages = Pages::new(n)?;
    let taken = io.copy_to_pages(&mut pages, n);
    if taken == 0 {
        return Err(EFAULT);
    }
    let Some(_running) = turn.begin() else {
        io.revert(taken);
        return Ok(0);
    };
    let (file, pos) = (io.file(), io.pos());
    let inode = file.inode();
    let mut op = write_op(file, pos, taken);
    op.arg.write_flags |= inode.sb().data().write_flags();
    op.arg.flags = io.sync_flags();
    let sent = inode.sb().data().call_with(
        inode.sb(),
        &op,
        Payload::Pages(pages),
        Flow::ToServer(taken as u32),
    );
    let written = match sent {
        Ok((out, _, _)) if out.size as usize <= taken => out.size as usize,
        Ok(_) => {
            io.revert(taken);
            return Err(EIO);
        }
        Err(e) => {
            io.revert(taken);
            return Err(e);
        }
    };
    io.revert(taken - written);
    let end = pos + written as u64;
    let inode = io.file().inode();
    attr::extend(inode, end);
    if !inode.is_dax() {
        // A page that is in use stays, and is read again by AUTO_INVAL_DATA.
        let _ = inode.invalidate_pages(pos, written as u64);
    }
    io.set_pos(end);
    Ok(written)
}

/// `O_DSYNC` and what `O_SYNC` has besides.
const O_SYNC: u32 = 0o4010000;

/// Reads or writes once by the caller's own memory, and says how much was to be moved. `None` when it has to be copied.
fn once<const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    turn: &Turn<'_>,
) -> Result<Option<(usize, usize)>> {
    let (file, pos) = (io.file(), io.pos());
    let inode = file.inode();
    let max = limit::<WRITE>(inode);
    let Some(pages) = io.user_pages(max, (max / PAGE_SIZE).max(1), false)? else {
        return Ok(None);
    };
    let len = pages.len();
    let Some(_running) = turn.begin() else {
        drop(pages);
        io.revert(len);
        return Ok(Some((0, len)));
    };
    let conn: &Conn = inode.sb().data();
    let moved = if WRITE {
        let op = write_op(file, pos, len);
        let flow = Flow::ToServer(len as u32);
        match conn.call_with(inode.sb(), &op, Payload::User(pages), flow) {
            Ok((out, _, _)) if out.size as usize <= len => Ok(out.size as usize),
            Ok(_) => Err(EIO),
            Err(e) => Err(e),
        }
    } else {
        let fh = file.data().handle();
        fetch(inode, fh, file.flags(), pos, len, Payload::User(pages)).map(|(payload, got)| {
            if let Payload::User(pages) = payload {
                pages.written();
            }
            got
        })
    };
    let done = moved.unwrap_or(0);
    io.revert(len - done);
    io.set_pos(pos + done as u64);
    moved.map(|done| Some((done, len)))
}

/// A whole call, waited for.
fn transfer<const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    turn: &Turn<'_>,
    copied: impl Fn(&mut Io<'_, Fuse, WRITE>, usize) -> Result<usize>,
) -> Result<usize> {
    rounds(|_| {
        if io.len() == 0 {
            return Ok(None);
        }
        let max = limit::<WRITE>(io.file().inode()).min(io.len());
        match once(io, turn)? {
            Some(moved) => Ok(Some(moved)),
            None => copied(io, max).map(|n| Some((n, max))),
        }
    })
}

/// A read call.
pub(crate) fn read_call(io: &mut iter::Read<'_, Fuse>) -> Result<usize> {
    if io.len() > 0 && !io.is_sync() && io.file().inode().sb().data().has(InitFlags::ASYNC_DIO) {
        return Call::begin(io, &Turn::default(), None);
    }
    transfer(io, &Turn::default(), read)
}

/// Whether writers may run together: where nothing but data changes, and nobody uses the page cache.
fn shares(io: &iter::Write<'_, Fuse>) -> bool {
    let (file, inode) = (io.file(), io.file().inode());
    let end = io.pos().checked_add(io.len() as u64);
    file.data()
        .flags()
        .contains(FopenFlags::PARALLEL_DIRECT_WRITES)
        && !io.append()
        && end.is_some_and(|end| end <= inode.size())
        && inode.mode() & S_ISUGID == 0
        && inode.data().modes.lets_writers_share()
}

/// A write call.
pub(crate) fn write_call(io: &mut iter::Write<'_, Fuse>) -> Result<usize> {
    let inode = io.file().inode();
    let mut done = 0;
    if shares(io) {
        let _lock = inode.lock_shared_killable()?;
        // The size stands still from here on.
        if shares(io) {
            let turn = Turn::of(&inode.data().modes);
            // File capabilities are left to the server, which has asked for this.
            let written = write_locked(io, &turn);
            if !turn.is_over() {
                return written;
            }
            done = written?;
        }
    }
    let _lock = inode.lock_killable()?;
    match write_locked(io, &Turn::default()) {
        Err(_) if done > 0 => Ok(done),
        rest => rest.map(|rest| done + rest),
    }
}

/// A write call with the inode lock held: for writing, unless it takes turns with others.
fn write_locked(io: &mut iter::Write<'_, Fuse>, turn: &Turn<'_>) -> Result<usize> {
    let inode = io.file().inode();
    let n = io.checks()?;
    if n == 0 {
        return Ok(0);
    }
    if turn.is_alone() {
        io.remove_privs()?;
        if local::is_ours(inode) {
            io.update_time()?;
        }
    }
    let (pos, end) = (io.pos(), io.pos().saturating_add(n as u64));
    writeback::sync(inode, pos, end)?;
    if inode.has_pages() {
        let _ = inode.invalidate_pages(pos, n as u64);
    }
    let conn: &Conn = inode.sb().data();
    let later = !io.is_sync() && conn.has(InitFlags::ASYNC_DIO);
    if later && end <= inode.size() && io.sync_flags() & O_SYNC == 0 {
        let first = if turn.is_alone() {
            None
        } else {
            begin(io, limit::<true>(inode), turn)?
        };
        if turn.is_over() {
            return Ok(0);
        }
        return Call::begin(io, turn, first);
    }
    let done = transfer(io, turn, |io, max| write_copied(io, max, turn))?;
    if done > 0 {
        attr::extend(inode, pos + done as u64);
        if inode.has_pages() {
            let _ = inode.invalidate_pages(pos, done as u64);
        }
    }
    Ok(done)
}
