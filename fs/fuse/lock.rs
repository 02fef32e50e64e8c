// SPDX-License-Identifier: GPL-2.0

//! Locks that processes take on files. Where INIT agreed on it the server keeps them, so that they hold against its other
//! clients; else the kernel does, unless the mount wants no locks that others cannot see (`locks=server`).
//!
//! The server drops a process's POSIX locks with the FLUSH of a close, and those of flock(2) with RELEASE. It cannot know when
//! an OFD lock ends, so that is given up before RELEASE. Takes no locks of its own.

use crate::{
    chan,
    conn::{options::LockMode, Conn},
    handle::FileData,
    inode::Inode,
    ops::lock::{Getlk, Setlk},
    proto::{
        flags::{InitFlags, LkFlags},
        ids::{Fh, LockOwner, NodeId},
        lock::{FileLock, LkIn},
    },
    vfs::{
        cred::Caller,
        file::{File, Held, Keeper, Lock, LockOperations, Mode, Owner},
    },
    Fuse,
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

const F_RDLCK: u32 = 0;
const F_WRLCK: u32 = 1;
const F_UNLCK: u32 = 2;
/// The last byte that a file can have (`OFFSET_MAX`).
const LAST: u64 = i64::MAX as u64;

/// Turns owners into numbers that tell the server nothing of the kernel's addresses: XTEA with a key of the mount.
pub(crate) struct Scramble {
    key: [u32; 4],
    // Scrambling costs more than much of a request, and many requests are of few owners. The second word is the sum of owner and
    // number, so that words of two owners, read while they change, are told from those of one.
    last: [[Atomic<u64>; 2]; OWNERS],
}

/// So many owners are remembered.
const OWNERS: usize = 16;

impl Scramble {
    /// Makes a key.
    pub(crate) fn new() -> Self {
        let (a, b) = (crate::vfs::random(), crate::vfs::random());
        Self {
            key: [a as u32, (a >> 32) as u32, b as u32, (b >> 32) as u32],
            // The sum fits no owner.
            last: [const { [Atomic::new(0), Atomic::new(u64::MAX)] }; OWNERS],
        }
    }

    /// The number of an owner.
    pub(crate) fn owner(&self, owner: Owner) -> LockOwner {
        // The upper bits of the product depend on all of the owner.
        let place = owner.id().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let Some([last, sum]) = self.last.get(place as usize) else {
            return LockOwner::new(self.number(owner));
        };
        let number = last.load(Relaxed);
        if sum.load(Relaxed).wrapping_sub(number) == owner.id() {
            return LockOwner::new(number);
        }
        let number = self.number(owner);
        last.store(number, Relaxed);
        sum.store(number.wrapping_add(owner.id()), Relaxed);
        LockOwner::new(number)
    }

    fn number(&self, owner: Owner) -> u64 {
        const DELTA: u32 = 0x9e37_79b9;
        let [k0, k1, k2, k3] = self.key;
        let key = |sum: u32| match sum & 3 {
            0 => k0,
            1 => k1,
            2 => k2,
            _ => k3,
        };
        let mix = |v: u32| ((v << 4) ^ (v >> 5)).wrapping_add(v);
        let (mut low, mut high, mut sum) = (owner.id() as u32, (owner.id() >> 32) as u32, 0u32);
        for _ in 0..32 {
            low = low.wrapping_add(mix(high) ^ sum.wrapping_add(key(sum)));
            sum = sum.wrapping_add(DELTA);
            high = high.wrapping_add(mix(low) ^ sum.wrapping_add(key(sum >> 11)));
        }
        u64::from(high) << 32 | u64::from(low)
    }
}

impl Conn {
    /// The number of an owner of locks.
    pub(crate) fn lock_owner(&self, owner: Owner) -> LockOwner {
        self.scramble.owner(owner)
    }

    /// The number of the current process as an owner of locks.
    pub(crate) fn current_owner(&self) -> LockOwner {
        self.lock_owner(Owner::current())
    }
}

fn number(mode: Mode) -> u32 {
    match mode {
        Mode::Read => F_RDLCK,
        Mode::Write => F_WRLCK,
        Mode::Unlock => F_UNLCK,
    }
}

fn lk_in(file: &File<Fuse>, lock: &Lock<'_>, pid: u32, flags: LkFlags) -> LkIn {
    LkIn {
        fh: file.data().handle(),
        owner: file.inode().sb().data().lock_owner(lock.owner()),
        lk: FileLock {
            start: lock.start(),
            end: lock.end(),
            typ: number(lock.mode()),
            pid,
        },
        lk_flags: flags,
        padding: 0,
    }
}

/// What gives up all of an owner's locks.
fn drop_all(inode: &Inode, fh: Fh, owner: LockOwner) -> Setlk<false> {
    Setlk {
        nodeid: NodeId::new(inode.key()),
        arg: LkIn {
            fh,
            owner,
            lk: FileLock {
                start: 0,
                end: LAST,
                typ: F_UNLCK,
                pid: 0,
            },
            ..Default::default()
        },
    }
}

/// Gives up the POSIX locks of `owner`, where the server learns of a close in no other way.
pub(crate) fn closed(file: &File<Fuse>, owner: Owner) -> Result {
    let inode = file.inode();
    let conn = inode.sb().data();
    if !inode.data().posix_locked.get() {
        return Ok(());
    }
    let op = drop_all(inode, file.data().handle(), conn.lock_owner(owner));
    conn.call(inode.sb(), &op)
}

/// Gives up the lock of a file description that ends.
pub(crate) fn released(inode: &Inode, data: &FileData) {
    if let Some(owner) = data.ofd.copy() {
        let op = drop_all(inode, data.handle(), LockOwner::new(owner));
        let _ = inode.sb().data().call(inode.sb(), &op);
    }
}

/// Gives up what was locked for a caller that was killed meanwhile.
pub(crate) fn undo(t: &dyn chan::Transport, nodeid: NodeId, mut arg: LkIn) -> Result {
    if arg.lk.typ == F_UNLCK {
        return Ok(());
    }
    arg.lk.typ = F_UNLCK;
    chan::send_detached(t, Caller::default(), &Setlk::<false> { nodeid, arg })
}

impl LockOperations for Fuse {
    fn keeper(file: &File<Self>, flock: bool) -> Keeper {
        let conn = file.inode().sb().data();
        let flag = if flock {
            InitFlags::FLOCK_LOCKS
        } else {
            InitFlags::POSIX_LOCKS
        };
        if conn.has(flag) {
            Keeper::FileSystem
        } else if conn.lock_mode() == LockMode::Server {
            Keeper::Nobody
        } else {
            Keeper::Kernel
        }
    }

    fn find_lock(file: &File<Self>, lock: &Lock<'_>) -> Result<Option<Held>> {
        let inode = file.inode();
        let op = Getlk {
            nodeid: NodeId::new(inode.key()),
            arg: lk_in(file, lock, 0, LkFlags::empty()),
        };
        let lk = inode.sb().data().call(inode.sb(), &op)?.lk;
        let mode = match lk.typ {
            F_UNLCK => return Ok(None),
            F_RDLCK => Mode::Read,
            F_WRLCK => Mode::Write,
            _ => return Err(EIO),
        };
        if lk.start > LAST || lk.end > LAST || lk.end < lk.start {
            return Err(EIO);
        }
        Ok(Some(Held {
            mode,
            start: lk.start,
            end: lk.end,
            // The process of another machine may have a number that nobody has here.
            pid: inode.sb().data().pids().initial(lk.pid),
        }))
    }

    fn lock(file: &File<Self>, lock: &Lock<'_>, flock: bool) -> Result {
        let inode = file.inode();
        let (conn, data) = (inode.sb().data(), file.data());
        let unlock = lock.mode() == Mode::Unlock;
        let pid = if unlock { 0 } else { conn.pids().process() };
        let flags = if flock {
            LkFlags::FLOCK
        } else {
            LkFlags::empty()
        };
        let arg = lk_in(file, lock, pid, flags);
        if !unlock {
            // Before it is asked for: a caller that is killed must not leave it behind.
            if flock {
                data.flock.populate(arg.owner.get());
            } else if lock.is_ofd() {
                data.ofd.populate(arg.owner.get());
            } else {
                inode.data().posix_locked.set();
            }
        }
        let nodeid = NodeId::new(inode.key());
        if lock.waits() && !unlock {
            conn.call(inode.sb(), &Setlk::<true> { nodeid, arg })
        } else {
            conn.call(inode.sb(), &Setlk::<false> { nodeid, arg })
        }
    }
}
