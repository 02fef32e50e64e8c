// SPDX-License-Identifier: GPL-2.0

//! Operations on names: LOOKUP, MKNOD, MKDIR, UNLINK, RMDIR.

use crate::{
    chan::{Args, Operation},
    proto::{
        attr::EntryOut,
        dir::{MkdirIn, MknodIn},
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
