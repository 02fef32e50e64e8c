// SPDX-License-Identifier: GPL-2.0

//! Operations on open files and directories: OPEN, RELEASE, READ, WRITE, FLUSH, FSYNC, READDIR, FALLOCATE,
//! LSEEK, COPY_FILE_RANGE.

use super::simple_op;
use crate::{
    chan::{Args, Operation},
    proto::{
        file::{
            CopyFileRangeIn, CopyFileRangeOut, FallocateIn, FlushIn, FsyncIn, LseekIn, LseekOut,
            OpenIn, OpenOut, ReadIn, ReleaseIn, WriteIn, WriteOut,
        },
        ids::{Fh, NodeId},
        opcode::Opcode,
    },
};
use kernel::prelude::*;

/// OPEN, or OPENDIR with `DIR`.
pub(crate) struct Open<const DIR: bool> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// Flags.
    pub(crate) arg: OpenIn,
}

impl<const DIR: bool> Operation for Open<DIR> {
    const OPCODE: Opcode = if DIR { Opcode::OPENDIR } else { Opcode::OPEN };
    type Reply = OpenOut;

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)
    }
}

/// RELEASE, or RELEASEDIR with `DIR`.
pub(crate) struct Release<const DIR: bool> {
    nodeid: NodeId,
    arg: ReleaseIn,
}

impl<const DIR: bool> Release<DIR> {
    /// Ends the file handle `fh`, which was opened with `flags`.
    pub(crate) fn new(nodeid: NodeId, fh: Fh, flags: u32) -> Self {
        Self {
            nodeid,
            arg: ReleaseIn {
                fh,
                flags,
                ..Default::default()
            },
        }
    }
}

impl<const DIR: bool> Operation for Release<DIR> {
    const OPCODE: Opcode = if DIR {
        Opcode::RELEASEDIR
    } else {
        Opcode::RELEASE
    };
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)
    }
}

/// READ, or READDIR with `DIR`: the data is the payload.
pub(crate) struct Read<const DIR: bool> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// What to read.
    pub(crate) arg: ReadIn,
}

impl<const DIR: bool> Operation for Read<DIR> {
    const OPCODE: Opcode = if DIR { Opcode::READDIR } else { Opcode::READ };
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)
    }
}

simple_op! {
    /// WRITE: the data is the payload.
    Write(WriteIn) -> WriteOut = Opcode::WRITE;
}

simple_op! {
    /// FLUSH: one descriptor of the file was closed.
    Flush(FlushIn) -> () = Opcode::FLUSH;
}

/// FSYNC, or FSYNCDIR with `DIR`.
pub(crate) struct Fsync<const DIR: bool> {
    /// The inode.
    pub(crate) nodeid: NodeId,
    /// File handle and flags.
    pub(crate) arg: FsyncIn,
}

impl<const DIR: bool> Operation for Fsync<DIR> {
    const OPCODE: Opcode = if DIR { Opcode::FSYNCDIR } else { Opcode::FSYNC };
    type Reply = ();

    fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    fn encode(&self, args: &mut Args<'_>) -> Result {
        args.put(&self.arg)
    }
}

simple_op! {
    /// FALLOCATE.
    Fallocate(FallocateIn) -> () = Opcode::FALLOCATE;
}

simple_op! {
    /// LSEEK, for holes and data.
    Lseek(LseekIn) -> LseekOut = Opcode::LSEEK;
}

simple_op! {
    /// COPY_FILE_RANGE_64.
    CopyFileRange64(CopyFileRangeIn) -> CopyFileRangeOut = Opcode::COPY_FILE_RANGE_64;
}

simple_op! {
    /// COPY_FILE_RANGE: copies less than 4 GiB.
    CopyFileRange(CopyFileRangeIn) -> WriteOut = Opcode::COPY_FILE_RANGE;
}
