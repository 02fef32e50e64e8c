// SPDX-License-Identifier: GPL-2.0

//! Directories: what their operations are told and what they answer.
//!
//! What the VFS asks of directories is in [`ops`], what goes along with a new name in [`making`], where the entries that are read go is in [`emit`], and what becomes of
//! their names in [`slot`], a store for lists is in [`store`]. The VFS holds the directory's inode lock around all of it; nothing here is locked.

mod emit;
mod making;
mod ops;
mod slot;
mod store;

pub(crate) use emit::Emitter;
pub(crate) use making::{Label, NewName};
pub(crate) use ops::Operations;
pub(crate) use slot::Slot;

use super::{
    cred::{Caller, Idmap},
    dentry::{Belief, Dentry},
    inode, FileSystem, Inode,
};
use crate::bindings;
use kernel::prelude::*;

/// What a lookup found.
pub(crate) struct Found<T: FileSystem> {
    /// The inode; `None` when the name does not exist.
    pub(crate) inode: Option<inode::Ref<T>>,
    /// How far this is believed.
    pub(crate) belief: Belief,
}

/// What was created, and the private data of the open file.
pub(crate) type Opened<T> = (Found<T>, KBox<<T as FileSystem>::File>);

/// What to create.
pub(crate) enum Node<'a> {
    /// A regular file, device, FIFO or socket with its mode, and device number in the wire encoding.
    Plain {
        /// File type and permissions.
        mode: u32,
        /// Device number.
        rdev: u32,
    },
    /// A directory with its permissions.
    Directory {
        /// Permissions.
        mode: u32,
    },
    /// A symbolic link with what it says.
    Symlink {
        /// The text, without a NUL.
        target: &'a [u8],
    },
}

/// Two names that change places, or one that takes the place of the other.
pub(crate) struct Rename<'a, T: FileSystem> {
    /// The directory that the name is in.
    pub(crate) old_dir: &'a Inode<T>,
    /// The name.
    pub(crate) old: &'a Dentry<T>,
    /// The directory that it goes to.
    pub(crate) new_dir: &'a Inode<T>,
    /// The new name.
    pub(crate) new: &'a Dentry<T>,
    /// `RENAME_*`.
    pub(crate) flags: u32,
    idmap: &'a Idmap,
}

impl<T: FileSystem> Rename<'_, T> {
    /// Who is to own what is left under the old name, where that is wanted (`RENAME_WHITEOUT`).
    pub(crate) fn owner(&self) -> Option<Caller> {
        (self.flags & bindings::RENAME_WHITEOUT != 0)
            .then(|| Caller::owner(self.old_dir.sb(), self.idmap))
    }

    /// Whether the two names change places.
    pub(crate) fn exchanges(&self) -> bool {
        self.flags & bindings::RENAME_EXCHANGE != 0
    }
}
