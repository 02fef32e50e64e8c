// SPDX-License-Identifier: GPL-2.0

//! FS-DAX: file data that is reached in memory of a device instead of the page cache.
//!
//! - [`device`], [`pagemap`]: a window of device memory as a dax device;
//! - [`iomap`]: where the bytes of a file are in the window, and reading and writing there;
//! - [`mod@copy`]: reading and writing at a place that is known;
//! - [`fault`]: page faults on a mapping;
//! - [`layout`]: taking page tables and DAX entries away before the window below them changes.

mod copy;
pub(crate) mod device;
pub(crate) mod fault;
pub(crate) mod iomap;
pub(crate) mod layout;
pub(crate) mod pagemap;
