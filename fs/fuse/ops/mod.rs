// SPDX-License-Identifier: GPL-2.0

//! The operations of the protocol, one type each, by family: [`names`], [`attr`], [`file`], [`mount`], [`dax`], [`xattr`].
//!
//! An operation borrows what it sends and says what it gets back; it takes no locks.

pub(crate) mod attr;
pub(crate) mod dax;
pub(crate) mod file;
pub(crate) mod mount;
pub(crate) mod names;
pub(crate) mod xattr;

/// Defines an operation whose arguments are one structure.
macro_rules! simple_op {
    ($(#[$meta:meta])* $name:ident($arg:ty) -> $reply:ty = $opcode:expr;) => {
        $(#[$meta])*
        pub(crate) struct $name {
            /// The inode.
            pub(crate) nodeid: $crate::proto::ids::NodeId,
            /// The arguments.
            pub(crate) arg: $arg,
        }

        impl $crate::chan::Operation for $name {
            const OPCODE: $crate::proto::opcode::Opcode = $opcode;
            type Reply = $reply;

            fn nodeid(&self) -> $crate::proto::ids::NodeId {
                self.nodeid
            }

            fn encode(&self, args: &mut $crate::chan::Args<'_>) -> kernel::error::Result {
                args.put(&self.arg)
            }
        }
    };
}
pub(crate) use simple_op;
