// SPDX-License-Identifier: GPL-2.0

//! Operation codes of requests (`enum fuse_opcode` of `srctree/include/uapi/linux/fuse.h`).

use core::fmt;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// What a request asks for.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(transparent)]
pub struct Opcode(u32);

/// Defines the codes and the table of their names from one list.
macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        impl Opcode {
            $($(#[$meta])* pub const $name: Self = Self($code);)*

            /// Every known code, in the order of the C header.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name without its prefix, as in `LOOKUP`; `UNKNOWN` for a code that is not in the
            /// header.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => stringify!($name),)*
                    _ => "UNKNOWN",
                }
            }
        }
    };
}

opcodes! {
    /// Finds a name in a directory; takes a lookup reference.
    LOOKUP = 1,
    /// Gives lookup references of one inode back; no reply.
    FORGET = 2,
    /// Reads attributes.
    GETATTR = 3,
    /// Changes attributes.
    SETATTR = 4,
    /// Reads a symbolic link.
    READLINK = 5,
    /// Makes a symbolic link.
    SYMLINK = 6,
    /// Makes a file, fifo, socket or device node.
    MKNOD = 8,
    /// Makes a directory.
    MKDIR = 9,
    /// Removes a name of anything but a directory.
    UNLINK = 10,
    /// Removes an empty directory.
    RMDIR = 11,
    /// Renames, replacing the target.
    RENAME = 12,
    /// Makes a hard link.
    LINK = 13,
    /// Opens a file.
    OPEN = 14,
    /// Reads data.
    READ = 15,
    /// Writes data.
    WRITE = 16,
    /// Reads the file system's totals.
    STATFS = 17,
    /// Closes an open file.
    RELEASE = 18,
    /// Makes a file durable.
    FSYNC = 20,
    /// Sets an extended attribute.
    SETXATTR = 21,
    /// Reads an extended attribute, or its size.
    GETXATTR = 22,
    /// Reads the names of extended attributes, or their size.
    LISTXATTR = 23,
    /// Removes an extended attribute.
    REMOVEXATTR = 24,
    /// Tells of a `close(2)` of a descriptor; errors reach the closer.
    FLUSH = 25,
    /// Negotiates the protocol; the first request.
    INIT = 26,
    /// Opens a directory.
    OPENDIR = 27,
    /// Reads directory entries.
    READDIR = 28,
    /// Closes an open directory.
    RELEASEDIR = 29,
    /// Makes a directory durable.
    FSYNCDIR = 30,
    /// Tests a POSIX lock.
    GETLK = 31,
    /// Takes or drops a lock, without waiting.
    SETLK = 32,
    /// Takes a lock, waiting for it.
    SETLKW = 33,
    /// Checks permissions as `access(2)` does.
    ACCESS = 34,
    /// Makes and opens a file in one step.
    CREATE = 35,
    /// Asks the server to cut another request short; no reply unless it is refused.
    INTERRUPT = 36,
    /// Maps a file's block to a device's.
    BMAP = 37,
    /// Ends the session.
    DESTROY = 38,
    /// Passes an ioctl on.
    IOCTL = 39,
    /// Asks for readiness.
    POLL = 40,
    /// Answers `FUSE_NOTIFY_RETRIEVE`; no reply.
    NOTIFY_REPLY = 41,
    /// Gives lookup references of several inodes back; no reply.
    BATCH_FORGET = 42,
    /// Allocates, punches or zeroes a part of a file.
    FALLOCATE = 43,
    /// Reads directory entries with attributes; takes a lookup reference per entry.
    READDIRPLUS = 44,
    /// Renames with `RENAME_*` flags.
    RENAME2 = 45,
    /// Finds data or a hole.
    LSEEK = 46,
    /// Copies between files on the server; at most 4 GiB - 1 are reported.
    COPY_FILE_RANGE = 47,
    /// Maps a part of a file into the DAX window.
    SETUPMAPPING = 48,
    /// Removes mappings from the DAX window.
    REMOVEMAPPING = 49,
    /// Makes the whole file system durable.
    SYNCFS = 50,
    /// Makes and opens a file without a name.
    TMPFILE = 51,
    /// Reads extended attributes of `statx(2)`.
    STATX = 52,
    /// Copies between files on the server, with a 64-bit result.
    COPY_FILE_RANGE_64 = 53,
    /// Starts a character device in user space.
    CUSE_INIT = 4096,
    /// Reserved: [`Self::CUSE_INIT`] seen by a side of the other byte order.
    CUSE_INIT_BSWAP_RESERVED = 1048576,
    /// Reserved: [`Self::INIT`] seen by a side of the other byte order.
    INIT_BSWAP_RESERVED = 436207616,
}

impl Opcode {
    /// Makes the code from its number on the wire.
    #[inline]
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The number on the wire.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}
