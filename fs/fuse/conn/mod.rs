// SPDX-License-Identifier: GPL-2.0

//! What a mount is: its transport, what INIT agreed on, and what was learnt of the server since.

pub(crate) mod init;
pub(crate) mod options;

pub(crate) use options::{DaxMode, LockMode};

use crate::{
    backing::Backings,
    chan::{self, Flow, ForgetNode, Operation, Payload, Transport, Waiter},
    dax::Dax,
    errno,
    lock::Scramble,
    poll::Polls,
    proto::flags::{InitFlags, WriteFlags},
    sync::Ticker,
    vfs::{cred::Caller, FileSystem, SuperBlock},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, SetOnce,
    },
};

/// What INIT agreed on.
pub(crate) struct Negotiated {
    /// Features of both sides.
    pub(crate) flags: InitFlags,
    /// Most bytes of a WRITE.
    pub(crate) max_write: usize,
    /// Most bytes of a READ.
    pub(crate) max_read: usize,
}

/// Operations that the server said it does not have.
#[derive(Default)]
pub(crate) struct Missing {
    /// ACCESS: everything is allowed.
    pub(crate) access: Flag,
    /// CREATE: MKNOD and OPEN do it.
    pub(crate) create: Flag,
    /// GETXATTR.
    pub(crate) getxattr: Flag,
    /// SETXATTR.
    pub(crate) setxattr: Flag,
    /// LISTXATTR.
    pub(crate) listxattr: Flag,
    /// REMOVEXATTR.
    pub(crate) removexattr: Flag,
    /// FALLOCATE.
    pub(crate) fallocate: Flag,
    /// LSEEK.
    pub(crate) lseek: Flag,
    /// COPY_FILE_RANGE_64.
    pub(crate) copy_file_range_64: Flag,
    /// COPY_FILE_RANGE.
    pub(crate) copy_file_range: Flag,
    /// LINK.
    pub(crate) link: Flag,
    /// OPEN: files need none.
    pub(crate) open: Flag,
    /// OPENDIR: directories need none.
    pub(crate) opendir: Flag,
    /// TMPFILE.
    pub(crate) tmpfile: Flag,
    /// READDIRPLUS.
    pub(crate) readdirplus: Flag,
    /// FLUSH.
    pub(crate) flush: Flag,
    /// FSYNC.
    pub(crate) fsync: Flag,
    /// FSYNCDIR.
    pub(crate) fsyncdir: Flag,
    /// SYNCFS.
    pub(crate) syncfs: Flag,
    /// STATX: there are no times of birth.
    pub(crate) statx: Flag,
    /// BMAP.
    pub(crate) bmap: Flag,
    /// POLL: files are always ready.
    pub(crate) poll: Flag,
}

/// A fact that may become true, once.
pub(crate) struct Flag(AtomicFlag);

impl Default for Flag {
    fn default() -> Self {
        Self(AtomicFlag::new(false))
    }
}

impl Flag {
    /// Whether it is true.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Makes it true.
    pub(crate) fn set(&self) {
        self.0.store(true, Relaxed);
    }
}

/// A connection: one mounted server.
pub(crate) struct Conn {
    transport: Arc<dyn Transport>,
    /// The mode that the mount asked for.
    dax_mode: DaxMode,
    lock_mode: LockMode,
    pub(crate) scramble: Scramble,
    dax: SetOnce<Arc<Dax>>,
    /// Files that the server may name to be used in place of its own, where it is a process.
    backings: SetOnce<Arc<Backings>>,
    negotiated: SetOnce<Negotiated>,
    /// Who waits for the answer to INIT, where that came after the mount.
    starting: SetOnce<Arc<Waiter>>,
    /// That answer was no good.
    refused: Flag,
    /// Most bytes of a READ that the mount allows.
    read_limit: Atomic<usize>,
    attr_version: Atomic<u64>,
    /// Operations that are known to be missing.
    pub(crate) missing: Missing,
    /// Files that somebody waits for.
    pub(crate) polls: Arc<Polls>,
    /// Looks at the age of requests.
    watcher: SetOnce<Pin<KBox<Ticker>>>,
}

impl Conn {
    /// Makes a connection that is not negotiated yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        dax_mode: DaxMode,
        lock_mode: LockMode,
    ) -> Result<Self> {
        Ok(Self {
            transport,
            dax_mode,
            lock_mode,
            scramble: Scramble::new(),
            dax: SetOnce::new(),
            backings: SetOnce::new(),
            negotiated: SetOnce::new(),
            starting: SetOnce::new(),
            refused: Flag::default(),
            read_limit: Atomic::new(usize::MAX),
            attr_version: Atomic::new(1),
            missing: Missing::default(),
            polls: Polls::new()?,
            watcher: SetOnce::new(),
        })
    }

    /// Has the mount ask for no more than so many bytes at once. Before INIT.
    pub(crate) fn limit_read(&self, max: usize) {
        self.read_limit.store(max, Relaxed);
    }

    /// The way to the server.
    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Which files are reached by DAX.
    pub(crate) fn dax_mode(&self) -> DaxMode {
        self.dax_mode
    }

    /// Who is to keep locks.
    pub(crate) fn lock_mode(&self) -> LockMode {
        self.lock_mode
    }

    /// The DAX window, if there is one in use.
    pub(crate) fn dax(&self) -> Option<&Arc<Dax>> {
        self.dax.as_ref()
    }

    /// The backing files that the server has named, where it can.
    pub(crate) fn backings(&self) -> Option<&Arc<Backings>> {
        self.backings.as_ref()
    }

    /// Lets the server name backing files. Before INIT.
    pub(crate) fn set_backings(&self, backings: Arc<Backings>) {
        self.backings.populate(backings);
    }

    /// Has the connection use a DAX window. Before INIT.
    pub(crate) fn set_dax(&self, dax: Arc<Dax>) {
        self.dax.populate(dax);
    }

    /// What INIT agreed on; the least of everything before that.
    pub(crate) fn negotiated(&self) -> &Negotiated {
        const NOTHING: &Negotiated = &Negotiated {
            flags: InitFlags::empty(),
            max_write: 4096,
            max_read: 4096,
        };
        self.negotiated.as_ref().unwrap_or(NOTHING)
    }

    /// Whether INIT was answered.
    pub(crate) fn is_negotiated(&self) -> bool {
        self.negotiated.as_ref().is_some()
    }

    /// Whether both sides have `flag`.
    pub(crate) fn has(&self, flag: InitFlags) -> bool {
        self.negotiated().flags.contains(flag)
    }

    /// Whether the server clears set-user-id and set-group-id bits itself when data or owner change.
    pub(crate) fn kills_privs(&self) -> bool {
        self.negotiated()
            .flags
            .intersects(InitFlags::HANDLE_KILLPRIV | InitFlags::HANDLE_KILLPRIV_V2)
    }

    /// Whether the server is to be told to do so for the current task.
    pub(crate) fn tells_to_kill(&self) -> bool {
        self.has(InitFlags::HANDLE_KILLPRIV_V2) && !Caller::keeps_suidgid()
    }

    /// The flags of a WRITE of the current task.
    pub(crate) fn write_flags(&self) -> WriteFlags {
        if self.tells_to_kill() {
            WriteFlags::KILL_SUIDGID
        } else {
            WriteFlags::empty()
        }
    }

    /// The version that attributes asked for from now on have at least.
    pub(crate) fn attr_version(&self) -> u64 {
        self.attr_version.load(Relaxed)
    }

    /// A new version, for attributes that changed.
    pub(crate) fn next_attr_version(&self) -> u64 {
        self.attr_version.fetch_add(1, Relaxed) + 1
    }

    /// Takes over a reference that the server counts.
    pub(crate) fn lookup_ref(
        &self,
        nodeid: crate::proto::ids::NodeId,
        node: KBox<ForgetNode>,
    ) -> chan::Lookup {
        chan::Lookup::new(self.transport.clone(), nodeid, node)
    }

    /// Sends an operation for the current task and waits; see [`chan::call`].
    pub(crate) fn call<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        op: &O,
    ) -> Result<O::Reply> {
        self.ready(sb)?;
        Ok(chan::call(&*self.transport, Caller::current(sb), op)?)
    }

    /// As [`Self::call`], telling an error of the server from one that leaves open what it did.
    pub(crate) fn try_call<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        op: &O,
    ) -> Result<O::Reply, chan::Failed> {
        self.ready(sb).map_err(chan::Failed::known)?;
        chan::call(&*self.transport, Caller::current(sb), op)
    }

    /// As [`Self::call`], with a payload; see [`chan::call_with`].
    pub(crate) fn call_with<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        op: &O,
        payload: Payload,
        flow: Flow,
    ) -> Result<(O::Reply, Payload, usize)> {
        self.ready(sb)?;
        Ok(chan::call_with(
            &*self.transport,
            Caller::current(sb),
            op,
            payload,
            flow,
        )?)
    }
}

/// Treats `ENOSYS` as success, and remembers it.
pub(crate) fn tolerate_missing(r: Result<()>, missing: &Flag) -> Result {
    match r {
        Err(e) if e == errno::enosys() => {
            missing.set();
            Ok(())
        }
        other => other,
    }
}
