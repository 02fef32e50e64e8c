// SPDX-License-Identifier: GPL-2.0

//! Random histories of the table, step by step against the model.
//!
//! After each step both must agree on everything, and the table's invariants must hold. Tokens are
//! kept over resets, so that stale ones are tried too.

use super::model::{
    take,
    Is,
    Live,
    Model,
    World, //
};
use proptest::prelude::*;
use rust_fuse_host_tests::dax::ranges::*;

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
    ReserveAfter,
    ReserveParked,
    Park,
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
            (6, &[ReserveAfter, ReserveParked, Park]),
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

impl World {
    /// Does a step; [`None`] when there is nothing to do it with.
    fn step(&mut self, step: Step) -> Option<()> {
        let Step {
            which,
            flag,
            action,
        } = step;
        match action {
            Action::Reserve => {
                let owner = self.next_owner();
                let free = self.model.iter().any(|slot| slot.is == Is::Free);
                let reserved = self.ranges.reserve(owner);
                assert_eq!(reserved.is_some(), free);
                self.gave(reserved?, |is| is == Is::Free, owner, false);
            }
            Action::ReserveAfter => {
                let owner = self.next_owner();
                let before = self.reserved.get(which % self.reserved.len().max(1))?;
                let next = usize::try_from(before.offset() / RANGE_SIZE).unwrap() + 1;
                let free = self.model.get(next).is_some_and(|slot| slot.is == Is::Free);
                let reserved = self.ranges.reserve_after(before, owner);
                assert_eq!(reserved.is_some(), free);
                let reserved = reserved?;
                assert_eq!(reserved.offset(), next as u64 * RANGE_SIZE);
                self.gave(reserved, |is| is == Is::Free, owner, false);
            }
            Action::ReserveParked => {
                let owner = self.next_owner();
                let taken = self.ranges.reserve_parked(owner);
                let first = self.parked.first().copied();
                assert_eq!(taken.as_ref().map(|(_, was, _)| *was), first);
                let (reserved, was, whose) = taken?;
                assert_eq!(self.current(was).map(|slot| slot.owner), Some(whose));
                self.parked.remove(0);
                assert_eq!(Some(reserved.offset()), first.map(|id| id.offset()));
                self.gave(reserved, |is| matches!(is, Is::Parked(_)), owner, true);
            }
            Action::Park => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.park(token);
                let Some(slot) = self.current(id) else {
                    assert_eq!(result, Err(Refused::Gone));
                    return None;
                };
                match (slot.is, result) {
                    (Is::Unmapping(Live { tainted: true, .. }), Err(Refused::Tainted)) => {
                        slot.is = Is::Retired;
                        slot.id = None;
                    }
                    (Is::Unmapping(live), Ok(same)) if same == id => {
                        slot.is = Is::Parked(live);
                        self.parked.push(id);
                    }
                    (is, result) => panic!("{result:?} in {is:?}"),
                }
            }
            Action::Release => {
                let token = take(&mut self.reserved, which)?;
                let id = token.id();
                let result = self.ranges.release(token);
                self.given_up(id, result);
            }
            Action::BeginMap => {
                let token = take(&mut self.reserved, which)?;
                let id = token.id();
                let result = self
                    .ranges
                    .begin_map(token)
                    .map(|token| self.mapping.push(token));
                self.end(id, result, |is| match is {
                    Is::Reserved { over } => Is::Mapping { over },
                    _ => panic!("mapped in {is:?}"),
                });
            }
            Action::Mapped => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let mode = if flag {
                    Mode::ReadWrite
                } else {
                    Mode::ReadOnly
                };
                let result = self.ranges.mapped(token, mode, false);
                assert!(result.is_err() || result == Ok(id));
                let live = Live::new(flag);
                self.end(id, result, |_| Is::Mapped(live));
            }
            Action::MapFailed => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let result = self.ranges.map_failed(token);
                self.given_up(id, result);
            }
            Action::RetireMapping => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let result = self.ranges.retire_mapping(token);
                self.end(id, result, |_| Is::Retired);
            }
            Action::Get => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                if let Some(slot) = self.current(id) {
                    if let Is::Parked(live) = slot.is {
                        slot.is = Is::Mapped(live);
                        self.parked.retain(|&other| other != id);
                    }
                }
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
                let parked = self.parked.iter().position(|&other| other == id);
                let expected = match self.current(id).map(|slot| slot.is) {
                    Some(Is::Parked(live)) => Ok(live),
                    _ => self.live(id).and_then(|live| match *live {
                        Live {
                            users: 0,
                            upgrading: false,
                            ..
                        } => Ok(*live),
                        _ => Err(Refused::Busy),
                    }),
                };
                let result = self.ranges.begin_unmap(id);
                let result = result.map(|token| self.unmapping.push(token));
                assert_eq!(result, expected.map(|_| ()));
                self.current(id)?.is = Is::Unmapping(expected.ok()?);
                parked.map(|at| self.parked.remove(at));
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
                let result = self.ranges.hand_over(token, owner, flag);
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
                        self.gave(reserved, |is| matches!(is, Is::Unmapping(_)), owner, flag);
                    }
                    (is, result) => panic!("{result:?} in {is:?}"),
                }
            }
            Action::Reset => {
                self.ranges.reset();
                self.parked.clear();
                for slot in &mut self.model {
                    slot.is = Is::Free;
                    slot.id = None;
                }
            }
        }
        Some(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn table_does_what_the_model_does(total in 0usize..6, steps in steps()) {
        let mut world = World::new(total);
        for step in steps {
            let _ = world.step(step);
            world.agree();
        }
    }
}
