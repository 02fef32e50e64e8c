// SPDX-License-Identifier: GPL-2.0

//! The first exchange of a session: INIT.
//!
//! Only features that the module has are offered. A server that answers with more is taken at what was offered.

use super::{Conn, DaxMode, LockMode, Negotiated};
use crate::{
    chan,
    dax::ranges::RANGE_SHIFT,
    errno,
    ops::mount::Init,
    proto::{
        flags::InitFlags,
        init::{InitIn, InitOut},
        KERNEL_MINOR_VERSION, KERNEL_VERSION, NAME_LOW_MAX, NAME_MAX,
    },
    sync::Ticker,
    sysctl,
    vfs::{cred::Caller, FileSystem, SuperBlock},
};
use kernel::{page::PAGE_SIZE, prelude::*, sync::atomic::Relaxed, time::Msecs};

/// The oldest minor version that is spoken: the first whose structures are those of today, but for a shorter answer to INIT.
const MINOR_MIN: u32 = 12;
/// What a server can read ahead at most, in bytes.
const READAHEAD: u32 = 1 << 20;
/// Bytes of a WRITE of old servers.
const WRITE_MIN: usize = 4096;
/// How often the age of requests is looked at, in milliseconds.
const WATCH: Msecs = 5000;
/// Pages of a request where the server does not say.
const PAGES_DEFAULT: usize = 32;

impl Conn {
    /// Negotiates. Nothing else may be sent before.
    ///
    /// # Errors
    ///
    /// `EPROTO` (with a message) for a server that speaks another protocol, else what the exchange failed with.
    pub(crate) fn init<T: FileSystem>(&self, sb: &SuperBlock<T>) -> Result {
        let reply = chan::call(&**self.transport(), Caller::current(sb), &self.hello())?;
        self.agree(sb, &reply)
    }

    /// Begins to negotiate with a server that may not listen yet. [`Self::ready`] does the rest.
    pub(crate) fn start<T: FileSystem>(&self, sb: &SuperBlock<T>) -> Result {
        let waiter = chan::send(&**self.transport(), Caller::current(sb), &self.hello())?;
        self.starting.populate(waiter);
        Ok(())
    }

    /// Waits for what [`Self::start`] began.
    ///
    /// # Errors
    ///
    /// `ECONNREFUSED` when the answer was no good, `ENOTCONN` when none came, `EINTR` for a fatal signal.
    pub(crate) fn ready<T: FileSystem>(&self, sb: &SuperBlock<T>) -> Result {
        if self.negotiated.as_ref().is_some() {
            return Ok(());
        }
        let Some(waiter) = self.starting.as_ref() else {
            return Ok(());
        };
        let settled = || {
            if self.negotiated.as_ref().is_some() {
                return Some(Ok(()));
            }
            self.refused.get().then(|| Err(errno::econnrefused()))
        };
        match waiter.wait_with(settled)? {
            Err(settled) => settled,
            Ok(answer) => {
                let agreed = answer
                    .and_then(|request| {
                        let reply = chan::read_answer::<Init>(&**self.transport(), &request);
                        self.transport().pool().give(request);
                        Ok(reply?.0)
                    })
                    .and_then(|reply| self.agree(sb, &reply));
                if agreed.is_err() {
                    self.refused.set();
                }
                waiter.wake();
                agreed.map_err(|_| errno::econnrefused())
            }
        }
    }

    /// Gives up what [`Self::start`] began, when the session is over.
    pub(crate) fn stop(&self) {
        self.refused.set();
        if let Some(Ok(request)) = self.starting.as_ref().and_then(|waiter| waiter.try_take()) {
            self.transport().pool().give(request);
        }
    }

    fn hello(&self) -> Init {
        let offered = self.offer();
        Init(InitIn {
            major: KERNEL_VERSION,
            minor: KERNEL_MINOR_VERSION,
            max_readahead: READAHEAD,
            flags: offered.bits() as u32,
            flags2: (offered.bits() >> 32) as u32,
            ..Default::default()
        })
    }

    /// Takes the server's part.
    fn agree<T: FileSystem>(&self, sb: &SuperBlock<T>, reply: &InitOut) -> Result {
        let offered = self.offer();
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
        let mut flags = InitFlags::from_bits(answered & offered.bits());
        if let Some(backings) = self.backings() {
            // Dirty pages and a backing file would each have data that the other lacks.
            let possible = flags.contains(InitFlags::PASSTHROUGH)
                && !InitFlags::from_bits(answered).contains(InitFlags::WRITEBACK_CACHE)
                && backings.agree(reply.max_stack_depth);
            flags.set(InitFlags::PASSTHROUGH, possible);
            if possible {
                sb.set_stack_depth(reply.max_stack_depth);
            }
        }

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
        .min(self.transport().max_pages())
        .min(sysctl::max_pages());
        let most = pages * PAGE_SIZE;
        let max_write = (reply.max_write as usize).max(WRITE_MIN).min(most);
        let t = self.transport();
        t.agreed(flags, max_write);
        t.pool().background().agree(
            &**t,
            u32::from(reply.max_background),
            u32::from(reply.congestion_threshold),
        );
        if flags.contains(InitFlags::HANDLE_KILLPRIV_V2) {
            sb.set_nosec();
        }
        if flags.contains(InitFlags::ALLOW_IDMAP) {
            if self.by_mode.get() || flags.contains(InitFlags::POSIX_ACL) {
                sb.allow_idmap();
            } else {
                pr_warn!("the server allows idmapped mounts, but decides about access by itself: mount it with default_permissions for that\n");
            }
        }
        if reply.time_gran > 0 && reply.time_gran <= 1_000_000_000 {
            sb.set_time_gran(reply.time_gran);
        }
        sb.set_readahead(reply.max_readahead.min(READAHEAD));
        self.watch(if flags.contains(InitFlags::REQUEST_TIMEOUT) {
            reply.request_timeout.into()
        } else {
            0
        });
        // Last: whoever sees it finds the rest done.
        self.negotiated.populate(Negotiated {
            flags,
            max_write,
            max_read: most.min(self.read_limit.load(Relaxed)),
            // Two long names need more than a page.
            name_max: if pages > 1 && flags.contains(InitFlags::MAX_PAGES) {
                NAME_MAX
            } else {
                NAME_LOW_MAX
            },
        });
        Ok(())
    }

    /// Has the session end when a request is not answered in time, if there is such a time. A server that is a process is watched.
    /// What a device has it keeps, so there those who wait look at the time themselves.
    fn watch(&self, server: u32) {
        let age = sysctl::timeout(server).map_or(0, |seconds| seconds.saturating_mul(1000));
        if !self.transport().is_process() {
            self.transport().pool().set_patience(age);
            return;
        }
        if age == 0 {
            return;
        }
        let transport = self.transport().clone();
        let started = KBox::new(move || transport.clone().expire(age.into()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|tick| Ticker::new(WATCH, tick));
        match started {
            Ok(ticker) => drop(self.watcher.populate(ticker)),
            Err(_) => pr_warn!("no memory to watch the time of requests\n"),
        }
    }

    /// The features that this mount offers.
    fn offer(&self) -> InitFlags {
        let mut flags = InitFlags::INIT_EXT
            | InitFlags::ASYNC_READ
            | InitFlags::ATOMIC_O_TRUNC
            | InitFlags::BIG_WRITES
            | InitFlags::MAX_PAGES
            | InitFlags::PARALLEL_DIROPS
            | InitFlags::AUTO_INVAL_DATA
            | InitFlags::EXPLICIT_INVAL_DATA
            | InitFlags::WRITEBACK_CACHE
            | InitFlags::DO_READDIRPLUS
            | InitFlags::READDIRPLUS_AUTO
            | InitFlags::ASYNC_DIO
            | InitFlags::DIRECT_IO_ALLOW_MMAP
            | InitFlags::DONT_MASK
            | InitFlags::CACHE_SYMLINKS
            | InitFlags::EXPORT_SUPPORT
            | InitFlags::NO_EXPORT_SUPPORT
            | InitFlags::NO_OPEN_SUPPORT
            | InitFlags::NO_OPENDIR_SUPPORT
            | InitFlags::HAS_IOCTL_DIR
            | InitFlags::HANDLE_KILLPRIV
            | InitFlags::HANDLE_KILLPRIV_V2
            | InitFlags::CREATE_SUPP_GROUP
            | InitFlags::DONT_MASK
            | InitFlags::POSIX_ACL
            | InitFlags::SETXATTR_EXT
            | InitFlags::SECURITY_CTX
            | InitFlags::REQUEST_TIMEOUT
            | InitFlags::ALLOW_IDMAP;
        if self.transport().is_process() {
            flags |= InitFlags::ABORT_ERROR
                | InitFlags::HAS_RESEND
                | InitFlags::HAS_EXPIRE_ONLY
                | InitFlags::SPLICE_READ
                | InitFlags::SPLICE_WRITE
                | InitFlags::SPLICE_MOVE;
        }
        if self.lock_mode() != LockMode::Local {
            flags |= InitFlags::POSIX_LOCKS | InitFlags::FLOCK_LOCKS;
        }
        if self.submounts.get() {
            flags |= InitFlags::SUBMOUNTS;
        }
        if self.backings().is_some() {
            flags |= InitFlags::PASSTHROUGH;
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
