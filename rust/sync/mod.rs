// SPDX-License-Identifier: GPL-2.0

//! What `kernel::sync` and `kernel::workqueue` lack: killable waits, a spinlock for interrupt context, a work queue that
//! ends with the module.

pub(crate) mod irqlock;
pub(crate) mod waitq;
pub(crate) mod workqueue;

pub(crate) use irqlock::IrqLock;
pub(crate) use waitq::WaitQueue;
pub(crate) use workqueue::OwnedQueue;
