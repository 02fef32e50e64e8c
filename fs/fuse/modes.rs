// SPDX-License-Identifier: GPL-2.0

//! The io modes of inodes in memory: which one an open file, a mapping or a write needs, and waiting for it.
//!
//! The modes themselves are in [`iomode`]. DAX files have none, as their data has one place only, and neither have files of
//! servers without OPEN, who cannot say how they want them treated. What decides is how the server opened the file, never
//! `O_DIRECT`, which fcntl(2) may take away later.
//!
//! Locks: an inode's spinlock "fuse io mode", inside no other. Waiting for the end of direct writes is killable. It happens
//! in open(2), and in mmap(2) with the mmap lock held; so a write counts as running only when it has the caller's memory
//! and needs that lock no more.

use crate::{
    handle::FileData,
    inode::{Inode, InodeRef},
    iomode::{self, CachedUse, Conflict, IoMode, Mode, ParallelWrite, PassthroughUse},
    passthrough,
    proto::flags::FopenFlags,
    sync::{waitq::new_waitq, WaitQueue},
    vfs::{
        self,
        backing::Backing,
        file::{File, Opening},
    },
    Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{Arc, SpinLock, UniqueArc},
};

impl iomode::Backing for Arc<Backing> {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::OtherBacking => EBUSY,
            Conflict::InUse => ETXTBSY,
            Conflict::Passthrough => EINVAL,
        }
    }
}

/// The io mode of an inode.
#[pin_data]
pub(crate) struct Modes {
    #[pin]
    mode: SpinLock<IoMode<Arc<Backing>>>,
    /// Who waits for the end of direct writes.
    #[pin]
    changed: WaitQueue,
}

/// What an open file has of its inode's mode.
#[derive(Default)]
pub(crate) enum Entered {
    /// Nothing: a direct file, or one without modes.
    #[default]
    None,
    Cached(CachedUse),
    Passthrough(PassthroughUse),
}

impl Modes {
    /// Nobody is there.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            mode <- new_spinlock!(IoMode::new(), "fuse io mode"),
            changed <- new_waitq!("fuse io mode"),
        })
    }

    /// Makes use of the page cache, once the direct writes that run together have ended.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` when the inode's data is in a backing file; `EINTR` on a fatal signal.
    fn use_cache(&self) -> Result<CachedUse> {
        let mut waiting = None;
        let entered = self
            .changed
            .wait_killable(|| self.mode.lock().open_cached(&mut waiting));
        if let Some(waiting) = waiting {
            self.mode.lock().give_up(waiting);
        }
        Ok(entered??)
    }

    /// Has a file read and write in `backing`.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` while the page cache is in use, `EBUSY` for another backing file than the inode has.
    pub(crate) fn use_backing(&self, backing: Arc<Backing>) -> Result<PassthroughUse> {
        let entered = self.mode.lock().open_passthrough(backing);
        // What is left over is dropped here, without the lock.
        let entered = entered.map_err(|(conflict, _)| conflict)?;
        if entered.wake.0 {
            self.changed.wake_all();
        }
        Ok(entered.file)
    }

    /// Whether a file may be opened or mapped that does not use the inode's backing file.
    ///
    /// # Errors
    ///
    /// `EINVAL`.
    pub(crate) fn may_open(&self) -> Result {
        Ok(self.mode.lock().may_open()?)
    }

    /// Whether direct writes may run together.
    pub(crate) fn lets_writers_share(&self) -> bool {
        let mode = self.mode.lock();
        mode.waiting() == 0 && !matches!(mode.mode(), Mode::Cached { .. })
    }

    /// Counts a direct write that runs together with others; `None` while the page cache is in use.
    pub(crate) fn begin_write(&self) -> Option<ParallelWrite> {
        self.mode.lock().begin_write()
    }

    /// The write ended.
    pub(crate) fn end_write(&self, write: ParallelWrite) {
        let wake = self.mode.lock().end_write(write);
        if wake.0 {
            self.changed.wake_all();
        }
    }

    /// Gives back what a file or mapping had.
    fn leave(&self, entered: Entered) {
        match entered {
            Entered::None => (),
            Entered::Cached(entered) => self.mode.lock().close_cached(entered),
            Entered::Passthrough(entered) => {
                let backing = self.mode.lock().close_passthrough(entered);
                drop(backing);
            }
        }
    }

    /// The mode for people, unless there is nobody.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let mode = self.mode.lock();
        let (name, users, writers) = match mode.mode() {
            Mode::Neutral if mode.waiting() == 0 => return None,
            Mode::Neutral => ("neutral", 0, 0),
            Mode::Cached { users } => ("cached", users.get(), 0),
            Mode::Parallel { writers } => ("parallel", 0, writers.get()),
            Mode::Passthrough { files, writers, .. } => ("passthrough", files.get(), *writers),
        };
        Some(Snapshot {
            name,
            users,
            writers,
            waiting: mode.waiting(),
        })
    }
}

/// The mode of an inode at some moment.
pub(crate) struct Snapshot {
    pub(crate) name: &'static str,
    /// Files and mappings that need the mode.
    pub(crate) users: u64,
    /// Direct writes that run together.
    pub(crate) writers: u64,
    /// Files and mappings that wait for their end.
    pub(crate) waiting: u64,
}

/// Enters the mode that an opened file needs.
///
/// # Errors
///
/// `EIO` when that does not go together with what others have opened or with what was agreed on: the server is wrong. `EINTR`
/// for a fatal signal.
pub(crate) fn open(inode: &Inode, opening: &Opening<'_>, data: &mut FileData) -> Result {
    if inode.is_dax() || data.fh().is_none() {
        return Ok(());
    }
    let modes = &inode.data().modes;
    let flags = data.flags();
    if !flags.contains(FopenFlags::DIRECT_IO) {
        data.writes_alone();
    }
    let entered = if flags.contains(FopenFlags::PASSTHROUGH) {
        passthrough::open(inode, opening, data).map(Entered::Passthrough)
    } else {
        modes.may_open().and_then(|()| {
            if flags.contains(FopenFlags::DIRECT_IO) {
                return Ok(Entered::None);
            }
            modes.use_cache().map(Entered::Cached)
        })
    };
    match entered {
        Ok(entered) => {
            data.entered = entered;
            Ok(())
        }
        Err(EINTR) => Err(EINTR),
        Err(e) => {
            if vfs::ratelimit() {
                pr_debug!(
                    "inode {} cannot be opened with {flags:?}: {e:?}\n",
                    inode.key()
                );
            }
            Err(EIO)
        }
    }
}

/// The file is closed.
pub(crate) fn close(inode: &Inode, data: &mut FileData) {
    let through = data.backing.is_some();
    passthrough::close(data);
    inode.data().modes.leave(core::mem::take(&mut data.entered));
    if through {
        // Nothing is watched for longer than it can change.
        passthrough::look(inode);
    }
}

/// What keeps an inode in caching mode while a direct file is mapped.
pub(crate) struct Mapped {
    inode: InodeRef,
    entered: Option<CachedUse>,
}

impl Mapped {
    /// Enters caching mode for a mapping of `file`; `None` for a file without modes.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` when the inode's data is in a backing file; `EINTR` on a fatal signal.
    pub(crate) fn new(file: &File<Fuse>) -> Result<Option<Arc<Self>>> {
        if file.data().fh().is_none() {
            return Ok(None);
        }
        let inode = file.inode_ref();
        // The memory first, so that nothing has to be given back.
        let place = UniqueArc::new_uninit(GFP_KERNEL)?;
        let entered = Some(inode.data().modes.use_cache()?);
        Ok(Some(place.write(Self { inode, entered }).into()))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some(entered) = self.entered.take() {
            self.inode.data().modes.leave(Entered::Cached(entered));
        }
    }
}
