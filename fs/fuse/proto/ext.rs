// SPDX-License-Identifier: GPL-2.0

//! Extensions: records behind the body of a request that makes an inode, each padded to 8 bytes.
//!
//! Security contexts come first, if there are any: [`SecctxHeader`], then per context [`Secctx`],
//! name with NUL, context. Its second field is small, which tells it from an [`ExtHeader`], whose
//! types start above [`MAX_NR_SECCTX`].

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Most security contexts in one request (`FUSE_MAX_NR_SECCTX`).
pub const MAX_NR_SECCTX: u32 = 31;

/// Type of the extension that carries [`SuppGroups`] (`FUSE_EXT_GROUPS`).
pub const EXT_GROUPS: u32 = 32;

/// Start of the security contexts (`struct fuse_secctx_header`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SecctxHeader {
    /// Length of all contexts in bytes, with this header and the padding.
    pub size: u32,
    /// Number of contexts, at most [`MAX_NR_SECCTX`].
    pub nr_secctx: u32,
}

/// One security context; name, NUL and context follow (`struct fuse_secctx`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Secctx {
    /// Length of the context in bytes, without the name.
    pub size: u32,
    /// Zero.
    pub padding: u32,
}

/// Start of any other extension (`struct fuse_ext_header`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ExtHeader {
    /// Length of the extension in bytes, with this header and the padding.
    pub size: u32,
    /// What it is, above [`MAX_NR_SECCTX`] (C's `type`).
    pub typ: u32,
}

/// Supplementary groups; `nr_groups` 32-bit group ids follow (`struct fuse_supp_groups`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SuppGroups {
    /// Number of groups.
    pub nr_groups: u32,
}
