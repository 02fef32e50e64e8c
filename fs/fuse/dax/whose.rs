// SPDX-License-Identifier: GPL-2.0

//! Whose a range is: what the table of ranges knows a file by, and the way back from there to the inode.
//!
//! All super blocks of a session share its window, and one node id may stand for an inode in each of them, so a file is known by
//! the number of its super block ([`Parts`](crate::virtiofs::Parts)) and its node id. The way back does not wait: an inode or a super block
//! that is about to go is passed over, as its end may wait for pages that somebody has pinned, and gives up all ranges anyhow. While the
//! inode is looked at its super block is lent, and an unmount waits for that: who looks may take the invalidate lock, which nobody
//! holds who waits for the server, and nothing else.
//!
//! Takes the spinlocks of the parts, of a mount and of the VFS's hash of inodes, one at a time.

use super::{
    ranges::{FileId, Owner, RangeId},
    Dax,
};
use crate::{inode::Inode, vfs::inode::Seen};

/// What the table knows the part `index` of a file by.
pub(super) fn owner(inode: &Inode, index: u64) -> Owner {
    let file = FileId {
        sb: inode.sb().data().part(),
        inode: inode.key(),
    };
    Owner { file, index }
}

/// Why there is no inode to look at.
pub(super) enum Missing {
    /// There is none: the file is not in memory, or gave the range up, so it has no layout there.
    Gone,
    /// It is about to come or to go.
    Leaving,
}

impl Dax {
    /// Calls `look` with the inode that a range is mapped for.
    ///
    /// Pages of a range are in page tables only while the inode's map names it: a fault finds them there, and what is taken out of
    /// the map was taken out of page tables before. So the inode whose map names the range is the one, also if the server has used its
    /// node id for something else since.
    ///
    /// # Errors
    ///
    /// See [`Missing`].
    pub(super) fn with_file<R>(
        &self,
        was: Owner,
        id: RangeId,
        look: impl FnOnce(&Inode) -> R,
    ) -> Result<R, Missing> {
        // A part leaves the list when the last of its inodes is gone.
        let part = self.parts.find(was.file.sb).ok_or(Missing::Gone)?;
        let is_it = |inode: &Inode| inode.data().ranges.get(was.index) == Some(id);
        let seen = part.with(|sb| match sb.seek_inode(was.file.inode, is_it) {
            Seen::Here(inode) => Ok(look(&inode)),
            Seen::Changing => Err(Missing::Leaving),
            Seen::Absent => Err(Missing::Gone),
        });
        seen.unwrap_or(Err(Missing::Leaving))
    }
}
