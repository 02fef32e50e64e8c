// SPDX-License-Identifier: GPL-2.0

//! What an operation is: its opcode, its arguments, and the shape of its answer.

use crate::{
    errno,
    proto::{ids::NodeId, opcode::Opcode},
};
use kernel::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One operation of the protocol.
pub(crate) trait Operation {
    /// Its number.
    const OPCODE: Opcode;
    /// What the server answers, apart from a payload.
    type Reply: FromBytes + IntoBytes + KnownLayout + Immutable;
    /// The least number of bytes of the answer; missing ones read as zeroes (old servers).
    const REPLY_MIN: usize = core::mem::size_of::<Self::Reply>();
    /// Whether a device may give it back without a word.
    const SILENCE_IS_YES: bool = false;

    /// The inode that it is about.
    fn nodeid(&self) -> NodeId;

    /// Bytes of extensions at the end of what is sent, a multiple of 8.
    fn extensions(&self) -> usize {
        0
    }

    /// Writes the arguments.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` when a name does not fit.
    fn encode(&self, args: &mut Args<'_>) -> Result;
}

/// Room for the arguments of a request.
pub(crate) struct Args<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl<'a> Args<'a> {
    pub(super) fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` when they do not fit: only names vary in length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result {
        let end = self
            .used
            .checked_add(bytes.len())
            .ok_or_else(errno::enametoolong)?;
        self.room
            .get_mut(self.used..end)
            .ok_or_else(errno::enametoolong)?
            .copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }

    /// Adds a structure.
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result {
        self.bytes(value.as_bytes())
    }

    /// Adds a name and its NUL.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG` when it does not fit.
    pub(crate) fn name(&mut self, name: &[u8]) -> Result {
        self.bytes(name)?;
        self.bytes(&[0])
    }

    /// Bytes that are used.
    pub(crate) fn len(&self) -> usize {
        self.used
    }
}
