// SPDX-License-Identifier: GPL-2.0

//! GETLK, SETLK, SETLKW and INTERRUPT. Every owner of locks on a file has an open file of its own here, which holds the
//! host's lock (OFD, or flock(2)), so locks of the guest and of programs on the host exclude each other. The ranges are kept
//! here as well, to say which process of the guest has one.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{Reply, Request, Server};
use crate::proto;
use crate::sys::{self, Errno, Res};

const F_RDLCK: u32 = libc::F_RDLCK as u32;
const F_UNLCK: u32 = libc::F_UNLCK as u32;

/// How often who waits tries again: nobody tells of locks that the host lets go.
const AGAIN: Duration = Duration::from_millis(20);

/// Whose lock it is: node, owner, and whether it is one of flock(2).
type Key = (u64, u64, bool);

/// The locks of one owner on one file.
struct Held {
    fd: OwnedFd,
    /// The handle through which they were taken, and the process.
    fh: u64,
    pid: u32,
    ranges: Vec<proto::FileLock>,
}

#[derive(Default)]
struct State {
    held: HashMap<Key, Held>,
    /// Requests that wait for a lock, and whether they were interrupted.
    waiting: HashMap<u64, bool>,
}

/// All locks of the client.
#[derive(Default)]
pub struct Locks {
    state: Mutex<State>,
    changed: Condvar,
}

/// Replaces what lies in the range of `new` by it.
fn set(ranges: &mut Vec<proto::FileLock>, new: proto::FileLock) {
    let mut out = Vec::new();
    for old in ranges.drain(..) {
        if old.end < new.start || old.start > new.end {
            out.push(old);
            continue;
        }
        if old.start < new.start {
            let end = new.start - 1;
            out.push(proto::FileLock { end, ..old });
        }
        if old.end > new.end {
            let start = new.end + 1;
            out.push(proto::FileLock { start, ..old });
        }
    }
    if new.typ != F_UNLCK {
        out.push(new);
    }
    *ranges = out;
}

fn in_the_way(a: &proto::FileLock, b: &proto::FileLock) -> bool {
    a.start <= b.end && b.start <= a.end && !(a.typ == F_RDLCK && b.typ == F_RDLCK)
}

impl Locks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Drops the locks that `which` picks.
    fn drop_if(&self, which: impl Fn(&Key, &Held) -> bool) {
        self.state().held.retain(|key, held| !which(key, held));
        self.changed.notify_all();
    }

    /// The handle is closed: nobody can have locks through it any more.
    pub(super) fn released(&self, nodeid: u64, fh: u64) {
        self.drop_if(|key, held| key.0 == nodeid && held.fh == fh);
    }

    /// `owner` closes the file, which ends its POSIX locks.
    pub(super) fn flushed(&self, nodeid: u64, owner: u64) {
        self.drop_if(|key, _| *key == (nodeid, owner, false));
    }

    /// Number of owners that hold locks.
    pub fn held(&self) -> usize {
        self.state().held.len()
    }

    /// Drops everything and lets nobody wait.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.held.clear();
        state.waiting.values_mut().for_each(|gone| *gone = true);
        drop(state);
        self.changed.notify_all();
    }
}

impl Server {
    fn lock_file(&self, req: &Request) -> Res<OwnedFd> {
        let inode = self.node(req, req.hdr.nodeid)?;
        self.reopen(&inode, libc::O_RDWR)
            .or_else(|_| self.reopen(&inode, libc::O_RDONLY))
    }

    fn lock_args(&self, req: &Request) -> Res<(proto::LkIn, Key)> {
        let (arg, _): (proto::LkIn, _) = req.arg()?;
        self.handle(req, arg.fh, req.hdr.nodeid)?;
        if arg.lk.end < arg.lk.start || arg.lk.typ > F_UNLCK {
            return Err(req.bad("no such lock"));
        }
        let flock = arg.lk_flags & proto::LK_FLOCK != 0;
        Ok((arg, (req.hdr.nodeid, arg.owner, flock)))
    }

    pub(super) fn getlk(&self, req: &Request) -> Res<Reply> {
        let (arg, key) = self.lock_args(req)?;
        let state = self.locks.state();
        let guest = state.held.iter().find_map(|(other, held)| {
            let mine = *other == key || other.0 != key.0 || other.2;
            let found = held.ranges.iter().find(|l| in_the_way(l, &arg.lk));
            found.filter(|_| !mine).copied()
        });
        let lk = match guest {
            Some(lk) => lk,
            None => match state.held.get(&key) {
                Some(held) => sys::get_lock(held.fd.as_raw_fd(), &arg.lk)?,
                None => sys::get_lock(self.lock_file(req)?.as_raw_fd(), &arg.lk)?,
            },
        };
        Reply::of(&lk)
    }

    /// Takes or drops a lock at once; `EAGAIN` when another one is in the way.
    fn try_lock(&self, req: &Request, arg: &proto::LkIn, key: Key) -> Res<()> {
        let mut state = self.locks.state();
        if !state.held.contains_key(&key) {
            if arg.lk.typ == F_UNLCK {
                return Ok(());
            }
            let held = Held {
                fd: self.lock_file(req)?,
                fh: arg.fh,
                pid: arg.lk.pid,
                ranges: Vec::new(),
            };
            state.held.insert(key, held);
        }
        let Some(held) = state.held.get_mut(&key) else {
            return Err(Errno(libc::ENOLCK));
        };
        let done = sys::set_lock(held.fd.as_raw_fd(), &arg.lk, key.2);
        if done.is_ok() {
            (held.fh, held.pid) = (arg.fh, arg.lk.pid);
            set(&mut held.ranges, arg.lk);
        } else if key.2 {
            // A conversion by flock(2) gives the old lock up first.
            held.ranges.clear();
        }
        if held.ranges.is_empty() {
            state.held.remove(&key);
        }
        drop(state);
        self.locks.changed.notify_all();
        done
    }

    pub(super) fn setlk(&self, req: &Request, wait: bool) -> Res<Reply> {
        let (arg, key) = self.lock_args(req)?;
        let busy = Errno(libc::EAGAIN);
        match self.try_lock(req, &arg, key) {
            Err(e) if e == busy && wait => (),
            done => return done.and(Reply::OK),
        }
        let unique = req.hdr.unique;
        self.locks.state().waiting.insert(unique, false);
        let done = req.pass.outside(|| loop {
            let state = self.locks.state();
            let waited = self.locks.changed.wait_timeout(state, AGAIN);
            let (state, _) = waited.unwrap_or_else(|e| e.into_inner());
            if state.waiting.get(&unique) != Some(&false) {
                break Err(Errno(libc::EINTR));
            }
            drop(state);
            match self.try_lock(req, &arg, key) {
                Err(e) if e == busy => (),
                done => break done,
            }
        });
        self.locks.state().waiting.remove(&unique);
        done.and(Reply::OK)
    }

    pub(super) fn interrupt(&self, req: &Request) -> Res<Reply> {
        let (arg, _): (proto::InterruptIn, _) = req.arg()?;
        match self.locks.state().waiting.get_mut(&arg.unique) {
            Some(interrupted) => *interrupted = true,
            // Not seen yet, or done: the client knows better.
            None => return Err(Errno(libc::EAGAIN)),
        }
        self.locks.changed.notify_all();
        Ok(Reply::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(start: u64, end: u64, typ: i32) -> proto::FileLock {
        proto::FileLock {
            start,
            end,
            typ: typ as u32,
            pid: 1,
        }
    }

    #[test]
    fn ranges_are_split_and_replaced() {
        let mut ranges = Vec::new();
        set(&mut ranges, lock(0, 99, libc::F_WRLCK.into()));
        set(&mut ranges, lock(10, 19, libc::F_UNLCK.into()));
        set(&mut ranges, lock(90, 199, libc::F_RDLCK.into()));
        let mut have: Vec<_> = ranges.iter().map(|l| (l.start, l.end, l.typ)).collect();
        have.sort_unstable();
        let (w, r) = (libc::F_WRLCK as u32, F_RDLCK);
        assert_eq!(have, [(0, 9, w), (20, 89, w), (90, 199, r)]);
        let read = lock(150, 160, libc::F_RDLCK.into());
        assert!(!ranges.iter().any(|l| in_the_way(l, &read)));
        assert!(ranges
            .iter()
            .any(|l| in_the_way(l, &lock(0, 0, libc::F_RDLCK.into()))));
        set(&mut ranges, lock(0, u64::MAX >> 1, libc::F_UNLCK.into()));
        assert!(ranges.is_empty());
    }
}
