// SPDX-License-Identifier: GPL-2.0

//! Filling the page cache from the server: single folios, and those that are read ahead.
//!
//! The folios are locked by the VFS, and a request that fills them owns them until it is answered. Nothing else is locked.

use crate::{
    chan::Payload,
    file::fetch,
    inode::Inode,
    proto::ids::Fh,
    vfs::{
        file::File,
        mapping::{Batch, Operations},
        page::ReadFolio,
    },
    Fuse,
};
use kernel::prelude::*;

/// The handle and flags for reading, where the kernel itself may ask.
fn reader(file: Option<&File<Fuse>>) -> (Fh, u32) {
    file.map_or((Fh::default(), 0), |f| (f.data().handle(), f.flags()))
}

/// Reads adjacent folios and ends each with what came for it.
fn fill(inode: &Inode, file: Option<&File<Fuse>>, folios: KVec<ReadFolio>) -> Result {
    let Some(pos) = folios.first().map(ReadFolio::pos) else {
        return Ok(());
    };
    let len = folios.iter().map(ReadFolio::size).sum();
    let (fh, flags) = reader(file);
    let (payload, got) = fetch(inode, fh, flags, pos, len, Payload::Folios(folios))?;
    let Payload::Folios(folios) = payload else {
        return Err(EIO);
    };
    let mut left = got;
    for folio in folios {
        let n = folio.size().min(left);
        left -= n;
        folio.end(n);
    }
    Ok(())
}

impl Operations for Fuse {
    fn read_folio(inode: &Inode, file: Option<&File<Self>>, folio: ReadFolio) -> Result {
        let mut folios = KVec::with_capacity(1, GFP_KERNEL)?;
        folios.push(folio, GFP_KERNEL)?;
        fill(inode, file, folios)
    }

    fn readahead(inode: &Inode, file: Option<&File<Self>>, batch: &mut Batch<'_>) {
        let max = inode.sb().data().negotiated().max_read;
        let mut folios = KVec::new();
        let mut size = 0;
        for folio in batch {
            if size + folio.size() > max {
                if fill(inode, file, core::mem::take(&mut folios)).is_err() {
                    return;
                }
                size = 0;
            }
            size += folio.size();
            if folios.push(folio, GFP_KERNEL).is_err() {
                return;
            }
        }
        let _ = fill(inode, file, folios);
    }
}
