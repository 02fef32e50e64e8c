// SPDX-License-Identifier: GPL-2.0

//! The io mode of an inode: who may use its page cache, and who relies on nobody doing so.
//!
//! A file that is open for the page cache (or a shared mapping of a direct one) keeps the inode in caching mode. Direct
//! writes that run together, and files whose data is in a backing file, keep it out of that mode. This is the machine only:
//! one function for each transition, no waiting, no kernel. Whoever holds an [`IoMode`] behind a lock (`modes.rs`) does the
//! waiting. What was entered is a token that has to be given back, and that nothing else can make.

use core::{mem::replace, num::NonZeroU64};

/// Why a mode cannot be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The inode has another backing file (`EBUSY`).
    OtherBacking,
    /// Who is there needs the page cache, or needs it unused (`ETXTBSY`).
    InUse,
    /// All files must be open for passthrough, as others are (`EINVAL`).
    Passthrough,
}

/// Tells whether two backing files are the same one.
pub trait Backing {
    /// Whether `self` and `other` are one.
    fn is(&self, other: &Self) -> bool;
}

/// What an inode is in. An enum whose every value is a legal state.
#[derive(Debug)]
pub enum Mode<B> {
    /// Nobody uses the page cache, and nobody needs that.
    Neutral,
    /// The page cache is in use.
    Cached {
        /// Files that are open for it, and shared mappings of direct files.
        users: NonZeroU64,
    },
    /// Direct writes run together.
    Parallel {
        /// Writes under way.
        writers: NonZeroU64,
    },
    /// Data is read and written in a backing file.
    Passthrough {
        /// Files that are open for it.
        files: NonZeroU64,
        /// Direct writes under way, which may run together here.
        writers: u64,
        /// The backing file of all of them.
        backing: B,
    },
}

/// A use of the page cache. It ends with [`IoMode::close_cached`].
#[derive(Debug)]
#[must_use]
pub struct CachedUse(());

/// An open file in passthrough mode. It ends with [`IoMode::close_passthrough`].
#[derive(Debug)]
#[must_use]
pub struct PassthroughUse(());

/// A direct write that runs together with others. It ends with [`IoMode::end_write`].
#[derive(Debug)]
#[must_use]
pub struct ParallelWrite(());

/// Somebody who waits to use the page cache. It ends by [`IoMode::open_cached`] or [`IoMode::give_up`].
#[derive(Debug)]
#[must_use]
pub struct Waiting(());

/// Whether those who wait have to look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Wake(pub bool);

/// What a file that enters passthrough mode brings along.
#[derive(Debug)]
pub struct Entered<B> {
    /// Ends with the file.
    pub file: PassthroughUse,
    /// The reference that was brought, where the inode has one already.
    pub spare: Option<B>,
    /// Who waits for the page cache does so in vain.
    pub wake: Wake,
}

/// The io mode of one inode.
#[derive(Debug)]
pub struct IoMode<B> {
    mode: Mode<B>,
    /// Those who wait for the end of direct writes. Meanwhile no new ones run together.
    waiting: u64,
}

const ONE: NonZeroU64 = NonZeroU64::MIN;

fn less_one(n: NonZeroU64) -> Option<NonZeroU64> {
    NonZeroU64::new(n.get() - 1)
}

impl<B: Backing> IoMode<B> {
    /// Nobody is there.
    pub const fn new() -> Self {
        Self {
            mode: Mode::Neutral,
            waiting: 0,
        }
    }

    /// The mode.
    pub const fn mode(&self) -> &Mode<B> {
        &self.mode
    }

    /// How many wait for the page cache.
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// The backing file that the inode's files have.
    pub const fn backing(&self) -> Option<&B> {
        match &self.mode {
            Mode::Passthrough { backing, .. } => Some(backing),
            _ => None,
        }
    }

    /// Whether a file may be opened that is not for passthrough.
    ///
    /// # Errors
    ///
    /// [`Conflict::Passthrough`].
    pub const fn may_open(&self) -> Result<(), Conflict> {
        match self.mode {
            Mode::Passthrough { .. } => Err(Conflict::Passthrough),
            _ => Ok(()),
        }
    }

    /// T1: the page cache comes into use, by a file or a mapping. [`None`] while direct writes run together: `waiting` is
    /// filled then, and it is to be called with that again after each [`Wake`]. With a result `waiting` is empty.
    ///
    /// # Errors
    ///
    /// [`Conflict::InUse`] in passthrough mode, also when that was entered meanwhile.
    pub fn open_cached(
        &mut self,
        waiting: &mut Option<Waiting>,
    ) -> Option<Result<CachedUse, Conflict>> {
        let result = match &mut self.mode {
            Mode::Parallel { .. } => {
                if waiting.is_none() {
                    self.waiting = self.waiting.saturating_add(1);
                    *waiting = Some(Waiting(()));
                }
                return None;
            }
            Mode::Passthrough { .. } => Err(Conflict::InUse),
            Mode::Neutral => {
                self.mode = Mode::Cached { users: ONE };
                Ok(CachedUse(()))
            }
            Mode::Cached { users } => {
                *users = users.saturating_add(1);
                Ok(CachedUse(()))
            }
        };
        if let Some(waiting) = waiting.take() {
            self.give_up(waiting);
        }
        Some(result)
    }

    /// Somebody waits no longer.
    pub fn give_up(&mut self, _waiting: Waiting) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// T2: a use of the page cache ends.
    pub fn close_cached(&mut self, _use: CachedUse) {
        if let Mode::Cached { users } = &mut self.mode {
            match less_one(*users) {
                Some(left) => *users = left,
                None => self.mode = Mode::Neutral,
            }
        }
    }

    /// T3: a file is opened for passthrough to `backing`.
    ///
    /// # Errors
    ///
    /// [`Conflict::InUse`] while the page cache is in use; [`Conflict::OtherBacking`]. The reference is given back with it.
    pub fn open_passthrough(&mut self, backing: B) -> Result<Entered<B>, (Conflict, B)> {
        let mut spare = None;
        let mut wake = Wake(false);
        match &mut self.mode {
            Mode::Cached { .. } => return Err((Conflict::InUse, backing)),
            Mode::Passthrough { backing: is, .. } if !is.is(&backing) => {
                return Err((Conflict::OtherBacking, backing));
            }
            Mode::Passthrough { files, .. } => {
                *files = files.saturating_add(1);
                spare = Some(backing);
            }
            Mode::Neutral => {
                self.mode = Mode::Passthrough {
                    files: ONE,
                    writers: 0,
                    backing,
                };
            }
            Mode::Parallel { writers } => {
                self.mode = Mode::Passthrough {
                    files: ONE,
                    writers: writers.get(),
                    backing,
                };
                wake = Wake(self.waiting > 0);
            }
        }
        Ok(Entered {
            file: PassthroughUse(()),
            spare,
            wake,
        })
    }

    /// T4: a file that was open for passthrough is closed. With the last one the inode's reference to the backing file ends,
    /// which is given to the caller.
    pub fn close_passthrough(&mut self, _file: PassthroughUse) -> Option<B> {
        let Mode::Passthrough { files, writers, .. } = &mut self.mode else {
            return None;
        };
        if let Some(left) = less_one(*files) {
            *files = left;
            return None;
        }
        let next =
            NonZeroU64::new(*writers).map_or(Mode::Neutral, |writers| Mode::Parallel { writers });
        match replace(&mut self.mode, next) {
            Mode::Passthrough { backing, .. } => Some(backing),
            _ => None,
        }
    }

    /// T5: a direct write wants to run together with others. [`None`] while the page cache is in use or wanted: then it has
    /// to exclude the others.
    pub fn begin_write(&mut self) -> Option<ParallelWrite> {
        if self.waiting > 0 {
            return None;
        }
        match &mut self.mode {
            Mode::Cached { .. } => return None,
            Mode::Neutral => self.mode = Mode::Parallel { writers: ONE },
            Mode::Parallel { writers } => *writers = writers.saturating_add(1),
            Mode::Passthrough { writers, .. } => *writers = writers.saturating_add(1),
        }
        Some(ParallelWrite(()))
    }

    /// T6: a direct write that ran together with others ends.
    pub fn end_write(&mut self, _write: ParallelWrite) -> Wake {
        match &mut self.mode {
            Mode::Parallel { writers } => match less_one(*writers) {
                Some(left) => *writers = left,
                None => {
                    self.mode = Mode::Neutral;
                    return Wake(self.waiting > 0);
                }
            },
            Mode::Passthrough { writers, .. } => *writers = writers.saturating_sub(1),
            Mode::Neutral | Mode::Cached { .. } => (),
        }
        Wake(false)
    }
}

impl<B: Backing> Default for IoMode<B> {
    fn default() -> Self {
        Self::new()
    }
}
