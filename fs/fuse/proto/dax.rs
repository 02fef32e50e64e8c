// SPDX-License-Identifier: GPL-2.0

//! Mappings of files into the DAX window: SETUPMAPPING, REMOVEMAPPING.
//!
//! Offsets and lengths are in bytes and multiples of the alignment that INIT negotiated.

use super::{
    flags::SetupmappingFlags,
    ids::Fh, //
};
use core::mem::size_of;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Body of SETUPMAPPING (`struct fuse_setupmapping_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SetupmappingIn {
    /// Open file to map, or [`Fh::NONE`]: the request's node is enough.
    pub fh: Fh,
    /// Start in the file.
    pub foffset: u64,
    /// Length.
    pub len: u64,
    /// For reading, writing or both.
    pub flags: SetupmappingFlags,
    /// Start in the window; what is mapped there is replaced.
    pub moffset: u64,
}

/// Body of REMOVEMAPPING; `count` times [`RemovemappingOne`] follow at once, without padding
/// (`struct fuse_removemapping_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RemovemappingIn {
    /// Number of mappings to remove.
    pub count: u32,
}

/// A part of the window to unmap (`struct fuse_removemapping_one`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RemovemappingOne {
    /// Start in the window.
    pub moffset: u64,
    /// Length.
    pub len: u64,
}

/// Most entries of one REMOVEMAPPING, for a page size in bytes (`FUSE_REMOVEMAPPING_MAX_ENTRY`).
#[inline]
pub const fn removemapping_max_entry(page_size: usize) -> usize {
    page_size / size_of::<RemovemappingOne>()
}
