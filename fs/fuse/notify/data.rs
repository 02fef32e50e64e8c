// SPDX-License-Identifier: GPL-2.0

//! Attributes and data that changed at the server, and its own access to the page cache: INVAL_INODE, STORE, RETRIEVE.
//!
//! A file that is reached by DAX has no data here that could be stale. Takes no locks of its own.

use super::{read, read_all, Told};
use crate::{
    attr,
    chan::{self, Flow, Payload},
    chardev::FromUser,
    conn::Conn,
    ops::mount::NotifyReply,
    proto::notify::{NotifyInvalInodeOut, NotifyRetrieveIn, NotifyRetrieveOut, NotifyStoreOut},
    readdir,
    vfs::page::Pages,
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// Bytes that are copied at a time.
const STORE_BATCH: usize = 64 * PAGE_SIZE;
/// Positions in files are less than this.
const POS_MAX: u64 = i64::MAX as u64;

/// INVAL_INODE: attributes are not to be believed, nor is a part of the data.
pub(super) fn inval_inode(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyInvalInodeOut = read_all(from)?;
    told.aside_with(arg.ino, move |inode| {
        attr::told(inode);
        if let Ok(start) = u64::try_from(arg.off) {
            let len = u64::try_from(arg.len)
                .ok()
                .filter(|&len| len > 0)
                .unwrap_or(POS_MAX);
            if inode.is_regular() {
                // What is dirty stays: it is newer.
                let _ = inode.invalidate_pages(start, len);
            } else {
                readdir::cache::forget(inode);
                inode.forget_link();
            }
        }
        Ok(())
    })
}

/// STORE: data for the page cache.
pub(super) fn store(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyStoreOut = read(from)?;
    if from.len() != arg.size as usize || arg.offset >= POS_MAX {
        return Err(EINVAL);
    }
    let total = u64::from(arg.size).min(POS_MAX - arg.offset);
    let end = arg.offset + total;
    told.aside_with(arg.nodeid, move |inode| {
        if !inode.is_regular() {
            return Err(EINVAL);
        }
        if end > inode.size() {
            attr::extend(inode, end);
        }
        Ok(())
    })?;
    let mut pos = arg.offset;
    while pos < end {
        let len = (STORE_BATCH - pos as usize % PAGE_SIZE).min((end - pos) as usize);
        let mut pages = Pages::new(len)?;
        for chunk in pages.chunks_mut(len) {
            from.bytes(chunk)?;
        }
        let at = pos;
        pos += len as u64;
        let last = pos == end;
        told.aside_with(arg.nodeid, move |inode| {
            inode.store(at, &pages, len, last && end >= inode.size())
        })?;
    }
    Ok(())
}

/// RETRIEVE: what is cached is to be sent to the server.
pub(super) fn retrieve(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyRetrieveOut = read_all(from)?;
    if arg.offset >= POS_MAX {
        return Err(EINVAL);
    }
    told.aside_with(arg.nodeid, move |inode| {
        if !inode.is_regular() {
            return Err(EINVAL);
        }
        let conn: &Conn = inode.sb().data();
        let len = u64::from(arg.size)
            .min(conn.negotiated().max_write as u64)
            .min(inode.size().saturating_sub(arg.offset)) as usize;
        let mut pages = Pages::new(len)?;
        let got = inode.retrieve(arg.offset, &mut pages, len) as u32;
        let op = NotifyReply {
            nodeid: arg.nodeid,
            arg: NotifyRetrieveIn {
                offset: arg.offset,
                size: got,
                ..Default::default()
            },
        };
        let flow = Flow::ToServer(got);
        chan::send_one_way(
            &**conn.transport(),
            arg.notify_unique,
            &op,
            Payload::Pages(pages),
            flow,
        )
    })
}
