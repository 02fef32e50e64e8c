// SPDX-License-Identifier: GPL-2.0

//! What is being written back of a file, and what it is written through.
//!
//! Two questions are answered here: who is still writing (so that a sync can wait, killably, and a change of the size can
//! keep writers out), and which open file the server is to be told. A file that was closed while pages were still dirty
//! stays open at the server until they are written.
//!
//! Locks: an inode's spinlock "fuse writeback", inside no other; nothing waits in it and nothing is dropped in it.

use crate::{
    cache,
    handle::Handle,
    inode::Inode,
    local,
    sync::{
        waitq::{exiting, new_waitq},
        WaitQueue,
    },
    vfs::iter,
    Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{Arc, SetOnce, SpinLock},
};

/// Which of two generations of writers somebody belongs to. Who waits for all that have begun starts a new generation and
/// waits for the end of the old one, so those who come later cannot keep it waiting.
#[derive(Clone, Copy)]
struct Generation(bool);

#[derive(Default)]
struct State {
    /// Writers of each generation.
    busy: [u32; 2],
    current: bool,
    /// Nobody may begin.
    closed: bool,
    /// Open files that may be written through.
    files: KVec<Arc<Handle>>,
}

impl State {
    fn of(&mut self, generation: Generation) -> &mut u32 {
        let [a, b] = &mut self.busy;
        if generation.0 {
            b
        } else {
            a
        }
    }

    fn idle(&self) -> bool {
        self.busy == [0, 0]
    }
}

/// The writers of an inode.
#[pin_data]
pub(crate) struct WriteBack {
    #[pin]
    state: SpinLock<State>,
    #[pin]
    changed: WaitQueue,
}

/// Somebody who writes back, or looks for what there is to write.
pub(crate) struct Run<'a> {
    inode: &'a Inode,
    generation: Generation,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.inode.data().writeback.leave(self.generation);
    }
}

/// A WRITE that is on its way. It must be given back by [`WriteBack::written`].
pub(crate) struct Ticket(Generation);

/// Keeps writers out.
pub(crate) struct Closed<'a>(&'a WriteBack);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl WriteBack {
    /// Nobody writes.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::default(), "fuse writeback"),
            changed <- new_waitq!("fuse writeback"),
        })
    }

    fn try_enter(&self) -> Option<Generation> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let generation = Generation(state.current);
        *state.of(generation) += 1;
        Some(generation)
    }

    fn leave(&self, generation: Generation) {
        let last = {
            let mut state = self.state.lock();
            let busy = state.of(generation);
            *busy -= 1;
            *busy == 0
        };
        if last {
            self.changed.wake_all();
        }
    }

    /// Begins to look for what there is to write. With `wait`, waits while the size changes; who is killed does not get it.
    pub(crate) fn run(inode: &Inode, wait: bool) -> Option<Run<'_>> {
        let this = &inode.data().writeback;
        let generation = if wait {
            this.changed.wait_killable(|| this.try_enter()).ok()
        } else {
            this.try_enter()
        }?;
        Some(Run { inode, generation })
    }

    /// A WRITE of this run is sent.
    pub(crate) fn ticket(&self) -> Ticket {
        let mut state = self.state.lock();
        let generation = Generation(state.current);
        *state.of(generation) += 1;
        Ticket(generation)
    }

    /// The WRITE ended.
    pub(crate) fn written(&self, ticket: Ticket) {
        self.leave(ticket.0);
    }

    /// Waits for the end of every WRITE that is on its way.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn wait(&self) -> Result {
        let old = self.changed.wait_killable(|| {
            let mut state = self.state.lock();
            if state.idle() {
                return Some(None);
            }
            let (old, new) = (Generation(state.current), Generation(!state.current));
            if *state.of(new) > 0 {
                // Somebody else waits for that generation; it is older than the present one.
                return None;
            }
            state.current = new.0;
            Some(Some(old))
        })?;
        let Some(old) = old else {
            return Ok(());
        };
        self.changed
            .wait_killable(|| (*self.state.lock().of(old) == 0).then_some(()))
    }

    /// Keeps writers out, once those who are there have ended. The inode lock is held for writing.
    ///
    /// # Errors
    ///
    /// `EINTR` on a fatal signal.
    pub(crate) fn close(&self) -> Result<Closed<'_>> {
        self.state.lock().closed = true;
        let closed = Closed(self);
        self.changed
            .wait_killable(|| self.state.lock().idle().then_some(()))?;
        Ok(closed)
    }

    fn open(&self) {
        self.state.lock().closed = false;
        self.changed.wake_all();
    }

    /// Adds an open file that may be written through.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn link(&self, handle: &Arc<Handle>) -> Result {
        let mut more = KVec::new();
        loop {
            let mut state = self.state.lock();
            if state.files.iter().any(|h| Arc::ptr_eq(h, handle)) {
                return Ok(());
            }
            if more.capacity() > state.files.capacity() {
                while let Some(h) = state.files.pop() {
                    // There is room.
                    let _ = more.push_within_capacity(h);
                }
                core::mem::swap(&mut state.files, &mut more);
            }
            if state.files.push_within_capacity(handle.clone()).is_ok() {
                return Ok(());
            }
            let capacity = (state.files.capacity() * 2).max(4);
            drop(state);
            more = KVec::with_capacity(capacity, GFP_KERNEL)?;
        }
    }

    /// Sets the handle that an open file shares, unless it is set; gives what is set. One does so at a time: nobody finds it half
    /// done.
    pub(crate) fn share(&self, place: &SetOnce<Arc<Handle>>, handle: &Arc<Handle>) -> Arc<Handle> {
        let _state = self.state.lock();
        if let Some(set) = place.as_ref() {
            return set.clone();
        }
        place.populate(handle.clone());
        handle.clone()
    }

    /// An open file to write through.
    pub(crate) fn file(&self) -> Option<Arc<Handle>> {
        self.state.lock().files.first().cloned()
    }

    /// Takes out a file that is closed and, with `all`, every one.
    fn take_closed(&self, all: bool) -> Option<Arc<Handle>> {
        let mut state = self.state.lock();
        let i = state.files.iter().position(|h| all || h.is_closed())?;
        state.files.remove(i).ok()
    }

    /// Lets go of files that are closed, unless there is something that has to be written through one.
    pub(crate) fn prune(inode: &Inode) {
        let this = &inode.data().writeback;
        if this.state.lock().files.is_empty() || inode.has_dirty_pages() {
            return;
        }
        while let Some(handle) = this.take_closed(false) {
            drop(handle);
        }
    }

    /// Lets go of all files. The inode leaves memory.
    pub(crate) fn end(&self) {
        while let Some(handle) = self.take_closed(true) {
            drop(handle);
        }
    }
}

/// Writes into the page cache, to be written back later. The inode lock is held for writing.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>) -> Result<usize> {
    let (file, inode) = (io.file(), io.file().inode());
    inode.data().writeback.link(&cache::share(file)?)?;
    let writer = local::Writer::begin(inode);
    io.update_time()?;
    let done = io.page_cache();
    drop(writer);
    done
}

/// Writes back what is dirty in `[start, end]`, and waits. Errors of writing are kept by the page cache.
///
/// # Errors
///
/// `EINTR` on a fatal signal: then it goes on without the caller. What writing could not even begin with.
pub(crate) fn sync(inode: &Inode, start: u64, end: u64) -> Result {
    if inode.is_dax() || !inode.has_dirty_pages() {
        return Ok(());
    }
    let writeback = &inode.data().writeback;
    // What is being written now may have become dirty again since, and is then left out below; so it has to end first. What
    // begins to be written meanwhile has all that the caller wants written.
    let pool = inode.sb().data().transport().pool();
    let wait = || {
        if pool.is_given_up() && !writeback.state.lock().idle() {
            return Err(EINTR);
        }
        let waited = writeback.wait();
        if waited.is_err() && exiting() && !pool.is_given_up() {
            pool.set_silent(true);
        }
        waited
    };
    let waited = wait();
    let started = inode.start_write_back(start, end);
    waited.and_then(|()| wait())?;
    WriteBack::prune(inode);
    started
}
