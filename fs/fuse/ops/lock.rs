// SPDX-License-Identifier: GPL-2.0

//! Operations on file locks: GETLK, SETLK, SETLKW.

use super::simple_op;
use crate::proto::{
    lock::{LkIn, LkOut},
    opcode::Opcode,
};

simple_op! {
    /// GETLK: what is in the way of a lock.
    Getlk(LkIn) -> LkOut = Opcode::GETLK;
}

simple_op! {
    /// SETLK, or with `WAIT` SETLKW.
    Setlk<WAIT>(LkIn) -> () = if WAIT { Opcode::SETLKW } else { Opcode::SETLK };
}
