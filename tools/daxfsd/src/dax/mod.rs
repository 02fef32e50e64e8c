// SPDX-License-Identifier: GPL-2.0

//! The DAX window: SETUPMAPPING and REMOVEMAPPING at QEMU. Stock QEMU imposes rules, each found by breaking it:
//! it maps writable whatever it is told, so the file is always open for reading and writing; a read-only mapping that
//! becomes writable needs nothing (unmap and map would leave a hole that another processor sees); a map must not reach
//! past the end of the file, so the file grows for that moment; an unmap must match its map exactly; and everything has
//! to be unmapped before the driver comes again.

mod table;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst}, //
};
use std::sync::{Arc, Mutex, MutexGuard};

use vhost::vhost_user::message::{VhostUserMMap, VhostUserMMapFlags};
use vhost::vhost_user::{Backend, VhostUserFrontendReqHandler};

use crate::counters::{count, Counters};
use crate::proto::{RemovemappingOne, SetupmappingIn};
use crate::sys::{self, Errno, Res};
pub use table::{Mapping, Refused};
use table::{Step, Table};

/// The window and the channel to QEMU.
pub struct Window {
    size: u64,
    shmid: u8,
    counters: Arc<Counters>,
    backend: Mutex<Option<Backend>>,
    /// Held while QEMU works, so that maps and unmaps happen in the order in which they are noted.
    table: Mutex<Table>,
    /// The queues are stopped: QEMU would crash on a map or unmap now.
    stopped: AtomicBool,
    /// The queues were stopped since the last INIT.
    restarted: AtomicBool,
    /// Identities of all files that were ever mapped for this QEMU.
    files: Mutex<HashSet<(u64, u64)>>,
}

/// A file that reaches at least to some offset while this lives. Whoever makes one holds the inode's `io` lock for
/// writing, so that nobody else reads, writes or resizes the file through us meanwhile.
struct Grown<'a> {
    file: BorrowedFd<'a>,
    back_to: Option<(u64, [libc::timespec; 2])>,
}

impl<'a> Grown<'a> {
    fn new(file: BorrowedFd<'a>, end: u64) -> Res<Self> {
        let st = sys::fstat(file.as_raw_fd())?;
        if st.st_size as u64 >= end {
            return Ok(Grown {
                file,
                back_to: None,
            });
        }
        let times = [
            libc::timespec {
                tv_sec: st.st_atime,
                tv_nsec: st.st_atime_nsec,
            },
            libc::timespec {
                tv_sec: st.st_mtime,
                tv_nsec: st.st_mtime_nsec,
            },
        ];
        sys::ftruncate(file.as_raw_fd(), end)?;
        Ok(Grown {
            file,
            back_to: Some((st.st_size as u64, times)),
        })
    }
}

impl Drop for Grown<'_> {
    fn drop(&mut self) {
        let Some((size, times)) = &self.back_to else {
            return;
        };
        let fd = self.file.as_raw_fd();
        if let Err(e) = sys::ftruncate(fd, *size).and_then(|()| sys::futimens(fd, times)) {
            log::error!(
                "a file could not be shrunk back to {size} bytes: errno {}",
                e.0
            );
        }
    }
}

impl Window {
    pub fn new(size: u64, shmid: u8, align: u64, strict: bool, counters: Arc<Counters>) -> Self {
        let table = Mutex::new(Table::new(size, align, strict));
        Window {
            size,
            shmid,
            counters,
            backend: Mutex::new(None),
            table,
            stopped: AtomicBool::new(false),
            restarted: AtomicBool::new(false),
            files: Mutex::new(HashSet::new()),
        }
    }

    /// Size in bytes; 0 means that there is no window.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The channel to QEMU, once it is there.
    pub fn set_backend(&self, backend: Option<Backend>) {
        *self.backend.lock().unwrap_or_else(|e| e.into_inner()) = backend;
    }

    /// QEMU stops the queues: a reset, or the whole guest is paused.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.restarted.store(true, SeqCst);
    }

    /// QEMU starts the queues.
    pub fn start(&self) {
        self.stopped.store(false, SeqCst);
    }

    /// Was this file ever mapped? It does not wait for QEMU, as QEMU may wait for the answer.
    pub fn has_mapped(&self, file: RawFd) -> bool {
        sys::fstat(file).is_ok_and(|st| self.files().contains(&(st.st_dev, st.st_ino)))
    }

    fn files(&self) -> MutexGuard<'_, HashSet<(u64, u64)>> {
        self.files.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The live mappings: offset in the window and what is there.
    pub fn mappings(&self) -> Vec<(u64, Mapping)> {
        self.table().iter().collect()
    }

    fn refuse(&self, what: &str, why: Refused, detail: std::fmt::Arguments<'_>) -> Errno {
        log::warn!("{what} refused ({why:?}): {detail}");
        let (counter, errno) = match why {
            Refused::Invalid => (&self.counters.bad_requests, libc::EINVAL),
            Refused::Overlap => (&self.counters.bad_requests, libc::EBUSY),
            Refused::InUse => (&self.counters.slot_twice, libc::EBUSY),
            Refused::NotMapped => (&self.counters.unmap_unmapped, libc::EINVAL),
        };
        count(counter);
        Errno(errno)
    }

    fn ask_qemu(&self, moffset: u64, m: &Mapping, file: Option<BorrowedFd<'_>>) -> Res<()> {
        if self.stopped.load(SeqCst) {
            return Err(Errno(libc::EIO));
        }
        let backend = self
            .backend
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .clone()
            .ok_or(Errno(libc::ENODEV))?;
        let mut req = VhostUserMMap {
            shmid: self.shmid,
            shm_offset: moffset,
            len: m.len,
            ..Default::default()
        };
        let done = match file {
            Some(file) => {
                req.fd_offset = m.foffset;
                req.flags = VhostUserMMapFlags::WRITABLE.bits();
                backend.shmem_map(&req, &file)
            }
            None => backend.shmem_unmap(&req),
        };
        match done {
            Ok(_) => {
                count(if file.is_some() {
                    &self.counters.maps
                } else {
                    &self.counters.unmaps
                });
                Ok(())
            }
            Err(e) => {
                count(&self.counters.qemu_refused);
                let what = if file.is_some() { "map" } else { "unmap" };
                log::error!(
                    "QEMU refused to {what} {:#x} bytes at {moffset:#x} of the window: {e}",
                    m.len
                );
                Err(Errno(libc::EIO))
            }
        }
    }

    /// Carries out a SETUPMAPPING of `file`, which is open for reading and writing.
    pub fn setup(&self, nodeid: u64, file: BorrowedFd<'_>, req: &SetupmappingIn) -> Res<()> {
        let mut table = self.table();
        let plan = table
            .plan(nodeid, req.foffset, req.len, req.flags, req.moffset)
            .map_err(|why| {
                self.refuse("SETUPMAPPING", why, format_args!("node {nodeid}, {req:x?}"))
            })?;
        let at_qemu = plan
            .iter()
            .any(|(_, _, step)| matches!(step, Step::Map | Step::Replace));
        let st = sys::fstat(file.as_raw_fd())?;
        self.files().insert((st.st_dev, st.st_ino));
        let _grown = at_qemu
            .then(|| Grown::new(file, req.foffset + req.len))
            .transpose()?;
        for (at, new, step) in plan {
            let mode = if new.writable { "rw" } else { "ro" };
            log::info!(
                "{step:?} window {at:#x} len {:#x} node {nodeid} offset {:#x} {mode} (flags {:#x})",
                new.len,
                new.foffset,
                req.flags
            );
            match step {
                Step::Nothing => {
                    count(&self.counters.remaps);
                    continue;
                }
                Step::Upgrade => count(&self.counters.upgrades),
                Step::Replace => {
                    count(&self.counters.overlays);
                    self.ask_qemu(at, &new, None)?;
                    table.remove(at);
                    self.ask_qemu(at, &new, Some(file))?;
                }
                Step::Map => self.ask_qemu(at, &new, Some(file))?,
            }
            table.insert(at, new);
        }
        Ok(())
    }

    /// Carries out the entries of a REMOVEMAPPING. All are tried; the first error is reported.
    pub fn remove(&self, entries: &[RemovemappingOne]) -> Res<()> {
        let mut table = self.table();
        let mut result = Ok(());
        for e in entries {
            let found = match table.plan_remove(e.moffset, e.len) {
                Ok(found) => found,
                Err(why) => {
                    let err = self.refuse("REMOVEMAPPING", why, format_args!("{e:x?}"));
                    result = result.and(Err(err));
                    continue;
                }
            };
            for (at, m) in found {
                log::info!(
                    "Unmap window {at:#x} len {:#x} node {} offset {:#x}",
                    m.len,
                    m.nodeid,
                    m.foffset
                );
                match self.ask_qemu(at, &m, None) {
                    Ok(()) => table.remove(at),
                    Err(e) => result = result.and(Err(e)),
                }
            }
        }
        result
    }

    /// Unmaps what is left, because the driver says goodbye or begins `anew`.
    pub fn unmap_all(&self, anew: bool) {
        // A driver that begins anew after its queues were stopped has reset the device, and a reset
        // makes QEMU unmap everything by itself.
        let unmapped = self.restarted.swap(false, SeqCst) && anew;
        let mut table = self.table();
        let left: Vec<_> = table.iter().collect();
        if !left.is_empty() {
            log::info!("{} ranges were left mapped", left.len());
            let n = left.len() as u64;
            self.counters.left_mapped.fetch_add(n, Relaxed);
        }
        for (at, m) in left {
            if !unmapped {
                // What QEMU refuses to unmap is not there any more.
                let _ = self.ask_qemu(at, &m, None);
            }
            table.remove(at);
        }
    }

    /// Forgets everything, because QEMU itself is gone.
    pub fn forget_all(&self) {
        self.set_backend(None);
        self.files().clear();
        let mut table = self.table();
        let left: Vec<_> = table.iter().map(|(at, _)| at).collect();
        left.into_iter().for_each(|at| table.remove(at));
    }
}
