// SPDX-License-Identifier: GPL-2.0

//! `/dev/fuse`: servers that are processes.
//!
//! - [`device`]: open files of the device;
//! - [`queue`]: what a server has to do, an [`entry`] for each request; [`busy`]: what FORGETs wait for;
//! - [`channel`]: requests to the server;
//! - [`serve`]: what it reads and writes;
//! - [`mount`]: the file system types `fuse` and `fuseblk`.

mod busy;
pub(crate) mod channel;
pub(crate) mod device;
mod entry;
pub(crate) mod mount;
mod queue;
mod serve;

pub(crate) use channel::Channel;
pub(crate) use device::Device;
