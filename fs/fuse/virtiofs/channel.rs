// SPDX-License-Identifier: GPL-2.0

//! Requests through the queues of one device: queue 0 for FORGET and INTERRUPT, the others for everything else.
//!
//! A request goes to the queue whose interrupt comes to the CPU that sends it. When that queue is full it waits there, behind those that wait
//! already; completions put waiting requests into the ring. A completion runs in the interrupt and does no more than hand
//! the request to its waiter.
//!
//! Locks: a queue's lock, then a waiter's. Inside it also the lock of requests to be reaped; that of FORGETs stands alone. All of them are
//! short and taken with interrupts off.

use super::{forgets::Forgets, pending::Pending, Registry};
use crate::{
    chan::{self, reap, ForgetNode, Pool, Request, Transport},
    errno,
    proto::{ids::Unique, opcode::Opcode},
    sync::{irqlock::new_irqlock, IrqLock},
    vfs::time::Moment,
    virtio::{device::Device, Handler, Layout, Queues, VirtQueue},
};
use kernel::{
    cpu::CpuId,
    device::Core,
    impl_has_work, new_work,
    prelude::*,
    str::{CStr, CString},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, ArcBorrow, SetOnce,
    },
    workqueue::{Work, WorkItem},
};

/// Descriptors that every request needs besides its data: header and arguments each way.
const OVERHEAD: usize = 4;
/// Most pages of data in a request.
const MAX_PAGES: usize = 256;

/// The channel of one device.
#[pin_data]
pub(crate) struct Channel {
    pub(super) registry: Arc<Registry>,
    name: CString,
    pub(super) queues: SetOnce<Queues<Channel>>,
    /// The request queue of each CPU, counted from 0.
    cpus: SetOnce<KVec<usize>>,
    pub(super) pool: Pin<KBox<Pool>>,
    #[pin]
    pub(super) forgets: IrqLock<Forgets>,
    /// Requests whose senders have left.
    #[pin]
    orphans: IrqLock<Option<KBox<Request>>>,
    #[pin]
    reaper: Work<Channel>,
    max_pages: Atomic<usize>,
    bad_replies: Atomic<u64>,
}

impl_has_work! {
    impl HasWork<Self> for Channel { self.reaper }
}

impl WorkItem for Channel {
    type Pointer = Arc<Channel>;

    fn run(this: Arc<Channel>) {
        let transport: Arc<dyn Transport> = this.clone();
        let mut list = this.orphans.lock().take();
        while let Some(mut request) = list {
            list = request.next.take();
            reap::reap(&transport, request);
        }
    }
}

impl Channel {
    /// Finds the device's queues: one for FORGET and as many for requests as it has and CPUs can use.
    pub(super) fn new(
        dev: &Device<Core<'_>>,
        registry: &Arc<Registry>,
        request_queues: u32,
    ) -> Result<Arc<Self>> {
        let pool = KBox::pin_init(Pool::new(), GFP_KERNEL)?;
        let none = Forgets::new(&pool)?;
        let this = Arc::pin_init(
            try_pin_init!(Self {
                registry: registry.clone(),
                name: CString::try_from(dev.name())?,
                queues: SetOnce::new(),
                cpus: SetOnce::new(),
                pool,
                forgets <- new_irqlock!(none, "virtiofs forgets"),
                orphans <- new_irqlock!(None, "virtiofs orphans"),
                reaper <- new_work!("virtiofs reaper"),
                max_pages: Atomic::new(1),
                bad_replies: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;

        let n = request_queues.min(kernel::cpu::nr_cpu_ids());
        let mut names = KVec::with_capacity(n as usize + 1, GFP_KERNEL)?;
        names.push(CString::try_from_fmt(fmt!("hiprio"))?, GFP_KERNEL)?;
        for i in 0..n {
            names.push(CString::try_from_fmt(fmt!("requests.{i}"))?, GFP_KERNEL)?;
        }
        let mut list = KVec::with_capacity(names.len(), GFP_KERNEL)?;
        for name in &names {
            list.push(&**name, GFP_KERNEL)?;
        }
        let layout = Layout {
            names: &list,
            entries: MAX_PAGES + OVERHEAD,
            pre_vectors: Some(1),
        };
        let queues = dev.find_queues(&layout, this.clone(), |_| Pending::default())?;
        let size = queues.get(1).map_or(0, |q| q.size() as usize);
        if size <= OVERHEAD {
            dev_err!(dev, "request queue of {} entries is too small\n", size);
            return Err(EINVAL);
        }
        this.max_pages
            .store(MAX_PAGES.min(size - OVERHEAD), Relaxed);
        this.cpus
            .populate(dev.queues_of_cpus(1, queues.len().saturating_sub(1))?);
        this.queues.populate(queues);
        Ok(this)
    }

    /// The names of the queues, in the device's order.
    pub(super) fn queue_names(&self) -> impl Iterator<Item = &CStr> {
        self.queues
            .as_ref()
            .into_iter()
            .flat_map(|queues| queues.iter().map(|queue| queue.name()))
    }

    /// Whether what is sent from a CPU goes to the queue `index`.
    pub(super) fn serves(&self, index: usize, cpu: usize) -> bool {
        let of_cpu = self.cpus.as_ref().and_then(|cpus| cpus.get(cpu));
        index == 0 || of_cpu.is_some_and(|n| n + 1 == index)
    }

    /// Ends the channel: the device is reset, and every request that it had or that waits ends with `ENOTCONN`.
    pub(super) fn shutdown(&self, dev: &Device<Core<'_>>) {
        let Some(queues) = self.queues.as_ref() else {
            return;
        };
        queues.shutdown(dev, |queue, request| {
            if queue.index() == 0 {
                self.pool.give(request);
            } else {
                self.finish(request, Err(errno::enotconn()));
            }
        });
        for queue in queues.iter() {
            loop {
                let next = queue.lock().state().line.pop_front();
                match next {
                    Some(request) => self.finish(request, Err(errno::enotconn())),
                    None => break,
                }
            }
        }
        self.drop_forgets();
        // Nothing of what the server did for these can be undone any more.
        let mut orphans = self.orphans.lock().take();
        while let Some(mut request) = orphans {
            orphans = request.next.take();
            self.pool.give(request);
        }
        // Those in line are refused, one after the other.
        self.pool.background().go_on(self);
    }

    /// Answers that broke the protocol so far.
    pub(crate) fn bad_replies(&self) -> u64 {
        self.bad_replies.load(Relaxed)
    }

    /// Hands a request to its waiter, or to the reaper. May run in an interrupt.
    fn finish(&self, request: KBox<Request>, outcome: Result<u32>) {
        let Some(mut orphan) = Request::complete(request, outcome) else {
            return;
        };
        let mut orphans = self.orphans.lock();
        orphan.next = orphans.take();
        *orphans = Some(orphan);
    }

    /// Hands over an INTERRUPT that came back. May run in an interrupt.
    fn interrupt_done(&self, request: KBox<Request>, outcome: Result<u32>) {
        if let Some(mut orphan) = Request::interrupt_done(request, outcome) {
            let mut orphans = self.orphans.lock();
            orphan.next = orphans.take();
            *orphans = Some(orphan);
        }
    }

    /// Ends a request that was not queued. Process context, so what nobody waits for is settled here and now.
    fn refuse(&self, request: KBox<Request>, e: Error) {
        if let Some(orphan) = Request::complete(request, Err(e)) {
            self.pool.give(orphan);
        }
    }

    /// Has the orphans reaped, if there are any.
    fn reap_later(this: ArcBorrow<'_, Self>) {
        if this.orphans.lock().is_some() {
            let _ = this.registry.work().enqueue(Arc::from(this));
        }
    }

    /// Puts what waits into the ring. True when the device has to be notified.
    fn refill(&self, queue: &VirtQueue<Self>) -> bool {
        let mut ring = queue.lock();
        let mut added = false;
        while let Some(request) = ring.state().line.pop_front() {
            match ring.add(request) {
                Ok(()) => {
                    ring.state().in_flight += 1;
                    added = true;
                }
                Err((request, e)) => {
                    if ring.state().may_wait(e, request.in_line) {
                        ring.state().line.push_front(request);
                        self.see_after(ring.state());
                        break;
                    }
                    self.finish(request, Err(submit_error(e)));
                }
            }
        }
        if ring.state().line.is_empty() {
            ring.state().hungry = None;
        }
        added && ring.kick_prepare()
    }

    /// Has it tried again where nothing that ends would do so.
    fn see_after(&self, pending: &Pending) {
        if pending.is_starving() {
            self.registry.try_again();
        }
    }

    /// Tries again what there was no memory for. False when there still is none.
    pub(super) fn try_again(this: ArcBorrow<'_, Self>) -> bool {
        let Some(queues) = this.queues.as_ref() else {
            return true;
        };
        let mut done = true;
        for queue in queues.iter().skip(1) {
            if !queue.lock().state().is_starving() {
                continue;
            }
            if this.refill(queue) {
                queue.notify();
            }
            done &= !queue.lock().state().is_starving();
        }
        if this.forgets.lock().has_stuck() {
            this.send_forgets();
            done &= !this.forgets.lock().has_stuck();
        }
        // Those whose patience is over, and that nobody waits for.
        Self::reap_later(this);
        done
    }
}

/// What a sender is told when its request could not be queued.
fn submit_error(e: Error) -> Error {
    if e == ENODEV {
        errno::enotconn()
    } else {
        e
    }
}

impl Handler for Channel {
    type Chain = Request;
    type State = Pending;

    fn used(this: ArcBorrow<'_, Self>, queue: &VirtQueue<Self>) {
        let mut done: Option<KBox<Request>> = None;
        let mut ring = queue.lock();
        let mut count = 0;
        if queue.index() == 0 {
            ring.drain_used(|mut request, len| {
                if request.opcode() == Opcode::INTERRUPT {
                    this.interrupt_done(request, Ok(len));
                    return;
                }
                request.next = done.take();
                done = Some(request);
            });
            drop(ring);
            while let Some(mut request) = done {
                done = request.next.take();
                this.forget_sent(Some(request));
            }
            this.send_forgets();
            Self::reap_later(this);
            return;
        }
        ring.drain_used(|request, len| {
            count += 1;
            this.finish(request, Ok(len));
        });
        let state = ring.state();
        state.in_flight -= count;
        let more = !state.line.is_empty();
        drop(ring);
        if more && this.refill(queue) {
            queue.notify();
        }
        Self::reap_later(this);
    }
}

impl Transport for Channel {
    fn submit(&self, request: KBox<Request>) {
        let queue = self.queues.as_ref().and_then(|queues| {
            let cpu = CpuId::current().as_u32() as usize;
            queues.get(1 + self.cpus.as_ref().and_then(|cpus| cpus.get(cpu)).copied()?)
        });
        let Some(queue) = queue else {
            self.refuse(request, errno::enotconn());
            return;
        };
        let mut ring = queue.lock();
        if !ring.is_open() {
            drop(ring);
            self.refuse(request, errno::enotconn());
            return;
        }
        if !ring.state().line.is_empty() {
            ring.state().join(request);
            return;
        }
        match ring.add(request) {
            Ok(()) => {
                ring.state().in_flight += 1;
                let kick = ring.kick_prepare();
                drop(ring);
                if kick {
                    queue.notify();
                }
            }
            Err((request, e)) => {
                if ring.state().may_wait(e, Moment::now()) {
                    ring.state().join(request);
                    self.see_after(ring.state());
                } else {
                    drop(ring);
                    self.refuse(request, submit_error(e));
                }
            }
        }
    }

    fn cancel(&self, unique: Unique) -> Option<KBox<Request>> {
        let queues = self.queues.as_ref()?;
        queues
            .iter()
            .skip(1)
            .find_map(|queue| queue.lock().state().line.remove(unique))
    }

    fn interrupt(&self, request: KBox<Request>) {
        let Some(queue) = self.queues.as_ref().and_then(|q| q.first()) else {
            self.interrupt_done(request, Err(errno::enotconn()));
            return;
        };
        let mut ring = queue.lock();
        match ring.add(request) {
            Ok(()) => {
                let kick = ring.kick_prepare();
                drop(ring);
                if kick {
                    queue.notify();
                }
            }
            Err((request, e)) => {
                drop(ring);
                let full = e == ENOSPC || e == ENOMEM;
                self.interrupt_done(request, Err(if full { EAGAIN } else { e }));
            }
        }
    }

    fn forget(&self, node: KBox<ForgetNode>) {
        self.forgets.lock().push(node);
        self.send_forgets();
    }

    fn drop_forgets(&self) {
        let list = self.forgets.lock().take();
        drop(list);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn max_pages(&self) -> usize {
        self.max_pages.load(Relaxed)
    }

    fn bad_reply(&self, request: &Request, what: &'static str) {
        self.bad_replies.fetch_add(1, Relaxed);
        chan::report_bad_reply(&self.name, request, what);
    }
}
