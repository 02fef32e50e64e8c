// SPDX-License-Identifier: GPL-2.0

//! All queues of a device: finding them, the interrupt callback, and the shutdown.
//!
//! While the queues exist, `virtio_device.priv` points to an [`Attachment`]. It keeps the handler and the queues alive
//! for the interrupt callbacks, and knows how to shut them down whatever type they have, so that the driver glue can do
//! it when the driver did not. The handler is not reachable from [`Queues`], so a handler may own its queues without
//! making a cycle that never ends.

use super::{Chain, Device, VirtQueue};
use crate::bindings;
use core::{ops::Deref, ptr, ptr::NonNull};
use kernel::{
    device::Core,
    error::to_result,
    prelude::*,
    str::CStr,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc, ArcBorrow,
    },
};

/// What a driver does with its queues.
pub(crate) trait Handler: Send + Sync + Sized + 'static {
    /// What travels through the queues.
    type Chain: Chain;

    /// The driver's data for each queue, under the queue's lock; `()` where there is none.
    type State: Send + Unpin;

    /// The device has returned chains on `queue`. Runs in hard interrupt context; see
    /// [`Ring::drain_used`](super::queue::Ring::drain_used).
    fn used(this: ArcBorrow<'_, Self>, queue: &VirtQueue<Self>);
}

/// Which queues to find.
pub(crate) struct Layout<'a> {
    /// One name for each queue, in the device's order; all have callbacks.
    pub(crate) names: &'a [&'a CStr],
    /// The most pieces of memory that a chain has, so that no table is allocated when one is added.
    pub(crate) entries: usize,
    /// Spreads the interrupts of the queues over the CPUs, but for this many queues at the start.
    pub(crate) pre_vectors: Option<u16>,
}

/// The queues of one device.
struct Set<H: Handler>(KVec<Pin<KBox<VirtQueue<H>>>>);

/// A handle to the queues of a device. It may outlive the device, see [`VirtQueue`].
pub(crate) struct Queues<H: Handler>(Arc<Set<H>>);

impl<H: Handler> Clone for Queues<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Handler> Deref for Queues<H> {
    type Target = [Pin<KBox<VirtQueue<H>>>];

    fn deref(&self) -> &Self::Target {
        &self.0 .0
    }
}

/// The part of an [`Attachment`] that does not depend on its type.
#[repr(C)]
struct Header {
    /// Shuts down and frees the attachment that this is the start of.
    delete: unsafe fn(NonNull<Header>, &Device<Core<'_>>),
    /// The address of the attachment's set, which tells whose it is.
    set: *const c_void,
}

/// What `virtio_device.priv` points to while there are queues.
#[repr(C)]
struct Attachment<H: Handler> {
    header: Header,
    handler: Arc<H>,
    set: Arc<Set<H>>,
}

/// `virtio_device.priv`, which the interrupt callbacks read without a lock.
///
/// # Safety
///
/// `vdev` must stay a bound device of one of our drivers during `'a`.
unsafe fn private<'a>(vdev: *mut bindings::virtio_device) -> &'a Atomic<*mut c_void> {
    // SAFETY: The field is valid, and everybody accesses it through this function while the device is bound to us.
    unsafe { Atomic::from_ptr(&raw mut (*vdev).priv_) }
}

/// Before probe: forgets what an earlier driver may have left.
pub(super) fn init(dev: &Device<Core<'_>>) {
    // SAFETY: The device is bound to us, as we are in its probe.
    unsafe { private(dev.as_raw()) }.store(ptr::null_mut(), Release);
}

/// After a failed probe, and after remove: shuts down the queues if the driver did not. Their chains are dropped.
pub(super) fn delete(dev: &Device<Core<'_>>) {
    // SAFETY: The device is bound to us.
    let attached = unsafe { private(dev.as_raw()) }.load(Acquire);
    if let Some(header) = NonNull::new(attached.cast::<Header>()) {
        // SAFETY: `priv` is null or points to an attachment, which starts with its header. Probe and remove exclude
        // each other, so nobody else deletes it.
        unsafe { (header.as_ref().delete)(header, dev) };
    }
}

impl Device<Core<'_>> {
    /// Finds the queues and has the handler called for them from now on, that is, once the device is
    /// [`ready`](Device::ready).
    ///
    /// `state` makes the driver's data of each queue.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an empty layout, `EBUSY` when the device has its queues already, else what the transport says
    /// (`ENOENT` when the device has fewer queues).
    pub(crate) fn find_queues<H: Handler>(
        &self,
        layout: &Layout<'_>,
        handler: Arc<H>,
        mut state: impl FnMut(usize) -> H::State,
    ) -> Result<Queues<H>> {
        let count = layout.names.len();
        if count == 0 || layout.entries == 0 {
            return Err(EINVAL);
        }
        // SAFETY: We have a `Device<Core>`, so it is bound.
        let private = unsafe { private(self.as_raw()) };
        if !private.load(Acquire).is_null() {
            return Err(EBUSY);
        }

        let mut queues = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut info = KVec::with_capacity(count, GFP_KERNEL)?;
        let mut vqs = KVec::from_elem(ptr::null_mut::<bindings::virtqueue>(), count, GFP_KERNEL)?;
        for (index, name) in layout.names.iter().enumerate() {
            let queue = VirtQueue::<H>::new(index, name, layout.entries, state(index))?;
            let queue = KBox::pin_init(queue, GFP_KERNEL)?;
            info.push(
                bindings::virtqueue_info {
                    // The virtqueue keeps this pointer, so it gets the copy that the queue owns.
                    name: queue.name().as_char_ptr(),
                    callback: Some(callback::<H>),
                    ctx: false,
                },
                GFP_KERNEL,
            )?;
            queues.push(queue, GFP_KERNEL)?;
        }
        // Allocated before the virtqueues exist, so that nothing can fail afterwards.
        let set = Arc::new(Set(queues), GFP_KERNEL)?;
        let attachment = KBox::new(
            Attachment {
                header: Header {
                    delete: delete_attachment::<H>,
                    set: Arc::as_ptr(&set).cast(),
                },
                handler,
                set: set.clone(),
            },
            GFP_KERNEL,
        )?;

        let pre_vectors = layout.pre_vectors.map_or(-1, c_int::from);
        // SAFETY: The device is bound; the arrays have `count` entries, and the names outlive the virtqueues, which are
        // deleted before the attachment that owns the queues.
        to_result(unsafe {
            bindings::rust_fuse_virtio_find_vqs(
                self.as_raw(),
                count.try_into()?,
                vqs.as_mut_ptr(),
                info.as_mut_ptr(),
                pre_vectors,
            )
        })?;
        for (queue, vq) in set.0.iter().zip(&vqs) {
            if let Some(vq) = NonNull::new(*vq) {
                // SAFETY: The virtqueue is new; `shut_down` closes it and does the rest before it is deleted.
                unsafe { queue.open(vq) };
            }
        }
        private.store(KBox::into_raw(attachment).cast(), Release);
        Ok(Queues(set))
    }
}

/// The interrupt callback of each queue.
///
/// # Safety
///
/// For the transport only: `vq` is a live virtqueue that `find_queues::<H>` found.
unsafe extern "C" fn callback<H: Handler>(vq: *mut bindings::virtqueue) {
    // SAFETY: The virtqueue is live, and interrupts end before the device is unbound.
    let (index, private) = unsafe { ((*vq).index as usize, private((*vq).vdev)) };
    // SAFETY: Set by `find_queues::<H>`, as it registered this callback, and freed after the interrupts have ended.
    let Some(attachment) = (unsafe { private.load(Acquire).cast::<Attachment<H>>().as_ref() })
    else {
        return;
    };
    if let Some(queue) = attachment.set.0.get(index) {
        H::used(attachment.handler.as_arc_borrow(), queue);
    }
}

impl<H: Handler> Queues<H> {
    /// Ends the queues: refuses new chains, resets the device, gives `unanswered` every chain that the device still
    /// had, and deletes the virtqueues. Does nothing if that was done before.
    ///
    /// Chains that the device answered before the reset may still reach [`Handler::used`] during the call, not later.
    pub(crate) fn shutdown(
        &self,
        dev: &Device<Core<'_>>,
        unanswered: impl FnMut(&VirtQueue<H>, KBox<H::Chain>),
    ) {
        // SAFETY: We have a `Device<Core>`, so it is bound.
        let attached = unsafe { private(dev.as_raw()) }.load(Acquire);
        let Some(header) = NonNull::new(attached.cast::<Header>()) else {
            return;
        };
        // SAFETY: `priv` points to an attachment, which starts with its header.
        if unsafe { header.as_ref() }.set != Arc::as_ptr(&self.0).cast() {
            return;
        }
        // SAFETY: The attachment has our set, so it is the one that `find_queues::<H>` made for it; having a `Device<Core>`
        // excludes others.
        unsafe { shut_down::<H>(header, dev, unanswered) };
    }
}

/// # Safety
///
/// `header` must be the start of an `Attachment<H>`, which is what `dev`'s `priv` points to.
unsafe fn delete_attachment<H: Handler>(header: NonNull<Header>, dev: &Device<Core<'_>>) {
    // SAFETY: As this function requires.
    unsafe { shut_down::<H>(header, dev, |_, chain| drop(chain)) };
}

/// # Safety
///
/// As for [`delete_attachment`].
unsafe fn shut_down<H: Handler>(
    header: NonNull<Header>,
    dev: &Device<Core<'_>>,
    mut unanswered: impl FnMut(&VirtQueue<H>, KBox<H::Chain>),
) {
    // SAFETY: As this function requires; it is freed at the end only.
    let attachment = unsafe { header.cast::<Attachment<H>>().as_ref() };
    let queues = &attachment.set.0;
    for queue in queues {
        queue.close();
    }
    // A device must not be notified once it is reset: wait for those who saw the queue open.
    // SAFETY: Probe and remove may sleep.
    unsafe { kernel::bindings::synchronize_rcu() };
    dev.ensure_reset();
    for queue in queues {
        // SAFETY: The queue is closed and the device reset.
        while let Some(chain) = unsafe { queue.detach() } {
            unanswered(queue, chain);
        }
        queue.forget();
    }
    // This waits for interrupt callbacks, which use the attachment, so it goes last.
    // SAFETY: All queues are closed, empty and forgotten, after a grace period.
    unsafe { bindings::rust_fuse_virtio_del_vqs(dev.as_raw()) };
    // SAFETY: The device is bound; nobody reads `priv` any more, as there are no callbacks.
    unsafe { private(dev.as_raw()) }.store(ptr::null_mut(), Release);
    // SAFETY: `find_queues` made it from a box, and `priv`, the only pointer to it, is gone.
    drop(unsafe { KBox::from_raw(header.cast::<Attachment<H>>().as_ptr()) });
}
