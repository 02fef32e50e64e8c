// SPDX-License-Identifier: GPL-2.0

//! Random histories of the table against a model that is too simple to be wrong.
//!
//! The model knows of each slot its state, its owner and the id that is valid now; it has no free
//! list, no generations and no clock. After each step both must agree on everything, and the
//! table's invariants must hold. Tokens are kept over resets, so that stale ones are tried too.

use super::table;
use proptest::prelude::*;
use rust_fuse_host_tests::dax::ranges::*;
use std::collections::HashSet;

/// What the model knows of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Free,
    Reserved,
    Mapping,
    Mapped(Live),
    Unmapping(Live),
    Retired,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Live {
    writable: bool,
    users: u32,
    upgrading: bool,
    tainted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Model {
    is: Is,
    owner: Owner,
    id: Option<RangeId>,
}

/// One step of a history: what to do, to which of the candidates, and how.
#[derive(Clone, Copy, Debug)]
struct Step {
    action: Action,
    which: usize,
    flag: bool,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Reserve,
    Release,
    BeginMap,
    Mapped,
    MapFailed,
    RetireMapping,
    Get,
    Put,
    BeginUpgrade,
    Upgraded,
    UpgradeFailed,
    RetireUpgrade,
    Pick,
    BeginUnmap,
    Unmapped,
    UnmapFailed,
    UnmapCancelled,
    HandOver,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Action::*;
    // What moves a slot on is frequent, what takes it out of the game is rare.
    let action = prop::sample::select(
        [
            (12, &[Reserve, BeginMap, Mapped, Get][..]),
            (
                8,
                &[
                    Put,
                    BeginUpgrade,
                    Upgraded,
                    Pick,
                    BeginUnmap,
                    Unmapped,
                    HandOver,
                ],
            ),
            (2, &[Release, MapFailed, UpgradeFailed, UnmapCancelled]),
            (1, &[RetireMapping, RetireUpgrade, UnmapFailed, Reset]),
        ]
        .iter()
        .flat_map(|&(weight, actions)| actions.repeat(weight))
        .collect::<Vec<_>>(),
    );
    let step = (action, any::<usize>(), any::<bool>());
    let step = step.prop_map(|(action, which, flag)| Step {
        action,
        which,
        flag,
    });
    prop::collection::vec(step, 1..400)
}

/// The table, its model, and all that was ever given out.
struct World {
    ranges: Ranges<Vec<Slot>>,
    model: Vec<Model>,
    owners: u64,
    issued: HashSet<RangeId>,
    ids: Vec<RangeId>,
    reserved: Vec<Reserved>,
    mapping: Vec<Mapping>,
    upgrading: Vec<Upgrading>,
    unmapping: Vec<Unmapping>,
    uses: Vec<Use>,
}

/// Takes one of the tokens, if there are any.
fn take<T>(tokens: &mut Vec<T>, which: usize) -> Option<T> {
    (!tokens.is_empty()).then(|| tokens.swap_remove(which % tokens.len()))
}

impl World {
    fn new(total: usize) -> Self {
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
            uses: Vec::new(),
        }
    }

    fn next_owner(&mut self) -> Owner {
        self.owners += 1;
        Owner {
            inode: self.owners % 3,
            index: self.owners,
        }
    }

    /// What the model knows of the slot, if the id is valid now.
    fn current(&mut self, id: RangeId) -> Option<&mut Model> {
        let slot = &mut self.model[usize::try_from(id.offset() / RANGE_SIZE).unwrap()];
        (slot.id == Some(id)).then_some(slot)
    }

    /// The table has given a slot out: it must be one that is to be had, under an id that is new.
    fn gave(&mut self, reserved: Reserved, from: impl Fn(Is) -> bool, owner: Owner) {
        let id = reserved.id();
        assert!(self.issued.insert(id), "{id:?} was given out before");
        let slot = &mut self.model[usize::try_from(id.offset() / RANGE_SIZE).unwrap()];
        assert!(from(slot.is), "{id:?} given out from {:?}", slot.is);
        *slot = Model {
            is: Is::Reserved,
            owner,
            id: Some(id),
        };
        self.ids.push(id);
        self.reserved.push(reserved);
    }

    /// Ends a change: `is` if the token is of now, or nothing.
    fn end<T>(&mut self, id: RangeId, result: Result<T, Refused>, is: impl FnOnce(Is) -> Is) {
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
    fn end_upgrade(
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
    fn live(&mut self, id: RangeId) -> Result<&mut Live, Refused> {
        match self.current(id).map(|slot| &mut slot.is) {
            Some(Is::Mapped(live)) => Ok(live),
            Some(_) => Err(Refused::Busy),
            None => Err(Refused::Gone),
        }
    }

    fn step(
        &mut self,
        Step {
            action,
            which,
            flag,
        }: Step,
    ) -> Option<()> {
        match action {
            Action::Reserve => {
                let owner = self.next_owner();
                let free = self.model.iter().any(|slot| slot.is == Is::Free);
                let reserved = self.ranges.reserve(owner);
                assert_eq!(reserved.is_some(), free);
                self.gave(reserved?, |is| is == Is::Free, owner);
            }
            Action::Release => {
                let token = take(&mut self.reserved, which)?;
                let id = token.id();
                let result = self.ranges.release(token);
                self.end(id, result, |_| Is::Free);
            }
            Action::BeginMap => {
                let token = take(&mut self.reserved, which)?;
                let id = token.id();
                let result = self
                    .ranges
                    .begin_map(token)
                    .map(|token| self.mapping.push(token));
                self.end(id, result, |_| Is::Mapping);
            }
            Action::Mapped => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let mode = if flag {
                    Mode::ReadWrite
                } else {
                    Mode::ReadOnly
                };
                let result = self.ranges.mapped(token, mode);
                assert!(result.is_err() || result == Ok(id));
                let live = Live {
                    writable: flag,
                    users: 0,
                    upgrading: false,
                    tainted: false,
                };
                self.end(id, result, |_| Is::Mapped(live));
            }
            Action::MapFailed => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let result = self.ranges.map_failed(token);
                self.end(id, result, |_| Is::Free);
            }
            Action::RetireMapping => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let result = self.ranges.retire_mapping(token);
                self.end(id, result, |_| Is::Retired);
            }
            Action::Get => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                let expected = self.live(id).and_then(|live| match live {
                    Live {
                        writable: false,
                        upgrading: true,
                        ..
                    } if flag => Err(Refused::Busy),
                    Live {
                        writable: false,
                        tainted: true,
                        ..
                    } if flag => Err(Refused::Tainted),
                    Live {
                        writable: false, ..
                    } if flag => Err(Refused::NeedsUpgrade),
                    live => {
                        live.users += 1;
                        Ok(())
                    }
                });
                let result = self.ranges.get(id, flag).map(|held| self.uses.push(held));
                assert_eq!(result, expected);
            }
            Action::Put => {
                let held = take(&mut self.uses, which)?;
                let expected = self.live(held.id()).map(|live| {
                    live.users -= 1;
                    live.users == 0
                });
                assert_eq!(self.ranges.put(held), expected);
            }
            Action::BeginUpgrade => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                let expected = self.live(id).and_then(|live| match live {
                    Live {
                        upgrading: true, ..
                    } => Err(Refused::Busy),
                    Live { tainted: true, .. } => Err(Refused::Tainted),
                    Live { writable: true, .. } => Err(Refused::Writable),
                    live => {
                        live.upgrading = true;
                        Ok(())
                    }
                });
                let result = self.ranges.begin_upgrade(id);
                assert_eq!(result.map(|token| self.upgrading.push(token)), expected);
            }
            Action::Upgraded => {
                let token = take(&mut self.upgrading, which)?;
                let id = token.id();
                let result = self.ranges.upgraded(token);
                self.end_upgrade(id, result, |live| live.writable = true);
            }
            Action::UpgradeFailed => {
                let token = take(&mut self.upgrading, which)?;
                let id = token.id();
                let result = self.ranges.upgrade_failed(token);
                self.end_upgrade(id, result, |_| ());
            }
            Action::RetireUpgrade => {
                let token = take(&mut self.upgrading, which)?;
                let id = token.id();
                let result = self.ranges.retire_upgrade(token);
                self.end_upgrade(id, result, |live| live.tainted = true);
            }
            Action::Pick => {
                let idle = |slot: &&Model| {
                    matches!(
                        slot.is,
                        Is::Mapped(Live {
                            users: 0,
                            upgrading: false,
                            tainted: false,
                            ..
                        })
                    )
                };
                let any = self.model.iter().any(|slot| idle(&slot));
                let picked = self.ranges.pick_victim();
                assert_eq!(picked.is_some(), any);
                let (id, owner) = picked?;
                let slot = self.current(id).expect("a victim that is mapped");
                assert!(idle(&&*slot) && slot.owner == owner);
            }
            Action::BeginUnmap => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                let expected = self.live(id).and_then(|live| match *live {
                    Live {
                        users: 0,
                        upgrading: false,
                        ..
                    } => Ok(*live),
                    _ => Err(Refused::Busy),
                });
                let result = self.ranges.begin_unmap(id);
                let result = result.map(|token| self.unmapping.push(token));
                assert_eq!(result, expected.map(|_| ()));
                self.current(id)?.is = Is::Unmapping(expected.ok()?);
            }
            Action::Unmapped => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.unmapped(token);
                self.end(id, result, |is| match is {
                    Is::Unmapping(Live { tainted: false, .. }) if result == Ok(Fate::Free) => {
                        Is::Free
                    }
                    Is::Unmapping(Live { tainted: true, .. }) if result == Ok(Fate::Retired) => {
                        Is::Retired
                    }
                    _ => panic!("{result:?} in {is:?}"),
                });
            }
            Action::UnmapFailed => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.unmap_failed(token);
                self.end(id, result, |_| Is::Retired);
            }
            Action::UnmapCancelled => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.unmap_cancelled(token);
                self.end(id, result, |is| match is {
                    Is::Unmapping(live) => Is::Mapped(live),
                    _ => panic!("cancelled in {is:?}"),
                });
            }
            Action::HandOver => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let owner = self.next_owner();
                let result = self.ranges.hand_over(token, owner);
                let Some(slot) = self.current(id) else {
                    assert_eq!(result, Err(Refused::Gone));
                    return None;
                };
                match (slot.is, result) {
                    (Is::Unmapping(Live { tainted: true, .. }), Err(Refused::Tainted)) => {
                        slot.is = Is::Retired;
                        slot.id = None;
                    }
                    (Is::Unmapping(Live { tainted: false, .. }), Ok(reserved)) => {
                        assert_eq!(reserved.offset(), id.offset());
                        self.gave(reserved, |is| matches!(is, Is::Unmapping(_)), owner);
                    }
                    (is, result) => panic!("{result:?} in {is:?}"),
                }
            }
            Action::Reset => {
                self.ranges.reset();
                for slot in &mut self.model {
                    slot.is = Is::Free;
                    slot.id = None;
                }
            }
        }
        Some(())
    }

    /// Table and model agree on every slot and every id.
    fn agree(&self) {
        self.ranges.check().unwrap();
        let count =
            |is: fn(&Is) -> bool| self.model.iter().filter(|slot| is(&slot.is)).count() as u32;
        let counts = Counts {
            total: self.model.len() as u32,
            free: count(|is| matches!(is, Is::Free)),
            reserved: count(|is| matches!(is, Is::Reserved)),
            mapping: count(|is| matches!(is, Is::Mapping)),
            mapped: count(|is| matches!(is, Is::Mapped(_))),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn table_does_what_the_model_does(total in 0usize..6, steps in steps()) {
        let mut world = World::new(total);
        for step in steps {
            // `None` is a step for which there was no token.
            let _ = world.step(step);
            world.agree();
        }
    }
}
