// SPDX-License-Identifier: GPL-2.0

//! Files whose data is read, written, spliced and mapped in a backing file, without asking the server.
//!
//! The server stays the authority on attributes: what changed is asked for again. Only the size grows here as well. That a
//! mapping, or the server itself, changed the data shows by the backing file's size and times ([`Watch`]). With the mount
//! option `attrs=backing` the backing file is the authority on size, blocks and times, for as long as it is in use.
//! Locks: the inode lock for writing around a write; nothing around a read. A spinlock "fuse passthrough" around a watch.

use crate::{
    attr,
    conn::Conn,
    handle::FileData,
    inode::Inode,
    iomode::PassthroughUse,
    proto::{
        attr::Attr,
        flags::{FopenFlags, InitFlags},
    },
    setattr,
    vfs::{
        backing::{Backing, BackingFile, DataAttributes, Stamp},
        file::{File, Opening},
        inode::fields,
        iter,
    },
    writeback, xattr, Fuse,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Relaxed},
        Arc, SpinLock,
    },
};

/// What is known of a backing file while its data can change without a call here.
#[pin_data]
pub(crate) struct Watch {
    /// There is something to look at.
    on: AtomicFlag,
    #[pin]
    last: SpinLock<Option<(Arc<Backing>, Stamp)>>,
}

impl Watch {
    /// There is nothing to look at.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            on: AtomicFlag::new(false),
            last <- new_spinlock!(None, "fuse passthrough"),
        })
    }

    fn start(&self, backing: Arc<Backing>) {
        let stamp = backing.stamp();
        let mut last = self.last.lock();
        if last
            .as_ref()
            .is_some_and(|(is, _)| Arc::ptr_eq(is, &backing))
        {
            return;
        }
        let before = last.replace((backing, stamp));
        drop(last);
        drop(before);
        self.on.store(true, Relaxed);
    }

    /// Nobody can change the data any more without being noticed, or nobody will ask.
    pub(crate) fn stop(&self) {
        self.on.store(false, Relaxed);
        let before = self.last.lock().take();
        drop(before);
    }

    /// Whether the data changed since this was last asked, and whether more such changes are to be expected when no file is
    /// open.
    fn changed(&self) -> Option<(bool, bool)> {
        let mut last = self.last.lock();
        let Some((backing, seen)) = &mut *last else {
            return None;
        };
        let now = backing.stamp();
        let changed = core::mem::replace(seen, now) != now;
        Some((changed, backing.is_mapped_for_writing()))
    }
}

/// Looks whether a backing file changed in a way that nobody told.
pub(crate) fn look(inode: &Inode) {
    let watch = &inode.data().watch;
    if !watch.on.load(Relaxed) {
        return;
    }
    let Some((changed, mapped)) = watch.changed() else {
        return;
    };
    let ends = !mapped && inode.data().modes.may_open().is_ok();
    match authority(inode) {
        Some(said) if !ends => take(inode, &said),
        // The server is the authority again.
        Some(_) => attr::changed(inode, fields::DATA | fields::SIZE | fields::ATIME),
        None if changed => attr::changed(inode, fields::DATA | fields::SIZE),
        None => (),
    }
    if ends {
        watch.stop();
    }
}

/// What a backing file says, where that counts.
fn authority(inode: &Inode) -> Option<DataAttributes> {
    let watch = &inode.data().watch;
    if !watch.on.load(Relaxed) || !inode.sb().data().asks_backing() {
        return None;
    }
    let last = watch.last.lock();
    last.as_ref().map(|(backing, _)| backing.attributes())
}

fn take(inode: &Inode, said: &DataAttributes) {
    let mut state = inode.data().state.lock();
    inode.set_data_attributes(said);
    state.stale &= !(fields::DATA | fields::SIZE | fields::ATIME);
    inode.data().was_read.store(false, Relaxed);
}

/// What the server says of an inode, with what its backing file says better. `None` where that is nothing.
pub(crate) fn corrected(inode: &Inode, attr: &Attr) -> Option<Attr> {
    let said = authority(inode)?;
    let [atime, mtime, ctime] = said.times;
    Some(Attr {
        size: said.size,
        blocks: said.blocks,
        atime: atime.0 as u64,
        atimensec: atime.1,
        mtime: mtime.0 as u64,
        mtimensec: mtime.1,
        ctime: ctime.0 as u64,
        ctimensec: ctime.1,
        ..*attr
    })
}

/// Something was read.
pub(crate) fn was_read(inode: &Inode) {
    if authority(inode).is_none() {
        attr::was_read(inode);
    }
}

/// What a server may say of a file besides.
const ALLOWED: FopenFlags = FopenFlags::PASSTHROUGH
    .union(FopenFlags::DIRECT_IO)
    .union(FopenFlags::PARALLEL_DIRECT_WRITES)
    .union(FopenFlags::NOFLUSH);

/// Opens the backing file of a file that is being opened.
///
/// # Errors
///
/// `EINVAL` where it was not agreed on or does not go with the file's other flags, or for an impossible id; `ENOENT` for an id
/// that nobody has; what opening fails with; `ETXTBSY` and `EBUSY` for what is in the way.
pub(crate) fn open(
    inode: &Inode,
    opening: &Opening<'_>,
    data: &mut FileData,
) -> Result<PassthroughUse> {
    let conn: &Conn = inode.sb().data();
    if !conn.has(InitFlags::PASSTHROUGH) || !data.flags().difference(ALLOWED).is_empty() {
        return Err(EINVAL);
    }
    let backing = conn.backings().ok_or(EINVAL)?.get(data.backing_id())?;
    let file = opening.open_backing(&backing)?;
    let entered = inode.data().modes.use_backing(backing.clone())?;
    // Another file may have been watched until now.
    look(inode);
    inode.data().watch.start(backing);
    data.backing = Some(file);
    // What was stored in mappings before is older than what is written now.
    let _ = writeback::sync(inode, 0, u64::MAX);
    Ok(entered)
}

/// The file is closed.
pub(crate) fn close(data: &mut FileData) {
    data.backing = None;
}

/// Where a file is read and written; a server that wants it direct as well serves that itself.
pub(crate) fn of(file: &File<Fuse>) -> Option<&BackingFile> {
    let data = file.data();
    data.backing
        .as_ref()
        .filter(|_| !data.flags().contains(FopenFlags::DIRECT_IO))
}

/// Writes.
pub(crate) fn write(io: &mut iter::Write<'_, Fuse>, backing: &BackingFile) -> Result<usize> {
    if io.len() == 0 {
        return Ok(0);
    }
    let lock = io.file().inode().lock_killable()?;
    // No WRITE tells the server to clear them.
    setattr::drop_privs(io.file())?;
    xattr::settle_privs(io.file().inode());
    io.backing(backing, &lock)
}

/// A write ended before `pos`.
pub(crate) fn written(inode: &Inode, pos: u64, result: Result<usize>) {
    if let Some(said) = authority(inode) {
        return take(inode, &said);
    }
    match result {
        Ok(n) if n > 0 => attr::extend(inode, pos),
        _ => attr::changed(inode, fields::DATA | fields::SIZE),
    }
}
