// SPDX-License-Identifier: GPL-2.0

//! Operations on attributes: GETATTR, STATX, SETATTR, ACCESS, STATFS.

use super::simple_op;
use crate::{
    chan::{Args, Operation},
    proto::{
        attr::{AttrOut, GetattrIn, SetattrIn, StatxIn, StatxOut},
        dir::AccessIn,
        ids::NodeId,
        opcode::Opcode,
        statfs::StatfsOut,
    },
};
use kernel::prelude::*;

simple_op! {
    /// GETATTR.
    Getattr(GetattrIn) -> AttrOut = Opcode::GETATTR;
}

simple_op! {
    /// STATX.
    Statx(StatxIn) -> StatxOut = Opcode::STATX;
}

simple_op! {
    /// SETATTR.
    Setattr(SetattrIn) -> AttrOut = Opcode::SETATTR;
}

simple_op! {
    /// ACCESS.
    Access(AccessIn) -> () = Opcode::ACCESS;
}

/// STATFS.
pub(crate) struct Statfs {
    /// Any inode.
    pub(crate) nodeid: NodeId,
}

impl Operation for Statfs {
    const OPCODE: Opcode = Opcode::STATFS;
    type Reply = StatfsOut;
    /// The part that protocol 7.1 had.
    const REPLY_MIN: usize = 48;

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, _args: &mut Args<'_>) -> Result {
        Ok(())
    }
}
