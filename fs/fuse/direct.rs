// SPDX-License-Identifier: GPL-2.0

//! Reading and writing past the page cache.
//!
//! Locks: none for reading; the inode lock is held around a write.

use crate::{
    attr,
    chan::{Flow, Payload},
    file::fetch,
    ops::file::Write,
    proto::{file::WriteIn, flags::WriteFlags, ids::NodeId},
    vfs::{iter, page::Pages},
    Fuse,
};
use kernel::prelude::*;

/// Reads past every cache into the user's memory.
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

/// Writes up to `limit` bytes from the user's memory to the server. The inode lock is held for writing.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>, limit: usize) -> Result<usize> {
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
