// SPDX-License-Identifier: GPL-2.0

//! A model of the table that is too simple to be wrong.
//!
//! It knows of each slot its state, its owner and the id that is valid now; it has no free list, no
//! generations and no clock.

use super::table;
use rust_fuse_host_tests::dax::ranges::*;
use std::collections::HashSet;

/// What the model knows of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Is {
    Free,
    Reserved { over: bool },
    Mapping { over: bool },
    Mapped(Live),
    Parked(Live),
    Unmapping(Live),
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) writable: bool,
    pub(crate) users: u32,
    pub(crate) upgrading: bool,
    pub(crate) tainted: bool,
}

impl Live {
    pub(crate) fn new(writable: bool) -> Self {
        Self {
            writable,
            users: 0,
            upgrading: false,
            tainted: false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) is: Is,
    pub(crate) owner: Owner,
    pub(crate) id: Option<RangeId>,
}

/// The table, its model, and all that was ever given out.
pub(crate) struct World {
    pub(crate) ranges: Ranges<Vec<Slot>>,
    pub(crate) model: Vec<Model>,
    pub(crate) owners: u64,
    pub(crate) issued: HashSet<RangeId>,
    pub(crate) ids: Vec<RangeId>,
    pub(crate) reserved: Vec<Reserved>,
    pub(crate) mapping: Vec<Mapping>,
    pub(crate) upgrading: Vec<Upgrading>,
    pub(crate) unmapping: Vec<Unmapping>,
    /// The parked mappings, in the order in which they were parked.
    pub(crate) parked: Vec<RangeId>,
    pub(crate) uses: Vec<Use>,
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
            reserved: Vec::new(),
            mapping: Vec::new(),
            upgrading: Vec::new(),
            unmapping: Vec::new(),
            parked: Vec::new(),
            uses: Vec::new(),
        }
    }

    pub(crate) fn next_owner(&mut self) -> Owner {
        self.owners += 1;
        Owner {
            inode: self.owners % 3,
            index: self.owners,
        }
    }

    /// What the model knows of the slot, if the id is valid now.
    pub(crate) fn current(&mut self, id: RangeId) -> Option<&mut Model> {
        let slot = &mut self.model[usize::try_from(id.offset() / RANGE_SIZE).unwrap()];
        (slot.id == Some(id)).then_some(slot)
    }

    /// The table has given a slot out: it must be one that is to be had, under an id that is new.
    pub(crate) fn gave(
        &mut self,
        reserved: Reserved,
        from: impl Fn(Is) -> bool,
        owner: Owner,
        over: bool,
    ) {
        let id = reserved.id();
        assert!(self.issued.insert(id), "{id:?} was given out before");
        let slot = &mut self.model[usize::try_from(id.offset() / RANGE_SIZE).unwrap()];
        assert!(from(slot.is), "{id:?} given out from {:?}", slot.is);
        *slot = Model {
            is: Is::Reserved { over },
            owner,
            id: Some(id),
        };
        self.ids.push(id);
        self.reserved.push(reserved);
    }

    /// Ends a change: `is` if the token is of now, or nothing.
    pub(crate) fn end<T>(
        &mut self,
        id: RangeId,
        result: Result<T, Refused>,
        is: impl FnOnce(Is) -> Is,
    ) {
        match self.current(id) {
            Some(slot) => {
                assert!(result.is_ok(), "refused: {:?}", result.err());
                slot.is = is(slot.is);
                if matches!(slot.is, Is::Free | Is::Retired) {
                    slot.id = None;
                }
            }
            None => assert_eq!(result.err(), Some(Refused::Gone)),
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

    /// Ends a change that frees the slot, or leaves what the host still has there to be removed.
    pub(crate) fn given_up(&mut self, id: RangeId, result: Result<Option<Unmapping>, Refused>) {
        let leftover = matches!(&result, Ok(Some(_)));
        let result = result.map(|token| self.unmapping.extend(token));
        self.end(id, result, |is| match is {
            Is::Reserved { over } | Is::Mapping { over } => {
                assert_eq!(over, leftover);
                if over {
                    Is::Unmapping(Live::new(false))
                } else {
                    Is::Free
                }
            }
            _ => panic!("given up in {is:?}"),
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
            reserved: count(|is| matches!(is, Is::Reserved { .. })),
            mapping: count(|is| matches!(is, Is::Mapping { .. })),
            mapped: count(|is| matches!(is, Is::Mapped(_))),
            parked: count(|is| matches!(is, Is::Parked(_))),
            unmapping: count(|is| matches!(is, Is::Unmapping(_))),
            retired: count(|is| matches!(is, Is::Retired)),
        };
        assert_eq!(self.ranges.counts(), counts);
        for &id in &self.ids {
            let slot = &self.model[usize::try_from(id.offset() / RANGE_SIZE).unwrap()];
            let expected = (slot.id == Some(id)).then_some(slot.owner);
            assert_eq!(self.ranges.owner(id).ok(), expected);
        }
    }
}
