// SPDX-License-Identifier: GPL-2.0

//! The tree of files: inodes by their numbers, names in folders. An inode lives while a name stands for it or the kernel
//! holds lookups of it.

use fuser::{Errno, FileAttr, FileType, INodeNo, RenameFlags, Request};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    time::SystemTime,
};

type Result<T> = std::result::Result<T, Errno>;

/// Largest file.
const MAX_FILE: u64 = 1 << 30;

/// The names in a folder, each with its place in the list, which stays the same whatever else comes and goes.
#[derive(Default)]
pub struct Folder {
    names: BTreeMap<OsString, (INodeNo, u64)>,
    list: BTreeMap<u64, OsString>,
    last: u64,
}

impl Folder {
    fn get(&self, name: &OsStr) -> Option<INodeNo> {
        self.names.get(name).map(|(ino, _)| *ino)
    }

    fn insert(&mut self, name: &OsStr, ino: INodeNo) {
        self.remove(name);
        self.last += 1;
        self.names.insert(name.into(), (ino, self.last));
        self.list.insert(self.last, name.into());
    }

    fn remove(&mut self, name: &OsStr) {
        if let Some((_, place)) = self.names.remove(name) {
            self.list.remove(&place);
        }
    }

    /// Entries behind a place.
    pub fn behind(&self, place: u64) -> impl Iterator<Item = (u64, &OsStr, INodeNo)> {
        let entry = |(place, name): (&u64, &'_ OsString)| {
            let (name, (ino, _)) = self.names.get_key_value(name)?;
            Some((*place, name.as_os_str(), *ino))
        };
        self.list.range(place + 1..).filter_map(entry)
    }
}

/// What is in an inode.
pub enum Content {
    File(Vec<u8>),
    Folder(Folder),
    Link(Vec<u8>),
    Nothing,
}

/// An inode.
pub struct Node {
    pub attr: FileAttr,
    pub content: Content,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    lookups: u64,
}

/// All inodes.
pub struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

fn attr(ino: u64, kind: FileType, mode: u32, uid: u32, gid: u32) -> FileAttr {
    let now = SystemTime::now();
    FileAttr {
        ino: INodeNo(ino),
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm: mode as u16 & 0o7777,
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid,
        gid,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}

impl Tree {
    /// A tree with an empty root.
    pub fn new() -> Self {
        let root = Node {
            attr: attr(1, FileType::Directory, 0o755, 0, 0),
            content: Content::Folder(Folder::default()),
            xattrs: BTreeMap::new(),
            lookups: 1,
        };
        Self {
            nodes: HashMap::from([(1, root)]),
            next: 2,
        }
    }

    pub fn node(&self, ino: INodeNo) -> Result<&Node> {
        self.nodes.get(&ino.0).ok_or(Errno::ENOENT)
    }

    pub fn node_mut(&mut self, ino: INodeNo) -> Result<&mut Node> {
        self.nodes.get_mut(&ino.0).ok_or(Errno::ENOENT)
    }

    pub fn folder(&self, ino: INodeNo) -> Result<&Folder> {
        match &self.node(ino)?.content {
            Content::Folder(folder) => Ok(folder),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// A folder that is going to change.
    fn folder_mut(&mut self, ino: INodeNo) -> Result<&mut Folder> {
        let node = self.node_mut(ino)?;
        node.attr.mtime = SystemTime::now();
        node.attr.ctime = node.attr.mtime;
        match &mut node.content {
            Content::Folder(folder) => Ok(folder),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<INodeNo> {
        self.folder(parent)?.get(name).ok_or(Errno::ENOENT)
    }

    /// Finds a name, and counts that the kernel knows the inode.
    pub fn lookup(&mut self, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let ino = self.find(parent, name)?;
        let node = self.node_mut(ino)?;
        node.lookups += 1;
        Ok(node.attr)
    }

    /// The kernel gives lookups back.
    pub fn forget(&mut self, ino: INodeNo, nlookup: u64) {
        if let Ok(node) = self.node_mut(ino) {
            node.lookups = node.lookups.saturating_sub(nlookup);
        }
        self.drop_unused(ino);
    }

    fn drop_unused(&mut self, ino: INodeNo) {
        if self
            .node(ino)
            .is_ok_and(|node| node.attr.nlink == 0 && node.lookups == 0)
        {
            self.nodes.remove(&ino.0);
        }
    }

    /// Makes a new inode with a name.
    pub fn make(
        &mut self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        kind: FileType,
        mode: u32,
        content: Content,
    ) -> Result<FileAttr> {
        if self.folder(parent)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let ino = self.next;
        self.next += 1;
        let mut attr = attr(ino, kind, mode, req.uid(), req.gid());
        if let Content::Link(target) = &content {
            attr.size = target.len() as u64;
        }
        self.folder_mut(parent)?.insert(name, INodeNo(ino));
        if kind == FileType::Directory {
            self.node_mut(parent)?.attr.nlink += 1;
        }
        self.nodes.insert(
            ino,
            Node {
                attr,
                content,
                xattrs: BTreeMap::new(),
                lookups: 1,
            },
        );
        Ok(attr)
    }

    /// Another name for an inode.
    pub fn link(&mut self, ino: INodeNo, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        if self.folder(parent)?.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if self.node(ino)?.attr.kind == FileType::Directory {
            return Err(Errno::EPERM);
        }
        self.folder_mut(parent)?.insert(name, ino);
        let node = self.node_mut(ino)?;
        node.attr.nlink += 1;
        node.attr.ctime = SystemTime::now();
        node.lookups += 1;
        Ok(node.attr)
    }

    /// Whether what the name stands for can be removed.
    fn removable(&self, ino: INodeNo, is_folder: bool) -> Result<()> {
        match &self.node(ino)?.content {
            Content::Folder(_) if !is_folder => Err(Errno::EISDIR),
            Content::Folder(folder) if !folder.names.is_empty() => Err(Errno::ENOTEMPTY),
            Content::Folder(_) => Ok(()),
            _ if is_folder => Err(Errno::ENOTDIR),
            _ => Ok(()),
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, parent: INodeNo, name: &OsStr, folder: bool) -> Result<()> {
        let ino = self.find(parent, name)?;
        self.removable(ino, folder)?;
        self.folder_mut(parent)?.remove(name);
        if folder {
            self.node_mut(parent)?.attr.nlink -= 1;
        }
        let node = self.node_mut(ino)?;
        node.attr.nlink = if folder { 0 } else { node.attr.nlink - 1 };
        node.attr.ctime = SystemTime::now();
        self.drop_unused(ino);
        Ok(())
    }

    /// Moves a name, over another or in exchange for it if there is one.
    pub fn rename(
        &mut self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<()> {
        let ino = self.find(from.0, from.1)?;
        let other = self.find(to.0, to.1).ok();
        let is_folder = |tree: &Self, ino| {
            tree.node(ino)
                .is_ok_and(|n| n.attr.kind == FileType::Directory)
        };
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            let other = other.ok_or(Errno::ENOENT)?;
            self.folder_mut(from.0)?.insert(from.1, other);
            self.folder_mut(to.0)?.insert(to.1, ino);
            if is_folder(self, ino) != is_folder(self, other) {
                let (less, more) = if is_folder(self, ino) {
                    (from.0, to.0)
                } else {
                    (to.0, from.0)
                };
                self.node_mut(less)?.attr.nlink -= 1;
                self.node_mut(more)?.attr.nlink += 1;
            }
            return Ok(());
        }
        if let Some(other) = other {
            if flags.contains(RenameFlags::RENAME_NOREPLACE) {
                return Err(Errno::EEXIST);
            }
            if other == ino {
                return Ok(());
            }
            self.removable(other, is_folder(self, ino))?;
            self.remove(to.0, to.1, is_folder(self, other))?;
        }
        self.folder_mut(from.0)?.remove(from.1);
        self.folder_mut(to.0)?.insert(to.1, ino);
        if is_folder(self, ino) {
            self.node_mut(from.0)?.attr.nlink -= 1;
            self.node_mut(to.0)?.attr.nlink += 1;
        }
        self.node_mut(ino)?.attr.ctime = SystemTime::now();
        Ok(())
    }

    /// Makes a file shorter or longer.
    pub fn resize(&mut self, ino: INodeNo, size: u64) -> Result<()> {
        let node = self.node_mut(ino)?;
        let Content::File(data) = &mut node.content else {
            return Err(Errno::EINVAL);
        };
        if size > MAX_FILE {
            return Err(Errno::EFBIG);
        }
        data.resize(size as usize, 0);
        node.attr.size = size;
        node.attr.blocks = size.div_ceil(512);
        node.attr.mtime = SystemTime::now();
        Ok(())
    }

    /// Writes into a file.
    pub fn write(&mut self, ino: INodeNo, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::EFBIG)?;
        let size = self.node(ino)?.attr.size;
        self.resize(ino, size.max(end))?;
        if let Content::File(data) = &mut self.node_mut(ino)?.content {
            data[offset as usize..end as usize].copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Sets an extended attribute.
    pub fn set_xattr(
        &mut self,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Result<()> {
        let node = self.node_mut(ino)?;
        let there = node.xattrs.contains_key(name);
        if flags & libc::XATTR_CREATE != 0 && there {
            return Err(Errno::EEXIST);
        }
        if flags & libc::XATTR_REPLACE != 0 && !there {
            return Err(Errno::ENODATA);
        }
        node.xattrs.insert(name.into(), value.into());
        node.attr.ctime = SystemTime::now();
        Ok(())
    }

    /// Number of inodes, and bytes in files.
    pub fn usage(&self) -> (u64, u64) {
        (
            self.nodes.len() as u64,
            self.nodes.values().map(|node| node.attr.size).sum(),
        )
    }
}
