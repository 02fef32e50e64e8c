// SPDX-License-Identifier: GPL-2.0

//! The first exchange of a session: INIT.
//!
//! Only features that the module has are offered. A server that answers with more is taken at what was offered.

use super::{Conn, DaxMode, LockMode, Negotiated};
use crate::{
    dax::ranges::RANGE_SHIFT,
    errno,
    ops::mount::Init,
    proto::{flags::InitFlags, init::InitIn, KERNEL_MINOR_VERSION, KERNEL_VERSION},
    vfs::{FileSystem, SuperBlock},
};
use kernel::{page::PAGE_SIZE, prelude::*};

/// The oldest minor version that is spoken: the first with the structures of today.
const MINOR_MIN: u32 = 23;
/// What a server can read ahead at most, in bytes.
const READAHEAD: u32 = 1 << 20;
/// Bytes of a WRITE of old servers.
const WRITE_MIN: usize = 4096;
/// Pages of a request where the server does not say.
const PAGES_DEFAULT: usize = 32;

impl Conn {
    /// Negotiates. Nothing else may be sent before.
    ///
    /// # Errors
    ///
    /// `EPROTO` (with a message) for a server that speaks another protocol, else what the exchange failed with.
    pub(crate) fn init<T: FileSystem>(&self, sb: &SuperBlock<T>) -> Result {
        let offered = self.offer();
        let reply = self.call(
            sb,
            &Init(InitIn {
                major: KERNEL_VERSION,
                minor: KERNEL_MINOR_VERSION,
                max_readahead: READAHEAD,
                flags: offered.bits() as u32,
                flags2: (offered.bits() >> 32) as u32,
                ..Default::default()
            }),
        )?;
        if reply.major != KERNEL_VERSION || reply.minor < MINOR_MIN {
            pr_err!(
                "the server speaks protocol {}.{}; 7.{} is needed at least\n",
                reply.major,
                reply.minor,
                MINOR_MIN
            );
            return Err(errno::eproto());
        }
        let mut answered = u64::from(reply.flags);
        if InitFlags::from_bits(answered).contains(InitFlags::INIT_EXT) {
            answered |= u64::from(reply.flags2) << 32;
        }
        let flags = InitFlags::from_bits(answered & offered.bits());

        if self.dax().is_some()
            && flags.contains(InitFlags::MAP_ALIGNMENT)
            && u32::from(reply.map_alignment) > RANGE_SHIFT
        {
            pr_err!(
                "the server maps at multiples of 2^{} bytes; DAX needs 2^{} or less\n",
                reply.map_alignment,
                RANGE_SHIFT
            );
            return Err(errno::eproto());
        }

        let pages = if flags.contains(InitFlags::MAX_PAGES) {
            usize::from(reply.max_pages).max(1)
        } else {
            PAGES_DEFAULT
        }
        .min(self.transport().max_pages());
        let most = pages * PAGE_SIZE;
        self.negotiated.populate(Negotiated {
            flags,
            max_write: (reply.max_write as usize).max(WRITE_MIN).min(most),
            max_read: most,
        });
        if reply.time_gran > 0 && reply.time_gran <= 1_000_000_000 {
            sb.set_time_gran(reply.time_gran);
        }
        sb.set_readahead(reply.max_readahead.min(READAHEAD));
        Ok(())
    }

    /// The features that this mount offers.
    fn offer(&self) -> InitFlags {
        let mut flags = InitFlags::INIT_EXT
            | InitFlags::ASYNC_READ
            | InitFlags::BIG_WRITES
            | InitFlags::MAX_PAGES
            | InitFlags::PARALLEL_DIROPS
            | InitFlags::AUTO_INVAL_DATA
            | InitFlags::DO_READDIRPLUS
            | InitFlags::READDIRPLUS_AUTO
            | InitFlags::ASYNC_DIO
            | InitFlags::DIRECT_IO_ALLOW_MMAP
            | InitFlags::NO_OPEN_SUPPORT
            | InitFlags::NO_OPENDIR_SUPPORT
            | InitFlags::HAS_IOCTL_DIR;
        if self.lock_mode() != LockMode::Local {
            flags |= InitFlags::POSIX_LOCKS | InitFlags::FLOCK_LOCKS;
        }
        if self.dax().is_some() {
            flags |= InitFlags::MAP_ALIGNMENT;
            // Only where the answer makes a difference: a server may have to look up a flag for each file.
            if matches!(self.dax_mode(), DaxMode::Default | DaxMode::Inode) {
                flags |= InitFlags::HAS_INODE_DAX;
            }
        }
        flags
    }
}
