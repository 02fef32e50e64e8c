// SPDX-License-Identifier: GPL-2.0

//! What has happened so far, readable through the control socket while the device runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::proto::op;

/// Opcodes above this are counted as bad requests only.
const MAX_OPCODE: usize = 64;

/// So many requests are remembered in their order.
const RECENT: usize = 512;

/// Declares the counters that are not opcodes, together with their names.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters of the device.
        pub struct Counters {
            ops: [AtomicU64; MAX_OPCODE],
            /// Opcode and node of the last requests, the oldest first.
            recent: Mutex<VecDeque<(u32, u64)>>,
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Counters {
            pub fn new() -> Self {
                Counters { ops: std::array::from_fn(|_| AtomicU64::new(0)), recent: Mutex::default(), $($name: AtomicU64::new(0),)* }
            }

            /// The counters that are not opcodes, by name.
            pub fn others(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }

            /// Sets all counters to zero.
            pub fn reset(&self) {
                self.ops.iter().for_each(|c| c.store(0, Relaxed));
                self.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
                $(self.$name.store(0, Relaxed);)*
            }
        }
    };
}

counters! {
    /// Requests that got a reply.
    round_trips,
    /// Replies that carried an error.
    errors,
    /// Inode references that the driver gave back (single FORGETs and entries of BATCH_FORGET).
    forgets,
    /// FORGET of an unknown inode, or of more lookups than there were.
    bad_forgets,
    /// GETATTR, STATX and SETATTR that named an open file.
    by_handle,
    /// Ranges mapped into the window at QEMU.
    maps,
    /// Ranges unmapped at QEMU.
    unmaps,
    /// A slot that was mapped to something else was mapped anew without REMOVEMAPPING before.
    overlays,
    /// A read-only mapping became writable.
    upgrades,
    /// A slot was mapped again exactly as it was.
    remaps,
    /// Requests that break the protocol: too short, bad header, unknown handle, misaligned or outside the window.
    bad_requests,
    /// REMOVEMAPPING of a range that is not mapped.
    unmap_unmapped,
    /// A mapped slot asked for by another file or offset, refused because of --strict-slots.
    slot_twice,
    /// Maps and unmaps that QEMU refused.
    qemu_refused,
    /// Mappings that were left when the driver said goodbye or the device was reset.
    left_mapped,
    /// Faults played on the driver.
    faults,
    /// Requests that name their caller, although mounts may show other owners than there are and nothing is made.
    stray_ids,
    /// Names or paths that tried to leave the shared folder.
    escapes,
}

impl Counters {
    /// Counts a request.
    pub fn request(&self, opcode: u32, nodeid: u64) {
        if let Some(c) = self.ops.get(opcode as usize) {
            c.fetch_add(1, Relaxed);
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((opcode, nodeid));
    }

    /// The last requests in the order in which they came off their queues: the opcode and the node.
    pub fn recent(&self) -> Vec<(u32, u64)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().copied().collect()
    }

    /// The opcodes seen so far, by name.
    pub fn opcodes(&self) -> Vec<(&'static str, u64)> {
        op::NAMES
            .iter()
            .map(|(name, v)| (*name, self.ops[*v as usize].load(Relaxed)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }
}

/// Adds one.
pub fn count(c: &AtomicU64) {
    c.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_opcode_has_a_counter() {
        let c = Counters::new();
        for (_, v) in op::NAMES {
            c.request(*v, 1);
        }
        c.request(4096, 7);
        assert_eq!(c.recent().last(), Some(&(4096, 7)));
        assert_eq!(c.opcodes().len(), op::NAMES.len());
        count(&c.maps);
        assert!(c.others().contains(&("maps", 1)));
        c.reset();
        assert!(c.opcodes().is_empty() && c.recent().is_empty());
    }
}
