// SPDX-License-Identifier: GPL-2.0

//! The page cache and the server: READ into folios, and WRITE of those that are dirty.
//!
//! What somebody waits for is read and ended by who waits; what is read ahead or written back is ended by the reaper. A request owns
//! the folios until it is answered. Nothing else is locked.

use crate::{
    attr,
    chan::{self, Failed, Flow, Payload},
    conn::Conn,
    errno,
    file::fetch,
    handle::Handle,
    inode::Inode,
    local,
    ops::file::{Bmap, Read, Write},
    proto::{
        file::{BmapIn, ReadIn, WriteIn, WriteOut},
        flags::{InitFlags, WriteFlags},
        ids::{Fh, NodeId},
    },
    vfs::{
        cred::Caller,
        file::File,
        page::Pages,
        pagecache::{Limit, Operations, ReadParts, WriteParts},
    },
    writeback::{Run, WriteBack},
    Fuse,
};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};

/// The handle and flags for reading, where the kernel itself may ask.
fn reader(file: Option<&File<Fuse>>) -> (Fh, u32) {
    file.map_or((Fh::default(), 0), |f| (f.data().handle(), f.flags()))
}

/// What one request of `bytes` can carry.
fn limit(bytes: usize) -> Limit {
    Limit {
        bytes,
        parts: (bytes / PAGE_SIZE).max(1),
    }
}

/// Whether the server has enough to do that nobody waits for.
fn congested(inode: &Inode) -> bool {
    let background = inode.sb().data().transport().pool().background();
    background.is_congested()
}

/// The handle of a file, for what goes on without it.
pub(crate) fn share(file: &File<Fuse>) -> Result<Arc<Handle>> {
    file.data().share(file.inode())
}

/// Ends a read: `got` bytes came, asked for when attributes had `version`.
fn filled(parts: ReadParts<Fuse>, got: usize, version: u64) {
    if let Some(inode) = parts.inode() {
        attr::was_read(inode);
        if got < parts.len() {
            attr::ends_at(inode, parts.pos() + got as u64, version);
        }
    }
    parts.end(got);
}

impl Operations for Fuse {
    type Run<'a> = Run<'a>;

    fn read_limit(inode: &Inode) -> Limit {
        limit(inode.sb().data().negotiated().max_read)
    }

    fn read(inode: &Inode, file: Option<&File<Self>>, parts: ReadParts<Self>) -> Result {
        let version = inode.sb().data().attr_version();
        let (fh, flags) = reader(file);
        let (pos, len) = (parts.pos(), parts.len());
        let (payload, got) = fetch(inode, fh, flags, pos, len, Payload::Fill(parts))?;
        let Payload::Fill(parts) = payload else {
            return Err(EIO);
        };
        filled(parts, got, version);
        Ok(())
    }

    fn read_part(inode: &Inode, file: &File<Self>, pos: u64, len: usize) -> Result<(Pages, usize)> {
        let (fh, flags) = reader(Some(file));
        let room = Payload::Pages(Pages::new(len)?);
        match fetch(inode, fh, flags, pos, len, room)? {
            (Payload::Pages(pages), got) => Ok((pages, got)),
            _ => Err(EIO),
        }
    }

    fn is_advice(file: &File<Self>) -> bool {
        file.data().is_advised()
    }

    fn may_read_ahead(inode: &Inode) -> bool {
        !congested(inode)
    }

    fn read_ahead(inode: &Inode, file: Option<&File<Self>>, parts: ReadParts<Self>) {
        let conn: &Conn = inode.sb().data();
        let handle = file
            .filter(|_| conn.has(InitFlags::ASYNC_READ))
            .map(share)
            .transpose();
        let Ok(Some(handle)) = handle else {
            let _ = Self::read(inode, file, parts);
            return;
        };
        let (_, flags) = reader(file);
        let version = conn.attr_version();
        let len = parts.len() as u32;
        let op = Read::<false> {
            nodeid: NodeId::new(inode.key()),
            arg: ReadIn {
                fh: handle.fh,
                offset: parts.pos(),
                size: len,
                flags,
                ..Default::default()
            },
        };
        chan::call_background(
            &**conn.transport(),
            Caller::current(inode.sb()),
            &op,
            Payload::Fill(parts),
            Flow::FromServer(len),
            move |result, payload| {
                drop(handle);
                if let (Ok(((), got)), Payload::Fill(parts)) = (result, payload) {
                    filled(parts, got, version);
                }
            },
        );
    }

    fn write_limit(inode: &Inode) -> Limit {
        limit(inode.sb().data().negotiated().max_write)
    }

    fn begin_write_back(inode: &Inode, wait: bool) -> Option<Run<'_>> {
        if !wait && congested(inode) {
            return None;
        }
        WriteBack::run(inode, wait)
    }

    fn write_back(inode: &Inode, parts: WriteParts<Self>) -> Result<(), WriteParts<Self>> {
        let conn: &Conn = inode.sb().data();
        let Some(handle) = inode.data().writeback.file() else {
            if crate::vfs::ratelimit() {
                pr_err!("dirty data of a file that nobody has open for writing\n");
            }
            return Ok(());
        };
        let len = parts.len();
        let op = Write {
            nodeid: NodeId::new(inode.key()),
            arg: WriteIn {
                fh: handle.fh,
                offset: parts.pos(),
                size: len as u32,
                write_flags: WriteFlags::CACHE,
                ..Default::default()
            },
        };
        let begin = || {
            let ticket = inode.data().writeback.ticket();
            move |result: Result<(WriteOut, usize), Failed>, payload| {
                drop(handle);
                let Payload::WriteBack(parts) = payload else {
                    return;
                };
                match result {
                    Ok((out, _)) if out.size as usize == len => (),
                    Ok(_) => parts.set_error(EIO),
                    Err(failed) => parts.set_error(failed.error),
                }
                // Who waits for the ticket looks for what became dirty since, in pages that are not being written.
                parts.end(|inode| {
                    attr::written_back(inode);
                    local::written_back(inode);
                    inode.data().writeback.written(ticket);
                });
            }
        };
        let sent = chan::try_call_background(
            &**conn.transport(),
            Caller::default(),
            &op,
            Payload::WriteBack(parts),
            Flow::ToServer(len as u32),
            begin,
        );
        match sent {
            Err((e, Payload::WriteBack(parts))) if e == ENOMEM => Err(parts),
            Err((e, Payload::WriteBack(parts))) => {
                parts.set_error(e);
                parts.end(|_| ());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn device_block(inode: &Inode, block: u64) -> u64 {
        let (sb, conn): (_, &Conn) = (inode.sb(), inode.sb().data());
        if !sb.is_on_block_device() || conn.missing.bmap.get() {
            return 0;
        }
        let op = Bmap {
            nodeid: NodeId::new(inode.key()),
            arg: BmapIn {
                block,
                blocksize: sb.block_size() as u32,
                padding: 0,
            },
        };
        match conn.call(sb, &op) {
            Ok(out) => out.block,
            Err(e) => {
                if e == errno::enosys() {
                    conn.missing.bmap.set();
                }
                0
            }
        }
    }
}
