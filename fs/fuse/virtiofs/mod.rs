// SPDX-License-Identifier: GPL-2.0

//! virtiofs: FUSE over virtio queues, with file data in a shared window.
//!
//! - [`driver`]: devices come and go;
//! - [`registry`]: the devices that are there, by tag;
//! - [`channel`]: requests through the queues of one device; [`pending`]: those that wait for a place there;
//! - [`parts`]: the super blocks of one device;
//! - [`mount`]: the file system type `virtiofs`;
//! - [`unplug`]: what a device that goes leaves behind.

pub(crate) mod channel;
pub(crate) mod driver;
mod forgets;
pub(crate) mod mount;
pub(crate) mod parts;
mod pending;
pub(crate) mod registry;
mod unplug;

pub(crate) use driver::Instance;
pub(crate) use parts::Parts;
pub(crate) use registry::Registry;
