// SPDX-License-Identifier: GPL-2.0

//! Ids on the wire, one type each, so that a node id cannot be passed where a file handle is meant.
//!
//! An id has the layout of its integer. Ids of the server ([`NodeId`], [`Fh`], [`Generation`]) are
//! opaque to this side: they are compared and sent back, nothing else.

use core::fmt;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Defines a transparent id around a 64-bit integer.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Default,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            FromBytes,
            IntoBytes,
            KnownLayout,
            Immutable,
        )]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Makes the id from its number on the wire.
            #[inline]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The number on the wire.
            #[inline]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

id! {
    /// An inode of the server, valid from the lookup that returned it to the FORGET that gives it
    /// back.
    NodeId
}

impl NodeId {
    /// The root of the mount; it is never looked up and never forgotten (`FUSE_ROOT_ID`).
    pub const ROOT: Self = Self(1);

    /// No inode: in a lookup reply a negative entry, in a request a target that needs none.
    pub const NONE: Self = Self(0);

    /// Whether the id names no inode.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is the root of the mount.
    #[inline]
    pub const fn is_root(self) -> bool {
        self.0 == Self::ROOT.0
    }
}

id! {
    /// An open file of the server (`fh`), valid from OPEN, OPENDIR or CREATE to RELEASE.
    Fh
}

impl Fh {
    /// No open file: what DAX mappings send, because they outlive every handle.
    pub const NONE: Self = Self(u64::MAX);
}

id! {
    /// A request, so that its reply and its INTERRUPT can name it.
    ///
    /// Requests have even ids; an odd one is the INTERRUPT of the request one below. 0 is no
    /// request: it marks a notification.
    Unique
}

impl Unique {
    /// The id of notifications.
    pub const NOTIFICATION: Self = Self(0);

    /// Difference between the ids of two requests that follow each other (C's `FUSE_REQ_ID_STEP`).
    pub const STEP: u64 = 2;

    /// Bit of the id under which an INTERRUPT is sent (C's `FUSE_INT_REQ_BIT`).
    pub const INTERRUPT: u64 = 1;

    /// Bit that marks a request as sent again after `FUSE_NOTIFY_RESEND` (`FUSE_UNIQUE_RESEND`).
    pub const RESEND: u64 = 1 << 63;

    /// The id under which the INTERRUPT of this request is sent.
    #[inline]
    pub const fn interrupt(self) -> Self {
        Self(self.0 | Self::INTERRUPT)
    }

    /// Whether this is the id of an INTERRUPT.
    #[inline]
    pub const fn is_interrupt(self) -> bool {
        self.0 & Self::INTERRUPT != 0
    }

    /// The id without the interrupt bit: the request that an INTERRUPT is about.
    #[inline]
    pub const fn request(self) -> Self {
        Self(self.0 & !Self::INTERRUPT)
    }
}

id! {
    /// Tells two lives of the same [`NodeId`] apart; node id and generation together are unique for
    /// the server's life.
    Generation
}

id! {
    /// The owner of a file lock, scrambled so that no kernel address leaves the machine.
    LockOwner
}

id! {
    /// A poll that waits for a wake-up notification (`kh`).
    PollHandle
}
