// SPDX-License-Identifier: GPL-2.0

//! Reading and writing past the page cache: calls with O_DIRECT, files that the server wants direct, and what DAX leaves.
//!
//! The server reads and writes the caller's own memory where a device can reach it; else it is copied. A call that need
//! not be waited for (libaio, io_uring) sends all its requests at once and ends with the last answer. Locks: none for
//! reading; the inode lock around a write, shared where the server allows that, nothing but data changes, and nobody uses
//! the page cache ([`crate::modes`]).

use crate::{
    attr,
    chan::{self, Failed, Flow, Payload},
    conn::Conn,
    file::fetch,
    inode::Inode,
    iomode::ParallelWrite,
    local,
    modes::Modes,
    ops::file::{Read, Write},
    proto::{
        file::{ReadIn, WriteIn},
        flags::{FopenFlags, InitFlags, ReadFlags, WriteFlags},
        ids::NodeId,
    },
    vfs::{
        cred::Caller,
        defer::Deferred,
        inode::fields,
        iter::{self, Io},
        page::Pages,
        user_pages::UserPages,
    },
    writeback,
    xattr::S_ISUGID,
    Fuse,
};
use core::cell::Cell;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// Reads up to `limit` bytes by pages of our own.
pub(crate) fn read(io: &mut iter::Read<'_, Fuse>, limit: usize) -> Result<usize> {
    let max = io.file().inode().sb().data().negotiated().max_read;
    let mut done = 0;
    while done < limit && io.len() > 0 {
        let want = (limit - done).min(io.len()).min(max);
        let pages = Pages::new(want)?;
        let (file, pos) = (io.file(), io.pos());
        let got = fetch(
            file.inode(),
            file.data().handle(),
            file.flags(),
            pos,
            want,
            Payload::Pages(pages),
        );
        let (payload, got) = match got {
            Err(_) if done > 0 => break,
            other => other?,
        };
        let Payload::Pages(pages) = payload else {
            return Err(EIO);
        };
        let copied = io.copy_from_pages(&pages, got);
        io.set_pos(pos + copied as u64);
        done += copied;
        if copied < got {
            return if done > 0 { Ok(done) } else { Err(EFAULT) };
        }
        if got < want {
            break;
        }
    }
    Ok(done)
}

/// What each request of a call has to enter.
#[derive(Default)]
struct Turn<'a> {
    /// The io modes, for writes that run together with others.
    modes: Option<&'a Modes>,
    /// The page cache came into use: the rest is to be written alone.
    over: Cell<bool>,
}

impl<'a> Turn<'a> {
    /// Begins a request, which has its memory already. `None` when the turn is over.
    fn begin(&self) -> Option<Running<'a>> {
        let Some(modes) = self.modes else {
            return Some(Running(None));
        };
        let write = modes.begin_write();
        self.over.set(write.is_none());
        write.map(|write| Running(Some((modes, write))))
    }
}

/// A request of a call that is under way.
struct Running<'a>(Option<(&'a Modes, ParallelWrite)>);

impl Running<'_> {
    /// What is to be given back when the request ends.
    fn into_write(mut self) -> Option<ParallelWrite> {
        self.0.take().map(|(_, write)| write)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some((modes, write)) = self.0.take() {
            modes.end_write(write);
        }
    }
}

/// Writes up to `limit` bytes by pages of our own. The inode lock is held for writing.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>, limit: usize) -> Result<usize> {
    write_copied(io, limit, &Turn::default())
}

/// As [`write`], with the inode lock as the turn wants it.
fn write_copied(io: &mut iter::Write<'_, Fuse>, limit: usize, turn: &Turn<'_>) -> Result<usize> {
    let max = io.file().inode().sb().data().negotiated().max_write;
    let mut done = 0;
    while done < limit && io.len() > 0 {
        let n = (limit - done).min(io.len()).min(max);
        match write_once(io, n, turn) {
            Ok(written) => {
                done += written;
                if written < n {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
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
    let op = Write {
        nodeid: NodeId::new(inode.key()),
        arg: WriteIn {
            fh: file.data().handle(),
            offset: pos,
            size: taken as u32,
            write_flags: WriteFlags::LOCKOWNER | inode.sb().data().write_flags(),
            lock_owner: inode.sb().data().current_owner(),
            flags: io.sync_flags(),
            ..Default::default()
        },
    };
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

/// A call whose requests are under way. It ends with the last of them.
struct Call {
    call: Arc<Deferred<Fuse>>,
    write: bool,
    pos: u64,
    /// Bytes that were asked for.
    asked: Atomic<u64>,
    /// Where the first answer that was short ends.
    end: Atomic<u64>,
    /// The first error.
    error: Atomic<i32>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let done = match self.error.load(Relaxed) {
            0 => Ok(self.asked.load(Relaxed).min(self.end.load(Relaxed)) as usize),
            e => Err(Error::from_errno(e)),
        };
        let inode = self.call.file().inode();
        if self.write {
            // Only overwrites get here.
            attr::changed(inode, fields::DATA);
            // What was read in meanwhile. This may be the reaper, so nothing is waited for.
            inode.forget_pages(self.pos, done.unwrap_or(0) as u64);
        } else {
            attr::was_read(inode);
        }
        self.call.set_result(done);
    }
}

impl Call {
    /// The answer for the `len` bytes at `offset` of the call: so many were moved.
    fn answered(&self, offset: u64, len: usize, moved: Result<usize>) {
        match moved {
            Ok(n) if n < len => {
                let end = offset + n as u64;
                let mut known = self.end.load(Relaxed);
                while end < known {
                    match self.end.cmpxchg(known, end, Relaxed) {
                        Ok(_) => break,
                        Err(other) => known = other,
                    }
                }
            }
            Ok(_) => (),
            Err(e) => {
                let _ = self.error.cmpxchg(0, e.to_errno(), Relaxed);
            }
        }
    }

    /// Sends all that `io` asks for. `first` is the memory of the first request, where it has begun already.
    fn start<const WRITE: bool>(
        io: &mut Io<'_, Fuse, WRITE>,
        deferred: &Arc<Deferred<Fuse>>,
        turn: &Turn<'_>,
        mut first: Option<(UserPages, Running<'_>)>,
    ) {
        let pos = io.pos();
        let call = Arc::new(
            Self {
                call: deferred.clone(),
                write: WRITE,
                pos,
                asked: Atomic::new(0),
                end: Atomic::new(u64::MAX),
                error: Atomic::new(0),
            },
            GFP_KERNEL,
        );
        let call = match call {
            Ok(call) => call,
            Err(e) => return deferred.set_result(Err(e.into())),
        };
        let max = limit::<WRITE>(io.file().inode());
        while first.is_some() || io.len() > 0 {
            let asked = call.asked.load(Relaxed);
            let next = match first.take() {
                Some(first) => Ok(Some(first)),
                None => begin(io, max, turn),
            };
            match next {
                Ok(Some((pages, running))) => {
                    let len = pages.len();
                    call.asked.store(asked + len as u64, Relaxed);
                    Self::send::<WRITE>(&call, asked, pages, running.into_write());
                }
                // The caller asks for the rest again.
                _ if asked > 0 => break,
                Ok(None) => {
                    call.answered(0, 0, Err(EFAULT));
                    break;
                }
                Err(e) => {
                    call.answered(0, 0, Err(e));
                    break;
                }
            }
        }
    }

    fn send<const WRITE: bool>(
        this: &Arc<Self>,
        offset: u64,
        pages: UserPages,
        write: Option<ParallelWrite>,
    ) {
        let len = pages.len();
        let payload = Payload::User(pages);
        let file = this.call.file();
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        let nodeid = NodeId::new(inode.key());
        let (fh, offset_in_file) = (file.data().handle(), this.pos + offset);
        let who = Caller::current(inode.sb());
        let this = this.clone();
        if WRITE {
            let op = Write {
                nodeid,
                arg: WriteIn {
                    fh,
                    offset: offset_in_file,
                    size: len as u32,
                    write_flags: WriteFlags::LOCKOWNER,
                    lock_owner: conn.current_owner(),
                    flags: file.flags(),
                    ..Default::default()
                },
            };
            let flow = Flow::ToServer(len as u32);
            chan::call_background(&**conn.transport(), who, &op, payload, flow, move |r, p| {
                drop(p);
                if let Some(write) = write {
                    this.call.file().inode().data().modes.end_write(write);
                }
                this.answered(offset, len, moved(r.map(|(out, _)| out.size as usize), len));
            });
        } else {
            let op = Read::<false> {
                nodeid,
                arg: ReadIn {
                    fh,
                    offset: offset_in_file,
                    size: len as u32,
                    read_flags: ReadFlags::LOCKOWNER,
                    lock_owner: conn.current_owner(),
                    flags: file.flags(),
                    ..Default::default()
                },
            };
            let flow = Flow::FromServer(len as u32);
            attr::was_read(inode);
            chan::call_background(&**conn.transport(), who, &op, payload, flow, move |r, p| {
                if let Payload::User(pages) = p {
                    pages.written();
                }
                this.answered(offset, len, moved(r.map(|((), got)| got), len));
            });
        }
    }
}

/// How many of `len` bytes were moved.
fn moved(result: Result<usize, Failed>, len: usize) -> Result<usize> {
    match result {
        Ok(n) if n <= len => Ok(n),
        Ok(_) => Err(EIO),
        Err(failed) => Err(failed.error),
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

/// Begins a request of a call that goes on without its caller. `None` when its memory is not of that kind, or the turn is over.
fn begin<'a, const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    max: usize,
    turn: &Turn<'a>,
) -> Result<Option<(UserPages, Running<'a>)>> {
    let Some(pages) = io.user_pages(max, max / PAGE_SIZE, true)? else {
        return Ok(None);
    };
    let Some(running) = turn.begin() else {
        io.revert(pages.len());
        return Ok(None);
    };
    Ok(Some((pages, running)))
}

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
        let op = Write {
            nodeid: NodeId::new(inode.key()),
            arg: WriteIn {
                fh: file.data().handle(),
                offset: pos,
                size: len as u32,
                write_flags: WriteFlags::LOCKOWNER,
                lock_owner: conn.current_owner(),
                flags: file.flags(),
                ..Default::default()
            },
        };
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
    let mut done = 0;
    while io.len() > 0 {
        let max = limit::<WRITE>(io.file().inode()).min(io.len());
        let moved = match once(io, turn) {
            Ok(Some(moved)) => Ok(moved),
            Ok(None) => copied(io, max).map(|n| (n, max)),
            Err(e) => Err(e),
        };
        match moved {
            Ok((n, wanted)) => {
                done += n;
                if n < wanted {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// A read call.
pub(crate) fn read_call(io: &mut iter::Read<'_, Fuse>) -> Result<usize> {
    if io.len() > 0 && !io.is_sync() && io.file().inode().sb().data().has(InitFlags::ASYNC_DIO) {
        return io.defer(|io, call| Call::start(io, call, &Turn::default(), None));
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
            let turn = Turn {
                modes: Some(&inode.data().modes),
                over: Cell::new(false),
            };
            // File capabilities are left to the server, which has asked for this.
            let written = write_locked(io, &turn);
            if !turn.over.get() {
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
    if turn.modes.is_none() {
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
        let first = match turn.modes {
            Some(_) => begin(io, limit::<true>(inode), turn)?,
            None => None,
        };
        if turn.over.get() {
            return Ok(0);
        }
        return io.defer(|io, call| Call::start(io, call, turn, first));
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
