// SPDX-License-Identifier: GPL-2.0

//! The way to a server that reads and writes `/dev/fuse`.
//!
//! A request is copied to the server by the server's own task, in its read(2), and its answer likewise in its write(2). Both
//! may fault, and a server may see to it that a fault never ends; so the copying task owns the request meanwhile, and when
//! the session ends its sender leaves without it.
//!
//! Locks: the queue's spinlock, inside it a waiter's. Neither is held during a copy.

use super::queue::{Entry, Fifo, Next, Queue};
use crate::{
    chan::{
        self,
        forget::{ForgetNode, BATCH},
        reap, Pool, Request, Transport,
    },
    chardev::{FromUser, ToUser},
    errno,
    proto::{
        dir::{BatchForgetIn, ForgetIn, ForgetOne},
        header::{InHeader, OutHeader},
        ids::{NodeId, Unique},
        opcode::Opcode,
        reply::HEADER_LEN,
    },
    sync::{waitq::new_waitq, WaitQueue},
    vfs::cred::Caller,
};
use core::mem::size_of;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow, SpinLock,
    },
};
use zerocopy::{FromZeros, IntoBytes};

/// Least bytes that a server must offer for a message.
const READ_MIN: usize = 8192;
/// Bytes of header and arguments of a WRITE.
const WRITE_HEAD: usize = 80;
/// Most pages of data in a request.
const MAX_PAGES: usize = 256;

/// The way to one server.
#[pin_data]
pub(crate) struct Channel {
    #[pin]
    queue: SpinLock<Queue>,
    /// Servers that wait for something to read.
    #[pin]
    readers: WaitQueue,
    pool: Pin<KBox<Pool>>,
    /// The number of the connection for users: the device number of its mount.
    id: Atomic<u32>,
    /// Most bytes of a WRITE that was agreed on.
    max_write: Atomic<usize>,
    bad_replies: Atomic<u64>,
}

impl Channel {
    pub(super) fn new() -> Result<Arc<Self>> {
        let pool = KBox::pin_init(Pool::new(), GFP_KERNEL)?;
        let queue = Queue::new()?;
        Arc::pin_init(
            try_pin_init!(Self {
                queue <- new_spinlock!(queue, "fuse queue"),
                readers <- new_waitq!("fuse readers"),
                pool,
                id: Atomic::new(0),
                max_write: Atomic::new(4096),
                bad_replies: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Sets the number that users know it by.
    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, Relaxed);
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
        let forgets = queue.forgets.take();
        drop(queue);
        drop(forgets);
        this.readers.wake_all();
        Self::end_all(this, gone);
    }

    fn end_all(this: ArcBorrow<'_, Self>, mut gone: Fifo) {
        while let Some(mut entry) = gone.pop() {
            match entry.request.take() {
                Some(request) => Self::finish(this, request, Err(errno::econnaborted())),
                // Whoever copies it finds that the entry is gone.
                None => entry.waiter.fail(errno::econnaborted()),
            }
        }
    }

    /// Hands a request to its waiter; what nobody waits for is settled.
    fn finish(this: ArcBorrow<'_, Self>, request: KBox<Request>, outcome: Result<u32>) {
        if request.opcode() == Opcode::INTERRUPT {
            if let Some(nobody) = Request::interrupt_done(request, outcome) {
                this.pool.give(nobody);
            }
            return;
        }
        if let Some(orphan) = Request::complete(request, outcome) {
            let transport: Arc<dyn Transport> = Arc::from(this);
            reap::reap(&transport, orphan);
        }
    }

    /// Waits for something to read, and copies it to the server.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the room is too small, `EAGAIN` with `nonblock`, `ERESTARTSYS` for a signal, `ENODEV` when the session is over,
    /// `EFAULT`.
    pub(super) fn read(
        this: ArcBorrow<'_, Self>,
        device: u32,
        to: &mut ToUser<'_, '_>,
        nonblock: bool,
    ) -> Result<usize> {
        let room = to.room();
        if room < READ_MIN.max(WRITE_HEAD + this.max_write.load(Relaxed)) {
            return Err(EINVAL);
        }
        loop {
            let next = || this.queue.lock().next(device);
            let next = if nonblock {
                next().ok_or(EAGAIN)?
            } else {
                this.readers.wait_one(next)?
            };
            match next {
                Next::Over => return Err(ENODEV),
                Next::Forgets => {
                    let n = this.read_forgets(to)?;
                    if n > 0 {
                        return Ok(n);
                    }
                }
                Next::Request(request) => {
                    this.wake_next();
                    if let Some(n) = Self::read_request(this, request, to)? {
                        return Ok(n);
                    }
                }
            }
        }
    }

    /// Has another server look, if there is more to read.
    fn wake_next(&self) {
        let more = self.queue.lock().is_readable();
        if more {
            self.readers.wake_one();
        }
    }

    /// Copies a request. `None` when it does not fit, and has failed.
    fn read_request(
        this: ArcBorrow<'_, Self>,
        request: KBox<Request>,
        to: &mut ToUser<'_, '_>,
    ) -> Result<Option<usize>> {
        let (len, unique) = (request.message_len(), request.unique());
        if len > to.room() {
            let e = if request.opcode() == Opcode::SETXATTR {
                E2BIG
            } else {
                EIO
            };
            this.queue.lock().remove(unique);
            Self::finish(this, request, Err(e));
            return Ok(None);
        }
        let copied = request.copy_message(to).is_ok();
        let mut queue = this.queue.lock();
        if !copied {
            queue.remove(unique);
            drop(queue);
            Self::finish(this, request, Err(EIO));
            return Err(EFAULT);
        }
        match queue.get(unique) {
            Some(entry) => {
                entry.request = Some(request);
                Ok(Some(len))
            }
            None => {
                drop(queue);
                Self::finish(this, request, Err(errno::econnaborted()));
                Err(ENODEV)
            }
        }
    }

    /// Copies FORGETs, as many as fit.
    fn read_forgets(&self, to: &mut ToUser<'_, '_>) -> Result<usize> {
        let room = to.room();
        let most = room.saturating_sub(size_of::<InHeader>() + size_of::<BatchForgetIn>())
            / size_of::<ForgetOne>();
        let mut batch = [ForgetOne::default(); BATCH];
        let mut count = 0;
        let mut queue = self.queue.lock();
        for slot in batch.iter_mut().take(most) {
            let Some(one) = queue.forgets.take_one() else {
                break;
            };
            *slot = one;
            count += 1;
        }
        drop(queue);
        let Some(batch) = batch.get(..count).filter(|batch| !batch.is_empty()) else {
            return Ok(0);
        };
        let mut header = InHeader {
            unique: self.pool.next_unique(),
            ..FromZeros::new_zeroed()
        };
        if let [one] = batch {
            let arg = ForgetIn {
                nlookup: one.nlookup,
            };
            header.opcode = Opcode::FORGET;
            header.nodeid = one.nodeid;
            header.len = (size_of::<InHeader>() + size_of::<ForgetIn>()) as u32;
            to.bytes(header.as_bytes())?;
            to.bytes(arg.as_bytes())?;
        } else {
            let arg = BatchForgetIn {
                count: count as u32,
                dummy: 0,
            };
            header.opcode = Opcode::BATCH_FORGET;
            header.nodeid = NodeId::NONE;
            header.len =
                (size_of::<InHeader>() + size_of::<BatchForgetIn>() + size_of_val(batch)) as u32;
            to.bytes(header.as_bytes())?;
            to.bytes(arg.as_bytes())?;
            to.bytes(batch.as_bytes())?;
        }
        Ok(room - to.room())
    }

    /// Takes a message of the server: an answer or a notification.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a message that breaks the protocol, `ENOENT` for an answer to nothing, `EFAULT`.
    pub(super) fn write(
        this: ArcBorrow<'_, Self>,
        device: u32,
        from: &mut FromUser<'_, '_>,
    ) -> Result<usize> {
        let len = from.len();
        if len < HEADER_LEN {
            return Err(EINVAL);
        }
        let mut header = OutHeader::new_zeroed();
        from.bytes(header.as_mut_bytes())?;
        if header.len as usize != len {
            return Err(EINVAL);
        }
        if header.unique == Unique::NOTIFICATION {
            return Err(EINVAL);
        }
        if header.error <= -512 || header.error > 0 {
            return Err(EINVAL);
        }
        let mut queue = this.queue.lock();
        let request = queue
            .get(header.unique)
            .filter(|entry| entry.device == device)
            .and_then(|entry| entry.request.take());
        drop(queue);
        let mut request = request.ok_or(ENOENT)?;
        if request.opcode() == Opcode::INIT && !Caller::is_admin() {
            this.pool.background().limit_server();
        }
        let taken = request.take_answer(&header, from);
        let (ended, interrupt) = {
            let mut queue = this.queue.lock();
            let ended = queue.remove(header.unique).is_none();
            // Servers need not answer an INTERRUPT.
            let interrupt = queue
                .remove(header.unique.interrupt())
                .or_else(|| queue.cancel(header.unique.interrupt()));
            (ended, interrupt)
        };
        let outcome = match taken {
            _ if ended => Err(errno::econnaborted()),
            // The sender looks at the length and sees what is wrong.
            Ok(()) | Err(EINVAL) => Ok(header.len),
            Err(_) => Err(EIO),
        };
        Self::finish(this, request, outcome);
        if let Some(interrupt) = interrupt.and_then(|mut entry| entry.request.take()) {
            Self::finish(this, interrupt, Err(errno::enotconn()));
        }
        if ended {
            return Err(ENOENT);
        }
        taken.map(|()| len)
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
}

impl Transport for Channel {
    fn submit(&self, request: KBox<Request>) {
        let refused = match Entry::new(request) {
            Ok(mut entry) => {
                let mut queue = self.queue.lock();
                if queue.connected {
                    queue.push(entry);
                    drop(queue);
                    self.readers.wake_one();
                    return;
                }
                drop(queue);
                entry.request.take().map(|r| (r, errno::enotconn()))
            }
            Err(request) => Some((request, ENOMEM)),
        };
        if let Some((request, e)) = refused {
            if let Some(orphan) = Request::complete(request, Err(e)) {
                self.pool.give(orphan);
            }
        }
    }

    fn cancel(&self, unique: Unique) -> Option<KBox<Request>> {
        let entry = self.queue.lock().cancel(unique);
        entry.and_then(|mut entry| entry.request.take())
    }

    fn interrupt(&self, request: KBox<Request>) {
        let refused = match Entry::new(request) {
            Ok(mut entry) => {
                let mut queue = self.queue.lock();
                if queue.connected {
                    queue.push_urgent(entry);
                    drop(queue);
                    self.readers.wake_one();
                    return;
                }
                drop(queue);
                entry.request.take()
            }
            Err(request) => Some(request),
        };
        let nobody = refused.and_then(|r| Request::interrupt_done(r, Err(errno::enotconn())));
        if let Some(request) = nobody {
            self.pool.give(request);
        }
    }

    fn forget(&self, node: KBox<ForgetNode>) {
        let mut queue = self.queue.lock();
        if queue.connected {
            queue.forgets.push(node);
            drop(queue);
            self.readers.wake_one();
        }
    }

    fn drop_forgets(&self) {
        let list = self.queue.lock().forgets.take();
        drop(list);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn max_pages(&self) -> usize {
        MAX_PAGES
    }

    fn agreed(&self, max_write: usize) {
        self.max_write.store(max_write, Relaxed);
    }

    fn bad_reply(&self, request: &Request, what: &'static str) {
        self.bad_replies.fetch_add(1, Relaxed);
        chan::report_bad_reply(c"fuse", request, what);
    }
}
