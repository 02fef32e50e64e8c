// SPDX-License-Identifier: GPL-2.0

//! What a server tells without having been asked (notifications).
//!
//! - [`names`]: names that changed or went;
//! - [`data`]: attributes and cached data, also from the cache and into it.
//!
//! Forgetting a name or data may have to wait for a folio that the server is reading, or for an inode to leave memory. A server
//! that waited for that itself, inside its write(2), could wait for itself and not even be killed. So a task of a work queue
//! does it, and the server waits for that task, killably: when it is killed its session ends, and with it what is waited for.
//! No inode lock is taken here: who holds it may wait for the server.
//!
//! Locks: none of its own.

mod data;
mod names;

use crate::{
    chardev::FromUser,
    inode::Inode,
    poll::Polls,
    proto::{header::NotifyCode, ids::NodeId, notify::NotifyPollWakeupOut},
    sync::{waitq::new_waitq, OwnedQueue, WaitQueue},
    vfs::{Mounted, SuperBlock},
    Fuse,
};
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce},
};
use zerocopy::{FromBytes, IntoBytes};

/// Where notifications of one session go.
pub(crate) struct Told {
    mounted: Arc<Mounted<Fuse>>,
    work: Arc<OwnedQueue>,
    polls: Arc<Polls>,
}

/// What becomes of work that another task does.
#[pin_data]
struct End {
    #[pin]
    changed: WaitQueue,
    result: SetOnce<Result>,
}

impl Told {
    /// Notifications concern what `mounted` lends and those who wait for `polls`, and are worked off by `work`.
    pub(crate) fn new(
        mounted: Arc<Mounted<Fuse>>,
        work: Arc<OwnedQueue>,
        polls: Arc<Polls>,
    ) -> Self {
        Self {
            mounted,
            work,
            polls,
        }
    }

    /// The session is over: nobody is to wait for its notifications.
    pub(crate) fn end(&self) {
        self.polls.wake_all();
    }

    /// Takes a notification, of which `from` has what follows the header.
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that breaks the protocol, `ENOENT` when what it is about is not in memory, `EINTR` when the server is
    /// killed meanwhile, `EFAULT`, `ENOMEM`, and what the parts say.
    pub(crate) fn take(&self, code: NotifyCode, from: &mut FromUser<'_, '_>) -> Result {
        match code {
            NotifyCode::POLL => {
                let arg: NotifyPollWakeupOut = read_all(from)?;
                self.polls.wake(arg.kh);
                Ok(())
            }
            NotifyCode::INVAL_INODE => data::inval_inode(self, from),
            NotifyCode::STORE => data::store(self, from),
            NotifyCode::RETRIEVE => data::retrieve(self, from),
            NotifyCode::INVAL_ENTRY => names::inval_entry(self, from),
            NotifyCode::DELETE => names::delete(self, from),
            NotifyCode::PRUNE => names::prune(self, from),
            NotifyCode::INC_EPOCH => self.aside(|sb| {
                sb.data().next_epoch();
                Ok(())
            }),
            _ => Err(EINVAL),
        }
    }

    /// Has another task do something with the super block, and waits for it unless killed. `ENOENT` at the end of the mount.
    fn aside(&self, what: impl FnOnce(&SuperBlock<Fuse>) -> Result + Send + 'static) -> Result {
        let end = Arc::pin_init(
            pin_init!(End {
                changed <- new_waitq!("fuse notification"),
                result: SetOnce::new(),
            }),
            GFP_KERNEL,
        )?;
        let (mounted, told) = (self.mounted.clone(), end.clone());
        self.work.try_spawn(GFP_KERNEL, move || {
            told.result
                .populate(mounted.with(what).unwrap_or(Err(ENOENT)));
            told.changed.wake_all();
        })?;
        end.changed.wait_killable(|| end.result.copy())?
    }

    /// As [`Self::aside`], with an inode, which has to be in memory.
    fn aside_with(
        &self,
        nodeid: NodeId,
        what: impl FnOnce(&Inode) -> Result + Send + 'static,
    ) -> Result {
        self.aside(move |sb| what(&*sb.find_inode(nodeid.get()).ok_or(ENOENT)?))
    }
}

/// Copies a structure.
fn read<T: FromBytes + IntoBytes>(from: &mut FromUser<'_, '_>) -> Result<T> {
    let mut value = T::new_zeroed();
    if from.len() < size_of::<T>() {
        return Err(EINVAL);
    }
    from.bytes(value.as_mut_bytes())?;
    Ok(value)
}

/// As [`read`], for a structure that is all there is.
fn read_all<T: FromBytes + IntoBytes>(from: &mut FromUser<'_, '_>) -> Result<T> {
    if from.len() != size_of::<T>() {
        return Err(EINVAL);
    }
    read(from)
}
