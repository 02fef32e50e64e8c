// SPDX-License-Identifier: GPL-2.0

//! Operations on extended attributes: GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR.

use super::name_op;
use crate::{
    chan::{Args, Operation},
    proto::{
        ids::NodeId,
        opcode::Opcode,
        xattr::{GetxattrIn, GetxattrOut, SetxattrIn},
    },
};
use core::mem::size_of;
use kernel::prelude::*;
use zerocopy::IntoBytes;

/// GETXATTR asking for the length.
pub(crate) struct Length<'a> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// The attribute.
    pub(crate) name: &'a [u8],
}

impl Operation for Length<'_> {
    const OPCODE: Opcode = Opcode::GETXATTR;
    type Reply = GetxattrOut;

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&GetxattrIn::default())?;
        args.name(self.name)
    }
}

/// GETXATTR asking for the value, which is the payload.
pub(crate) struct Value<'a> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// The attribute.
    pub(crate) name: &'a [u8],
    /// Bytes of room.
    pub(crate) size: u32,
}

impl Operation for Value<'_> {
    const OPCODE: Opcode = Opcode::GETXATTR;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&GetxattrIn {
            size: self.size,
            padding: 0,
        })?;
        args.name(self.name)
    }
}

/// LISTXATTR asking for the length.
pub(crate) struct ListLength(pub(crate) NodeId);

impl Operation for ListLength {
    const OPCODE: Opcode = Opcode::LISTXATTR;
    type Reply = GetxattrOut;

    fn nodeid(&self) -> NodeId {
        self.0
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&GetxattrIn::default())
    }
}

/// LISTXATTR asking for the names, which are the payload.
pub(crate) struct List {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// Bytes of room.
    pub(crate) size: u32,
}

impl Operation for List {
    const OPCODE: Opcode = Opcode::LISTXATTR;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&GetxattrIn {
            size: self.size,
            padding: 0,
        })
    }
}

/// SETXATTR: the value is the payload.
pub(crate) struct Setxattr<'a> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// The attribute.
    pub(crate) name: &'a [u8],
    /// Length of the value and flags.
    pub(crate) arg: SetxattrIn,
    /// The server takes all of them (SETXATTR_EXT).
    pub(crate) long: bool,
}

/// Bytes of the arguments without SETXATTR_EXT.
const SETXATTR_SHORT: usize = 8;

impl Operation for Setxattr<'_> {
    const OPCODE: Opcode = Opcode::SETXATTR;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        let len = if self.long {
            size_of::<SetxattrIn>()
        } else {
            SETXATTR_SHORT
        };
        args.bytes(self.arg.as_bytes().get(..len).ok_or(EINVAL)?)?;
        args.name(self.name)
    }
}

name_op! {
    /// REMOVEXATTR.
    Removexattr(nodeid, name) -> () = Opcode::REMOVEXATTR;
}
