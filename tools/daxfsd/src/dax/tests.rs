// SPDX-License-Identifier: GPL-2.0

//! The window against something that checks what QEMU checks: it refuses a map past the end of a file, an overlapping
//! map, an unmap that matches no map, and a file that is not open for writing.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::table::SLOT;
use super::*;
use crate::proto::{SETUPMAPPING_FLAG_READ, SETUPMAPPING_FLAG_WRITE};

const MAP: u32 = 9;
const UNMAP: u32 = 10;
const RO: u64 = SETUPMAPPING_FLAG_READ;
const RW: u64 = SETUPMAPPING_FLAG_READ | SETUPMAPPING_FLAG_WRITE;

/// Answers maps and unmaps until the other end is gone, and returns what is still mapped.
fn qemu(sock: UnixStream) -> Vec<(u64, u64)> {
    let mut live: Vec<(u64, u64)> = Vec::new();
    loop {
        let mut msg = [0u8; 52];
        let Ok((52, file)) = sock.recv_with_fd(&mut msg) else {
            return live;
        };
        let word = |at: usize| u64::from_ne_bytes(msg[at..at + 8].try_into().unwrap());
        let code = u32::from_ne_bytes(msg[..4].try_into().unwrap());
        let (fd_offset, at, len, flags) = (word(20), word(28), word(36), word(44));
        let fine = match (code, file) {
            (MAP, Some(file)) => {
                // SAFETY: F_GETFL takes no memory.
                let mode = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
                let fine = flags == 1
                    && mode & libc::O_ACCMODE == libc::O_RDWR
                    && file.metadata().unwrap().len() >= fd_offset + len
                    && !live.iter().any(|(a, n)| at < a + n && *a < at + len);
                live.push((at, len));
                fine
            }
            (UNMAP, None) => match live.iter().position(|x| *x == (at, len)) {
                Some(i) => {
                    live.swap_remove(i);
                    true
                }
                None => false,
            },
            _ => false,
        };
        let mut reply = Vec::new();
        for word in [code, 0x5, 8, !fine as u32, 0] {
            reply.extend_from_slice(&word.to_ne_bytes());
        }
        sock.send_with_fds(&[&reply[..]], &[]).unwrap();
    }
}

struct Rig {
    window: Window,
    counters: Arc<Counters>,
    qemu: JoinHandle<Vec<(u64, u64)>>,
}

impl Rig {
    fn new() -> Self {
        let counters = Arc::new(Counters::new());
        let window = Window::new(8 * SLOT, 0, 4096, false, counters.clone());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let backend = Backend::from_stream(ours);
        backend.set_reply_ack_flag(true);
        backend.set_shmem_flag(true);
        window.set_backend(Some(backend));
        let qemu = std::thread::spawn(move || qemu(theirs));
        Rig {
            window,
            counters,
            qemu,
        }
    }

    fn setup(&self, node: u64, file: &File, range: (u64, u64), flags: u64, at: u64) -> Res<()> {
        let req = SetupmappingIn {
            fh: u64::MAX,
            foffset: range.0,
            len: range.1,
            flags,
            moffset: at,
        };
        self.window.setup(node, file.as_fd(), &req)
    }

    fn remove(&self, moffset: u64, len: u64) -> Res<()> {
        self.window.remove(&[RemovemappingOne { moffset, len }])
    }

    fn end(self) -> Vec<(u64, u64)> {
        self.window.set_backend(None);
        drop(self.window);
        self.qemu.join().unwrap()
    }
}

fn value(c: &AtomicU64) -> u64 {
    c.load(Relaxed)
}

#[test]
fn files_grow_for_the_map_only() {
    let rig = Rig::new();
    let file = tempfile::tempfile().unwrap();
    for size in [0, 1, 5000, SLOT, SLOT + 1] {
        file.set_len(0).unwrap();
        file.write_all_at(&vec![7; size as usize], 0).unwrap();
        let before = file.metadata().unwrap();
        rig.setup(2, &file, (0, 2 * SLOT), RO, 0).unwrap();
        let after = file.metadata().unwrap();
        assert_eq!(after.len(), size);
        assert_eq!(
            (after.mtime(), after.mtime_nsec(), after.atime_nsec()),
            (before.mtime(), before.mtime_nsec(), before.atime_nsec())
        );
        rig.remove(0, 2 * SLOT).unwrap();
    }
    assert_eq!(value(&rig.counters.qemu_refused), 0);
    assert_eq!(rig.end(), []);
}

#[test]
fn upgrades_do_nothing_and_reuse_unmaps_first() {
    let rig = Rig::new();
    let file = tempfile::tempfile().unwrap();
    rig.setup(2, &file, (0, 2 * SLOT), RO, SLOT).unwrap();
    rig.setup(2, &file, (SLOT, SLOT), RW, 2 * SLOT).unwrap();
    rig.setup(2, &file, (SLOT, SLOT), RO, 2 * SLOT).unwrap();
    let c = &rig.counters;
    assert_eq!(
        (value(&c.maps), value(&c.upgrades), value(&c.remaps)),
        (2, 1, 1)
    );
    rig.setup(3, &file, (0, SLOT), RO, SLOT).unwrap();
    assert_eq!((value(&c.maps), value(&c.unmaps)), (3, 1));
    assert_eq!((value(&c.overlays), value(&c.qemu_refused)), (1, 0));
    assert_eq!(rig.remove(0, SLOT), Err(Errno(libc::EINVAL)));
    assert_eq!(rig.remove(SLOT, SLOT / 2), Err(Errno(libc::EINVAL)));
    assert_eq!(value(&c.unmap_unmapped), 2);
    let slots: Vec<_> = rig.window.mappings().iter().map(|(at, _)| *at).collect();
    assert_eq!(slots, [SLOT, 2 * SLOT]);
    rig.window.unmap_all(false);
    assert_eq!(value(&rig.counters.left_mapped), 2);
    assert_eq!(rig.end(), []);
}

#[test]
fn a_stopped_device_asks_nothing_and_a_reset_one_forgets() {
    let rig = Rig::new();
    let file = tempfile::tempfile().unwrap();
    rig.setup(2, &file, (0, SLOT), RW, 0).unwrap();
    rig.window.stop();
    let refused = rig.setup(2, &file, (0, SLOT), RW, SLOT);
    assert_eq!(refused, Err(Errno(libc::EIO)));
    // Paused and continued: what was mapped still is.
    rig.window.start();
    assert_eq!(rig.window.mappings().len(), 1);
    rig.setup(2, &file, (0, SLOT), RW, SLOT).unwrap();
    // A driver begins anew: QEMU has unmapped by itself, here it has not.
    rig.window.unmap_all(true);
    assert!(rig.window.mappings().is_empty());
    assert_eq!(value(&rig.counters.unmaps), 0);
    assert_eq!(rig.end().len(), 2);
}
