// SPDX-License-Identifier: GPL-2.0

//! The inodes that the client knows. Each is held by an O_PATH descriptor, so that its identity (device, number) cannot
//! be given to another file as long as the client has a reference, and node ids are never used twice.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, RwLock};

use crate::proto::ROOT_ID;
use crate::sys::{self, Res};

/// One inode.
pub struct Inode {
    pub nodeid: u64,
    pub fd: OwnedFd,
    id: (u64, u64),
    /// The S_IFMT bits of its mode.
    pub kind: u32,
    /// The last name under which it was found, for rules that go by name.
    pub name: Mutex<Vec<u8>>,
    /// Held for writing while the file has another size for the sake of a DAX mapping, for reading by everyone who
    /// looks at the size or the data.
    pub io: RwLock<()>,
}

struct Entry {
    inode: Arc<Inode>,
    lookups: u64,
}

/// The table of inodes.
pub struct Inodes {
    by_node: HashMap<u64, Entry>,
    by_id: HashMap<(u64, u64), u64>,
    next: u64,
    /// Inodes stay when their last reference is given back: the client may come again with a handle.
    pub keep: bool,
}

impl Inodes {
    /// A table that holds only the root, for ever.
    pub fn new(root: OwnedFd) -> Res<Self> {
        let mut me = Inodes {
            by_node: HashMap::new(),
            by_id: HashMap::new(),
            next: ROOT_ID,
            keep: false,
        };
        me.add(root, b"")?;
        Ok(me)
    }

    /// Finds or makes the inode of a descriptor and takes one more reference to it. Says whether it was known.
    pub fn add(&mut self, fd: OwnedFd, name: &[u8]) -> Res<(Arc<Inode>, bool)> {
        let st = sys::fstat(fd.as_raw_fd())?;
        let id = (st.st_dev, st.st_ino);
        if let Some(entry) = self.by_id.get(&id).and_then(|n| self.by_node.get_mut(n)) {
            entry.lookups += 1;
            *entry.inode.name.lock().unwrap_or_else(|e| e.into_inner()) = name.to_vec();
            return Ok((entry.inode.clone(), true));
        }
        let nodeid = self.next;
        self.next += 1;
        let name = Mutex::new(name.to_vec());
        let kind = st.st_mode & libc::S_IFMT;
        let inode = Arc::new(Inode {
            nodeid,
            fd,
            id,
            kind,
            name,
            io: RwLock::new(()),
        });
        self.by_id.insert(id, nodeid);
        self.by_node.insert(
            nodeid,
            Entry {
                inode: inode.clone(),
                lookups: 1,
            },
        );
        Ok((inode, false))
    }

    pub fn get(&self, nodeid: u64) -> Option<Arc<Inode>> {
        self.by_node.get(&nodeid).map(|e| e.inode.clone())
    }

    /// Gives back `n` references. False if there were fewer. What is dropped comes back, to be closed without a lock.
    pub fn forget(&mut self, nodeid: u64, n: u64) -> (bool, Option<Arc<Inode>>) {
        if nodeid == ROOT_ID {
            return (true, None);
        }
        let Some(entry) = self.by_node.get_mut(&nodeid) else {
            return (false, None);
        };
        let enough = n <= entry.lookups;
        entry.lookups = entry.lookups.saturating_sub(n);
        if entry.lookups > 0 || self.keep {
            return (enough, None);
        }
        let inode = entry.inode.clone();
        self.by_id.remove(&inode.id);
        self.by_node.remove(&nodeid);
        (enough, Some(inode))
    }

    /// Drops all but the root.
    pub fn clear(&mut self) -> Vec<Arc<Inode>> {
        self.by_id.retain(|_, n| *n == ROOT_ID);
        let gone = self
            .by_node
            .iter()
            .filter(|(n, _)| **n != ROOT_ID)
            .map(|(_, e)| e.inode.clone())
            .collect();
        self.by_node.retain(|n, _| *n == ROOT_ID);
        gone
    }

    /// Number of inodes besides the root that the client refers to, and of its references to them.
    pub fn census(&self) -> (usize, u64) {
        let lookups: Vec<u64> = self
            .by_node
            .iter()
            .filter(|(n, e)| **n != ROOT_ID && e.lookups > 0)
            .map(|(_, e)| e.lookups)
            .collect();
        (lookups.len(), lookups.iter().sum())
    }
}
