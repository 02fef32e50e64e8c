// SPDX-License-Identifier: GPL-2.0

//! A model of the table that is too simple to be wrong.
//!
//! It knows of each slot its state, its owner and the id that is valid now; it has no free list, no
//! generations and no clock.

use super::{
    table,
    words::Table, //
};
use rust_fuse_host_tests::dax::ranges::*;
use std::collections::HashSet;

/// What the model knows of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Is {
    Free,
    Mapping { over: bool, unwanted: bool },
    Mapped(Live),
    Parked(Live),
    Unmapping(Live),
    Left { tried: bool },
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) writable: bool,
    pub(crate) users: u32,
    pub(crate) upgrading: bool,
    pub(crate) tainted: bool,
    pub(crate) ahead: bool,
}

impl Live {
    pub(crate) fn new(writable: bool, ahead: bool) -> Self {
        Self {
            writable,
            users: 0,
            upgrading: false,
            tainted: false,
            ahead,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) is: Is,
    pub(crate) owner: Owner,
    pub(crate) id: Option<RangeId>,
}

impl Model {
    /// Whether it can be given up.
    pub(crate) fn is_idle(&self) -> bool {
        let Is::Mapped(live) = self.is else {
            return false;
        };
        live.users == 0 && !live.upgrading && !live.tainted
    }
}

/// The table, its model, and all that was ever given out.
pub(crate) struct World {
    pub(crate) ranges: Table,
    pub(crate) model: Vec<Model>,
    pub(crate) owners: u64,
    pub(crate) issued: HashSet<RangeId>,
    pub(crate) ids: Vec<RangeId>,
    pub(crate) mapping: Vec<Mapping>,
    pub(crate) upgrading: Vec<Upgrading>,
    pub(crate) unmapping: Vec<Unmapping>,
    /// The parked mappings, in the order in which they were parked.
    pub(crate) parked: Vec<RangeId>,
    /// The slots that are nobody's, in the order in which they are given out.
    pub(crate) left: Vec<usize>,
    pub(crate) uses: Vec<Use>,
}

/// The number of the slot that an id names.
pub(crate) fn slot_of(id: RangeId) -> usize {
    usize::try_from(id.offset() / RANGE_SIZE).unwrap()
}

/// Takes one of the tokens, if there are any.
pub(crate) fn take<T>(tokens: &mut Vec<T>, which: usize) -> Option<T> {
    (!tokens.is_empty()).then(|| tokens.swap_remove(which % tokens.len()))
}

impl World {
    pub(crate) fn new(total: usize) -> Self {
        let none = Model {
            is: Is::Free,
            owner: Owner::default(),
            id: None,
        };
        Self {
            ranges: table(total),
            model: vec![none; total],
            owners: 0,
            issued: HashSet::new(),
            ids: Vec::new(),
            mapping: Vec::new(),
            upgrading: Vec::new(),
            unmapping: Vec::new(),
            parked: Vec::new(),
            left: Vec::new(),
            uses: Vec::new(),
        }
    }

    pub(crate) fn next_owner(&mut self) -> Owner {
        self.owners += 1;
        Owner {
            file: FileId {
                sb: 1 + self.owners % 2,
                inode: self.owners % 3,
            },
            index: self.owners,
        }
    }

    /// What the model knows of the slot, if the id is valid now.
    pub(crate) fn current(&mut self, id: RangeId) -> Option<&mut Model> {
        let slot = &mut self.model[slot_of(id)];
        (slot.id == Some(id)).then_some(slot)
    }

    /// The table has given a slot out: it must be one that is to be had, under an id that is new.
    pub(crate) fn gave(
        &mut self,
        mapping: Mapping,
        from: impl Fn(Is) -> bool,
        owner: Owner,
        over: bool,
    ) {
        let id = mapping.id();
        assert!(self.issued.insert(id), "{id:?} was given out before");
        let slot = &mut self.model[slot_of(id)];
        assert!(from(slot.is), "{id:?} given out from {:?}", slot.is);
        *slot = Model {
            is: Is::Mapping {
                over,
                unwanted: false,
            },
            owner,
            id: Some(id),
        };
        self.ids.push(id);
        self.mapping.push(mapping);
    }

    /// Ends a change that the table has accepted.
    pub(crate) fn end<T>(
        &mut self,
        id: RangeId,
        result: Result<T, Refused>,
        is: impl FnOnce(Is) -> Is,
    ) {
        assert!(result.is_ok(), "refused: {:?}", result.err());
        let slot = self.current(id).expect("a token of now");
        slot.is = is(slot.is);
        match slot.is {
            Is::Left { tried } => {
                slot.id = None;
                let at = if tried { self.left.len() } else { 0 };
                self.left.insert(at, slot_of(id));
            }
            Is::Free | Is::Retired => slot.id = None,
            _ => (),
        }
    }

    /// The table has closed a slot that nobody uses, which was `owner`'s.
    pub(crate) fn closed(&mut self, token: &Unmapping, owner: Owner) {
        let (id, number) = (token.id(), slot_of(token.id()));
        self.left.retain(|other| *other != number);
        self.parked.retain(|other| *other != id);
        let slot = &mut self.model[number];
        match slot.is {
            Is::Parked(live) => {
                assert_eq!((slot.id, slot.owner), (Some(id), owner));
                slot.is = Is::Unmapping(live);
            }
            Is::Left { .. } => {
                assert_eq!(owner, Owner::default());
                *slot = Model {
                    is: Is::Unmapping(Live::new(false, false)),
                    owner,
                    id: Some(id),
                };
            }
            is => panic!("closed in {is:?}"),
        }
    }

    /// Ends an upgrade.
    pub(crate) fn end_upgrade(
        &mut self,
        id: RangeId,
        result: Result<(), Refused>,
        change: impl FnOnce(&mut Live),
    ) {
        self.end(id, result, |is| {
            let Is::Mapped(mut live) = is else {
                panic!("upgrade in {is:?}")
            };
            assert!(live.upgrading);
            live.upgrading = false;
            change(&mut live);
            Is::Mapped(live)
        });
    }

    /// The mapping that an id names, or why it cannot be used.
    pub(crate) fn live(&mut self, id: RangeId) -> Result<&mut Live, Refused> {
        match self.current(id).map(|slot| &mut slot.is) {
            Some(Is::Mapped(live)) => Ok(live),
            Some(_) => Err(Refused::Busy),
            None => Err(Refused::Gone),
        }
    }

    /// Table and model agree on every slot and every id.
    pub(crate) fn agree(&self) {
        self.ranges.check().unwrap();
        let count =
            |is: fn(&Is) -> bool| self.model.iter().filter(|slot| is(&slot.is)).count() as u32;
        let counts = Counts {
            total: self.model.len() as u32,
            free: count(|is| matches!(is, Is::Free)),
            mapping: count(|is| matches!(is, Is::Mapping { .. })),
            mapped: count(|is| matches!(is, Is::Mapped(_))),
            parked: count(|is| matches!(is, Is::Parked(_))),
            unmapping: count(|is| matches!(is, Is::Unmapping(_))),
            left: count(|is| matches!(is, Is::Left { .. })),
            retired: count(|is| matches!(is, Is::Retired)),
        };
        assert_eq!(self.ranges.counts(), counts);
        for &id in &self.ids {
            let slot = &self.model[slot_of(id)];
            let expected = (slot.id == Some(id)).then_some(slot.owner);
            assert_eq!(self.ranges.owner(id).ok(), expected);
        }
    }
}
