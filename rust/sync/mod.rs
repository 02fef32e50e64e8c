// SPDX-License-Identifier: GPL-2.0

//! What `kernel::sync`, `kernel::xarray` and `kernel::workqueue` lack: killable waits, a spinlock for interrupt context, arrays
//! of numbers that are read without a lock, work that is done every so often, a work queue that ends with the module.

pub(crate) mod irqlock;
pub(crate) mod numbers;
pub(crate) mod ticker;
pub(crate) mod waitq;
pub(crate) mod workqueue;

pub(crate) use irqlock::IrqLock;
pub(crate) use numbers::Numbers;
pub(crate) use ticker::Ticker;
pub(crate) use waitq::WaitQueue;
pub(crate) use workqueue::OwnedQueue;
