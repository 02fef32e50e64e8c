// SPDX-License-Identifier: GPL-2.0

//! Runs the tests that stand in `drivers/virtio/cap.rs`: shared-memory capabilities as a device may write them.

#[path = "../../../../drivers/virtio/cap.rs"]
mod cap;
