// SPDX-License-Identifier: GPL-2.0

//! The way to a server that reads and writes `/dev/fuse`; what the server does is in [`super::serve`].
//!
//! A request is copied to the server by the server's own task, in its read(2), and its answer likewise in its write(2). Both
//! may fault, and a server may see to it that a fault never ends; so the copying task owns the request meanwhile, and when
//! the session ends its sender leaves without it.
//!
//! Locks: the queue's spinlock, inside it a waiter's. Neither is held during a copy.

use super::{
    entry::{Entry, Supply},
    queue::Queue,
};
use crate::{
    backing::Backings,
    chan::{self, forget::ForgetNode, reap, Fifo, Pool, Request, Transport},
    chardev::SignalList,
    errno,
    notify::Told,
    proto::{flags::InitFlags, ids::Unique},
    sync::{waitq::new_waitq, WaitQueue},
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, ArcBorrow, SetOnce, SpinLock, SpinLockGuard,
    },
};

/// Most pages of data in a request: all that INIT has a number for.
const MAX_PAGES: usize = u16::MAX as usize;

/// The way to one server.
#[pin_data]
pub(crate) struct Channel {
    #[pin]
    pub(super) queue: SpinLock<Queue>,
    /// Servers that wait for something to read.
    #[pin]
    pub(super) readers: WaitQueue,
    /// Servers that want a signal when there is something to read.
    signals: SignalList,
    pool: Pin<KBox<Pool>>,
    backings: Arc<Backings>,
    /// The number of the connection for users: the device number of its mount.
    id: Atomic<u32>,
    /// Most bytes of a WRITE that was agreed on.
    pub(super) max_write: Atomic<usize>,
    /// INIT was answered.
    pub(super) agreed: AtomicFlag,
    /// Where notifications go.
    pub(super) told: SetOnce<Told>,
    /// The server asked to be told when a user ends its session.
    tells_abort: AtomicFlag,
    /// A user has ended it.
    aborted_by_user: AtomicFlag,
    bad_replies: Atomic<u64>,
}

impl Channel {
    pub(super) fn new() -> Result<Arc<Self>> {
        let pool = KBox::pin_init(Pool::new(), GFP_KERNEL)?;
        let queue = Queue::new()?;
        let backings = Backings::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                queue <- new_spinlock!(queue, "fuse queue"),
                readers <- new_waitq!("fuse readers"),
                signals: SignalList::new(),
                pool,
                backings,
                id: Atomic::new(0),
                max_write: Atomic::new(4096),
                agreed: AtomicFlag::new(false),
                told: SetOnce::new(),
                tells_abort: AtomicFlag::new(false),
                aborted_by_user: AtomicFlag::new(false),
                bad_replies: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// The backing files that the server has named.
    pub(super) fn backings(&self) -> &Arc<Backings> {
        &self.backings
    }

    /// Sets the number that users know it by.
    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, Relaxed);
    }

    /// Says where notifications go.
    pub(super) fn set_told(&self, told: Told) {
        self.told.populate(told);
    }

    /// What a server is told at the end of the session: `ENODEV`, or `ECONNABORTED` where it asked to know that a user ended it.
    pub(super) fn over(&self) -> Error {
        if self.aborted_by_user.load(Relaxed) && self.tells_abort.load(Relaxed) {
            errno::econnaborted()
        } else {
            ENODEV
        }
    }

    /// Tells one server that there is something to read.
    pub(super) fn tell_readers(&self) {
        self.readers.wake_one();
        self.signals.tell_readable();
    }

    /// The number that users know it by.
    pub(super) fn id(&self) -> u32 {
        self.id.load(Relaxed)
    }

    /// Another open file serves it.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the session is over.
    pub(super) fn attach(&self) -> Result {
        let mut queue = self.queue.lock();
        if !queue.connected {
            return Err(ENODEV);
        }
        queue.devices += 1;
        Ok(())
    }

    /// An open file is gone: what it has read will not be answered. The last one ends the session.
    pub(super) fn detach(this: ArcBorrow<'_, Self>, device: u32) {
        let mut queue = this.queue.lock();
        let gone = queue.remove_read(Some(device));
        queue.devices = queue.devices.saturating_sub(1);
        let last = queue.devices == 0;
        drop(queue);
        this.wake_next();
        Self::end_all(this, gone);
        if last {
            Self::abort(this);
        }
    }

    /// Ends the session: every request fails now, and those to come as well.
    pub(crate) fn abort(this: ArcBorrow<'_, Self>) {
        let mut queue = this.queue.lock();
        queue.connected = false;
        let gone = queue.remove_all();
        let forgets = queue.take_forgets();
        drop(queue);
        drop(forgets);
        this.readers.wake_all();
        this.signals.tell_readable();
        if let Some(told) = this.told.as_ref() {
            told.end();
        }
        Self::end_all(this, gone);
    }

    /// As [`Self::abort`], by a user who may.
    pub(crate) fn abort_by_user(this: ArcBorrow<'_, Self>) {
        this.aborted_by_user.store(true, Relaxed);
        Self::abort(this);
    }

    /// Requests that are not answered.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().waiting
    }

    fn end_all(this: ArcBorrow<'_, Self>, mut gone: Fifo<Entry>) {
        while let Some(mut entry) = gone.pop_front() {
            match entry.request.take() {
                Some(request) => Self::finish(this, request, Err(errno::econnaborted())),
                // Whoever copies it finds that the entry is gone.
                None => {
                    if let Some(waiter) = &entry.waiter {
                        waiter.fail(errno::econnaborted());
                    }
                }
            }
        }
    }

    /// Ends the oldest requests that nobody waits for, if there are too many.
    fn end_surplus(&self) {
        loop {
            let (mut entry, readable) = {
                let mut queue = self.queue.lock();
                let Some(entry) = queue.take_surplus() else {
                    break;
                };
                (entry, queue.is_readable())
            };
            if let Some(request) = entry.request.take() {
                self.pool.give(request);
            }
            if readable {
                self.tell_readers();
            }
        }
    }

    /// Hands a request to its waiter; what nobody waits for is settled.
    pub(super) fn finish(this: ArcBorrow<'_, Self>, request: KBox<Request>, outcome: Result<u32>) {
        if let Some(orphan) = Request::complete(request, outcome) {
            let transport: Arc<dyn Transport> = Arc::from(this);
            reap::reap(&transport, orphan);
        }
    }

    /// Locks the queue, with memory for another request in it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the session is over, `ENOMEM`.
    fn queue_for_request(&self) -> Result<SpinLockGuard<'_, Queue>> {
        let mut queue = self.queue.lock();
        while queue.connected && queue.is_short() {
            drop(queue);
            let supply = Supply::new()?;
            queue = self.queue.lock();
            queue.supply(supply);
        }
        if queue.connected {
            Ok(queue)
        } else {
            Err(errno::enotconn())
        }
    }

    /// Whether the session goes on, and whether there is something to read.
    pub(super) fn readable(&self) -> Option<bool> {
        let queue = self.queue.lock();
        queue.connected.then(|| queue.is_readable())
    }

    /// Who is woken when there is something to read.
    pub(super) fn readers(&self) -> &WaitQueue {
        &self.readers
    }

    /// Who is told by a signal then.
    pub(super) fn signals(&self) -> &SignalList {
        &self.signals
    }
}

impl Transport for Channel {
    fn reserve(&self) -> Result {
        match self.queue_for_request() {
            // A session that is over refuses what is sent.
            Err(e) if e != ENOMEM => Ok(()),
            other => other.map(drop),
        }
    }

    fn submit(&self, request: KBox<Request>) {
        let (request, e) = match self.queue_for_request() {
            Ok(_) if request.is_given_up() => (request, errno::ecanceled()),
            Ok(mut queue) => match queue.push(request) {
                Ok(()) => {
                    drop(queue);
                    self.tell_readers();
                    return;
                }
                Err(request) => (request, ENOMEM),
            },
            Err(e) => (request, e),
        };
        if let Some(orphan) = Request::complete(request, Err(e)) {
            self.pool.give(orphan);
        }
    }

    fn left(&self, unique: Unique) {
        let request = self.queue.lock().leave(unique);
        if let Some(request) = request {
            self.pool.give(request);
        }
        self.end_surplus();
    }

    fn can_recall(&self) -> bool {
        true
    }

    fn recall(self: Arc<Self>) {
        let this = self.as_arc_borrow();
        let tells = !this.pool.ignores_interrupts();
        loop {
            let taken = this.queue.lock().take_given_up(tells);
            let Some((request, tell)) = taken else {
                break;
            };
            if tell {
                this.tell_readers();
            }
            Self::finish(this, request, Err(errno::ecanceled()));
        }
        this.end_surplus();
        while let Some(request) = this.pool.background().take_given_up() {
            Self::finish(this, request, Err(errno::ecanceled()));
        }
    }

    fn cancel(&self, unique: Unique) -> Option<KBox<Request>> {
        let request = self.queue.lock().cancel(unique);
        self.wake_next();
        request
    }

    fn is_process(&self) -> bool {
        true
    }

    fn expire(self: Arc<Self>, age: u64) -> bool {
        let (connected, late) = {
            let queue = self.queue.lock();
            (queue.connected, queue.is_late(age))
        };
        if late {
            pr_warn!(
                "fuse: the server of connection {} is late: it is given up\n",
                self.id()
            );
            Self::abort(self.as_arc_borrow());
        }
        connected && !late
    }

    fn signalled(&self, unique: Unique) {
        let tell = self.queue.lock().signal(unique);
        if tell {
            self.tell_readers();
        }
    }

    fn forget(&self, node: KBox<ForgetNode>) {
        let mut queue = self.queue.lock();
        if queue.connected {
            let readable = queue.forget(node);
            drop(queue);
            if readable {
                self.tell_readers();
            }
        }
    }

    fn drop_forgets(&self) {
        let list = self.queue.lock().take_forgets();
        drop(list);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn max_pages(&self) -> usize {
        MAX_PAGES
    }

    fn agreed(&self, flags: InitFlags, max_write: usize) {
        self.tells_abort
            .store(flags.contains(InitFlags::ABORT_ERROR), Relaxed);
        self.max_write.store(max_write, Relaxed);
        self.agreed.store(true, Relaxed);
    }

    fn bad_reply(&self, request: &Request, what: &'static str) {
        self.bad_replies.fetch_add(1, Relaxed);
        chan::report_bad_reply(c"fuse", request, what);
    }
}
