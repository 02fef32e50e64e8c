// SPDX-License-Identifier: GPL-2.0

//! One virtqueue, which owns the chains that are in it.
//!
//! A chain goes in as a box and its address is the token that the device gives back, so adding moves ownership and
//! taking used chains moves it back. The ring is only reachable through [`VirtQueue::lock`], an interrupt-disabling
//! lock, since completions take it in hard interrupts. Notifying the device leaves the guest, so it is done after
//! unlocking:
//!
//! ```ignore
//! let mut ring = queue.lock();
//! ring.add(chain)?;
//! let kick = ring.kick_prepare();
//! drop(ring);
//! if kick {
//!     queue.notify();
//! }
//! ```
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::{chain::SgBuilder, Chain, Handler};
use crate::{
    bindings,
    sync::irqlock::{new_irqlock, IrqLock, IrqLockGuard},
};
use core::{marker::PhantomData, ptr, ptr::NonNull};
use kernel::{
    error::to_result,
    page::PAGE_SIZE,
    prelude::*,
    str::{CStr, CString},
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu,
    },
};

/// The part of a queue that its lock protects.
///
/// # Invariants
///
/// - `vq`, when there, is a live virtqueue whose tokens all come from `KBox::<H::Chain>::into_raw`.
/// - `open` implies that `vq` is there.
pub(super) struct Inner<H: Handler> {
    vq: Option<NonNull<bindings::virtqueue>>,
    open: bool,
    table: KVec<bindings::scatterlist>,
    /// The most bytes that an entry of the table may have.
    most: usize,
    state: H::State,
    _chains: PhantomData<KBox<H::Chain>>,
}

// SAFETY: The virtqueue may be used from every thread, one at a time; the rest is `Send` by itself.
unsafe impl<H: Handler> Send for Inner<H> {}

/// A queue of a device, found by [`Device::find_queues`](super::Device).
///
/// It may outlive the device's binding: then adding gives `ENODEV` and there is nothing to take.
///
/// # Invariants
///
/// `notify` is null or a virtqueue that is not deleted before a grace period after `notify` became null.
#[pin_data]
pub(crate) struct VirtQueue<H: Handler> {
    index: usize,
    name: CString,
    size: Atomic<u32>,
    notify: Atomic<*mut bindings::virtqueue>,
    #[pin]
    ring: IrqLock<Inner<H>>,
}

// SAFETY: The pointer in `notify` may be used from every thread; the rest is `Send` by itself.
unsafe impl<H: Handler> Send for VirtQueue<H> {}
// SAFETY: Notifying needs no serialisation, and the ring is behind a lock.
unsafe impl<H: Handler> Sync for VirtQueue<H> {}

impl<H: Handler> VirtQueue<H> {
    /// A queue that no virtqueue is behind yet, with room to describe chains of `entries` pieces of memory.
    pub(super) fn new(
        index: usize,
        name: &CStr,
        entries: usize,
        state: H::State,
    ) -> Result<impl PinInit<Self, Error>> {
        let name = CString::try_from(name)?;
        let mut table = KVec::with_capacity(entries, GFP_KERNEL)?;
        for _ in 0..entries {
            table.push(pin_init::zeroed(), GFP_KERNEL)?;
        }
        // INVARIANT: No virtqueue, not open.
        let inner = Inner {
            vq: None,
            open: false,
            table,
            most: usize::MAX,
            state,
            _chains: PhantomData,
        };
        Ok(try_pin_init!(Self {
            index,
            name,
            size: Atomic::new(0),
            // INVARIANT: Null.
            notify: Atomic::new(ptr::null_mut()),
            ring <- new_irqlock!(inner, "virtio::VirtQueue::ring"),
        }))
    }

    /// Puts the virtqueue behind it and opens it.
    ///
    /// # Safety
    ///
    /// `vq` must be a virtqueue that nobody else uses, that holds no chain, and that is deleted only after
    /// [`Self::close`], a grace period, [`Self::detach`] until it gives nothing, and [`Self::forget`].
    pub(super) unsafe fn open(&self, vq: NonNull<bindings::virtqueue>) {
        // SAFETY: The virtqueue is live.
        let size = unsafe { bindings::virtqueue_get_vring_size(vq.as_ptr()) };
        self.size.store(size, Relaxed);
        let mut ring = self.ring.lock();
        // INVARIANT: The caller gives a live virtqueue without tokens.
        ring.vq = Some(vq);
        // Where DMA takes place by way of bounce buffers, they are not of every size.
        // SAFETY: A virtqueue's device is live as long as itself is.
        ring.most = unsafe { bindings::virtio_max_dma_size((*vq.as_ptr()).vdev) }.max(PAGE_SIZE);
        ring.open = true;
        drop(ring);
        // INVARIANT: The caller waits for a grace period between `close` and the deletion.
        self.notify.store(vq.as_ptr(), Release);
    }

    /// Refuses new chains and notifications from now on. Used chains can still be taken.
    pub(super) fn close(&self) {
        self.ring.lock().open = false;
        self.notify.store(ptr::null_mut(), Relaxed);
    }

    /// Takes back a chain that the device never answered.
    ///
    /// # Safety
    ///
    /// The device must have been reset, so that it no longer accesses the chains, and the queue closed.
    pub(super) unsafe fn detach(&self) -> Option<KBox<H::Chain>> {
        let ring = self.ring.lock();
        let vq = ring.vq?;
        // SAFETY: The virtqueue is live and the lock serialises its use; the device is reset.
        let token = unsafe { bindings::virtqueue_detach_unused_buf(vq.as_ptr()) };
        // SAFETY: Tokens come from `KBox::into_raw`, by the type invariant, and each is given back once.
        (!token.is_null()).then(|| unsafe { KBox::from_raw(token.cast()) })
    }

    /// Parts from the virtqueue, which may then be deleted.
    pub(super) fn forget(&self) {
        let mut ring = self.ring.lock();
        // INVARIANT: No virtqueue, not open.
        ring.open = false;
        ring.vq = None;
    }

    /// The queue's number on the device, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The queue's name, as given when it was found.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// How many descriptors it has; a chain may not have more pieces than this.
    pub(crate) fn size(&self) -> u32 {
        self.size.load(Relaxed)
    }

    /// Locks the ring, with interrupts off.
    pub(crate) fn lock(&self) -> Ring<'_, H> {
        Ring {
            queue: self,
            inner: self.ring.lock(),
        }
    }

    /// Tells the device that there are new chains. Needs no lock; does nothing once the queue is closed.
    pub(crate) fn notify(&self) {
        let _rcu = rcu::read_lock();
        let vq = self.notify.load(Acquire);
        if !vq.is_null() {
            // SAFETY: By the type invariant it is not deleted before this read-side section ends. A failure breaks the
            // queue, which adding reports.
            unsafe { bindings::virtqueue_notify(vq) };
        }
    }
}

/// The locked ring of a queue.
pub(crate) struct Ring<'a, H: Handler> {
    queue: &'a VirtQueue<H>,
    inner: IrqLockGuard<'a, Inner<H>>,
}

impl<H: Handler> Ring<'_, H> {
    /// The driver's own data under the queue's lock, such as the chains that wait for room.
    pub(crate) fn state(&mut self) -> &mut H::State {
        &mut self.inner.state
    }

    /// Whether chains can be added: the queue was neither closed nor has it lost its device.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.open
    }

    /// Gives a chain to the device. It belongs to the queue until [`Self::take_used`] or the shutdown returns it.
    ///
    /// # Errors
    ///
    /// The chain comes back with: `ENOSPC` when the ring is full (try again after something was taken), `ENOMEM`, `EIO`
    /// when the queue is broken, `ENODEV` when it is closed, `E2BIG` when the chain has more pieces than the queue has
    /// descriptors or than its table has room, `EINVAL` when it is empty, or what [`Chain::build`] returned. Drop it only
    /// after unlocking where dropping it may sleep.
    pub(crate) fn add(&mut self, chain: KBox<H::Chain>) -> Result<(), (KBox<H::Chain>, Error)> {
        let inner = &mut *self.inner;
        let vq = match inner.vq {
            Some(vq) if inner.open => vq,
            _ => return Err((chain, ENODEV)),
        };
        // The pointers that the device gets derive from the token, not from a box that is moved afterwards.
        let token = KBox::into_raw(chain);
        let mut sg = SgBuilder::new(&mut inner.table, inner.most);
        // SAFETY: `token` came from a box that was ours and nobody else has it.
        let built = unsafe { &mut *token }.build(&mut sg);
        let (mut heads, readable, writable) = sg.finish();
        let result = match (built, sg.pieces()) {
            (Err(e), _) => Err(e),
            (Ok(()), 0) => Err(EINVAL),
            // More than all descriptors would never fit where indirect tables cannot be used or allocated.
            (Ok(()), n) if n > self.queue.size() as usize => Err(E2BIG),
            // SAFETY: The virtqueue is live and locked; `heads` has `readable + writable` terminated lists, whose
            // memory belongs to the chain, which nobody touches until its token comes back.
            (Ok(()), _) => to_result(unsafe {
                bindings::virtqueue_add_sgs(
                    vq.as_ptr(),
                    heads.as_mut_ptr(),
                    readable,
                    writable,
                    token.cast(),
                    kernel::bindings::GFP_ATOMIC,
                )
            }),
        };
        result.map_err(|e| {
            // SAFETY: Not added, so the token is still ours.
            (unsafe { KBox::from_raw(token) }, e)
        })
    }

    /// Takes a chain that the device is done with, and how many bytes the device says it wrote.
    ///
    /// The number is the device's claim: compare it with what the chain has room for before using it as a length.
    pub(crate) fn take_used(&mut self) -> Option<(KBox<H::Chain>, u32)> {
        let mut len = 0;
        // SAFETY: The virtqueue is live and locked.
        let token = unsafe { bindings::virtqueue_get_buf(self.inner.vq?.as_ptr(), &mut len) };
        // SAFETY: Tokens come from `KBox::into_raw`, by the type invariant; the ring gives each back once.
        (!token.is_null()).then(|| (unsafe { KBox::from_raw(token.cast()) }, len))
    }

    /// Makes the added chains visible. True when the device wants a [`VirtQueue::notify`], due after unlocking.
    #[must_use = "the device does not look at the queue before it is notified"]
    pub(crate) fn kick_prepare(&mut self) -> bool {
        self.inner.vq.is_some_and(|vq| {
            // SAFETY: The virtqueue is live and locked.
            unsafe { bindings::virtqueue_kick_prepare(vq.as_ptr()) }
        })
    }

    /// Asks the device not to interrupt; a hint only.
    pub(crate) fn disable_cb(&mut self) {
        if let Some(vq) = self.inner.vq {
            // SAFETY: The virtqueue is live and locked.
            unsafe { bindings::virtqueue_disable_cb(vq.as_ptr()) };
        }
    }

    /// Asks for interrupts again. False when used chains came in meanwhile: take them, no interrupt will tell.
    #[must_use = "used chains may be waiting"]
    pub(crate) fn enable_cb(&mut self) -> bool {
        self.inner.vq.is_none_or(|vq| {
            // SAFETY: The virtqueue is live and locked.
            unsafe { bindings::virtqueue_enable_cb(vq.as_ptr()) }
        })
    }

    /// Takes all used chains, as an interrupt handler does: with interrupts of the device off while it works.
    pub(crate) fn drain_used(&mut self, mut each: impl FnMut(KBox<H::Chain>, u32)) {
        loop {
            self.disable_cb();
            while let Some((chain, len)) = self.take_used() {
                each(chain, len);
            }
            if self.is_broken() || self.enable_cb() {
                return;
            }
        }
    }

    /// Whether the ring is unusable: the device broke the rules or is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.inner.vq.is_none_or(|vq| {
            // SAFETY: The virtqueue is live.
            unsafe { bindings::virtqueue_is_broken(vq.as_ptr()) }
        })
    }
}
