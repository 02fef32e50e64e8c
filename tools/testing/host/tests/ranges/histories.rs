// SPDX-License-Identifier: GPL-2.0

//! Random histories of the table, step by step against the model.
//!
//! After each step both must agree on everything, and the table's invariants must hold.

use super::model::{
    slot_of,
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
    Find,
    TakeLeft,
    ClosePassed,
    Park,
    Leave,
    Abandon,
    Release,
    Mapped,
    RetireMapping,
    Get,
    Hit,
    Put,
    BeginUpgrade,
    Upgraded,
    UpgradeFailed,
    RetireUpgrade,
    Pick,
    BeginUnmap,
    Unmapped,
    UnmapRefused,
    RetireUnmapping,
    UnmapCancelled,
    HandOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Action::*;
    // What moves a slot on is frequent, what takes it out of the game is rare.
    let action = prop::sample::select(
        [
            (12, &[Reserve, Mapped, Get, Hit][..]),
            (6, &[ReserveAfter, Find, ClosePassed, Park]),
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
            (3, &[Leave, Abandon, TakeLeft, UnmapRefused]),
            (2, &[Release, UpgradeFailed, UnmapCancelled]),
            (1, &[RetireMapping, RetireUpgrade, RetireUnmapping]),
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

/// A closed mapping that is given up.
fn retired_if_tainted(is: Is, other: Is) -> Is {
    match is {
        Is::Unmapping(Live { tainted: true, .. }) => Is::Retired,
        Is::Unmapping(_) => other,
        _ => panic!("given up in {is:?}"),
    }
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
                let before = self.mapping.get(which % self.mapping.len().max(1))?;
                let next = slot_of(before.id()) + 1;
                let free = self.model.get(next).is_some_and(|slot| slot.is == Is::Free);
                let reserved = self.ranges.reserve_after(before, owner);
                assert_eq!(reserved.is_some(), free);
                let reserved = reserved?;
                assert_eq!(reserved.offset(), next as u64 * RANGE_SIZE);
                self.gave(reserved, |is| is == Is::Free, owner, false);
            }
            Action::Find => {
                let owner = self.next_owner();
                let free = self.model.iter().any(|slot| slot.is == Is::Free);
                let first = self.left.first().copied();
                let first = first.or(self.parked.first().map(|id| slot_of(*id)));
                let idle = self.model.iter().any(Model::is_idle);
                let behind = self.ids.get(which % self.ids.len().max(1)).copied();
                let take = match (flag, which % 2) {
                    (true, 0) => Take::Over { behind },
                    (true, _) => Take::Idle { behind },
                    (false, _) => Take::Free,
                };
                match self.ranges.find(owner, take) {
                    Some(Found::Ready(mapping)) => {
                        assert!(free);
                        self.gave(mapping, |is| is == Is::Free, owner, false);
                    }
                    Some(Found::Closed(token, was)) => {
                        assert!(flag && !free && Some(slot_of(token.id())) == first);
                        self.closed(&token, was);
                        self.unmapping.push(token);
                    }
                    Some(Found::Victim(token, was)) => {
                        assert!(flag && !free && first.is_none() && idle);
                        let slot = self.current(token.id()).expect("a victim that is mapped");
                        assert!(slot.is_idle() && slot.owner == was);
                        if let Is::Mapped(live) = slot.is {
                            slot.is = Is::Unmapping(live);
                        }
                        self.unmapping.push(token);
                    }
                    None => {
                        assert!(!free && (!flag || first.is_none()));
                        assert!(!idle || !matches!(take, Take::Over { .. }));
                    }
                }
            }
            Action::ClosePassed => {
                let from = which % self.ids.len().max(1);
                let behind: Vec<_> = self.ids[from..].iter().rev().take(4).copied().collect();
                let behind: Vec<_> = behind.into_iter().map(Some).collect();
                let mut run = [const { None }; 3];
                let least = usize::from(flag) + 1;
                let count = self.ranges.close_passed(&behind, least, &mut run);
                assert_eq!(run.iter().flatten().count(), count);
                assert!(count == 0 || count >= least);
                for (token, id) in run.into_iter().flatten().zip(behind.into_iter().flatten()) {
                    assert_eq!(token.id(), id);
                    let slot = self.current(id).expect("a mapping that is closed");
                    assert!(slot.is_idle());
                    if let Is::Mapped(live) = slot.is {
                        slot.is = Is::Unmapping(live);
                    }
                    self.unmapping.push(token);
                }
            }
            Action::TakeLeft => {
                let first = self.left.first().copied();
                let fresh = first.filter(|n| self.model[*n].is == Is::Left { tried: false });
                assert_eq!(self.ranges.has_left(), fresh.is_some());
                let token = self.ranges.take_left();
                assert_eq!(token.as_ref().map(|token| slot_of(token.id())), fresh);
                let token = token?;
                self.closed(&token, Owner::default());
                self.unmapping.push(token);
            }
            Action::Park => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.park(token);
                let slot = self.current(id)?;
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
            Action::Leave | Action::UnmapRefused => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let tried = matches!(action, Action::UnmapRefused);
                let result = if tried {
                    self.ranges.unmap_refused(token)
                } else {
                    self.ranges.leave(token)
                };
                self.end(id, result, |is| retired_if_tainted(is, Is::Left { tried }));
            }
            Action::Abandon => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                let gone = self.ranges.abandon(id);
                self.parked.retain(|other| *other != id || !gone);
                let slot = self.current(id);
                match slot.as_ref().map(|slot| slot.is) {
                    Some(Is::Parked(live) | Is::Mapped(live))
                        if live.users == 0 && !live.upgrading =>
                    {
                        assert!(gone);
                        slot?.is = Is::Unmapping(live);
                        self.end(id, Ok::<_, Refused>(()), |is| {
                            retired_if_tainted(is, Is::Left { tried: false })
                        });
                    }
                    Some(Is::Mapping { over, .. }) => {
                        assert!(!gone);
                        slot?.is = Is::Mapping {
                            over,
                            unwanted: true,
                        };
                    }
                    _ => assert!(!gone),
                }
            }
            Action::Release => {
                let token = take(&mut self.mapping, which)?;
                let id = token.id();
                let result = self.ranges.release(token);
                self.end(id, result, |is| match is {
                    Is::Mapping { over: true, .. } => Is::Left { tried: false },
                    Is::Mapping { over: false, .. } => Is::Free,
                    _ => panic!("given up in {is:?}"),
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
                let by = [By::Ahead, By::Pass, By::Access, By::Access][which % 4];
                let result = self.ranges.mapped(token, mode, by);
                let live = Live::new(flag, by == By::Ahead);
                let unwanted = result == Err(Refused::Gone);
                assert!(unwanted || result == Ok(id));
                self.end(id, Ok::<_, Refused>(()), |is| match is {
                    Is::Mapping {
                        unwanted: false, ..
                    } if !unwanted => Is::Mapped(live),
                    Is::Mapping { unwanted: true, .. } if unwanted => Is::Left { tried: false },
                    _ => panic!("{result:?} in {is:?}"),
                });
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
                if let Ok(live) = self.live(id) {
                    live.ahead = false;
                }
                let result = self.ranges.get(id, flag).map(|held| self.uses.push(held));
                assert_eq!(result, expected);
            }
            Action::Hit => {
                let id = *self.ids.get(which % self.ids.len().max(1))?;
                let expected = self.live(id).is_ok_and(|live| {
                    let hit = !live.ahead && (live.writable || !flag);
                    live.users += u32::from(hit);
                    hit
                });
                assert_eq!(self.ranges.hits.shows(id, flag), expected);
                let held = self.ranges.hits.hit(id, flag);
                assert_eq!(held.is_some(), expected);
                self.uses.extend(held);
            }
            Action::Put => {
                let held = take(&mut self.uses, which)?;
                let live = self.live(held.id()).expect("what is in use is mapped");
                live.users -= 1;
                let last = live.users == 0;
                assert_eq!(self.ranges.put(held), last);
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
                let any = self.model.iter().any(Model::is_idle);
                let picked = self.ranges.pick_victim();
                assert_eq!(picked.is_some(), any);
                let (id, owner) = picked?;
                let slot = self.current(id).expect("a victim that is mapped");
                assert!(slot.is_idle() && slot.owner == owner);
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
            Action::RetireUnmapping => {
                let token = take(&mut self.unmapping, which)?;
                let id = token.id();
                let result = self.ranges.retire_unmapping(token);
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
                let slot = self.current(id)?;
                match (slot.is, result) {
                    (Is::Unmapping(Live { tainted: true, .. }), Err(Refused::Tainted)) => {
                        slot.is = Is::Retired;
                        slot.id = None;
                    }
                    (Is::Unmapping(Live { tainted: false, .. }), Ok(mapping)) => {
                        assert_eq!(mapping.offset(), id.offset());
                        self.gave(mapping, |is| matches!(is, Is::Unmapping(_)), owner, true);
                    }
                    (is, result) => panic!("{result:?} in {is:?}"),
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
