// SPDX-License-Identifier: GPL-2.0

//! Virtio: the driver registration, the device with its config space, and queues that own their buffers.
//!
//! - [`driver`]: the [`Driver`] trait and its [`Registration`];
//! - [`device`]: [`Device`], its features, config space, reset and shared-memory regions;
//! - [`chain`]: what a descriptor chain is made of ([`Chain`], [`SgBuilder`]);
//! - [`queue`]: one queue: adding, taking used chains, notifications ([`VirtQueue`], [`queue::Ring`]);
//! - [`queues`]: all queues of a device: finding them, the interrupt callback, the shutdown ([`Queues`]).
//!
//! Life of a device: `probe` finds the queues and calls [`Device::ready`]; chains travel; `remove` calls
//! [`Queues::shutdown`], which refuses new chains, resets the device, hands back what it still had, and deletes the
//! queues. If `probe` fails or `remove` forgets, the driver glue does the same and drops the chains, so that the device
//! never owns memory that no driver watches.

pub(crate) mod chain;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod queue;
pub(crate) mod queues;

pub(crate) use chain::{Chain, SgBuilder};
pub(crate) use device::Device;
pub(crate) use driver::{DeviceId, Driver, Registration};
pub(crate) use queue::VirtQueue;
pub(crate) use queues::{Handler, Layout, Queues};
