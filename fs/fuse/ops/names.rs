// SPDX-License-Identifier: GPL-2.0

//! Operations on names: LOOKUP, MKNOD, MKDIR, CREATE, TMPFILE, SYMLINK, LINK, UNLINK, RMDIR, RENAME; and READLINK.

use super::name_op;
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

name_op! {
    /// LOOKUP: what `name` in `parent` is. The answer with node id 0 says that it does not exist.
    Lookup(parent, name) -> EntryOut = Opcode::LOOKUP;
}

name_op! {
    /// MKNOD: makes a file that is no directory.
    Mknod(parent, name, arg: MknodIn) -> EntryOut = Opcode::MKNOD;
}

name_op! {
    /// MKDIR: makes a directory.
    Mkdir(parent, name, arg: MkdirIn) -> EntryOut = Opcode::MKDIR;
}

name_op! {
    /// UNLINK, or RMDIR with `DIR`.
    Remove<DIR>(parent, name) -> () = if DIR { Opcode::RMDIR } else { Opcode::UNLINK };
}

name_op! {
    /// CREATE: makes a regular file and opens it.
    Create(parent, name, arg: CreateIn) -> EntryAndOpen = Opcode::CREATE;
}

name_op! {
    /// TMPFILE: makes a regular file without a name in `parent` and opens it.
    Tmpfile(parent, name, arg: CreateIn) -> EntryAndOpen = Opcode::TMPFILE;
}

/// An operation that makes an inode, with extensions behind it.
pub(crate) struct Extended<'a, O> {
    /// The operation.
    pub(crate) op: O,
    /// The extensions, in multiples of 8 bytes.
    pub(crate) extensions: &'a [u8],
    /// They stand at the end of the payload.
    pub(crate) in_payload: bool,
}

impl<O: Operation> Operation for Extended<'_, O> {
    const OPCODE: Opcode = O::OPCODE;
    type Reply = O::Reply;

    fn nodeid(&self) -> NodeId {
        self.op.nodeid()
    }

    fn extensions(&self) -> usize {
        self.extensions.len()
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        self.op.encode(args)?;
        if self.in_payload {
            return Ok(());
        }
        args.bytes(self.extensions)
    }
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

name_op! {
    /// SYMLINK: makes a symbolic link. What it says, with its NUL, is the payload.
    Symlink(parent, name) -> EntryOut = Opcode::SYMLINK;
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
