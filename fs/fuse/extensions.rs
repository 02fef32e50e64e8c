// SPDX-License-Identifier: GPL-2.0

//! What goes along with the making of an inode, beyond the caller's ids: its security label; the group that the directory
//! hands down, where the caller is in it by a supplementary group only; and the file mode creation mask. Takes no locks.

use crate::{
    chan::{Flow, Operation, Payload},
    conn::Conn,
    inode::Inode,
    ops::names::Extended,
    proto::{ext, flags::InitFlags},
    vfs::{
        cred::Caller,
        dir::{Label, NewName},
        page::Pages,
    },
    Fuse,
};
use kernel::prelude::*;
use zerocopy::IntoBytes;

/// Extensions of more bytes are sent behind the arguments: those have little room.
const INLINE: usize = 512;

/// The extensions of one request.
pub(crate) struct Extensions {
    bytes: KVec<u8>,
    owner: Caller,
}

impl Extensions {
    /// For a new inode of this mode in `dir`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of the security module in force.
    pub(crate) fn new(dir: &Inode, name: &NewName<'_, Fuse>, mode: u32) -> Result<Self> {
        let conn: &Conn = dir.sb().data();
        let mut bytes = KVec::new();
        if conn.has(InitFlags::SECURITY_CTX) {
            put_label(&mut bytes, name.label(mode)?.as_ref())?;
        }
        if conn.has(InitFlags::CREATE_SUPP_GROUP) {
            if let Some(group) = name.group() {
                put_group(&mut bytes, group)?;
            }
        }
        Ok(Self {
            bytes,
            owner: name.owner(),
        })
    }

    /// How many bytes they are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sends an operation with them. `payload` stands between the arguments and them.
    pub(crate) fn send<O: Operation>(
        &self,
        dir: &Inode,
        op: O,
        payload: Option<&[u8]>,
    ) -> Result<O::Reply> {
        let conn: &Conn = dir.sb().data();
        let apart = payload.is_some() || self.len() > INLINE;
        let op = Extended {
            op,
            extensions: &self.bytes,
            in_payload: apart,
        };
        if !apart {
            let sent = conn.try_call_as(dir.sb(), self.owner, &op);
            return Ok(sent?);
        }
        let payload = payload.unwrap_or_default();
        let len = payload.len() + self.len();
        let mut pages = Pages::new(len)?;
        let mut bytes = Iterator::chain(payload.iter(), self.bytes.iter());
        for chunk in pages.chunks_mut(len) {
            for (to, from) in chunk.iter_mut().zip(&mut bytes) {
                *to = *from;
            }
        }
        let flow = Flow::ToServer(u32::try_from(len).map_err(|_| E2BIG)?);
        let pages = Payload::Pages(pages);
        let (out, _, _) = conn.call_with_as(dir.sb(), self.owner, &op, pages, flow)?;
        Ok(out)
    }
}

/// Adds padding up to a multiple of 8.
fn pad(bytes: &mut KVec<u8>) -> Result {
    let len = bytes.len().next_multiple_of(8);
    Ok(bytes.resize(len, 0, GFP_KERNEL)?)
}

/// Adds the label, or that there is none.
fn put_label(bytes: &mut KVec<u8>, label: Option<&Label>) -> Result {
    let head = core::mem::size_of::<ext::SecctxHeader>();
    bytes.resize(head, 0, GFP_KERNEL)?;
    if let Some(label) = label {
        let one = ext::Secctx {
            size: u32::try_from(label.bytes().len()).map_err(|_| EIO)?,
            padding: 0,
        };
        bytes.extend_from_slice(one.as_bytes(), GFP_KERNEL)?;
        bytes.extend_from_slice(label.name().to_bytes_with_nul(), GFP_KERNEL)?;
        bytes.extend_from_slice(label.bytes(), GFP_KERNEL)?;
        pad(bytes)?;
    }
    let header = ext::SecctxHeader {
        size: u32::try_from(bytes.len()).map_err(|_| EIO)?,
        nr_secctx: label.is_some().into(),
    };
    bytes
        .get_mut(..head)
        .ok_or(EIO)?
        .copy_from_slice(header.as_bytes());
    Ok(())
}

/// Adds a supplementary group.
fn put_group(bytes: &mut KVec<u8>, group: u32) -> Result {
    let head = ext::ExtHeader {
        size: 16,
        typ: ext::EXT_GROUPS,
    };
    let groups = ext::SuppGroups { nr_groups: 1 };
    for part in [head.as_bytes(), groups.as_bytes(), group.as_bytes()] {
        bytes.extend_from_slice(part, GFP_KERNEL)?;
    }
    pad(bytes)
}

/// The permissions of a new inode: without what the mask forbids, unless the server sees to that.
pub(crate) fn masked(conn: &Conn, mode: u32) -> u32 {
    if conn.has(InitFlags::DONT_MASK) {
        mode
    } else {
        mode & !Caller::umask()
    }
}
