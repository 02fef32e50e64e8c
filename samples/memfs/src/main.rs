// SPDX-License-Identifier: GPL-2.0

//! A file system in memory, served through `/dev/fuse` with the crate `fuser`: files, folders, links, attributes of all
//! kinds, renaming. What is in it is gone when it is unmounted.
//!
//! `memfs DIR` serves until DIR is unmounted (`umount DIR`); `memfs --direct DIR` asks the kernel not to cache data.

mod tree;

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, SessionACL, TimeOrNow, WriteFlags,
};
use std::{
    ffi::OsStr,
    path::Path,
    process::ExitCode,
    sync::{Mutex, MutexGuard},
    time::{Duration, SystemTime},
};
use tree::{Content, Tree};

/// How long the kernel may believe names and attributes. Nothing changes here but by the kernel's own requests.
const TTL: Duration = Duration::from_secs(60);
const GENERATION: Generation = Generation(0);
/// Handles of open files are not needed: everything is found by inode number.
const NO_HANDLE: FileHandle = FileHandle(0);

struct MemFs {
    tree: Mutex<Tree>,
    open_flags: FopenFlags,
}

type Result<T> = std::result::Result<T, Errno>;

impl MemFs {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Answers a request that makes or finds a name.
    fn answer(&self, reply: ReplyEntry, found: Result<FileAttr>) {
        match found {
            Ok(attr) => reply.entry(&TTL, &attr, GENERATION),
            Err(e) => reply.error(e),
        }
    }

    fn done(&self, reply: ReplyEmpty, result: Result<()>) {
        match result {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }

    /// Answers GETXATTR and LISTXATTR, where a size of zero asks for the length.
    fn value(reply: ReplyXattr, size: u32, value: Result<Vec<u8>>) {
        match value {
            Ok(value) if size == 0 => reply.size(value.len() as u32),
            Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
            Ok(value) => reply.data(&value),
            Err(e) => reply.error(e),
        }
    }
}

impl Filesystem for MemFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.answer(reply, self.tree().lookup(parent, name));
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.tree().forget(ino, nlookup);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree().node(ino) {
            Ok(node) => reply.attr(&TTL, &node.attr),
            Err(e) => reply.error(e),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let time = |t: TimeOrNow| match t {
            TimeOrNow::SpecificTime(t) => t,
            TimeOrNow::Now => SystemTime::now(),
        };
        let mut tree = self.tree();
        let changed = size
            .map_or(Ok(()), |size| tree.resize(ino, size))
            .and_then(|()| tree.node_mut(ino));
        let node = match changed {
            Ok(node) => node,
            Err(e) => return reply.error(e),
        };
        let attr = &mut node.attr;
        attr.perm = mode.map_or(attr.perm, |mode| mode as u16 & 0o7777);
        attr.uid = uid.unwrap_or(attr.uid);
        attr.gid = gid.unwrap_or(attr.gid);
        attr.atime = atime.map_or(attr.atime, time);
        attr.mtime = mtime.map_or(attr.mtime, time);
        attr.ctime = SystemTime::now();
        reply.attr(&TTL, &node.attr);
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.tree().node(ino).map(|node| &node.content) {
            Ok(Content::Link(target)) => reply.data(target),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(e) => reply.error(e),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let (kind, content) = match mode & libc::S_IFMT {
            libc::S_IFIFO => (FileType::NamedPipe, Content::Nothing),
            libc::S_IFCHR => (FileType::CharDevice, Content::Nothing),
            libc::S_IFBLK => (FileType::BlockDevice, Content::Nothing),
            libc::S_IFSOCK => (FileType::Socket, Content::Nothing),
            _ => (FileType::RegularFile, Content::File(Vec::new())),
        };
        let mut tree = self.tree();
        let made = tree.make(req, parent, name, kind, mode & !umask, content);
        if let Some(node) = made
            .as_ref()
            .ok()
            .and_then(|attr| tree.node_mut(attr.ino).ok())
        {
            node.attr.rdev = rdev;
        }
        let made = made.and_then(|attr| tree.node(attr.ino).map(|node| node.attr));
        self.answer(reply, made);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let content = Content::Folder(Default::default());
        let made = self.tree().make(
            req,
            parent,
            name,
            FileType::Directory,
            mode & !umask,
            content,
        );
        self.answer(reply, made);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let content = Content::Link(target.as_os_str().as_encoded_bytes().to_vec());
        let made = self
            .tree()
            .make(req, parent, name, FileType::Symlink, 0o777, content);
        self.answer(reply, made);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let content = Content::File(Vec::new());
        match self.tree().make(
            req,
            parent,
            name,
            FileType::RegularFile,
            mode & !umask,
            content,
        ) {
            Ok(attr) => reply.created(&TTL, &attr, GENERATION, NO_HANDLE, self.open_flags),
            Err(e) => reply.error(e),
        }
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, self.tree().remove(parent, name, false));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, self.tree().remove(parent, name, true));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let result = self
            .tree()
            .rename((parent, name), (newparent, newname), flags);
        self.done(reply, result);
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        self.answer(reply, self.tree().link(ino, newparent, newname));
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(NO_HANDLE, self.open_flags);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().node(ino).map(|node| &node.content) {
            Ok(Content::File(data)) => {
                let start = data.len().min(offset as usize);
                let end = data.len().min(start + size as usize);
                reply.data(&data[start..end]);
            }
            Ok(_) => reply.error(Errno::EINVAL),
            Err(e) => reply.error(e),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree().write(ino, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e),
        }
    }

    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree();
        let folder = match tree.folder(ino) {
            Ok(folder) => folder,
            Err(e) => return reply.error(e),
        };
        if offset == 0 && reply.add(ino, 1, FileType::Directory, ".") {
            return reply.ok();
        }
        if offset <= 1 && reply.add(ino, 2, FileType::Directory, "..") {
            return reply.ok();
        }
        for (place, name, ino) in folder.behind(offset.saturating_sub(2)) {
            let Ok(node) = tree.node(ino) else { continue };
            if reply.add(ino, place + 2, node.attr.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let (files, bytes) = self.tree().usage();
        let (blocks, used) = (1 << 20, bytes.div_ceil(4096));
        reply.statfs(
            blocks,
            blocks - used,
            blocks - used,
            files,
            1 << 20,
            4096,
            255,
            4096,
        );
    }

    fn setxattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.done(reply, self.tree().set_xattr(ino, name, value, flags));
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let tree = self.tree();
        let value = tree
            .node(ino)
            .and_then(|node| node.xattrs.get(name).cloned().ok_or(Errno::ENODATA));
        Self::value(reply, size, value);
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let tree = self.tree();
        let names = tree.node(ino).map(|node| {
            let bytes = node.xattrs.keys().map(|name| name.as_encoded_bytes());
            bytes
                .flat_map(|name| name.iter().copied().chain([0]))
                .collect()
        });
        Self::value(reply, size, names);
    }

    fn removexattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = self.tree();
        let removed = tree
            .node_mut(ino)
            .and_then(|node| node.xattrs.remove(name).map(drop).ok_or(Errno::ENODATA));
        self.done(reply, removed);
    }
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let direct = args
        .iter()
        .position(|a| a == "--direct")
        .map(|at| args.remove(at))
        .is_some();
    let [dir] = &args[..] else {
        eprintln!("usage: memfs [--direct] DIR");
        return ExitCode::from(2);
    };
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("memfs".into()),
        MountOption::Subtype("memfs".into()),
        MountOption::DefaultPermissions,
    ];
    config.acl = SessionACL::All;
    config.n_threads = Some(2);
    let open_flags = if direct {
        FopenFlags::FOPEN_DIRECT_IO
    } else {
        FopenFlags::FOPEN_KEEP_CACHE
    };
    let memfs = MemFs {
        tree: Mutex::new(Tree::new()),
        open_flags,
    };
    match fuser::mount(memfs, dir, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("memfs: cannot mount {dir}: {e}");
            ExitCode::FAILURE
        }
    }
}
