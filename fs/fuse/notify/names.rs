// SPDX-License-Identifier: GPL-2.0

//! Names that changed at the server: INVAL_ENTRY, DELETE, PRUNE.
//!
//! A lookup that is under way may still bring what the server knew before; such answers are not believed, see
//! [`inode::name_told`]. Locks: the inode's own spinlock.

use super::{read, Told};
use crate::{
    attr::{self, S_IFDIR, S_IFMT},
    chardev::FromUser,
    errno,
    inode::{self, Inode},
    proto::{
        flags::InvalEntryFlags,
        ids::NodeId,
        notify::{NotifyDeleteOut, NotifyInvalEntryOut, NotifyPruneOut},
        NAME_MAX,
    },
    readdir,
    vfs::{dentry::Belief, page::zeroed_bytes},
};
use kernel::prelude::*;
use zerocopy::IntoBytes;

/// Node ids that are taken at a time.
const PRUNE_BATCH: usize = 512;

/// A name and the NUL behind it, which are all that is left of the message.
fn read_name(from: &mut FromUser<'_, '_>, len: u32) -> Result<KVec<u8>> {
    let len = len as usize;
    if len > NAME_MAX {
        return Err(errno::enametoolong());
    }
    if from.len() != len + 1 {
        return Err(EINVAL);
    }
    let mut name = zeroed_bytes(len + 1)?;
    from.bytes(&mut name)?;
    name.truncate(len);
    Ok(name)
}

/// INVAL_ENTRY: a name is not to be believed.
pub(super) fn inval_entry(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyInvalEntryOut = read(from)?;
    let name = read_name(from, arg.namelen)?;
    let expire = arg.flags.contains(InvalEntryFlags::EXPIRE_ONLY);
    told.aside_with(arg.parent, move |dir| forget(dir, &name, expire, None))
}

/// DELETE: a name was removed, and what it stood for with it.
pub(super) fn delete(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyDeleteOut = read(from)?;
    let name = read_name(from, arg.namelen)?;
    let child = Some(arg.child).filter(|child| !child.is_none());
    told.aside_with(arg.parent, move |dir| forget(dir, &name, false, child))
}

/// Forgets a name, or with `expire` has it asked for by its next user. `gone` was removed with it.
fn forget(dir: &Inode, name: &[u8], expire: bool, gone: Option<NodeId>) -> Result {
    if dir.mode() & S_IFMT != S_IFDIR {
        return Err(ENOTDIR);
    }
    inode::name_told(dir);
    let name = dir.cached_name(name).ok_or(ENOENT)?;
    attr::expire(dir);
    readdir::cache::changed(dir);
    if !expire {
        name.invalidate();
    }
    name.believe(Belief::NONE);
    let (Some(gone), Some(inode)) = (gone, name.inode_ref()) else {
        return Ok(());
    };
    if inode.key() != gone.get() {
        return Err(ENOENT);
    }
    if name.is_mountpoint() {
        return Err(EBUSY);
    }
    if inode.mode() & S_IFMT == S_IFDIR {
        if name.is_used_below() {
            return Err(errno::enotempty());
        }
        inode.set_removed();
    }
    name.forbid_mounts();
    let state = inode.data().state.lock();
    inode.clear_links();
    drop(state);
    Ok(())
}

/// PRUNE: inodes that nobody uses are to leave memory.
pub(super) fn prune(told: &Told, from: &mut FromUser<'_, '_>) -> Result {
    let arg: NotifyPruneOut = read(from)?;
    let mut left = arg.count as usize;
    if Some(from.len()) != left.checked_mul(size_of::<NodeId>()) {
        return Err(EINVAL);
    }
    while left > 0 {
        let count = left.min(PRUNE_BATCH);
        let mut ids = KVec::from_elem(NodeId::NONE, count, GFP_KERNEL)?;
        from.bytes(ids.as_mut_slice().as_mut_bytes())?;
        let done = told.aside(move |sb| {
            for inode in ids.iter().filter_map(|id| sb.find_inode(id.get())) {
                inode.prune_names();
            }
            Ok(())
        });
        match done {
            // The mount is ending, and everything leaves memory.
            Err(e) if e == ENOENT => (),
            other => other?,
        }
        left -= count;
    }
    Ok(())
}
