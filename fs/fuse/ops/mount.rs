// SPDX-License-Identifier: GPL-2.0

//! Operations on a mount as a whole: INIT and DESTROY, which begin and end its session, and SYNCFS; and NOTIFY_REPLY, which
//! answers a server.

use super::simple_op;
use crate::{
    chan::{Args, Operation},
    proto::{
        file::SyncfsIn,
        ids::NodeId,
        init::{InitIn, InitOut},
        notify::NotifyRetrieveIn,
        opcode::Opcode,
    },
};
use kernel::prelude::*;

/// INIT: what both sides can do.
pub(crate) struct Init(pub(crate) InitIn);

impl Operation for Init {
    const OPCODE: Opcode = Opcode::INIT;
    type Reply = InitOut;
    /// The answer of protocol 7.4 and before.
    const REPLY_MIN: usize = 8;

    fn nodeid(&self) -> NodeId {
        NodeId::NONE
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.0)
    }
}

/// DESTROY: the session ends.
pub(crate) struct Destroy;

impl Operation for Destroy {
    const OPCODE: Opcode = Opcode::DESTROY;
    type Reply = ();
    /// As the stock virtiofsd does it.
    const SILENCE_IS_YES: bool = true;

    fn nodeid(&self) -> NodeId {
        NodeId::NONE
    }

    fn encode(&self, _args: &mut Args<'_>) -> Result {
        Ok(())
    }
}

simple_op! {
    /// SYNCFS: everything is made durable.
    Syncfs(SyncfsIn) -> () = Opcode::SYNCFS;
}

simple_op! {
    /// NOTIFY_REPLY: what a server wanted to have from the page cache is the payload.
    NotifyReply(NotifyRetrieveIn) -> () = Opcode::NOTIFY_REPLY;
}
