// SPDX-License-Identifier: GPL-2.0

//! Having a range where data can be touched, and holding it.
//!
//! A hit takes no lock: the map is looked up under RCU, and the range's word is moved. Else it takes the table's spinlock, and
//! does not hold it while it waits.

use super::{
    line::Place,
    ranges::{By, Refused, Take, Use},
    Dax,
};
use crate::{dax_core::device::Window, inode::Inode};
use core::ops::Range;
use kernel::{prelude::*, sync::Arc};

/// A range that stays where it is.
pub(crate) struct Pin<'a> {
    dax: &'a Dax,
    using: Option<Use>,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if let Some(using) = self.using.take() {
            if self.dax.hits.put(using) {
                self.dax.use_ended();
            }
        }
    }
}

impl Pin<'_> {
    /// Start of the range in the window, in bytes.
    pub(super) fn addr(&self) -> u64 {
        self.using.as_ref().map_or(0, Use::offset)
    }

    /// The window.
    pub(super) fn window(&self) -> &Window {
        self.dax.window()
    }
}

/// Why a range could not be had.
pub(crate) enum Why {
    /// Every range is in use by something else.
    NoRange,
    /// The server, or a signal.
    Failed(Error),
}

impl From<Error> for Why {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

/// What the data will be used for.
#[derive(Clone, Copy)]
pub(crate) struct Want<'a> {
    /// It is written now.
    pub(crate) write: bool,
    /// It may be written later: map it writable at once, which saves a second round trip.
    pub(crate) may_write: bool,
    /// How many ranges from this one on are wanted.
    pub(crate) ranges: u64,
    /// Who wants it.
    pub(super) by: By,
    /// What it is worth.
    pub(super) take: Take,
    /// Where in the line the caller waits.
    pub(super) place: Option<&'a Place<'a>>,
    /// It is no part of a sequential pass, as far as can be seen: it may be had before who is first in line, and lets the next one
    /// on at once, see [`super::turns`]. Passes that did so would take from each other what they have not gone through yet.
    pub(super) single: bool,
}

impl Want<'_> {
    /// One range, if one is free.
    pub(crate) fn new(write: bool, may_write: bool) -> Self {
        Self {
            write,
            may_write,
            ranges: 1,
            by: By::Access,
            take: Take::Free,
            place: None,
            single: false,
        }
    }

    /// Whether `e` says that the range cannot be writable, where it need not be.
    fn refused(&self, e: Error) -> bool {
        !self.write && self.may_write && [EACCES, EPERM, EROFS].contains(&e)
    }
}

impl Dax {
    /// Pins the range of `index`, mapping it if it is not.
    #[inline]
    pub(crate) fn pin<'a>(
        self: &'a Arc<Self>,
        inode: &Inode,
        index: u64,
        want: &Want<'_>,
    ) -> Result<Pin<'a>, Why> {
        if let Some(id) = inode.data().ranges.get(index) {
            if let Some(using) = self.hits.hit(id, want.write) {
                return Ok(Pin {
                    dax: self,
                    using: Some(using),
                });
            }
        }
        self.pin_or_map(inode, index, *want)
    }

    /// As [`Self::pin`], for what is not there yet.
    fn pin_or_map<'a>(
        self: &'a Arc<Self>,
        inode: &Inode,
        index: u64,
        mut want: Want<'_>,
    ) -> Result<Pin<'a>, Why> {
        let map = &inode.data().ranges;
        let mut waiting = None;
        loop {
            let seen = self.epoch();
            let Some(id) = map.get(index) else {
                match self.map_new(inode, index, &want) {
                    // The server maps nothing writable: have it read-only.
                    Err(Why::Failed(e)) if want.refused(e) => want.may_write = false,
                    // It may be one of the others that the server refuses.
                    Err(Why::Failed(e)) if want.ranges > 1 && e != EINTR => want.ranges = 1,
                    other => other?,
                }
                continue;
            };
            let (got, opened) = {
                let mut ranges = self.ranges.lock();
                let parked = ranges.counts().parked;
                let got = ranges.get(id, want.write);
                (got, ranges.counts().parked != parked)
            };
            if opened {
                self.change();
            }
            match got {
                Ok(using) => {
                    return Ok(Pin {
                        dax: self,
                        using: Some(using),
                    })
                }
                Err(Refused::Busy) if waiting.is_none() => waiting = Some(self.announce()),
                Err(Refused::Busy) => self.wait_for_change(seen)?,
                Err(Refused::NeedsUpgrade) => self.upgrade(inode, index, id)?,
                // An upgrade was lost; nobody knows what the host has there.
                Err(Refused::Tainted) => self.abandon(inode, index, id)?,
                Err(Refused::Gone | Refused::Writable) => map.remove(index, id),
            }
        }
    }

    /// Where in the window `index` is, for somebody who has it pinned or keeps its layout from being broken. Takes no lock.
    pub(super) fn locate(&self, inode: &Inode, index: u64, write: bool) -> Option<u64> {
        let id = inode.data().ranges.get(index)?;
        self.hits.shows(id, write).then(|| id.offset())
    }

    /// As [`Self::locate`], for a fault, which may map `pages` of the range then.
    pub(super) fn locate_to_map(
        &self,
        inode: &Inode,
        index: u64,
        pages: Range<u64>,
        write: bool,
    ) -> Option<u64> {
        let id = inode.data().ranges.get(index)?;
        // Before it is looked at: who closes it looks after that.
        self.spans.touch(id, pages.start, pages.end);
        self.hits.shows(id, write).then(|| id.offset())
    }
}
