// SPDX-License-Identifier: GPL-2.0

//! Tests of the io modes of an inode, `fs/fuse/iomode.rs`.

mod concurrent;
mod histories;
mod interleavings;
mod model;
