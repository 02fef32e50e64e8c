// SPDX-License-Identifier: GPL-2.0

//! Lookups and lists of one directory one after the other, for servers that did not agree to have them together.
//!
//! Who is killed leaves his turn to the next, though the server may still be at what he asked for. Waiting is killable and comes
//! inside the directory's inode lock, which both kinds hold for reading.

use crate::{
    inode::Inode,
    proto::flags::InitFlags,
    sync::{waitq::new_waitq, WaitQueue},
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Full},
        Arc,
    },
};

/// Those who wait for a turn in any directory of a mount.
#[pin_data]
pub(crate) struct Turns {
    #[pin]
    queue: WaitQueue,
}

impl Turns {
    /// Nobody waits.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                queue <- new_waitq!("fuse turns"),
            }),
            GFP_KERNEL,
        )
    }
}

/// Whether somebody has his turn in a directory.
pub(crate) struct Taken(AtomicFlag);

impl Default for Taken {
    fn default() -> Self {
        Self(AtomicFlag::new(false))
    }
}

/// A turn in a directory. It ends when this is dropped.
pub(crate) struct Turn<'a> {
    taken: &'a Taken,
    turns: &'a Turns,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.taken.0.xchg(false, Full);
        self.turns.queue.wake_all();
    }
}

/// Waits for a turn in `dir`, where the server wants that.
///
/// # Errors
///
/// `EINTR` when a fatal signal comes first, and what INIT failed with.
pub(crate) fn wait(dir: &Inode) -> Result<Option<Turn<'_>>> {
    let (sb, conn) = (dir.sb(), dir.sb().data());
    conn.ready(sb)?;
    if conn.has(InitFlags::PARALLEL_DIROPS) {
        return Ok(None);
    }
    let taken = &dir.data().taken;
    let turns = conn.turns();
    turns
        .queue
        .wait_killable(|| (!taken.0.xchg(true, Full)).then_some(()))?;
    Ok(Some(Turn { taken, turns }))
}
