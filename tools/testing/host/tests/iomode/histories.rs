// SPDX-License-Identifier: GPL-2.0

//! Long random histories against the counters of the model; and each row of the transition table by itself.

use super::model::{Held, Outcome, Want, World};
use proptest::prelude::*;
use rust_fuse_host_tests::iomode::{Conflict, Mode, Waiting};

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(Want),
    /// Somebody who waits looks again.
    Look(usize),
    Kill(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let want = prop::sample::select(vec![
        Want::Cached,
        Want::Passthrough(0),
        Want::Passthrough(1),
        Want::Write,
        Want::Write,
    ]);
    let step = prop_oneof![
        4 => want.prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::Look),
        1 => any::<usize>().prop_map(Step::Kill),
        5 => any::<usize>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..300)
}

fn take<T>(list: &mut Vec<T>, which: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(which % list.len()))
}

proptest! {
    #[test]
    fn histories_agree_with_the_counters(steps in steps()) {
        let mut world = World::new();
        let mut held: Vec<Held> = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut opened = 0;
        for step in steps {
            let (want, mut token) = match step {
                Step::Enter(want) => (want, None),
                Step::Look(which) => match take(&mut waiting, which) {
                    Some(token) => (Want::Cached, Some(token)),
                    None => continue,
                },
                Step::Kill(which) => {
                    if let Some(token) = take(&mut waiting, which) {
                        world.kill(token);
                    }
                    continue;
                }
                Step::Leave(which) => {
                    if let Some(one) = take(&mut held, which) {
                        world.leave(one);
                    }
                    continue;
                }
            };
            opened += usize::from(matches!(want, Want::Passthrough(_)));
            match world.enter(want, &mut token).0 {
                Outcome::In(one) => held.push(one),
                Outcome::Wait => waiting.extend(token),
                Outcome::Refused(_) | Outcome::Alone => (),
            }
        }
        for one in held {
            world.leave(one);
        }
        // With nobody in the way, everybody who waits gets in.
        for token in waiting {
            match world.enter(Want::Cached, &mut Some(token)).0 {
                Outcome::In(one) => world.leave(one),
                other => panic!("{other:?}"),
            };
        }
        prop_assert!(matches!(world.mode.mode(), Mode::Neutral));
        prop_assert_eq!(world.dropped, opened);
    }
}

/// Enters, and must get in.
fn enter(world: &mut World, want: Want) -> Held {
    match world.enter(want, &mut None).0 {
        Outcome::In(held) => held,
        other => panic!("{want:?}: {other:?}"),
    }
}

fn refused(world: &mut World, want: Want) -> Conflict {
    match world.enter(want, &mut None).0 {
        Outcome::Refused(e) => e,
        other => panic!("{want:?}: {other:?}"),
    }
}

#[test]
fn a_passthrough_inode_refuses_the_page_cache_and_other_backing_files() {
    let mut world = World::new();
    let first = enter(&mut world, Want::Passthrough(0));
    let second = enter(&mut world, Want::Passthrough(0));
    assert_eq!(refused(&mut world, Want::Cached), Conflict::InUse);
    assert_eq!(
        refused(&mut world, Want::Passthrough(1)),
        Conflict::OtherBacking
    );
    assert_eq!(world.mode.may_open(), Err(Conflict::Passthrough));
    let write = enter(&mut world, Want::Write);
    world.leave(first);
    assert_eq!(refused(&mut world, Want::Cached), Conflict::InUse);
    world.leave(second);
    // The write that is left keeps the page cache out, but no backing file.
    assert!(matches!(
        world.enter(Want::Cached, &mut None).0,
        Outcome::Wait
    ));
    let other = enter(&mut world, Want::Passthrough(1));
    world.leave(other);
    assert!(world.leave(write));
}

#[test]
fn a_cached_inode_refuses_passthrough_and_has_writers_alone() {
    let mut world = World::new();
    let held = enter(&mut world, Want::Cached);
    assert_eq!(refused(&mut world, Want::Passthrough(0)), Conflict::InUse);
    assert!(matches!(
        world.enter(Want::Write, &mut None).0,
        Outcome::Alone
    ));
    world.leave(held);
    let held = enter(&mut world, Want::Passthrough(0));
    world.leave(held);
}

#[test]
fn who_waits_keeps_new_writers_from_running_together() {
    let mut world = World::new();
    let write = enter(&mut world, Want::Write);
    let mut waiting = None;
    assert!(matches!(
        world.enter(Want::Cached, &mut waiting).0,
        Outcome::Wait
    ));
    assert!(matches!(
        world.enter(Want::Write, &mut None).0,
        Outcome::Alone
    ));
    // Who is killed gives that up.
    world.kill(waiting.take().expect("somebody who waits"));
    let second = enter(&mut world, Want::Write);
    assert!(!world.leave(second));
    assert!(!world.leave(write));
}

#[test]
fn passthrough_that_comes_first_is_told_to_who_waits() {
    let mut world = World::new();
    let write = enter(&mut world, Want::Write);
    let mut waiting = None;
    assert!(matches!(
        world.enter(Want::Cached, &mut waiting).0,
        Outcome::Wait
    ));
    let (outcome, wake) = world.enter(Want::Passthrough(0), &mut None);
    assert!(wake);
    let (second, _) = world.enter(Want::Cached, &mut waiting);
    assert!(matches!(second, Outcome::Refused(Conflict::InUse)));
    match outcome {
        Outcome::In(held) => world.leave(held),
        other => panic!("{other:?}"),
    };
    world.leave(write);
}
