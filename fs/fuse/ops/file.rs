// SPDX-License-Identifier: GPL-2.0

//! Operations on open files and directories: OPEN, RELEASE, READ, WRITE, FLUSH, FSYNC, READDIR, READDIRPLUS,
//! FALLOCATE, LSEEK, COPY_FILE_RANGE, IOCTL, POLL, BMAP.

use super::simple_op;
use crate::proto::{
    file::{
        BmapIn, BmapOut, CopyFileRangeIn, CopyFileRangeOut, FallocateIn, FlushIn, FsyncIn, IoctlIn,
        IoctlOut, LseekIn, LseekOut, OpenIn, OpenOut, PollIn, PollOut, ReadIn, ReleaseIn, WriteIn,
        WriteOut,
    },
    ids::{Fh, NodeId},
    opcode::Opcode,
};

simple_op! {
    /// OPEN, or OPENDIR with `DIR`.
    Open<DIR>(OpenIn) -> OpenOut = if DIR { Opcode::OPENDIR } else { Opcode::OPEN };
}

simple_op! {
    /// RELEASE, or RELEASEDIR with `DIR`.
    Release<DIR>(ReleaseIn) -> () = if DIR { Opcode::RELEASEDIR } else { Opcode::RELEASE };
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

simple_op! {
    /// READ, or READDIR with `DIR`: the data is the payload.
    Read<DIR>(ReadIn) -> () = if DIR { Opcode::READDIR } else { Opcode::READ };
}

simple_op! {
    /// READDIRPLUS: the entries are the payload, each with what a lookup of it would have given.
    ReadPlus(ReadIn) -> () = Opcode::READDIRPLUS;
}

simple_op! {
    /// WRITE: the data is the payload.
    Write(WriteIn) -> WriteOut = Opcode::WRITE;
}

simple_op! {
    /// FLUSH: one descriptor of the file was closed.
    Flush(FlushIn) -> () = Opcode::FLUSH;
}

simple_op! {
    /// FSYNC, or FSYNCDIR with `DIR`.
    Fsync<DIR>(FsyncIn) -> () = if DIR { Opcode::FSYNCDIR } else { Opcode::FSYNC };
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

simple_op! {
    /// IOCTL: the data that goes along is the payload, and so is the data of the answer.
    Ioctl(IoctlIn) -> IoctlOut = Opcode::IOCTL;
}

simple_op! {
    /// POLL: which events are there.
    Poll(PollIn) -> PollOut = Opcode::POLL;
}

simple_op! {
    /// BMAP: where a block of a file is on the device that is mounted.
    Bmap(BmapIn) -> BmapOut = Opcode::BMAP;
}
