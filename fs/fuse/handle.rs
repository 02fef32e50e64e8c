// SPDX-License-Identifier: GPL-2.0

//! An open file as the server knows it.
//!
//! Most files are used by system calls only, which end before the file is closed. Reading ahead and writing back go on
//! without it, so they share a [`Handle`]: the server is told of the close when the last of them is done. No locks but that of
//! who writes back, around setting it.

use crate::{
    chan::{self, Transport},
    dax::pass::Pass,
    inode::Inode,
    modes::Entered,
    ops::file::Release,
    poll::Polled,
    proto::{
        file::{OpenOut, ReleaseIn},
        flags::FopenFlags,
        ids::{Fh, NodeId},
    },
    readdir,
    vfs::{backing::BackingFile, cred::Caller, file::Positions},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, SetOnce,
    },
};

/// A handle that more than the open file needs.
pub(crate) struct Handle {
    transport: Arc<dyn Transport>,
    nodeid: NodeId,
    /// The handle for requests.
    pub(crate) fh: Fh,
    /// Set when the file is closed: what the server is told when the last user is gone, if it knows the handle.
    release: SetOnce<Option<ReleaseIn>>,
    told: Atomic<bool>,
}

impl Handle {
    /// Whether the file is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.release.as_ref().is_some()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(Some(arg)) = self.release.copy().filter(|_| !self.told.load(Relaxed)) else {
            return;
        };
        let op = Release::<false> {
            nodeid: self.nodeid,
            arg,
        };
        if chan::send_detached(&*self.transport, Caller::default(), &op).is_err() {
            pr_warn!("no memory to release a file\n");
        }
    }
}

/// What an open file holds.
pub(crate) struct FileData {
    fh: Option<Fh>,
    flags: FopenFlags,
    backing_id: i32,
    /// What it has of the inode's io mode.
    pub(crate) entered: Entered,
    /// What is read, written and mapped in its place.
    pub(crate) backing: Option<BackingFile>,
    shared: SetOnce<Arc<Handle>>,
    /// Who took a lock of flock(2), and a lock of the open file, at the server.
    pub(crate) flock: SetOnce<u64>,
    pub(crate) ofd: SetOnce<u64>,
    /// Who waits for it by poll(2).
    pub(crate) polled: SetOnce<Arc<Polled>>,
    /// Where a reader of a directory is in what is kept of it.
    pub(crate) stream: readdir::cache::Stream,
    /// How many have data read that will be needed, and do not wait for it.
    advising: Atomic<u32>,
    /// Where the last access by DAX ended.
    pub(crate) pass: Pass,
}

impl FileData {
    /// A file that the server knows nothing of yet.
    pub(crate) fn new() -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                fh: None,
                flags: FopenFlags::empty(),
                backing_id: 0,
                entered: Entered::None,
                backing: None,
                shared: SetOnce::new(),
                flock: SetOnce::new(),
                ofd: SetOnce::new(),
                polled: SetOnce::new(),
                stream: readdir::cache::Stream::default(),
                advising: Atomic::new(0),
                pass: Pass::default(),
            },
            GFP_KERNEL,
        )?)
    }

    /// Takes over what the server opened.
    pub(crate) fn opened(&mut self, out: &OpenOut) {
        self.fh = Some(out.fh);
        self.flags = out.open_flags;
        self.backing_id = out.backing_id;
    }

    /// Which backing file the server named.
    pub(crate) fn backing_id(&self) -> i32 {
        self.backing_id
    }

    /// Its writes never run together.
    pub(crate) fn writes_alone(&mut self) {
        self.flags.remove(FopenFlags::PARALLEL_DIRECT_WRITES);
    }

    /// Somebody begins, or ends, to have data read that will be needed.
    pub(crate) fn advised(&self, begins: bool) {
        self.advising
            .fetch_add(if begins { 1 } else { u32::MAX }, Relaxed);
    }

    /// Whether somebody has data read that will be needed.
    pub(crate) fn is_advised(&self) -> bool {
        self.advising.load(Relaxed) > 0
    }

    /// The handle that has to be released.
    pub(crate) fn fh(&self) -> Option<Fh> {
        self.fh
    }

    /// The handle for requests; 0 for a server without OPEN.
    pub(crate) fn handle(&self) -> Fh {
        self.fh.unwrap_or_default()
    }

    /// A server without OPENDIR leaves it to the client what to keep of directories.
    pub(crate) fn opened_dir_locally(&mut self) {
        self.flags = FopenFlags::CACHE_DIR | FopenFlags::KEEP_CACHE;
    }

    /// Whether the entries of the directory may be kept.
    pub(crate) fn keeps_list(&self) -> bool {
        self.flags.contains(FopenFlags::CACHE_DIR)
    }

    /// Whether what was kept by others may be used.
    pub(crate) fn keeps_cache(&self) -> bool {
        self.flags.contains(FopenFlags::KEEP_CACHE)
    }

    /// What the server says of positions.
    pub(crate) fn positions(&self) -> Positions {
        if self.flags.contains(FopenFlags::STREAM) {
            Positions::None
        } else if self.flags.contains(FopenFlags::NONSEEKABLE) {
            Positions::Sequential
        } else {
            Positions::Any
        }
    }

    /// How the server wants the file to be treated.
    pub(crate) fn flags(&self) -> FopenFlags {
        self.flags
    }

    /// The handle for what may outlive the open file.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn share(&self, inode: &Inode) -> Result<Arc<Handle>> {
        if let Some(handle) = self.shared.as_ref() {
            return Ok(handle.clone());
        }
        let handle = Arc::new(
            Handle {
                transport: inode.sb().data().transport().clone(),
                nodeid: NodeId::new(inode.key()),
                fh: self.handle(),
                release: SetOnce::new(),
                told: Atomic::new(false),
            },
            GFP_KERNEL,
        )?;
        Ok(inode.data().writeback.share(&self.shared, &handle))
    }

    /// Closes the file. True when the caller has to tell the server: the handle is open there, and nobody else uses it.
    pub(crate) fn close(this: KBox<Self>, arg: ReleaseIn) -> bool {
        let opened = this.fh.is_some();
        let shared = this.shared.as_ref().cloned();
        drop(this);
        let Some(shared) = shared else {
            return opened;
        };
        shared.release.populate(opened.then_some(arg));
        match Arc::into_unique_or_drop(shared) {
            Some(last) => {
                last.told.store(true, Relaxed);
                opened
            }
            None => false,
        }
    }
}
