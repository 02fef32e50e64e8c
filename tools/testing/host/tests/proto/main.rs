// SPDX-License-Identifier: GPL-2.0

//! Tests of the wire format, `fs/fuse/proto`.

mod codec;
mod dirents;
mod layout;
mod reply;
mod structs;
