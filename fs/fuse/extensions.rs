// SPDX-License-Identifier: GPL-2.0

//! What goes along with the making of an inode, beyond the caller's ids: the group that the directory hands down, where the
//! caller is in it by a supplementary group only; and the file mode creation mask. Takes no locks.

use crate::{
    conn::Conn,
    inode::Inode,
    ops::names::Extended,
    proto::{ext::EXT_GROUPS, flags::InitFlags},
    vfs::cred::Caller,
};

/// Bytes of an extension with one group.
const GROUPS: usize = 16;

/// The extensions of one request.
pub(crate) struct Extensions {
    bytes: [u8; GROUPS],
    len: usize,
}

impl Extensions {
    /// For something new in `dir`.
    pub(crate) fn new(dir: &Inode) -> Self {
        let wanted = dir.sb().data().has(InitFlags::CREATE_SUPP_GROUP);
        let mut this = Self {
            bytes: [0; GROUPS],
            len: 0,
        };
        if let Some(group) = wanted.then(|| dir.create_group()).flatten() {
            let words = [GROUPS as u32, EXT_GROUPS, 1, group];
            for (to, word) in this.bytes.chunks_exact_mut(4).zip(words) {
                to.copy_from_slice(&word.to_ne_bytes());
            }
            this.len = GROUPS;
        }
        this
    }

    /// As they are sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// An operation with them behind its arguments.
    pub(crate) fn with<O>(&self, op: O) -> Extended<'_, O> {
        Extended {
            op,
            extensions: self.bytes(),
            in_payload: false,
        }
    }
}

/// The permissions of a new inode: without what the mask forbids, unless the server sees to that.
pub(crate) fn masked(conn: &Conn, mode: u32) -> u32 {
    if conn.has(InitFlags::DONT_MASK) {
        mode
    } else {
        mode & !Caller::umask()
    }
}
