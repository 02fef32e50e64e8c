// SPDX-License-Identifier: GPL-2.0

//! An inode in its modes next to the counters that the C client has for them: one signed number (positive for users of the page
//! cache, negative for the others), and a backing file that is there or not.

use rust_fuse_host_tests::iomode::{
    Backing, CachedUse, Conflict, IoMode, Mode, ParallelWrite, PassthroughUse, Waiting,
};
use std::sync::Arc;

/// A backing file. Clones are references to it.
#[derive(Clone, Debug)]
pub(crate) struct File(pub(crate) Arc<u32>);

impl Backing for File {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What somebody has entered.
#[derive(Debug)]
pub(crate) enum Held {
    Cached(CachedUse),
    Passthrough(PassthroughUse),
    Write(ParallelWrite),
}

/// What somebody wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// To use the page cache.
    Cached,
    /// To open a file for passthrough, to one of the two backing files.
    Passthrough(usize),
    /// To write directly.
    Write,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    In(Held),
    Refused(Conflict),
    /// A writer that has to exclude the others.
    Alone,
    Wait,
}

/// The machine, what it is compared with, and two backing files.
pub(crate) struct World {
    pub(crate) mode: IoMode<File>,
    pub(crate) files: [File; 2],
    /// As in C, but that passthrough files and writers are counted apart, as the last file takes the backing file with it.
    cached: u64,
    passthrough: u64,
    writers: u64,
    backing: Option<usize>,
    waiting: u64,
    /// References that were given back, and so dropped.
    pub(crate) dropped: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            mode: IoMode::new(),
            files: [File(Arc::new(0)), File(Arc::new(1))],
            cached: 0,
            passthrough: 0,
            writers: 0,
            backing: None,
            waiting: 0,
            dropped: 0,
        }
    }

    /// Tries to enter. The second value says whether sleepers are woken.
    pub(crate) fn enter(&mut self, want: Want, waiting: &mut Option<Waiting>) -> (Outcome, bool) {
        let (outcome, wake) = match want {
            Want::Cached => {
                let waited = waiting.is_some();
                let result = self.mode.open_cached(waiting);
                assert_eq!(result.is_none(), waiting.is_some());
                match (waited, waiting.is_some()) {
                    (false, true) => self.waiting += 1,
                    (true, false) => self.waiting -= 1,
                    _ => (),
                }
                let outcome = match result {
                    None => {
                        assert!(self.writers > 0 && self.backing.is_none());
                        Outcome::Wait
                    }
                    Some(Err(e)) => {
                        assert!(e == Conflict::InUse && self.backing.is_some());
                        Outcome::Refused(e)
                    }
                    Some(Ok(held)) => {
                        assert!(self.writers == 0 && self.backing.is_none());
                        self.cached += 1;
                        Outcome::In(Held::Cached(held))
                    }
                };
                (outcome, false)
            }
            Want::Passthrough(which) => match self.mode.open_passthrough(self.files[which].clone())
            {
                Ok(entered) => {
                    assert!(self.cached == 0 && self.backing.is_none_or(|is| is == which));
                    assert_eq!(entered.spare.is_some(), self.backing.is_some());
                    self.dropped += usize::from(entered.spare.is_some());
                    // Whoever waits must learn that it is in vain.
                    let news = self.backing.is_none() && self.waiting > 0;
                    assert!(entered.wake.0 || !news || self.writers == 0);
                    self.passthrough += 1;
                    self.backing = Some(which);
                    (Outcome::In(Held::Passthrough(entered.file)), entered.wake.0)
                }
                Err((e, given)) => {
                    assert!(given.is(&self.files[which]));
                    self.dropped += 1;
                    match e {
                        Conflict::InUse => assert!(self.cached > 0),
                        Conflict::OtherBacking => {
                            assert!(self.backing.is_some_and(|is| is != which));
                        }
                        Conflict::Passthrough => panic!("{e:?}"),
                    }
                    (Outcome::Refused(e), false)
                }
            },
            Want::Write => match self.mode.begin_write() {
                Some(held) => {
                    assert!(self.cached == 0 && self.waiting == 0);
                    self.writers += 1;
                    (Outcome::In(Held::Write(held)), false)
                }
                None => {
                    assert!(self.cached > 0 || self.waiting > 0);
                    (Outcome::Alone, false)
                }
            },
        };
        self.check();
        (outcome, wake)
    }

    /// Leaves. Says whether sleepers are woken.
    pub(crate) fn leave(&mut self, held: Held) -> bool {
        let wake = match held {
            Held::Cached(held) => {
                self.mode.close_cached(held);
                self.cached -= 1;
                false
            }
            Held::Passthrough(held) => {
                let backing = self.mode.close_passthrough(held);
                self.passthrough -= 1;
                assert_eq!(backing.is_some(), self.passthrough == 0);
                if let Some(backing) = backing {
                    let was = self.backing.take().expect("a backing file");
                    assert!(backing.is(&self.files[was]));
                    self.dropped += 1;
                }
                false
            }
            Held::Write(held) => {
                let wake = self.mode.end_write(held).0;
                self.writers -= 1;
                wake
            }
        };
        self.check();
        wake
    }

    /// Somebody who waits is killed.
    pub(crate) fn kill(&mut self, waiting: Waiting) {
        self.mode.give_up(waiting);
        self.waiting -= 1;
        self.check();
    }

    /// What holds at all times.
    fn check(&self) {
        // The two sides never meet.
        assert!(self.cached == 0 || (self.passthrough == 0 && self.writers == 0));
        assert_eq!(self.mode.waiting(), self.waiting);
        assert_eq!(self.mode.backing().is_some(), self.passthrough > 0);
        assert_eq!(self.mode.may_open().is_ok(), self.backing.is_none());
        match self.mode.mode() {
            Mode::Neutral => assert_eq!((self.cached, self.passthrough, self.writers), (0, 0, 0)),
            Mode::Cached { users } => assert_eq!(users.get(), self.cached),
            Mode::Parallel { writers } => {
                assert_eq!((writers.get(), self.passthrough), (self.writers, 0));
            }
            Mode::Passthrough { files, writers, .. } => {
                assert_eq!((files.get(), *writers), (self.passthrough, self.writers));
            }
        }
        // Of all references that were made, the inode has one at most; every other was dropped once.
        let alive: usize = self.files.iter().map(|f| Arc::strong_count(&f.0) - 1).sum();
        assert_eq!(alive, usize::from(self.passthrough > 0));
    }
}
