// SPDX-License-Identifier: GPL-2.0

//! Negotiation: INIT, and CUSE_INIT of character devices.
//!
//! The reply has grown over time: 8 bytes up to protocol 7.4, 24 up to 7.22, 64 since. A server
//! that speaks an older minor version answers short; [`InitOut::parse`] fills the rest with zeroes.

use super::{
    flags::{
        CuseInitFlags,
        InitFlags, //
    },
    reply::BadReply, //
};
use core::mem::size_of;
use zerocopy::IntoBytes as _;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`InitOut`] up to protocol 7.4: the version only
/// (`FUSE_COMPAT_INIT_OUT_SIZE`).
pub const COMPAT_INIT_OUT_SIZE: usize = 8;

/// Length in bytes of [`InitOut`] up to protocol 7.22 (`FUSE_COMPAT_22_INIT_OUT_SIZE`).
pub const COMPAT_22_INIT_OUT_SIZE: usize = 24;

/// Longest list of `KEY=value` strings, in bytes, that follows [`CuseInitOut`]
/// (`CUSE_INIT_INFO_MAX`).
pub const CUSE_INIT_INFO_MAX: usize = 4096;

/// Body of INIT (`struct fuse_init_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InitIn {
    /// Major version that the kernel speaks.
    pub major: u32,
    /// Newest minor version that the kernel speaks.
    pub minor: u32,
    /// Most bytes that the kernel reads ahead.
    pub max_readahead: u32,
    /// Features on offer, low word.
    pub flags: u32,
    /// Features on offer, high word.
    pub flags2: u32,
    /// Zero.
    pub unused: [u32; 11],
}

impl InitIn {
    /// Puts `features` on offer, with [`InitFlags::INIT_EXT`], which both words need.
    #[inline]
    pub fn set_features(&mut self, features: InitFlags) {
        let features = features | InitFlags::INIT_EXT;
        self.flags = features.low();
        self.flags2 = features.high();
    }

    /// The features on offer.
    #[inline]
    pub const fn features(&self) -> InitFlags {
        InitFlags::from_words(self.flags, self.flags2)
    }
}

/// Reply to INIT (`struct fuse_init_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InitOut {
    /// Major version that the server speaks.
    pub major: u32,
    /// Minor version that the server speaks; the smaller of the two counts.
    pub minor: u32,
    /// Most bytes to read ahead.
    pub max_readahead: u32,
    /// Features taken up, low word.
    pub flags: u32,
    /// Most background requests in flight; 0 for the kernel's choice.
    pub max_background: u16,
    /// Background requests at which the mount counts as congested; 0 for the kernel's choice.
    pub congestion_threshold: u16,
    /// Most bytes of one WRITE.
    pub max_write: u32,
    /// Granularity of times in nanoseconds, a power of ten; 0 means 1.
    pub time_gran: u32,
    /// Most pages of one request, with [`InitFlags::MAX_PAGES`].
    pub max_pages: u16,
    /// Binary logarithm of the alignment of DAX mappings, with [`InitFlags::MAP_ALIGNMENT`].
    pub map_alignment: u16,
    /// Features taken up, high word.
    pub flags2: u32,
    /// How deep file systems may be stacked, with [`InitFlags::PASSTHROUGH`].
    pub max_stack_depth: u32,
    /// Seconds until a request without an answer ends the session, with
    /// [`InitFlags::REQUEST_TIMEOUT`].
    pub request_timeout: u16,
    /// Ignored.
    pub unused: [u16; 11],
}

impl InitOut {
    /// The features that the server takes up.
    #[inline]
    pub const fn features(&self) -> InitFlags {
        InitFlags::from_words(self.flags, self.flags2)
    }

    /// Reads the payload of the reply, which an older server cuts short.
    ///
    /// Fields that are not there are zero.
    ///
    /// # Errors
    ///
    /// [`BadReply::TooShort`] without a version, or without what every version since 7.5 has;
    /// [`BadReply::TooLong`] when there is more than the struct.
    pub fn parse(payload: &[u8]) -> Result<Self, BadReply> {
        if payload.len() > size_of::<Self>() {
            return Err(BadReply::TooLong);
        }
        if payload.len() < COMPAT_INIT_OUT_SIZE {
            return Err(BadReply::TooShort);
        }
        let mut out = Self::default();
        for (to, from) in out.as_mut_bytes().iter_mut().zip(payload) {
            *to = *from;
        }
        // With another major version the rest of the reply has no meaning.
        if out.major != super::KERNEL_VERSION {
            return Ok(out);
        }
        // A newer version than 7.22 does not make the long form a must: the C client takes short
        // replies of any server.
        if out.minor >= 5 && payload.len() < COMPAT_22_INIT_OUT_SIZE {
            return Err(BadReply::TooShort);
        }
        Ok(out)
    }
}

/// Body of CUSE_INIT (`struct cuse_init_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CuseInitIn {
    /// Major version that the kernel speaks.
    pub major: u32,
    /// Newest minor version that the kernel speaks.
    pub minor: u32,
    /// Zero.
    pub unused: u32,
    /// Features on offer.
    pub flags: CuseInitFlags,
}

/// Reply to CUSE_INIT; `KEY=value` strings follow, each with its NUL (`struct cuse_init_out`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CuseInitOut {
    /// Major version that the server speaks.
    pub major: u32,
    /// Minor version that the server speaks.
    pub minor: u32,
    /// Ignored.
    pub unused: u32,
    /// Features taken up.
    pub flags: CuseInitFlags,
    /// Most bytes of one READ.
    pub max_read: u32,
    /// Most bytes of one WRITE.
    pub max_write: u32,
    /// Major number wanted for the character device; 0 for any.
    pub dev_major: u32,
    /// Minor number wanted for the character device.
    pub dev_minor: u32,
    /// Ignored.
    pub spare: [u32; 10],
}
