// SPDX-License-Identifier: GPL-2.0

//! Regular files: opening and closing, and which way their data goes.
//!
//! By [`dax`] where a file has it; to a backing file ([`passthrough`]) where the server gave one; past every cache
//! ([`direct`]) for who opened it with O_DIRECT and for files that the server wants direct; else through the page cache:
//! reads and mappings by [`crate::cache`], writes by [`through`] or, with WRITEBACK_CACHE, by [`writeback`]. Locks:
//! the inode lock for writing around a write; nothing around a read.

use crate::{
    attr, cache,
    chan::{Flow, Payload},
    conn::{tolerate_missing, Conn},
    dax,
    dir::fsync_in,
    direct, errno,
    handle::FileData,
    inode::Inode,
    local, lock,
    modes::{self, Mapped},
    ops::file::{Flush, Fsync, Open, Read, Release},
    passthrough, poll,
    proto::{
        file::{FlushIn, OpenIn, ReadIn, ReleaseIn},
        flags::{FopenFlags, InitFlags, OpenInFlags, ReadFlags, ReleaseFlags},
        ids::{Fh, LockOwner, NodeId},
    },
    space, stat, through, truncate,
    vfs::{
        cred::Caller,
        file::{File, Mmap, Opening, Owner, Splice},
        iter,
    },
    writeback::{self, WriteBack},
    xattr, Fuse,
};
use kernel::prelude::*;

/// `O_*` flags that are the client's own business.
const O_CLIENT: u32 = 0o100 | 0o200 | 0o400 | O_TRUNC;
const O_TRUNC: u32 = 0o1000;

/// Reads `len` bytes at `pos` into pages or folios; returns them and how many bytes came.
pub(crate) fn fetch(
    inode: &Inode,
    fh: Fh,
    flags: u32,
    pos: u64,
    len: usize,
    payload: Payload,
) -> Result<(Payload, usize)> {
    let mut op = Read::<false> {
        nodeid: NodeId::new(inode.key()),
        arg: ReadIn {
            fh,
            offset: pos,
            size: len as u32,
            flags,
            ..Default::default()
        },
    };
    if let Payload::Pages(_) | Payload::User(_) = payload {
        // Not for the page cache, but for this process.
        op.arg.read_flags |= ReadFlags::LOCKOWNER;
        op.arg.lock_owner = inode.sb().data().current_owner();
    }
    let flow = Flow::FromServer(len as u32);
    let ((), payload, got) = inode
        .sb()
        .data()
        .call_with(inode.sb(), &op, payload, flow)?;
    attr::was_read(inode);
    Ok((payload, got))
}

/// Whether data goes past the page cache.
fn is_direct(file: &File<Fuse>, asked: bool) -> bool {
    !file.inode().is_dax() && (asked || file.data().flags().contains(FopenFlags::DIRECT_IO))
}

/// Reads from the server, the window or the page cache. Apart, for what a read of a backing file needs is little.
#[inline(never)]
fn read(io: &mut iter::Read<'_, Fuse>) -> Result<usize> {
    let (file, inode) = (io.file(), io.file().inode());
    if is_direct(file, io.direct()) {
        let end = if local::is_ours(inode) {
            // What the server takes for the end may be a hole.
            u64::MAX
        } else {
            io.pos().saturating_add(io.len() as u64)
        };
        writeback::sync(inode, io.pos(), end)?;
        return direct::read_call(io);
    }
    // The file may have grown meanwhile.
    let past_end = io.pos().saturating_add(io.len() as u64) > inode.size();
    if inode.is_dax() {
        // What is in the window needs no more care: it is the host's.
        if past_end {
            stat::refresh_size(file, false)?;
        }
        return dax::io::read(io);
    }
    if past_end || inode.sb().data().has(InitFlags::AUTO_INVAL_DATA) {
        stat::refresh_size(file, false)?;
    }
    io.page_cache()
}

impl crate::vfs::file::Operations for Fuse {
    fn open(inode: &Inode, opening: &Opening<'_>) -> Result<KBox<FileData>> {
        let conn = inode.sb().data();
        let mut data = FileData::new()?;
        let truncates = truncate::with_open(inode, opening);
        if !conn.missing.open.get() {
            let mut op = Open::<false> {
                nodeid: NodeId::new(inode.key()),
                arg: OpenIn {
                    flags: opening.flags() & !O_CLIENT,
                    ..Default::default()
                },
            };
            let sent = if truncates {
                op.arg.flags = opening.flags() & !(O_CLIENT & !O_TRUNC);
                if conn.tells_to_kill() {
                    op.arg.open_flags |= OpenInFlags::KILL_SUIDGID;
                }
                truncate::around(inode, || conn.try_call(inode.sb(), &op))
            } else {
                conn.call(inode.sb(), &op)
            };
            match sent {
                Ok(out) => data.opened(&out),
                Err(e) if e == errno::enosys() => conn.missing.open.set(),
                Err(e) => return Err(e),
            }
        }
        if let Err(e) = modes::open(inode, opening, &mut data) {
            Self::release(inode, opening.flags(), data);
            return Err(e);
        }
        // DAX mappings are the host's own pages: there is nothing that could be stale.
        let keep = FopenFlags::KEEP_CACHE | FopenFlags::DIRECT_IO;
        if !truncates && !inode.is_dax() && !data.flags().intersects(keep) && data.fh().is_some() {
            // Pages that are being written back are waited for where no signal helps; so here first.
            if let Err(e) = inode.data().writeback.wait() {
                Self::release(inode, opening.flags(), data);
                return Err(e);
            }
            inode.invalidate_all_pages();
        }
        Ok(data)
    }

    fn opened(inode: &Inode, opening: &Opening<'_>, data: &mut FileData) -> Result {
        modes::open(inode, opening, data)
    }

    fn release(inode: &Inode, flags: u32, mut data: KBox<FileData>) {
        modes::close(inode, &mut data);
        lock::released(inode, &data);
        poll::closed(inode, data.polled.as_ref());
        let mut arg = ReleaseIn {
            fh: data.handle(),
            flags: flags & !O_CLIENT,
            ..Default::default()
        };
        if let Some(owner) = data.flock.copy() {
            arg.release_flags |= ReleaseFlags::FLOCK_UNLOCK;
            arg.lock_owner = LockOwner::new(owner);
        }
        if FileData::close(data, arg) {
            let op = Release::<false> {
                nodeid: NodeId::new(inode.key()),
                arg,
            };
            inode.sb().data().close(inode.sb(), &op);
        } else {
            WriteBack::prune(inode);
        }
    }

    fn flush(file: &File<Self>, owner: Owner) -> Result {
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        let cached = local::caches_writes(inode);
        if file.data().flags().contains(FopenFlags::NOFLUSH) && !cached {
            return lock::closed(file, owner);
        }
        writeback::sync(inode, 0, u64::MAX)?;
        inode.take_write_error()?;
        if cached {
            local::tell_times(inode)?;
            local::settle(inode);
        }
        if conn.missing.flush.get() {
            return lock::closed(file, owner);
        }
        let op = Flush {
            nodeid: NodeId::new(inode.key()),
            arg: FlushIn {
                fh: file.data().handle(),
                lock_owner: conn.lock_owner(owner),
                ..Default::default()
            },
        };
        // Whoever holds the file may close it, also who the server has no number for.
        let who = Caller::anyone(inode.sb());
        let done = conn.try_call_as(inode.sb(), who, &op);
        tolerate_missing(done.map_err(Error::from), &conn.missing.flush)?;
        if conn.missing.flush.get() {
            lock::closed(file, owner)?;
        }
        Ok(())
    }

    fn read(io: &mut iter::Read<'_, Self>) -> Result<usize> {
        if io.len() == 0 {
            return Ok(0);
        }
        match passthrough::of(io.file()) {
            Some(backing) => io.backing(backing),
            None => read(io),
        }
    }

    fn write(io: &mut iter::Write<'_, Self>) -> Result<usize> {
        if let Some(backing) = passthrough::of(io.file()) {
            return passthrough::write(io, backing);
        }
        let inode = io.file().inode();
        if io.append() || local::caches_writes(inode) {
            // Where the end is, is for the server to say.
            stat::refresh_size(io.file(), io.append())?;
        }
        if inode.is_dax() {
            if let Some(n) = dax::io::overwrite(io)? {
                return io.sync(n);
            }
        }
        if is_direct(io.file(), io.direct()) {
            return match direct::write_call(io) {
                Ok(n) if n > 0 => io.sync(n),
                other => other,
            };
        }
        let lock = inode.lock_killable()?;
        let n = io.checks()?;
        if n == 0 {
            return Ok(0);
        }
        // Bits that only a WRITE clears.
        let kills = inode.sb().data().kills_privs() && io.file().kills().is_some();
        xattr::settle_privs(inode);
        io.remove_privs()?;
        let end = io.pos().saturating_add(n as u64);
        let done = if inode.is_dax() && end <= inode.size() && !kills {
            dax::io::write(io, &lock)
        } else if inode.is_dax() {
            // Size and data change together at the server.
            direct::write(io, usize::MAX)
        } else if local::caches_writes(inode) && !kills {
            writeback::write(io)
        } else {
            if local::is_ours(inode) {
                io.update_time()?;
            }
            through::write(io)
        };
        drop(lock);
        match done {
            Ok(n) if n > 0 => io.sync(n),
            other => other,
        }
    }

    fn splice_read(splice: Splice<'_, Self>) -> Result<usize> {
        match passthrough::of(splice.file()) {
            Some(backing) => splice.backing(backing),
            None => splice.read(),
        }
    }

    fn backing_read(file: &File<Self>) {
        passthrough::was_read(file.inode());
    }

    fn backing_written(file: &File<Self>, pos: u64, result: Result<usize>) {
        passthrough::written(file.inode(), pos, result);
    }

    fn mmap(file: &File<Self>, mmap: Mmap<'_, Self>) -> Result {
        let inode = file.inode();
        if inode.is_dax() {
            return mmap.use_dax();
        }
        if let Some(backing) = &file.data().backing {
            return mmap.use_backing(backing);
        }
        // What others read and write in a backing file must not be mapped from the page cache.
        inode.data().modes.may_open().map_err(|_| ENODEV)?;
        let mut mapped = None;
        if file.data().flags().contains(FopenFlags::DIRECT_IO) {
            if mmap.is_shared() && !inode.sb().data().has(InitFlags::DIRECT_IO_ALLOW_MMAP) {
                // The server wants every access: a shared cache would hide some.
                return Err(ENODEV);
            }
            if mmap.is_shared() {
                mapped = Mapped::new(file)?;
            }
            inode.invalidate_all_pages();
        }
        if mmap.may_write() {
            inode.data().writeback.link(&cache::share(file)?)?;
        }
        match mapped {
            Some(mapped) => mmap.use_page_cache_with(mapped),
            None => mmap.use_page_cache(),
        }
        Ok(())
    }

    fn unmapped(file: &File<Self>) {
        // There may be no open file later to write through. Who is killed does not wait.
        let inode = file.inode();
        let _ = writeback::sync(inode, 0, u64::MAX);
        if local::caches_writes(inode) {
            let _ = local::tell_times(inode);
            local::settle(inode);
        }
    }

    fn fsync(file: &File<Self>, start: u64, end: u64, datasync: bool) -> Result {
        let inode = file.inode();
        let written = writeback::sync(inode, start, end);
        if written != Err(EINTR) {
            // What is told here is not told again.
            file.take_write_error()?;
        }
        written?;
        if !datasync && local::caches_writes(inode) {
            local::tell_times(inode)?;
            local::settle(inode);
        }
        let conn = inode.sb().data();
        if conn.missing.fsync.get() {
            return Ok(());
        }
        let op = Fsync::<false> {
            nodeid: NodeId::new(inode.key()),
            arg: fsync_in(file, datasync),
        };
        tolerate_missing(conn.call(inode.sb(), &op), &conn.missing.fsync)
    }

    fn fallocate(file: &File<Self>, mode: u32, pos: u64, len: u64) -> Result {
        space::fallocate(file, mode, pos, len)
    }

    fn seek(file: &File<Self>, pos: u64, hole: bool) -> Result<Option<u64>> {
        space::seek(file, pos, hole)
    }

    fn copy(
        from: &File<Self>,
        from_pos: u64,
        to: &File<Self>,
        to_pos: u64,
        len: usize,
    ) -> Result<Option<usize>> {
        space::copy(from, from_pos, to, to_pos, len)
    }

    fn fresh_size(file: &File<Self>) -> Result {
        stat::refresh_size(file, false)
    }

    fn advised(file: &File<Self>, begins: bool) {
        file.data().advised(begins);
    }
}
