// SPDX-License-Identifier: GPL-2.0

//! What a mount is: its transport, what INIT agreed on, and what was learnt of the server since.

pub(crate) mod init;
mod missing;
pub(crate) mod options;

pub(crate) use missing::{Flag, Missing};
pub(crate) use options::{DaxMode, LockMode};

use crate::{
    backing::Backings,
    chan::{self, Flow, ForgetNode, Operation, Payload, Transport, Waiter},
    dax::Dax,
    errno,
    lock::Scramble,
    poll::Polls,
    proto::{
        flags::{InitFlags, WriteFlags},
        NAME_LOW_MAX,
    },
    sync::Ticker,
    turns::Turns,
    vfs::{cred::Caller, pids::Pids, FileSystem, SuperBlock},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
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
    /// Most bytes of a name.
    pub(crate) name_max: usize,
}

/// The state of a connection when something was asked for: an answer says nothing of what happened since.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// See [`Conn::epoch`].
    pub(crate) epoch: usize,
    /// See [`Conn::attr_version`].
    pub(crate) version: u64,
}

/// A connection: one mounted server.
pub(crate) struct Conn {
    transport: Arc<dyn Transport>,
    /// The mode that the mount asked for.
    dax_mode: DaxMode,
    lock_mode: LockMode,
    /// Where who mounted is, and so the server knows processes by their numbers.
    pids: Pids,
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
    /// Access is decided here, by the modes of files.
    by_mode: Flag,
    /// Backing files are asked for size and times, not the server.
    by_backing: Flag,
    /// File systems below the server's own become mounts.
    submounts: Flag,
    attr_version: Atomic<u64>,
    /// Names and lists of directories that were asked for in an earlier epoch are not believed any more.
    epoch: Atomic<usize>,
    /// Operations that are known to be missing.
    pub(crate) missing: Missing,
    /// Files that somebody waits for.
    pub(crate) polls: Arc<Polls>,
    turns: Arc<Turns>,
    /// Looks at the age of requests.
    watcher: SetOnce<Pin<KBox<Ticker>>>,
}

impl Conn {
    /// Makes a connection that is not negotiated yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ESRCH` for a task that ends.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        dax_mode: DaxMode,
        lock_mode: LockMode,
    ) -> Result<Self> {
        Ok(Self {
            transport,
            dax_mode,
            lock_mode,
            pids: Pids::current()?,
            scramble: Scramble::new(),
            dax: SetOnce::new(),
            backings: SetOnce::new(),
            negotiated: SetOnce::new(),
            starting: SetOnce::new(),
            refused: Flag::default(),
            read_limit: Atomic::new(usize::MAX),
            by_mode: Flag::default(),
            by_backing: Flag::default(),
            submounts: Flag::default(),
            attr_version: Atomic::new(1),
            epoch: Atomic::new(1),
            missing: Missing::default(),
            polls: Polls::new()?,
            turns: Turns::new()?,
            watcher: SetOnce::new(),
        })
    }

    /// Processes as the server knows them.
    pub(crate) fn pids(&self) -> &Pids {
        &self.pids
    }

    /// Has the mount ask for no more than so many bytes at once. Before INIT.
    pub(crate) fn limit_read(&self, max: usize) {
        self.read_limit.store(max, Relaxed);
    }

    /// Has access be decided here, by the modes of files. Before INIT.
    pub(crate) fn go_by_mode(&self) {
        self.by_mode.set();
    }

    /// Has backing files be asked for size and times. Before INIT.
    pub(crate) fn ask_backing(&self) {
        self.by_backing.set();
    }

    /// Whether backing files are asked for size and times.
    pub(crate) fn asks_backing(&self) -> bool {
        self.by_backing.get()
    }

    /// Whether access is decided here by the modes of files. Access control lists are always looked at here, and the modes with
    /// them.
    pub(crate) fn goes_by_mode(&self) -> bool {
        self.by_mode.get() || self.has(InitFlags::POSIX_ACL)
    }

    /// Has file systems below the server's own become mounts. Before INIT.
    pub(crate) fn mount_below(&self) {
        self.submounts.set();
    }

    /// The way to the server.
    pub(crate) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// Who waits for a turn in a directory.
    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
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
            name_max: NAME_LOW_MAX,
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

    /// The epoch: what was asked for in an earlier one is asked for again.
    pub(crate) fn epoch(&self) -> usize {
        self.epoch.load(Relaxed)
    }

    /// Begins another epoch: no name and no list of a directory is believed without asking.
    pub(crate) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Full);
    }

    /// The state of the connection, to be noted before something is asked for.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            epoch: self.epoch(),
            version: self.attr_version(),
        }
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
        Ok(self.try_call(sb, op)?)
    }

    /// As [`Self::call`], telling an error of the server from one that leaves open what it did.
    pub(crate) fn try_call<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        op: &O,
    ) -> Result<O::Reply, chan::Failed> {
        self.try_call_as(sb, Caller::current(sb), op)
    }

    /// As [`Self::try_call`], for `who`.
    pub(crate) fn try_call_as<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        who: Caller,
        op: &O,
    ) -> Result<O::Reply, chan::Failed> {
        self.admit(sb, who).map_err(chan::Failed::known)?;
        chan::call(&*self.transport, who, op)
    }

    /// Lets somebody ask the server.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` for ids that the server has no numbers for; those of [`Self::ready`].
    fn admit<T: FileSystem>(&self, sb: &SuperBlock<T>, who: Caller) -> Result {
        self.ready(sb)?;
        if who.is_known() || sb.allows_idmap() {
            Ok(())
        } else {
            Err(EOVERFLOW)
        }
    }

    /// As [`Self::call`], with a payload; see [`chan::call_with`].
    pub(crate) fn call_with<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        op: &O,
        payload: Payload,
        flow: Flow,
    ) -> Result<(O::Reply, Payload, usize)> {
        self.call_with_as(sb, Caller::current(sb), op, payload, flow)
    }

    /// As [`Self::call_with`], for `who`.
    pub(crate) fn call_with_as<T: FileSystem, O: Operation>(
        &self,
        sb: &SuperBlock<T>,
        who: Caller,
        op: &O,
        payload: Payload,
        flow: Flow,
    ) -> Result<(O::Reply, Payload, usize)> {
        self.admit(sb, who)?;
        Ok(chan::call_with(&*self.transport, who, op, payload, flow)?)
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
