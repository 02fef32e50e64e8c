// SPDX-License-Identifier: GPL-2.0

//! The FUSE wire format: what goes over the transport, and nothing else.
//!
//! Every type here is the bit-exact twin of one in [`include/uapi/linux/fuse.h`] (protocol 7.45),
//! in the byte order of the machine. The module is pure: `core` and zerocopy only, no locks, no
//! allocation, no `unsafe`; the host tests build the very same files and compare sizes and offsets
//! with the C header.
//!
//! # Map
//!
//! - What every message starts with: [`header`]. What a reply's header must satisfy before anybody
//!   reads on: [`reply`].
//! - The vocabulary: [`ids`] (node ids, file handles, request ids), [`opcode`], [`flags`] (one type
//!   per flag word).
//! - The bodies, by family: [`init`] (negotiation), [`attr`] (attributes and lookups), [`mod@file`]
//!   (open files), [`dir`] (names, and the records of READDIR), [`xattr`], [`lock`], [`statfs`],
//!   [`dax`] (window mappings), [`notify`] (messages that the server starts), [`ext`] (request
//!   extensions), [`device`] (structures of `/dev/fuse` and io_uring).
//!
//! # Conventions
//!
//! - A struct keeps the field names of C. Ids and flag words are typed, user ids, modes and `O_*`
//!   flags stay numbers.
//! - Padding and spare fields are visible and public, because a request must not leak memory
//!   through them: build requests with `..Default::default()`, which zeroes them.
//! - `In` is a request's body (kernel to server), `Out` a reply's or notification's (server to
//!   kernel).
//! - Flag words keep unknown bits: a newer server may set bits that this side does not know.
//!
//! [`include/uapi/linux/fuse.h`]: srctree/include/uapi/linux/fuse.h

pub mod attr;
pub mod dax;
pub mod device;
pub mod dir;
pub mod ext;
pub mod file;
mod flag_words;
pub mod flags;
pub mod header;
pub mod ids;
pub mod init;
pub mod lock;
pub mod notify;
pub mod opcode;
pub mod reply;
pub mod statfs;
pub mod xattr;

/// Major version of the protocol (`FUSE_KERNEL_VERSION`).
pub const KERNEL_VERSION: u32 = 7;

/// Minor version of the protocol (`FUSE_KERNEL_MINOR_VERSION`).
pub const KERNEL_MINOR_VERSION: u32 = 45;

/// Smallest buffer, in bytes, that a server may read requests into (`FUSE_MIN_READ_BUFFER`).
pub const MIN_READ_BUFFER: usize = 8192;

/// Longest name, in bytes, that the protocol can carry (`PATH_MAX - 1`, C's `FUSE_NAME_MAX`).
pub const NAME_MAX: usize = 4095;

/// Longest name, in bytes, that is sent before the server has agreed to requests of more than one
/// page (C's `FUSE_NAME_LOW_MAX`).
pub const NAME_LOW_MAX: usize = 1024;

/// Alignment, in bytes, of records of variable length: directory entries and request extensions.
pub const REC_ALIGN: usize = 8;

/// Rounds a record's length up to [`REC_ALIGN`] (`FUSE_REC_ALIGN`).
///
/// [`None`] when the result does not fit; lengths come from the other side.
#[inline]
pub const fn rec_align(len: usize) -> Option<usize> {
    match len.checked_add(REC_ALIGN - 1) {
        Some(sum) => Some(sum & !(REC_ALIGN - 1)),
        None => None,
    }
}
