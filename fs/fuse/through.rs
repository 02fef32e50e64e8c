// SPDX-License-Identifier: GPL-2.0

//! Writes that go to the server at once, by way of the page cache.
//!
//! As many folios as a request carries are filled and sent together. Locks: the inode lock is held around a write; of the
//! folios only the last is kept locked while the server is asked, and only if it is not up to date.

use crate::{
    attr,
    chan::{Flow, Payload},
    direct::rounds,
    ops::file::Write,
    proto::{file::WriteIn, ids::NodeId},
    vfs::{iter, pagecache::Operations as _},
    Fuse,
};
use kernel::prelude::*;

/// Writes. The inode lock is held for writing.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>) -> Result<usize> {
    rounds(|_| match io.len() {
        0 => Ok(None),
        _ => write_once(io).map(Some),
    })
}

/// One WRITE. Gives the bytes that were written, and how many were to be.
fn write_once(io: &mut iter::Write<'_, Fuse>) -> Result<(usize, usize)> {
    let (file, pos) = (io.file(), io.pos());
    let inode = file.inode();
    let filled = io.fill_cache(Fuse::write_limit(inode))?;
    let len = filled.len();
    let op = Write {
        nodeid: NodeId::new(inode.key()),
        arg: WriteIn {
            fh: file.data().handle(),
            offset: pos,
            size: len as u32,
            write_flags: inode.sb().data().write_flags(),
            flags: io.sync_flags(),
            ..Default::default()
        },
    };
    let sent = inode.sb().data().call_with(
        inode.sb(),
        &op,
        Payload::Filled(filled),
        Flow::ToServer(len as u32),
    );
    let written = match sent {
        Ok((out, Payload::Filled(filled), _)) if out.size as usize <= len => {
            let written = out.size as usize;
            filled.end(written);
            Ok(written)
        }
        // The folios are let go now: what follows may wait for them.
        Ok(answer) => {
            drop(answer);
            Err(EIO)
        }
        Err(e) => Err(e),
    };
    let done = written.unwrap_or(0);
    io.revert(len - done);
    if done > 0 {
        attr::extend(inode, pos + done as u64);
    } else {
        attr::expire(inode);
    }
    if done < len && written != Err(EINTR) {
        // What did not arrive must not be read.
        let _ = inode.invalidate_pages(pos + done as u64, (len - done) as u64);
    }
    io.set_pos(pos + done as u64);
    written.map(|written| (written, len))
}
