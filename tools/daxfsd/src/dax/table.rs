// SPDX-License-Identifier: GPL-2.0

//! Which part of the window is mapped to what: the pure bookkeeping, without QEMU. QEMU wants an unmap to match its map
//! exactly, and the driver may give back one 2 MiB slot of a longer mapping, so everything is cut at 2 MiB boundaries of
//! the window and kept per slot.

use std::collections::BTreeMap;

use crate::proto::{SETUPMAPPING_FLAG_READ, SETUPMAPPING_FLAG_WRITE};

/// Mappings are cut into slots of this size.
pub const SLOT: u64 = 2 << 20;

/// One live mapping at QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Length in bytes, at most one slot.
    pub len: u64,
    /// The inode (our node id, which is never used again for another file).
    pub nodeid: u64,
    /// Offset in the file.
    pub foffset: u64,
    /// What the driver asked for; QEMU maps writable in any case.
    pub writable: bool,
}

/// What has to be done for one slot of a SETUPMAPPING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The slot is free.
    Map,
    /// It holds something else, which goes away first.
    Replace,
    /// It is mapped as asked, only read-only. Nothing happens at QEMU.
    Upgrade,
    /// It is mapped as asked already.
    Nothing,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Misaligned, empty, outside the window or with unknown flags.
    Invalid,
    /// It would cut an existing mapping in two.
    Overlap,
    /// Strict mode: the slot is in use for something else.
    InUse,
    /// Nothing is mapped there, or not exactly that.
    NotMapped,
}

/// The window's contents.
pub struct Table {
    size: u64,
    align: u64,
    strict: bool,
    map: BTreeMap<u64, Mapping>,
}

/// Cuts a range at slot boundaries of the window: (offset in the window, offset in the range, length).
fn cut(moffset: u64, len: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = moffset + done;
        let n = (SLOT - at % SLOT).min(len - done);
        let part = (at, done, n);
        done += n;
        Some(part)
    })
}

impl Table {
    /// An empty window. In strict mode a slot has to be given back before it is used for something else.
    pub fn new(size: u64, align: u64, strict: bool) -> Self {
        Table {
            size,
            align,
            strict,
            map: BTreeMap::new(),
        }
    }

    fn inside(&self, moffset: u64, len: u64) -> bool {
        len > 0
            && (moffset | len) % self.align == 0
            && moffset.checked_add(len).is_some_and(|end| end <= self.size)
    }

    fn overlapping(&self, at: u64, len: u64) -> impl Iterator<Item = (u64, Mapping)> + '_ {
        // No mapping is longer than a slot, so none that starts before this can reach into the range.
        let from = at.saturating_sub(SLOT);
        self.map
            .range(from..at + len)
            .filter(move |(o, m)| *o + m.len > at)
            .map(|(o, m)| (*o, *m))
    }

    /// Checks a SETUPMAPPING and says what to do for each slot of it, without doing it.
    pub fn plan(
        &self,
        nodeid: u64,
        foffset: u64,
        len: u64,
        flags: u64,
        moffset: u64,
    ) -> Result<Vec<(u64, Mapping, Step)>, Refused> {
        let known = SETUPMAPPING_FLAG_READ | SETUPMAPPING_FLAG_WRITE;
        let fits = foffset
            .checked_add(len)
            .is_some_and(|end| end <= i64::MAX as u64);
        if !self.inside(moffset, len)
            || foffset % self.align != 0
            || !fits
            || flags & known == 0
            || flags & !known != 0
        {
            return Err(Refused::Invalid);
        }
        let writable = flags & SETUPMAPPING_FLAG_WRITE != 0;
        let mut plan = Vec::new();
        for (at, done, n) in cut(moffset, len) {
            let new = Mapping {
                len: n,
                nodeid,
                foffset: foffset + done,
                writable,
            };
            let step = match self.overlapping(at, n).next() {
                None => Step::Map,
                Some((o, old)) if o != at || old.len != n => return Err(Refused::Overlap),
                Some((_, old)) if old == new => Step::Nothing,
                Some((_, old)) if (Mapping { writable, ..old }) == new => {
                    if writable {
                        Step::Upgrade
                    } else {
                        Step::Nothing
                    }
                }
                Some(_) if self.strict => return Err(Refused::InUse),
                Some(_) => Step::Replace,
            };
            plan.push((at, new, step));
        }
        Ok(plan)
    }

    /// Checks one entry of REMOVEMAPPING and lists the mappings that it names, without removing them.
    pub fn plan_remove(&self, moffset: u64, len: u64) -> Result<Vec<(u64, Mapping)>, Refused> {
        if !self.inside(moffset, len) {
            return Err(Refused::Invalid);
        }
        let found: Vec<_> = self.overlapping(moffset, len).collect();
        let exact = found
            .iter()
            .all(|(o, m)| *o >= moffset && o + m.len <= moffset + len);
        if !exact || found.iter().map(|(_, m)| m.len).sum::<u64>() != len {
            return Err(Refused::NotMapped);
        }
        Ok(found)
    }

    /// Notes that a mapping is in place.
    pub fn insert(&mut self, moffset: u64, mapping: Mapping) {
        self.map.insert(moffset, mapping);
    }

    /// Notes that a mapping is gone.
    pub fn remove(&mut self, moffset: u64) {
        self.map.remove(&moffset);
    }

    /// All mappings, in the order of the window.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Mapping)> + '_ {
        self.map.iter().map(|(o, m)| (*o, *m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RO: u64 = SETUPMAPPING_FLAG_READ;
    const RW: u64 = SETUPMAPPING_FLAG_READ | SETUPMAPPING_FLAG_WRITE;

    fn apply(t: &mut Table, plan: Vec<(u64, Mapping, Step)>) -> Vec<Step> {
        plan.into_iter()
            .map(|(at, m, step)| {
                if step != Step::Nothing {
                    t.insert(at, m);
                }
                step
            })
            .collect()
    }

    #[test]
    fn map_upgrade_replace_remove() {
        let mut t = Table::new(16 * SLOT, 4096, false);
        let p = t.plan(7, 0, 3 * SLOT, RO, SLOT).unwrap();
        assert_eq!(apply(&mut t, p), [Step::Map; 3]);
        let p = t.plan(7, SLOT, SLOT, RW, 2 * SLOT).unwrap();
        assert_eq!(apply(&mut t, p), [Step::Upgrade]);
        // Asking for less than there is changes nothing.
        let p = t.plan(7, 0, 3 * SLOT, RO, SLOT).unwrap();
        assert_eq!(apply(&mut t, p), [Step::Nothing; 3]);
        assert!(t.plan_remove(2 * SLOT, SLOT).unwrap()[0].1.writable);
        let p = t.plan(8, 0, SLOT, RO, SLOT).unwrap();
        assert_eq!(apply(&mut t, p), [Step::Replace]);
        assert_eq!(t.plan_remove(SLOT, 3 * SLOT).unwrap().len(), 3);
        t.remove(2 * SLOT);
        assert_eq!(t.plan_remove(SLOT, 3 * SLOT), Err(Refused::NotMapped));
        assert_eq!(t.plan_remove(2 * SLOT, SLOT), Err(Refused::NotMapped));
        assert_eq!(t.iter().count(), 2);
    }

    #[test]
    fn what_is_refused() {
        let mut t = Table::new(4 * SLOT, 4096, false);
        for (foffset, len, flags, moffset) in [
            (0, 0, RO, 0),
            (0, SLOT, RO, 1),
            (1, SLOT, RO, 0),
            (0, SLOT + 1, RO, 0),
            (0, SLOT, 0, 0),
            (0, SLOT, 4 | RO, 0),
            (0, SLOT, RO, 4 * SLOT),
            (0, 5 * SLOT, RO, 0),
            (0, SLOT, RO, u64::MAX - 4095),
            (u64::MAX - 4095, SLOT, RO, 0),
            (i64::MAX as u64 - 4095, SLOT, RO, 0),
        ] {
            assert_eq!(
                t.plan(1, foffset, len, flags, moffset),
                Err(Refused::Invalid)
            );
        }
        let p = t.plan(1, 0, SLOT, RO, 0).unwrap();
        apply(&mut t, p);
        assert_eq!(t.plan(1, 0, 4096, RO, 4096), Err(Refused::Overlap));
        assert_eq!(t.plan_remove(0, 4096), Err(Refused::NotMapped));
        assert_eq!(t.plan_remove(0, u64::MAX), Err(Refused::Invalid));
    }

    #[test]
    fn strict_slots() {
        let mut t = Table::new(4 * SLOT, 4096, true);
        let p = t.plan(1, 0, SLOT, RO, 0).unwrap();
        apply(&mut t, p);
        assert_eq!(t.plan(2, 0, SLOT, RO, 0), Err(Refused::InUse));
        assert_eq!(t.plan(1, SLOT, SLOT, RO, 0), Err(Refused::InUse));
        assert_eq!(t.plan(1, 0, SLOT, RW, 0).unwrap()[0].2, Step::Upgrade);
    }

    #[test]
    fn pieces_smaller_than_a_slot() {
        let mut t = Table::new(4 * SLOT, 4096, false);
        let p = t.plan(1, 0, SLOT, RO, SLOT / 2).unwrap();
        assert_eq!(apply(&mut t, p), [Step::Map; 2]);
        assert_eq!(t.plan_remove(SLOT / 2, SLOT).unwrap().len(), 2);
        assert_eq!(t.plan_remove(SLOT, SLOT / 2).unwrap().len(), 1);
    }
}
