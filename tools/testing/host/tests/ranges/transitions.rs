// SPDX-License-Identifier: GPL-2.0

//! Each transition by hand: what it does, what it refuses, what stale tokens get.

use super::{
    map,
    owner,
    table, //
};
use rust_fuse_host_tests::dax::ranges::*;

#[test]
fn life_of_a_slot() {
    let mut ranges = table(2);
    let reserved = ranges.reserve(owner(1)).unwrap();
    let id = reserved.id();
    assert_eq!(ranges.owner(id), Ok(owner(1)));
    assert_eq!(
        ranges.get(id, false),
        Err(Refused::Busy),
        "wait for the mapping"
    );
    let mapping = ranges.begin_map(reserved).unwrap();
    assert_eq!(ranges.get(id, false), Err(Refused::Busy));
    assert_eq!(ranges.mapped(mapping, Mode::ReadOnly, false), Ok(id));

    let reader = ranges.get(id, false).unwrap();
    assert_eq!(ranges.get(id, true), Err(Refused::NeedsUpgrade));
    assert_eq!(ranges.begin_unmap(id), Err(Refused::Busy));
    let upgrading = ranges.begin_upgrade(id).unwrap();
    assert_eq!(ranges.begin_upgrade(id), Err(Refused::Busy));
    assert_eq!(
        ranges.get(id, true),
        Err(Refused::Busy),
        "wait for the upgrade"
    );
    let other = ranges.get(id, false).unwrap();
    assert_eq!(ranges.put(reader), Ok(false));
    assert_eq!(ranges.put(other), Ok(true), "the last one");
    assert_eq!(
        ranges.begin_unmap(id),
        Err(Refused::Busy),
        "an upgrade is on its way"
    );
    ranges.upgraded(upgrading).unwrap();
    assert_eq!(ranges.begin_upgrade(id), Err(Refused::Writable));
    let writer = ranges.get(id, true).unwrap();
    assert_eq!(ranges.put(writer), Ok(true));

    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.get(id, false), Err(Refused::Busy));
    assert_eq!(ranges.begin_unmap(id), Err(Refused::Busy));
    assert_eq!(ranges.owner(id), Ok(owner(1)));
    assert_eq!(ranges.unmapped(unmapping), Ok(Fate::Free));
    assert_eq!(ranges.get(id, false), Err(Refused::Gone));
    assert_eq!(ranges.owner(id), Err(Refused::Gone));
    assert_eq!(ranges.counts(), table(2).counts());
    ranges.check().unwrap();
}

#[test]
fn counts_follow_the_states() {
    let mut ranges = table(6);
    map(&mut ranges, owner(0), Mode::ReadWrite);
    let removed = map(&mut ranges, owner(1), Mode::ReadWrite);
    let reserved = ranges.reserve(owner(2)).unwrap();
    let other = ranges.reserve(owner(3)).unwrap();
    let mapping = ranges.begin_map(other).unwrap();
    let other = ranges.reserve(owner(4)).unwrap();
    let lost = ranges.begin_map(other).unwrap();
    ranges.retire_mapping(lost).unwrap();
    let unmapping = ranges.begin_unmap(removed).unwrap();
    let expected = Counts {
        total: 6,
        free: 1,
        reserved: 1,
        mapping: 1,
        mapped: 1,
        parked: 0,
        unmapping: 1,
        retired: 1,
    };
    assert_eq!(ranges.counts(), expected);
    ranges.check().unwrap();
    assert_eq!(ranges.release(reserved), Ok(None));
    assert_eq!(ranges.map_failed(mapping), Ok(None));
    ranges.unmap_failed(unmapping).unwrap();
    let expected = Counts {
        total: 6,
        free: 3,
        mapped: 1,
        retired: 2,
        ..Counts::default()
    };
    assert_eq!(ranges.counts(), expected);
    ranges.check().unwrap();
}

#[test]
fn retired_slot_is_not_given_out_until_the_reset() {
    let mut ranges = table(1);
    let reserved = ranges.reserve(owner(0)).unwrap();
    let mapping = ranges.begin_map(reserved).unwrap();
    let id = mapping.id();
    ranges.retire_mapping(mapping).unwrap();
    assert!(ranges.reserve(owner(1)).is_none());
    assert_eq!(ranges.pick_victim(), None);
    assert_eq!(ranges.get(id, false), Err(Refused::Gone));
    ranges.reset();
    assert_ne!(map(&mut ranges, owner(1), Mode::ReadOnly), id);
}

#[test]
fn lost_upgrade_leaves_readers_and_retires_the_slot() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let reader = ranges.get(id, false).unwrap();
    let upgrading = ranges.begin_upgrade(id).unwrap();
    ranges.retire_upgrade(upgrading).unwrap();
    assert_eq!(ranges.get(id, true), Err(Refused::Tainted));
    assert_eq!(ranges.begin_upgrade(id), Err(Refused::Tainted));
    let other = ranges.get(id, false).unwrap();
    ranges.put(reader).unwrap();
    ranges.put(other).unwrap();
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.unmapped(unmapping), Ok(Fate::Retired));
    assert_eq!(ranges.counts().retired, 1);
    ranges.check().unwrap();
}

#[test]
fn failed_upgrade_can_be_tried_again() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let upgrading = ranges.begin_upgrade(id).unwrap();
    ranges.upgrade_failed(upgrading).unwrap();
    assert_eq!(ranges.get(id, true), Err(Refused::NeedsUpgrade));
    let upgrading = ranges.begin_upgrade(id).unwrap();
    ranges.upgraded(upgrading).unwrap();
    assert!(ranges.get(id, true).is_ok());
}

#[test]
fn hand_over_passes_the_free_list() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let unmapping = ranges.begin_unmap(id).unwrap();
    let reserved = ranges.hand_over(unmapping, owner(1), false).unwrap();
    assert!(ranges.reserve(owner(2)).is_none());
    assert_eq!(
        ranges.get(id, false),
        Err(Refused::Gone),
        "the id was the old owner's"
    );
    assert_eq!(ranges.owner(reserved.id()), Ok(owner(1)));
    assert_eq!(reserved.offset(), id.offset());
    let mapping = ranges.begin_map(reserved).unwrap();
    ranges.mapped(mapping, Mode::ReadWrite, false).unwrap();
    ranges.check().unwrap();

    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let upgrading = ranges.begin_upgrade(id).unwrap();
    ranges.retire_upgrade(upgrading).unwrap();
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(
        ranges.hand_over(unmapping, owner(1), false),
        Err(Refused::Tainted)
    );
    assert_eq!(ranges.counts().retired, 1);
    ranges.check().unwrap();
}

/// Closes a mapping and parks it.
fn park(ranges: &mut Ranges<Vec<Slot>>, id: RangeId) {
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.park(unmapping), Ok(id));
    assert!(ranges.pick_victim().is_none_or(|(victim, _)| victim != id));
}

#[test]
fn parked_mapping_is_opened_again() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadWrite);
    park(&mut ranges, id);
    assert_eq!((ranges.counts().parked, ranges.counts().mapped), (1, 0));
    let held = ranges.get(id, true).unwrap();
    assert_eq!((ranges.counts().parked, ranges.counts().mapped), (0, 1));
    assert!(ranges.reserve_parked(owner(1)).is_none());
    ranges.put(held).unwrap();
    park(&mut ranges, id);
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.unmapped(unmapping), Ok(Fate::Free));
    ranges.check().unwrap();
}

#[test]
fn parked_slots_are_mapped_over_in_order() {
    let mut ranges = table(2);
    let ids = [0, 1].map(|n| map(&mut ranges, owner(n), Mode::ReadOnly));
    park(&mut ranges, ids[1]);
    let unmapping = ranges.begin_unmap(ids[0]).unwrap();
    ranges.park(unmapping).unwrap();
    let (reserved, was, whose) = ranges.reserve_parked(owner(2)).unwrap();
    assert_eq!((was, whose), (ids[1], owner(1)));
    assert_eq!(reserved.offset(), ids[1].offset());
    assert_eq!(ranges.get(ids[1], false), Err(Refused::Gone));
    let mapping = ranges.begin_map(reserved).unwrap();
    let new = ranges.mapped(mapping, Mode::ReadOnly, false).unwrap();
    assert_eq!(ranges.owner(new), Ok(owner(2)));
    // What the host has there is removed when the slot is not needed, or mapping over it fails.
    let (reserved, _, _) = ranges.reserve_parked(owner(3)).unwrap();
    let unmapping = ranges.release(reserved).unwrap().expect("a leftover");
    let reserved = ranges.hand_over(unmapping, owner(3), true).unwrap();
    let mapping = ranges.begin_map(reserved).unwrap();
    let unmapping = ranges.map_failed(mapping).unwrap().expect("a leftover");
    assert_eq!(ranges.unmapped(unmapping), Ok(Fate::Free));
    assert_eq!(ranges.counts().free, 1);
    ranges.check().unwrap();
}

#[test]
fn adjacent_slots() {
    let mut ranges = table(4);
    let first = ranges.reserve(owner(0)).unwrap();
    let second = ranges.reserve_after(&first, owner(1)).unwrap();
    assert_eq!(second.offset(), first.offset() + RANGE_SIZE);
    assert!(ranges.reserve_after(&first, owner(2)).is_none(), "taken");
    let third = ranges.reserve(owner(2)).unwrap();
    let last = ranges.reserve_after(&third, owner(3)).unwrap();
    assert!(ranges.reserve_after(&last, owner(4)).is_none(), "the end");
    for reserved in [first, second, third, last] {
        assert_eq!(ranges.release(reserved), Ok(None));
        ranges.check().unwrap();
    }
    assert_eq!(ranges.counts().free, 4);
}

#[test]
fn mappings_ahead_are_told_apart() {
    let mut ranges = table(3);
    let ids: Vec<_> = (0..3)
        .map(|n| {
            let reserved = ranges.reserve(owner(n)).unwrap();
            let mapping = ranges.begin_map(reserved).unwrap();
            ranges.mapped(mapping, Mode::ReadOnly, true).unwrap()
        })
        .collect();
    for _ in 0..2 {
        let held = ranges.get(ids[0], false).unwrap();
        ranges.put(held).unwrap();
    }
    park(&mut ranges, ids[1]);
    assert_eq!(ranges.ahead(), Ahead { used: 1, wasted: 0 });
    let (_over, _, _) = ranges.reserve_parked(owner(4)).unwrap();
    for id in [ids[0], ids[2]] {
        let unmapping = ranges.begin_unmap(id).unwrap();
        ranges.unmapped(unmapping).unwrap();
    }
    assert_eq!(ranges.ahead(), Ahead { used: 1, wasted: 2 });
    ranges.check().unwrap();
}

#[test]
fn cancelled_removal_keeps_the_mapping() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadWrite);
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.unmap_cancelled(unmapping), Ok(id));
    assert!(ranges.get(id, true).is_ok());
}

#[test]
fn tokens_from_before_a_reset_are_refused() {
    let mut ranges = table(5);
    let reserved = ranges.reserve(owner(0)).unwrap();
    let other = ranges.reserve(owner(1)).unwrap();
    let mapping = ranges.begin_map(other).unwrap();
    let used = map(&mut ranges, owner(2), Mode::ReadOnly);
    let held = ranges.get(used, false).unwrap();
    let id = map(&mut ranges, owner(3), Mode::ReadOnly);
    let upgrading = ranges.begin_upgrade(id).unwrap();
    let id = map(&mut ranges, owner(4), Mode::ReadOnly);
    let unmapping = ranges.begin_unmap(id).unwrap();
    ranges.reset();
    // The same slots, in the same states.
    let _again = ranges.reserve(owner(0)).unwrap();
    let other = ranges.reserve(owner(1)).unwrap();
    let _again = ranges.begin_map(other).unwrap();
    for number in 2..5 {
        map(&mut ranges, owner(number), Mode::ReadOnly);
    }
    let before = ranges.counts();
    assert_eq!(ranges.release(reserved), Err(Refused::Gone));
    assert_eq!(
        ranges.mapped(mapping, Mode::ReadOnly, false),
        Err(Refused::Gone)
    );
    assert_eq!(ranges.put(held), Err(Refused::Gone));
    assert_eq!(ranges.upgraded(upgrading), Err(Refused::Gone));
    assert_eq!(ranges.unmapped(unmapping), Err(Refused::Gone));
    assert_eq!(ranges.counts(), before);
    ranges.check().unwrap();
}

#[test]
fn token_of_a_larger_table_is_refused() {
    let mut large = table(2);
    let _first = large.reserve(owner(0)).unwrap();
    let second = large.reserve(owner(1)).unwrap();
    let mut small = table(1);
    assert_eq!(small.release(second), Err(Refused::Gone));
    small.check().unwrap();
}

#[test]
fn use_survives_the_way_through_c() {
    let mut ranges = table(3);
    let ids: Vec<_> = (0..3)
        .map(|n| map(&mut ranges, owner(n), Mode::ReadOnly))
        .collect();
    let raw = ranges.get(ids[2], false).unwrap().into_raw();
    let held = Use::from_raw(raw);
    assert_eq!(held.id(), ids[2]);
    assert_eq!(held.offset(), 4 << 20);
    assert_eq!(ranges.put(held), Ok(true));
    // A number that was used twice does no harm to the counts.
    assert_eq!(ranges.put(Use::from_raw(raw)), Err(Refused::Gone));
    assert_eq!(ranges.put(Use::from_raw(u64::MAX)), Err(Refused::Gone));
    ranges.check().unwrap();
}

#[test]
fn storage_of_the_caller() {
    let mut slots = [Slot::new(); 3];
    assert_eq!(Ranges::new(&mut slots[..]).counts().total, 3);
    assert_eq!(Ranges::new(slots).counts().free, 3);
    assert_eq!(
        Ranges::new(vec![Slot::default()].into_boxed_slice())
            .counts()
            .free,
        1
    );
    let mut none = Ranges::new([]);
    assert!(none.reserve(owner(0)).is_none());
    none.check().unwrap();
}

#[test]
fn owners_and_offsets() {
    assert_eq!(RANGE_SIZE, 2 << 20);
    let at = Owner::at(7, (5 << 21) + 4095);
    assert_eq!(at, Owner { inode: 7, index: 5 });
    assert_eq!(at.file_offset(), Some(5 << 21));
    let far = Owner {
        inode: 7,
        index: u64::MAX,
    };
    assert_eq!(far.file_offset(), None);
}
