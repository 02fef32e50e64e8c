// SPDX-License-Identifier: GPL-2.0

//! File handles. A node id is only good for as long as the client holds a reference, so an inode that is not in memory is
//! looked up as `.` in itself, and its parent as `..`: by servers that agreed to that (EXPORT_SUPPORT).
//!
//! Takes no locks of its own.

use crate::{
    chan::ForgetNode,
    conn::Conn,
    errno,
    inode::{self, Entry, Inode, InodeRef},
    ops::names::Lookup,
    proto::{flags::InitFlags, ids::NodeId},
    vfs::{export::Handle, SuperBlock},
    Fuse,
};
use kernel::prelude::*;

/// Looks up `.` or `..` in an inode of which only the node id may be known.
fn look_up(sb: &SuperBlock<Fuse>, nodeid: NodeId, name: &[u8]) -> Result<InodeRef> {
    let conn: &Conn = sb.data();
    if !conn.has(InitFlags::EXPORT_SUPPORT) {
        return Err(errno::estale());
    }
    let node = ForgetNode::new()?;
    let asked = conn.asked();
    let op = Lookup {
        parent: nodeid,
        name,
    };
    let out = match conn.call(sb, &op) {
        Err(e) if e == ENOENT => return Err(errno::estale()),
        other => other?,
    };
    if out.nodeid == NodeId::ROOT {
        // It is counted by nobody.
        return sb.find_inode(NodeId::ROOT.get()).ok_or_else(errno::estale);
    }
    Entry::new(conn, out, node, asked)?
        .ok_or_else(errno::estale)?
        .into_inode(sb)
}

impl crate::vfs::export::Operations for Fuse {
    fn handle(inode: &Inode) -> Handle {
        Handle {
            key: inode.key(),
            generation: inode::generation(inode) as u32,
        }
    }

    fn by_handle(sb: &SuperBlock<Self>, handle: Handle) -> Result<InodeRef> {
        if handle.key == NodeId::NONE.get() {
            return Err(errno::estale());
        }
        let inode = match sb.find_inode(handle.key) {
            Some(inode) => inode,
            None => look_up(sb, NodeId::new(handle.key), b".")?,
        };
        if inode.key() != handle.key {
            return Err(EIO);
        }
        if inode.is_bad() || Self::handle(&inode) != handle {
            return Err(errno::estale());
        }
        Ok(inode)
    }

    fn parent(inode: &Inode) -> Result<InodeRef> {
        look_up(inode.sb(), NodeId::new(inode.key()), b"..")
    }
}

/// Says what may be done with handles in a mount that was just negotiated.
pub(crate) fn set_up(sb: &SuperBlock<Fuse>) {
    sb.set_export(!sb.data().has(InitFlags::NO_EXPORT_SUPPORT));
}
