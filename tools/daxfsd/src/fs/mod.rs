// SPDX-License-Identifier: GPL-2.0

//! The file server: one function per FUSE operation over a shared folder. Nothing below knows about queues or QEMU,
//! except that DAX mappings go to the `Window`. Paths are never followed: a name is one component below an inode that
//! is held open with O_PATH, and files are opened again through /proc/self/fd.

mod attr;
mod dir;
mod ext;
mod file;
mod init;
mod inode;
mod ioctl;
mod lock;
mod mapping;
mod names;
#[cfg(test)]
mod tests;
mod xattr;

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::counters::{count, Counters};
use crate::dax::Window;
use crate::gate::Pass;
use crate::glob::Files;
use crate::proto::{self, op};
use crate::sg::Pieces;
use crate::sys::{self, Errno, Res};
pub use init::flag_names;
use inode::{Inode, Inodes};

/// How much the client may cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cache {
    /// Nothing: every access asks the host.
    Never,
    /// Names and attributes for a second.
    Auto,
    /// Names, attributes and data until the client drops them. Only when nobody changes the folder on the host.
    Always,
}

impl Cache {
    fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Cache::Never => 0,
            Cache::Auto => 1,
            Cache::Always => 86400,
        })
    }
}

/// What the command line decides; what can be changed later is in force from the next mount on.
#[derive(Clone, Copy)]
pub struct Config {
    pub cache: Cache,
    /// INIT flags to offer beyond the usual, and to hold back.
    pub enable: u64,
    pub disable: u64,
    /// More flags for regular files that are opened.
    pub fopen: u32,
    /// log2 of the alignment of DAX mappings.
    pub map_alignment: u16,
    /// Requests that the client may send without waiting, and with how many it is to hold back.
    pub background: (u16, u16),
}

/// A request, parsed as far as it is the same for all operations.
pub struct Request<'a> {
    pub hdr: proto::InHeader,
    /// What follows the header, without extensions. For WRITE only the arguments.
    pub body: &'a [u8],
    /// The extensions at the end.
    pub ext: &'a [u8],
    /// The data of a WRITE, still in guest memory.
    pub data: Pieces,
    /// Room for the reply after its header.
    pub out: Pieces,
    pub pass: &'a Pass,
    pub counters: &'a Counters,
}

/// What an operation replies with.
pub enum Reply {
    /// There is no reply to this request.
    None,
    /// These bytes after the header; may be empty.
    Bytes(Vec<u8>),
    /// So many bytes, which are in guest memory already.
    InPlace(usize),
}

impl Reply {
    const OK: Res<Reply> = Ok(Reply::Bytes(Vec::new()));

    fn of(value: &(impl IntoBytes + Immutable)) -> Res<Reply> {
        Ok(Reply::Bytes(value.as_bytes().to_vec()))
    }
}

impl<'a> Request<'a> {
    /// A request that breaks the protocol.
    pub fn bad(&self, why: &str) -> Errno {
        let before = self.counters.bad_requests.fetch_add(1, Relaxed);
        let name = proto::op_name(self.hdr.opcode).unwrap_or("?");
        // A guest must not be able to fill the host's disk with our log.
        let often = before >= 100 && before % 1000 != 0;
        let level = if often {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(
            level,
            "bad {name} request {:#x} on node {}: {why}",
            self.hdr.unique,
            self.hdr.nodeid
        );
        Errno(libc::EINVAL)
    }

    /// Splits the argument struct off the front.
    fn split<T: FromBytes + KnownLayout + Immutable>(&self, from: &'a [u8]) -> Res<(T, &'a [u8])> {
        T::read_from_prefix(from).map_err(|_| self.bad("too short"))
    }

    /// The argument struct and what follows.
    fn arg<T: FromBytes + KnownLayout + Immutable>(&self) -> Res<(T, &'a [u8])> {
        self.split(self.body)
    }

    /// Splits a string off the front.
    fn string(&self, from: &'a [u8]) -> Res<(&'a CStr, &'a [u8])> {
        let s = CStr::from_bytes_until_nul(from).map_err(|_| self.bad("a string does not end"))?;
        Ok((s, &from[s.count_bytes() + 1..]))
    }

    /// Splits a name off the front: one component, and none that leads elsewhere.
    fn name(&self, from: &'a [u8]) -> Res<(&'a CStr, &'a [u8])> {
        let (name, rest) = self.string(from)?;
        match name.to_bytes() {
            b"" => Err(self.bad("empty name")),
            b"." | b".." => {
                count(&self.counters.escapes);
                Err(self.bad("a name of dots"))
            }
            n if n.contains(&b'/') => {
                count(&self.counters.escapes);
                Err(self.bad("a slash in a name"))
            }
            n if n.len() > libc::FILENAME_MAX as usize || n.len() > 255 => {
                Err(Errno(libc::ENAMETOOLONG))
            }
            _ => Ok((name, rest)),
        }
    }
}

/// An open file or folder.
pub struct Handle {
    fd: OwnedFd,
    nodeid: u64,
    /// Position of a folder that is being read: seek and read must not be torn apart.
    dir: Option<Mutex<()>>,
}

/// The server with everything that the client holds of it.
pub struct Server {
    config: Mutex<Config>,
    /// As the command line said.
    defaults: Config,
    pub counters: Arc<Counters>,
    pub window: Window,
    pub dax_files: RwLock<Files>,
    /// As the command line said.
    default_dax_files: Files,
    proc_fd: OwnedFd,
    inodes: Mutex<Inodes>,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    next_fh: AtomicU64,
    pub locks: lock::Locks,
    /// The security label that came with what was made last.
    pub label: Mutex<String>,
    /// Negotiated INIT flags; 0 before INIT.
    flags: AtomicU64,
    /// What INIT said, for the control socket.
    pub init: Mutex<Option<init::Negotiated>>,
}

impl Server {
    /// Serves the folder `dir`.
    pub fn new(
        dir: &Path,
        config: Config,
        window: Window,
        files: Files,
        counters: Arc<Counters>,
    ) -> Res<Self> {
        let path = std::ffi::CString::new(dir.as_os_str().as_encoded_bytes())
            .map_err(|_| Errno(libc::EINVAL))?;
        let root = sys::openat(libc::AT_FDCWD, &path, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let proc_fd = sys::openat(
            libc::AT_FDCWD,
            c"/proc/self/fd",
            libc::O_PATH | libc::O_DIRECTORY,
            0,
        )?;
        Ok(Server {
            config: Mutex::new(config),
            defaults: config,
            counters,
            window,
            dax_files: RwLock::new(files.clone()),
            default_dax_files: files,
            proc_fd,
            inodes: Mutex::new(Inodes::new(root)?),
            handles: Mutex::new(HashMap::new()),
            next_fh: AtomicU64::new(1),
            locks: lock::Locks::default(),
            label: Mutex::new(String::from("none")),
            flags: AtomicU64::new(0),
            init: Mutex::new(None),
        })
    }

    /// The settings in force.
    fn config(&self) -> Config {
        *self.config.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes settings.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config.lock().unwrap_or_else(|e| e.into_inner()));
    }

    /// Goes back to the settings of the command line.
    pub fn configure_defaults(&self) {
        self.configure(|config| *config = self.defaults);
        *self.dax_files.write().unwrap_or_else(|e| e.into_inner()) = self.default_dax_files.clone();
    }

    /// An INIT flag was negotiated.
    fn has(&self, flag: u64) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    fn inodes(&self) -> std::sync::MutexGuard<'_, Inodes> {
        self.inodes.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Numbers of inodes, lookups held by the client, and open handles.
    pub fn census(&self) -> (usize, u64, usize) {
        let (inodes, lookups) = self.inodes().census();
        (inodes, lookups, self.handles().len())
    }

    /// A line about an inode for people: its path on the host, as far as the host still knows it.
    pub fn path_of(&self, nodeid: u64) -> String {
        let inode = self.inodes().get(nodeid);
        inode
            .and_then(|i| std::fs::read_link(format!("/proc/self/fd/{}", i.fd.as_raw_fd())).ok())
            .map_or_else(|| "?".into(), |p| p.display().to_string())
    }

    fn node(&self, req: &Request, nodeid: u64) -> Res<Arc<Inode>> {
        self.inodes().get(nodeid).ok_or_else(|| {
            req.bad(&format!("unknown node {nodeid}"));
            Errno(libc::ESTALE)
        })
    }

    fn handle(&self, req: &Request, fh: u64, nodeid: u64) -> Res<Arc<Handle>> {
        let handle = self.handles().get(&fh).cloned();
        handle.filter(|h| h.nodeid == nodeid).ok_or_else(|| {
            req.bad(&format!("no handle {fh} of node {nodeid}"));
            Errno(libc::EBADF)
        })
    }

    fn add_handle(&self, fd: OwnedFd, nodeid: u64, dir: bool) -> u64 {
        let fh = self.next_fh.fetch_add(1, Relaxed);
        let dir = dir.then(|| Mutex::new(()));
        self.handles()
            .insert(fh, Arc::new(Handle { fd, nodeid, dir }));
        fh
    }

    /// Opens an inode again, with rights.
    fn reopen(&self, inode: &Inode, flags: i32) -> Res<OwnedFd> {
        // Opening a device or FIFO of the host would act on the host, or block; the client never asks for it.
        if !matches!(inode.kind, libc::S_IFREG | libc::S_IFDIR) {
            return Err(Errno(libc::EINVAL));
        }
        sys::openat(self.proc_fd.as_raw_fd(), &sys::fd_name(&inode.fd), flags, 0)
    }

    /// Keeps the file's size from being changed for a DAX mapping while it is looked at or used.
    fn io_shared<'i>(&self, inode: &'i Inode, pass: &Pass) -> Res<RwLockReadGuard<'i, ()>> {
        let guard = match inode.io.try_read() {
            Ok(guard) => guard,
            // Somebody waits for QEMU: step out of the gate, because QEMU may wait for us to leave it.
            Err(_) => pass.outside(|| inode.io.read().unwrap_or_else(|e| e.into_inner())),
        };
        if pass.is_stale() {
            return Err(Errno(libc::EIO));
        }
        Ok(guard)
    }

    fn io_alone<'i>(&self, inode: &'i Inode) -> RwLockWriteGuard<'i, ()> {
        inode.io.write().unwrap_or_else(|e| e.into_inner())
    }

    /// Drops everything that the client holds, and what is mapped for it. The client goes, or begins
    /// `anew` without having said goodbye.
    pub fn reset(&self, anew: bool) {
        self.window.unmap_all(anew);
        self.flags.store(0, Relaxed);
        self.locks.clear();
        let handles = std::mem::take(&mut *self.handles());
        let inodes = self.inodes().clear();
        drop((handles, inodes));
    }

    /// Carries out one request.
    pub fn serve(&self, req: &Request) -> Res<Reply> {
        let started = self.flags.load(Relaxed) != 0;
        let opcode = req.hdr.opcode;
        if !started
            && !matches!(
                opcode,
                op::INIT | op::DESTROY | op::FORGET | op::BATCH_FORGET
            )
        {
            req.bad("no INIT yet");
            return Err(Errno(libc::EIO));
        }
        self.look_at_caller(req);
        match opcode {
            op::INIT => self.init(req),
            op::DESTROY => self.destroy(req),
            op::FORGET => self.forget(req),
            op::BATCH_FORGET => self.batch_forget(req),
            op::INTERRUPT => self.interrupt(req),
            op::GETLK => self.getlk(req),
            op::SETLK => self.setlk(req, false),
            op::SETLKW => self.setlk(req, true),
            op::LOOKUP => self.lookup(req),
            op::READLINK => self.readlink(req),
            op::SYMLINK => self.symlink(req),
            op::MKNOD => self.mknod(req),
            op::MKDIR => self.mkdir(req),
            op::UNLINK => self.unlink(req, 0),
            op::RMDIR => self.unlink(req, libc::AT_REMOVEDIR),
            op::RENAME | op::RENAME2 => self.rename(req),
            op::LINK => self.link(req),
            op::CREATE => self.create(req),
            op::TMPFILE => self.tmpfile(req),
            op::GETATTR => self.getattr(req),
            op::SETATTR => self.setattr(req),
            op::STATX => self.statx(req),
            op::STATFS => self.statfs(req),
            op::OPEN => self.open(req),
            op::READ => self.read(req),
            op::WRITE => self.write(req),
            op::FLUSH => self.flush(req),
            op::RELEASE | op::RELEASEDIR => self.release(req),
            op::FSYNC | op::FSYNCDIR => self.fsync(req),
            op::SYNCFS => self.syncfs(req),
            op::IOCTL => self.ioctl(req),
            op::FALLOCATE => self.fallocate(req),
            op::LSEEK => self.lseek(req),
            op::COPY_FILE_RANGE | op::COPY_FILE_RANGE_64 => self.copy_file_range(req),
            op::OPENDIR => self.opendir(req),
            op::READDIR => self.readdir(req, false),
            op::READDIRPLUS => self.readdir(req, true),
            op::SETXATTR => self.setxattr(req),
            op::GETXATTR => self.getxattr(req),
            op::LISTXATTR => self.listxattr(req),
            op::REMOVEXATTR => self.removexattr(req),
            op::SETUPMAPPING => self.setupmapping(req),
            op::REMOVEMAPPING => self.removemapping(req),
            _ => Err(Errno(libc::ENOSYS)),
        }
    }
}
