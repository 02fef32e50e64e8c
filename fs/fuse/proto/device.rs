// SPDX-License-Identifier: GPL-2.0

//! Structures of `/dev/fuse` itself: ioctls and io_uring commands.

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Type of the ioctls of `/dev/fuse` (`FUSE_DEV_IOC_MAGIC`).
pub const DEV_IOC_MAGIC: u8 = 229;

/// Room for the request or reply header in a ring entry, in bytes (`FUSE_URING_IN_OUT_HEADER_SZ`).
pub const URING_IN_OUT_HEADER_SZ: usize = 128;

/// Room for the operation's own header in a ring entry, in bytes (`FUSE_URING_OP_IN_OUT_SZ`).
pub const URING_OP_IN_OUT_SZ: usize = 128;

/// Ring command: none (`FUSE_IO_URING_CMD_INVALID`).
pub const URING_CMD_INVALID: u32 = 0;

/// Ring command: give a buffer and wait for a request (`FUSE_IO_URING_CMD_REGISTER`).
pub const URING_CMD_REGISTER: u32 = 1;

/// Ring command: answer a request and wait for the next (`FUSE_IO_URING_CMD_COMMIT_AND_FETCH`).
pub const URING_CMD_COMMIT_AND_FETCH: u32 = 2;

/// Argument of the ioctl that opens a backing file (`struct fuse_backing_map`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BackingMap {
    /// Descriptor of the backing file.
    pub fd: i32,
    /// Zero.
    pub flags: u32,
    /// Zero.
    pub padding: u64,
}

/// A ring entry's own header (`struct fuse_uring_ent_in_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct UringEntInOut {
    /// No flag is defined.
    pub flags: u64,
    /// What the command that brings the answer must name.
    pub commit_id: u64,
    /// Length of the payload in bytes.
    pub payload_sz: u32,
    /// Zero.
    pub padding: u32,
    /// Zero.
    pub reserved: u64,
}

/// Headers of a request in a ring entry (`struct fuse_uring_req_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct UringReqHeader {
    /// Request header, then reply header.
    pub in_out: [u8; URING_IN_OUT_HEADER_SZ],
    /// The operation's body.
    pub op_in: [u8; URING_OP_IN_OUT_SZ],
    /// The entry's own header.
    pub ring_ent_in_out: UringEntInOut,
}

/// The 80 byte command area of a submission queue entry (`struct fuse_uring_cmd_req`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct UringCmdReq {
    /// No flag is defined.
    pub flags: u64,
    /// Which request is answered.
    pub commit_id: u64,
    /// Index of the queue.
    pub qid: u16,
    /// Zero.
    pub padding: [u8; 6],
}
