// SPDX-License-Identifier: GPL-2.0

//! Which mapping is given up: second chance, in the order of the window.

use super::{
    map,
    owner,
    table,
    words::Table, //
};
use rust_fuse_host_tests::dax::ranges::{
    Mode,
    RangeId, //
};

/// A table that is full of read-only mappings, and their ids in the order of the window.
fn full(total: usize) -> (Table, Vec<RangeId>) {
    let mut ranges = table(total);
    let ids: Vec<_> = (0..total as u64)
        .map(|number| map(&mut ranges, owner(number), Mode::ReadOnly))
        .collect();
    let offsets: Vec<_> = ids.iter().map(|id| id.offset() >> 21).collect();
    assert_eq!(
        offsets,
        (0..total as u64).collect::<Vec<_>>(),
        "given out in order"
    );
    (ranges, ids)
}

fn touch(ranges: &mut Table, id: RangeId) {
    let held = ranges.get(id, false).unwrap();
    assert!(ranges.put(held));
}

fn victim(ranges: &mut Table) -> Option<RangeId> {
    ranges.pick_victim().map(|(id, _)| id)
}

#[test]
fn new_mappings_have_their_chance_then_go_in_order() {
    let (mut ranges, ids) = full(4);
    // The first round takes the chance of each, the second finds the first.
    for &id in &ids {
        let (picked, owner) = ranges.pick_victim().unwrap();
        assert_eq!(picked, id);
        assert_eq!(ranges.owner(id), Ok(owner));
        let unmapping = ranges.begin_unmap(picked).unwrap();
        ranges.unmapped(unmapping).unwrap();
    }
    assert_eq!(ranges.pick_victim(), None);
}

#[test]
fn new_mapping_is_not_taken_before_its_first_user() {
    let (mut ranges, ids) = full(2);
    assert_eq!(victim(&mut ranges), Some(ids[0]));
    assert_eq!(victim(&mut ranges), Some(ids[1]));
    let unmapping = ranges.begin_unmap(ids[0]).unwrap();
    ranges.unmapped(unmapping).unwrap();
    let new = map(&mut ranges, owner(9), Mode::ReadOnly);
    assert_eq!(new.offset(), ids[0].offset());
    // The hand is at the new one.
    assert_eq!(victim(&mut ranges), Some(ids[1]));
    assert_eq!(victim(&mut ranges), Some(new));
}

#[test]
fn used_mapping_is_passed_over_once() {
    let (mut ranges, ids) = full(4);
    assert_eq!(victim(&mut ranges), Some(ids[0]));
    touch(&mut ranges, ids[1]);
    touch(&mut ranges, ids[3]);
    assert_eq!(
        victim(&mut ranges),
        Some(ids[2]),
        "1 was used, the hand goes on"
    );
    assert_eq!(victim(&mut ranges), Some(ids[0]), "3 was used");
    assert_eq!(
        victim(&mut ranges),
        Some(ids[1]),
        "its second chance is over"
    );
    assert_eq!(victim(&mut ranges), Some(ids[2]));
    assert_eq!(victim(&mut ranges), Some(ids[3]));
}

#[test]
fn mappings_in_use_keep_their_chance() {
    let (mut ranges, ids) = full(2);
    let held = ranges.get(ids[0], false).unwrap();
    for _ in 0..3 {
        assert_eq!(victim(&mut ranges), Some(ids[1]));
    }
    assert!(ranges.put(held));
    // The hand is at 0, which was used; then at 1, which was not.
    assert_eq!(victim(&mut ranges), Some(ids[1]));
    assert_eq!(victim(&mut ranges), Some(ids[0]));
}

#[test]
fn idle_is_what_nobody_used_since_the_last_look() {
    let (mut ranges, ids) = full(3);
    let idle = |ranges: &mut Table| ranges.pick_idle().map(|(id, _)| id);
    assert_eq!(idle(&mut ranges), None, "all are new");
    touch(&mut ranges, ids[0]);
    touch(&mut ranges, ids[2]);
    assert_eq!(idle(&mut ranges), Some(ids[1]));
    ids.iter().for_each(|&id| touch(&mut ranges, id));
    assert_eq!(idle(&mut ranges), None);
    // Whose user says that he is done with it.
    ids.iter().for_each(|&id| touch(&mut ranges, id));
    ranges.hits.passed(ids[1]);
    assert_eq!(idle(&mut ranges), Some(ids[1]));
    // But not while others are at it, and not what it was before.
    ids.iter().for_each(|&id| touch(&mut ranges, id));
    let held = ranges.get(ids[1], false).unwrap();
    ranges.hits.passed(ids[1]);
    assert!(ranges.put(held));
    assert_eq!(idle(&mut ranges), None);
    ids.iter().for_each(|&id| touch(&mut ranges, id));
    let unmapping = ranges.begin_unmap(ids[1]).unwrap();
    ranges.unmapped(unmapping).unwrap();
    let new = map(&mut ranges, owner(9), Mode::ReadOnly);
    ranges.hits.passed(ids[1]);
    assert_eq!(idle(&mut ranges), None);
    assert_eq!(idle(&mut ranges), Some(ids[2]));
    touch(&mut ranges, ids[0]);
    assert_eq!(idle(&mut ranges), Some(new));
}

/// A search that must not take long looks at a part of a large window.
#[test]
fn idle_in_a_large_window() {
    let (mut ranges, ids) = full(200);
    for _ in 0..3 {
        assert_eq!(ranges.pick_idle(), None);
    }
    // 192 were looked at; the next are new, then comes the first.
    assert_eq!(ranges.pick_idle().map(|(id, _)| id), Some(ids[0]));
}

#[test]
fn nothing_to_pick() {
    assert_eq!(table(0).pick_victim(), None);
    assert_eq!(table(3).pick_victim(), None, "nothing is mapped");

    let (mut ranges, ids) = full(3);
    let held = ranges.get(ids[0], false).unwrap();
    let upgrading = ranges.begin_upgrade(ids[1]).unwrap();
    let unmapping = ranges.begin_unmap(ids[2]).unwrap();
    assert_eq!(
        ranges.pick_victim(),
        None,
        "in use, in an upgrade, in removal"
    );
    ranges.retire_upgrade(upgrading).unwrap();
    assert_eq!(ranges.pick_victim(), None, "the slot could not be reused");
    ranges.unmap_cancelled(unmapping).unwrap();
    assert_eq!(victim(&mut ranges), Some(ids[2]));
    assert!(ranges.put(held));
    assert_eq!(victim(&mut ranges), Some(ids[2]), "0 was used");
    assert_eq!(victim(&mut ranges), Some(ids[0]));
}

#[test]
fn always_finds_what_can_be_picked() {
    for total in 1..20 {
        for start in 0..total {
            for only in 0..total {
                let (mut ranges, ids) = full(total);
                // Bring the hand to `start`.
                for _ in 0..start {
                    victim(&mut ranges);
                }
                ids.iter().for_each(|&id| touch(&mut ranges, id));
                let held: Vec<_> = ids
                    .iter()
                    .filter(|&&id| id != ids[only])
                    .map(|&id| ranges.get(id, false).unwrap())
                    .collect();
                assert_eq!(
                    victim(&mut ranges),
                    Some(ids[only]),
                    "{total} {start} {only}"
                );
                held.into_iter().for_each(|held| assert!(ranges.put(held)));
            }
        }
    }
}
