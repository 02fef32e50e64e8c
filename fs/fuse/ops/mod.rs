// SPDX-License-Identifier: GPL-2.0

//! The operations of the protocol, one type each, by family: [`names`], [`attr`], [`file`], [`lock`], [`mount`], [`dax`], [`xattr`].
//!
//! An operation borrows what it sends and says what it gets back; it takes no locks.

pub(crate) mod attr;
pub(crate) mod dax;
pub(crate) mod file;
pub(crate) mod lock;
pub(crate) mod mount;
pub(crate) mod names;
pub(crate) mod xattr;

/// Defines an operation whose arguments are one structure; with `<DIR>` it is two, for files and for directories.
macro_rules! simple_op {
    ($(#[$meta:meta])* $name:ident $(<$dir:ident>)? ($arg:ty) -> $reply:ty = $opcode:expr;) => {
        $(#[$meta])*
        pub(crate) struct $name $(<const $dir: bool>)? {
            /// The inode.
            pub(crate) nodeid: $crate::proto::ids::NodeId,
            /// The arguments.
            pub(crate) arg: $arg,
        }

        impl $(<const $dir: bool>)? $crate::chan::Operation for $name $(<$dir>)? {
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

/// Defines an operation on a name in the inode `parent` (or as it is called): a structure where it has one, and the name.
macro_rules! name_op {
    (
        $(#[$meta:meta])*
        $name:ident $(<$dir:ident>)? ($inode:ident, name $(, $arg:ident: $args:ty)?) -> $reply:ty = $opcode:expr;
    ) => {
        $(#[$meta])*
        pub(crate) struct $name<'a $(, const $dir: bool)?> {
            /// What the name is in.
            pub(crate) $inode: $crate::proto::ids::NodeId,
            /// The name.
            pub(crate) name: &'a [u8],
            $(
                /// The other arguments.
                pub(crate) $arg: $args,
            )?
        }

        impl $(<const $dir: bool>)? $crate::chan::Operation for $name<'_ $(, $dir)?> {
            const OPCODE: $crate::proto::opcode::Opcode = $opcode;
            type Reply = $reply;

            fn nodeid(&self) -> $crate::proto::ids::NodeId {
                self.$inode
            }

            fn encode(&self, args: &mut $crate::chan::Args<'_>) -> kernel::error::Result {
                $(args.put(&self.$arg)?;)?
                args.name(self.name)
            }
        }
    };
}
pub(crate) use name_op;
