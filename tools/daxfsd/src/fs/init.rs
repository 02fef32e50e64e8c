// SPDX-License-Identifier: GPL-2.0

//! INIT, DESTROY and the FORGETs: the beginning and the end of what the client holds.

use std::sync::atomic::Ordering::Relaxed;

use zerocopy::IntoBytes;

use super::{Cache, Reply, Request, Server};
use crate::counters::count;
use crate::proto::{self, init::*};
use crate::sys::{Errno, Res};

/// Largest READ and WRITE.
const MAX_IO: u32 = 1 << 20;

/// What was agreed on.
#[derive(Clone, Copy)]
pub struct Negotiated {
    pub minor: u32,
    /// What the client offered, and what of it is in force.
    pub offered: u64,
    pub agreed: u64,
}

impl Server {
    fn wanted(&self) -> u64 {
        let mut want = ASYNC_READ
            | BIG_WRITES
            | DO_READDIRPLUS
            | READDIRPLUS_AUTO
            | ASYNC_DIO
            | PARALLEL_DIROPS
            | MAX_PAGES
            | INIT_EXT
            | SETXATTR_EXT
            | CREATE_SUPP_GROUP
            | POSIX_LOCKS
            | FLOCK_LOCKS;
        match self.config().cache {
            Cache::Never => want |= DIRECT_IO_ALLOW_MMAP,
            Cache::Auto => want |= AUTO_INVAL_DATA,
            Cache::Always => want |= CACHE_SYMLINKS,
        }
        if self.window.size() > 0 {
            want |= MAP_ALIGNMENT | HAS_INODE_DAX;
        }
        let config = self.config();
        (want | config.enable) & !config.disable
    }

    pub(super) fn init(&self, req: &Request) -> Res<Reply> {
        let (arg, rest): (proto::InitIn, _) = req.arg()?;
        let mut offered = arg.flags as u64;
        if offered & INIT_EXT != 0 {
            let (ext, _): (proto::InitExtIn, _) = req.split(rest)?;
            offered |= (ext.flags2 as u64) << 32;
        }
        if arg.major < proto::KERNEL_VERSION {
            req.bad(&format!("protocol {}.{} is too old", arg.major, arg.minor));
            return Err(Errno(libc::EPROTO));
        }
        let mut out = proto::InitOut {
            major: proto::KERNEL_VERSION,
            ..Default::default()
        };
        out.minor = proto::KERNEL_MINOR_VERSION;
        if arg.major > proto::KERNEL_VERSION {
            // The client comes again with our major version.
            return Reply::of(&out);
        }
        // A client that did not say goodbye: a reboot, or a driver that was unbound.
        req.pass.outside(|| self.reset(true));
        let agreed = offered & self.wanted();
        out.minor = arg.minor.min(proto::KERNEL_MINOR_VERSION);
        out.max_readahead = arg.max_readahead;
        out.flags = agreed as u32;
        if agreed & INIT_EXT != 0 {
            out.flags2 = (agreed >> 32) as u32;
        }
        (out.max_background, out.congestion_threshold) = self.config().background;
        out.max_write = MAX_IO;
        out.time_gran = 1;
        out.max_pages = (MAX_IO / 4096) as u16;
        if agreed & MAP_ALIGNMENT != 0 {
            out.map_alignment = self.config().map_alignment;
        }
        let negotiated = Negotiated {
            minor: out.minor,
            offered,
            agreed,
        };
        log::info!(
            "INIT: protocol 7.{}, flags {}",
            arg.minor,
            flag_names(agreed)
        );
        *self.init.lock().unwrap_or_else(|e| e.into_inner()) = Some(negotiated);
        self.inodes().keep = agreed & EXPORT_SUPPORT != 0;
        // INIT_EXT only marks that the session has begun, when nothing else was agreed on.
        self.flags.store(agreed | INIT_EXT, Relaxed);
        Ok(Reply::Bytes(out.as_bytes().to_vec()))
    }

    pub(super) fn destroy(&self, req: &Request) -> Res<Reply> {
        log::info!("DESTROY");
        req.pass.outside(|| self.reset(false));
        Reply::OK
    }

    fn forget_one(&self, nodeid: u64, n: u64) {
        let (ok, gone) = self.inodes().forget(nodeid, n);
        count(&self.counters.forgets);
        // After DESTROY there is nothing left that could be forgotten.
        if !ok && self.flags.load(Relaxed) != 0 {
            log::warn!("FORGET of {n} lookups of node {nodeid}, which has fewer");
            count(&self.counters.bad_forgets);
        }
        drop(gone);
    }

    pub(super) fn forget(&self, req: &Request) -> Res<Reply> {
        if let Ok((arg, _)) = req.arg::<proto::ForgetIn>() {
            self.forget_one(req.hdr.nodeid, arg.nlookup);
        }
        Ok(Reply::None)
    }

    pub(super) fn batch_forget(&self, req: &Request) -> Res<Reply> {
        if let Ok((arg, mut rest)) = req.arg::<proto::BatchForgetIn>() {
            for _ in 0..arg.count {
                let Ok((one, next)) = req.split::<proto::ForgetOne>(rest) else {
                    break;
                };
                self.forget_one(one.nodeid, one.nlookup);
                rest = next;
            }
        }
        Ok(Reply::None)
    }
}

/// The names of INIT flags, joined by commas; bits without a name as numbers.
pub fn flag_names(flags: u64) -> String {
    let mut names: Vec<String> = Vec::new();
    for bit in (0..64).map(|b| 1u64 << b).filter(|b| flags & b != 0) {
        match proto::init::NAMES.iter().find(|(_, v)| *v == bit) {
            Some((name, _)) => names.push((*name).into()),
            None => names.push(format!("{bit:#x}")),
        }
    }
    names.join(",")
}
