// SPDX-License-Identifier: GPL-2.0

//! Operations on the DAX window: SETUPMAPPING, REMOVEMAPPING.

use super::simple_op;
use crate::{
    chan::{Args, Operation},
    proto::{
        dax::{RemovemappingIn, RemovemappingOne, SetupmappingIn},
        ids::NodeId,
        opcode::Opcode,
    },
};
use kernel::prelude::*;

simple_op! {
    /// SETUPMAPPING: maps a part of a file into the window.
    Setupmapping(SetupmappingIn) -> () = Opcode::SETUPMAPPING;
}

/// REMOVEMAPPING: unmaps parts of the window, of whichever files.
pub(crate) struct Removemapping<'a>(pub(crate) &'a [RemovemappingOne]);

/// Most parts that one REMOVEMAPPING names: what fits the arguments of a request.
pub(crate) const REMOVE_BATCH: usize = 64;

impl Operation for Removemapping<'_> {
    const OPCODE: Opcode = Opcode::REMOVEMAPPING;
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        NodeId::ROOT
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&RemovemappingIn {
            count: self.0.len() as u32,
        })?;
        self.0.iter().try_for_each(|one| args.put(one))
    }
}
