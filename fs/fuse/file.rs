// SPDX-License-Identifier: GPL-2.0

//! Regular files: opening, reading and writing without DAX.
//!
//! Reads go through the page cache ([`crate::cache`]), or past it for files that the server wants direct. Writes go to the
//! server at once and drop the cached pages that they cover. Locks: the inode lock for writing around a write; nothing around a read.

use crate::{
    attr,
    chan::{Flow, Payload},
    conn::{tolerate_missing, Conn},
    dax,
    dir::fsync_in,
    errno,
    inode::Inode,
    lock,
    ops::file::{Flush, Fsync, Open, Read, Release, Write},
    proto::{
        file::{FlushIn, OpenIn, OpenOut, ReadIn, WriteIn},
        flags::{FopenFlags, InitFlags, ReadFlags, ReleaseFlags, WriteFlags},
        ids::{Fh, LockOwner, NodeId},
    },
    space,
    vfs::{
        file::{File, Mmap, Opening, Owner},
        inode::Operations as _,
        iter,
        page::Pages,
    },
    Fuse,
};
use kernel::{prelude::*, sync::SetOnce};

/// `O_*` flags that are the client's own business.
const O_CLIENT: u32 = 0o100 | 0o200 | 0o400 | 0o1000;

/// What an open file holds.
pub(crate) struct FileData {
    fh: Option<Fh>,
    flags: FopenFlags,
    /// Who took a lock of flock(2), and a lock of the open file, at the server.
    pub(crate) flock: SetOnce<u64>,
    pub(crate) ofd: SetOnce<u64>,
}

impl FileData {
    /// A file that the server knows nothing of yet.
    pub(crate) fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                fh: None,
                flags: FopenFlags::empty(),
                flock: SetOnce::new(),
                ofd: SetOnce::new(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Takes over what the server opened.
    pub(crate) fn opened(&mut self, out: &OpenOut) {
        self.fh = Some(out.fh);
        self.flags = out.open_flags;
    }

    /// The handle that has to be released.
    pub(crate) fn fh(&self) -> Option<Fh> {
        self.fh
    }

    /// The handle for requests; 0 for a server without OPEN.
    pub(crate) fn handle(&self) -> Fh {
        self.fh.unwrap_or_default()
    }

    fn direct(&self) -> bool {
        self.flags.contains(FopenFlags::DIRECT_IO)
    }
}

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
    if let Payload::Pages(_) = payload {
        // Not for the page cache, but for this process.
        op.arg.read_flags |= ReadFlags::LOCKOWNER;
        op.arg.lock_owner = inode.sb().data().current_owner();
    }
    let flow = Flow::FromServer(len as u32);
    let ((), payload, got) = inode
        .sb()
        .data()
        .call_with(inode.sb(), &op, payload, flow)?;
    Ok((payload, got))
}

/// Reads past every cache into the user's memory.
pub(crate) fn read_direct(io: &mut iter::Read<'_, Fuse>, limit: usize) -> Result<usize> {
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

/// Writes up to `limit` bytes from the user's memory to the server. The inode lock is held for writing.
pub(crate) fn write_direct(io: &mut iter::Write<'_, Fuse>, limit: usize) -> Result<usize> {
    let max = io.file().inode().sb().data().negotiated().max_write;
    let mut done = 0;
    while done < limit && io.len() > 0 {
        let n = (limit - done).min(io.len()).min(max);
        match write_once(io, n) {
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
fn write_once(io: &mut iter::Write<'_, Fuse>, n: usize) -> Result<usize> {
    let mut pages = Pages::new(n)?;
    let taken = io.copy_to_pages(&mut pages, n);
    if taken == 0 {
        return Err(EFAULT);
    }
    let (file, pos) = (io.file(), io.pos());
    let inode = file.inode();
    let op = Write {
        nodeid: NodeId::new(inode.key()),
        arg: WriteIn {
            fh: file.data().handle(),
            offset: pos,
            size: taken as u32,
            write_flags: WriteFlags::LOCKOWNER,
            lock_owner: inode.sb().data().current_owner(),
            flags: file.flags(),
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

impl crate::vfs::file::Operations for Fuse {
    fn open(inode: &Inode, opening: &Opening<'_>) -> Result<KBox<FileData>> {
        let conn = inode.sb().data();
        let mut data = FileData::new()?;
        if !conn.missing.open.get() {
            let op = Open::<false> {
                nodeid: NodeId::new(inode.key()),
                arg: OpenIn {
                    flags: opening.flags() & !O_CLIENT,
                    ..Default::default()
                },
            };
            match conn.call(inode.sb(), &op) {
                Ok(out) => data.opened(&out),
                Err(e) if e == errno::enosys() => conn.missing.open.set(),
                Err(e) => return Err(e),
            }
        }
        // DAX mappings are the host's own pages: there is nothing that could be stale.
        let keep = FopenFlags::KEEP_CACHE | FopenFlags::DIRECT_IO;
        if !inode.is_dax() && !data.flags.intersects(keep) && data.fh.is_some() {
            inode.invalidate_all_pages();
        }
        Ok(data)
    }

    fn release(inode: &Inode, flags: u32, data: KBox<FileData>) {
        if let Some(fh) = data.fh {
            lock::released(inode, &data);
            let mut op = Release::<false>::new(NodeId::new(inode.key()), fh, flags & !O_CLIENT);
            if let Some(owner) = data.flock.copy() {
                op.arg.release_flags |= ReleaseFlags::FLOCK_UNLOCK;
                op.arg.lock_owner = LockOwner::new(owner);
            }
            inode.sb().data().close(inode.sb(), &op);
        }
    }

    fn flush(file: &File<Self>, owner: Owner) -> Result {
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        if conn.missing.flush.get() || file.data().flags.contains(FopenFlags::NOFLUSH) {
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
        tolerate_missing(conn.call(inode.sb(), &op), &conn.missing.flush)?;
        if conn.missing.flush.get() {
            lock::closed(file, owner)?;
        }
        Ok(())
    }

    fn read(io: &mut iter::Read<'_, Self>) -> Result<usize> {
        if io.len() == 0 {
            return Ok(0);
        }
        let (file, inode) = (io.file(), io.file().inode());
        if (file.data().direct() || io.direct()) && !inode.is_dax() {
            return read_direct(io, usize::MAX);
        }
        // The file may have grown meanwhile.
        if io.pos().saturating_add(io.len() as u64) > inode.size()
            || inode.sb().data().has(InitFlags::AUTO_INVAL_DATA)
        {
            Self::refresh(inode, false, true)?;
        }
        if inode.is_dax() {
            dax::io::read(io)
        } else {
            io.page_cache()
        }
    }

    fn write(io: &mut iter::Write<'_, Self>) -> Result<usize> {
        if io.append() {
            // Where the end is, is for the server to say.
            Self::refresh(io.file().inode(), true, true)?;
        }
        let inode = io.file().inode();
        if inode.is_dax() {
            if let Some(n) = dax::io::overwrite(io)? {
                return io.sync(n);
            }
        }
        let lock = inode.lock_killable()?;
        let n = io.checks()?;
        if n == 0 {
            return Ok(0);
        }
        io.remove_privs()?;
        let end = io.pos().saturating_add(n as u64);
        let done = if inode.is_dax() && end <= inode.size() {
            dax::io::write(io, &lock)
        } else {
            // Size and data change together at the server.
            write_direct(io, usize::MAX)
        };
        drop(lock);
        match done {
            Ok(n) if n > 0 => io.sync(n),
            other => other,
        }
    }

    fn mmap(file: &File<Self>, mmap: Mmap<'_, Self>) -> Result {
        if file.inode().is_dax() {
            mmap.use_dax()
        } else if file.data().direct() && mmap.is_shared() {
            // The server wants every access: a shared cache would hide some.
            Err(ENODEV)
        } else {
            mmap.use_page_cache_read_only()
        }
    }

    fn fsync(file: &File<Self>, datasync: bool) -> Result {
        let inode = file.inode();
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
        Self::refresh(file.inode(), false, true)
    }
}
