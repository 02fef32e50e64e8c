// SPDX-License-Identifier: GPL-2.0

//! Operations on names: LOOKUP, MKNOD, MKDIR, CREATE, SYMLINK, LINK, UNLINK, RMDIR, RENAME; and READLINK.

use crate::{
    chan::{Args, Operation},
    proto::{
        attr::EntryOut,
        dir::{LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn},
        file::{CreateIn, OpenOut},
        ids::NodeId,
        opcode::Opcode,
    },
};
use kernel::prelude::*;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// LOOKUP: what `name` in `parent` is. The answer with node id 0 says that it does not exist.
pub(crate) struct Lookup<'a> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
}

impl Operation for Lookup<'_> {
    const OPCODE: Opcode = Opcode::LOOKUP;
    type Reply = EntryOut;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.name(self.name)
    }
}

/// MKNOD: makes a file that is no directory.
pub(crate) struct Mknod<'a> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
    /// Mode, device and umask.
    pub(crate) arg: MknodIn,
}

impl Operation for Mknod<'_> {
    const OPCODE: Opcode = Opcode::MKNOD;
    type Reply = EntryOut;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)?;
        args.name(self.name)
    }
}

/// MKDIR: makes a directory.
pub(crate) struct Mkdir<'a> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
    /// Mode and umask.
    pub(crate) arg: MkdirIn,
}

impl Operation for Mkdir<'_> {
    const OPCODE: Opcode = Opcode::MKDIR;
    type Reply = EntryOut;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)?;
        args.name(self.name)
    }
}

/// UNLINK, or RMDIR with `DIR`.
pub(crate) struct Remove<'a, const DIR: bool> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
}

impl<const DIR: bool> Operation for Remove<'_, DIR> {
    const OPCODE: Opcode = if DIR { Opcode::RMDIR } else { Opcode::UNLINK };
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.name(self.name)
    }
}

/// CREATE: makes a regular file and opens it.
pub(crate) struct Create<'a> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
    /// Flags, mode and umask.
    pub(crate) arg: CreateIn,
}

/// The answer to CREATE and TMPFILE.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct EntryAndOpen {
    /// The inode.
    pub(crate) entry: EntryOut,
    /// The open file.
    pub(crate) open: OpenOut,
}

impl Operation for Create<'_> {
    const OPCODE: Opcode = Opcode::CREATE;
    type Reply = EntryAndOpen;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)?;
        args.name(self.name)
    }
}

/// SYMLINK: makes a symbolic link. What it says, with its NUL, is the payload.
pub(crate) struct Symlink<'a> {
    /// The directory.
    pub(crate) parent: NodeId,
    /// The name.
    pub(crate) name: &'a [u8],
}

impl Operation for Symlink<'_> {
    const OPCODE: Opcode = Opcode::SYMLINK;
    type Reply = EntryOut;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.name(self.name)
    }
}

/// READLINK: what a symbolic link says is the payload.
pub(crate) struct Readlink(pub(crate) NodeId);

impl Operation for Readlink {
    const OPCODE: Opcode = Opcode::READLINK;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.0
    }

    fn encode(&self, _args: &mut Args<'_>) -> Result {
        Ok(())
    }
}

/// LINK: gives an inode another name.
pub(crate) struct Link<'a> {
    /// The inode.
    pub(crate) inode: NodeId,
    /// The directory of the new name.
    pub(crate) parent: NodeId,
    /// The new name.
    pub(crate) name: &'a [u8],
}

impl Operation for Link<'_> {
    const OPCODE: Opcode = Opcode::LINK;
    type Reply = EntryOut;

    fn nodeid(&self) -> NodeId {
        self.parent
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&LinkIn {
            oldnodeid: self.inode,
        })?;
        args.name(self.name)
    }
}

/// What RENAME and RENAME2 are about.
pub(crate) struct RenameNames<'a> {
    /// The directory of the old name.
    pub(crate) old_dir: NodeId,
    /// The old name.
    pub(crate) old: &'a [u8],
    /// The directory of the new name.
    pub(crate) new_dir: NodeId,
    /// The new name.
    pub(crate) new: &'a [u8],
}

/// RENAME: without flags.
pub(crate) struct Rename<'a>(pub(crate) RenameNames<'a>);

impl Operation for Rename<'_> {
    const OPCODE: Opcode = Opcode::RENAME;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.0.old_dir
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&RenameIn {
            newdir: self.0.new_dir,
        })?;
        args.name(self.0.old)?;
        args.name(self.0.new)
    }
}

/// RENAME2: with flags.
pub(crate) struct Rename2<'a> {
    /// The names.
    pub(crate) names: RenameNames<'a>,
    /// `RENAME_*`.
    pub(crate) flags: u32,
}

impl Operation for Rename2<'_> {
    const OPCODE: Opcode = Opcode::RENAME2;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.names.old_dir
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&Rename2In {
            newdir: self.names.new_dir,
            flags: self.flags,
            padding: 0,
        })?;
        args.name(self.names.old)?;
        args.name(self.names.new)
    }
}
