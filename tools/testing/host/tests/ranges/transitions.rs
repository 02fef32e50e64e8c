// SPDX-License-Identifier: GPL-2.0

//! Each transition by hand: what it does, what it refuses, what stale tokens get.

use super::{
    closed,
    map,
    owner,
    park,
    table,
    OVER, //
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
    assert_eq!(ranges.hits.hit(id, false), None);
    assert_eq!(ranges.mapped(reserved, Mode::ReadOnly, By::Access), Ok(id));

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
    assert_eq!(ranges.put(reader), false);
    assert_eq!(ranges.put(other), true, "the last one");
    assert_eq!(
        ranges.begin_unmap(id),
        Err(Refused::Busy),
        "an upgrade is on its way"
    );
    ranges.upgraded(upgrading).unwrap();
    assert_eq!(ranges.begin_upgrade(id), Err(Refused::Writable));
    let writer = ranges.get(id, true).unwrap();
    assert_eq!(ranges.put(writer), true);

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
fn hits_need_no_table() {
    let mut ranges = table(2);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let other = map(&mut ranges, owner(1), Mode::ReadWrite);
    assert!(ranges.hits.shows(id, false) && !ranges.hits.shows(id, true));
    let held = ranges.hits.hit(id, false).unwrap();
    assert_eq!(ranges.hits.hit(id, true), None, "read-only");
    assert_eq!(ranges.begin_unmap(id), Err(Refused::Busy));
    assert!(ranges.hits.put(held));
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.hits.hit(id, false), None, "closed");
    ranges.unmap_cancelled(unmapping).unwrap();
    let upgrading = ranges.begin_upgrade(id).unwrap();
    let first = ranges.hits.hit(id, false).unwrap();
    ranges.upgraded(upgrading).unwrap();
    let second = ranges.hits.hit(id, true).unwrap();
    assert!(!ranges.hits.put(first));
    assert!(ranges.hits.put(second));
    let unmapping = ranges.begin_unmap(other).unwrap();
    ranges.unmapped(unmapping).unwrap();
    let new = map(&mut ranges, owner(2), Mode::ReadWrite);
    assert_eq!(new.offset(), other.offset());
    assert_eq!(ranges.hits.hit(other, false), None, "another's by now");
    assert_eq!(
        ranges.hits.hit(RangeId::from_number(7 << 32), false),
        None,
        "no such slot"
    );
    ranges.check().unwrap();
}

#[test]
fn counts_follow_the_states() {
    let mut ranges = table(6);
    map(&mut ranges, owner(0), Mode::ReadWrite);
    let removed = map(&mut ranges, owner(1), Mode::ReadWrite);
    let mapping = ranges.reserve(owner(2)).unwrap();
    let lost = ranges.reserve(owner(3)).unwrap();
    ranges.retire_mapping(lost).unwrap();
    let unmapping = ranges.begin_unmap(removed).unwrap();
    let left = map(&mut ranges, owner(4), Mode::ReadWrite);
    let left = ranges.begin_unmap(left).unwrap();
    ranges.leave(left).unwrap();
    let expected = Counts {
        total: 6,
        free: 1,
        mapping: 1,
        mapped: 1,
        parked: 0,
        unmapping: 1,
        left: 1,
        retired: 1,
    };
    assert_eq!(ranges.counts(), expected);
    ranges.check().unwrap();
    ranges.release(mapping).unwrap();
    ranges.retire_unmapping(unmapping).unwrap();
    let expected = Counts {
        total: 6,
        free: 2,
        mapped: 1,
        left: 1,
        retired: 2,
        ..Counts::default()
    };
    assert_eq!(ranges.counts(), expected);
    ranges.check().unwrap();
}

#[test]
fn retired_slot_is_not_given_out() {
    let mut ranges = table(1);
    let mapping = ranges.reserve(owner(0)).unwrap();
    let id = mapping.id();
    ranges.retire_mapping(mapping).unwrap();
    assert!(ranges.find(owner(1), OVER).is_none());
    assert_eq!(ranges.pick_victim(), None);
    assert_eq!(ranges.get(id, false), Err(Refused::Gone));
}

/// What [`Ranges::find`] finds closed already.
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
    ranges.put(reader);
    ranges.put(other);
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
fn mappings_ahead_are_told_apart() {
    let mut ranges = table(3);
    let ids: Vec<_> = (0..3)
        .map(|n| {
            let mapping = ranges.reserve(owner(n)).unwrap();
            ranges.mapped(mapping, Mode::ReadOnly, By::Ahead).unwrap()
        })
        .collect();
    assert_eq!(
        ranges.hits.hit(ids[0], false),
        None,
        "the first use is counted"
    );
    for _ in 0..2 {
        let held = ranges.get(ids[0], false).unwrap();
        ranges.put(held);
    }
    let unmapping = ranges.begin_unmap(ids[2]).unwrap();
    ranges.unmap_cancelled(unmapping).unwrap();
    ranges.check().unwrap();
    park(&mut ranges, ids[1]);
    assert_eq!(ranges.ahead(), Ahead { used: 1, wasted: 0 });
    let (token, _) = closed(ranges.find(owner(4), OVER));
    let _mapping = ranges.hand_over(token, owner(4)).unwrap();
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
fn token_of_a_larger_table_is_refused() {
    let mut large = table(2);
    let _first = large.reserve(owner(0)).unwrap();
    let second = large.reserve(owner(1)).unwrap();
    let mut small = table(1);
    assert_eq!(small.release(second), Err(Refused::Gone));
    small.check().unwrap();
}

#[test]
fn ids_survive_as_numbers() {
    let mut ranges = table(3);
    let ids: Vec<_> = (0..3)
        .map(|n| map(&mut ranges, owner(n), Mode::ReadOnly))
        .collect();
    for id in ids {
        assert!(id.to_number() < 1 << 63);
        assert_eq!(RangeId::from_number(id.to_number()), id);
    }
    for number in [0, u64::MAX, 1 << 32] {
        assert_eq!(
            ranges.get(RangeId::from_number(number), false),
            Err(Refused::Gone)
        );
    }
    assert!(table(0).reserve(owner(0)).is_none());
}

#[test]
fn owners_and_offsets() {
    assert_eq!(RANGE_SIZE, 2 << 20);
    let file = FileId { sb: 2, inode: 7 };
    let at = Owner::at(file, (5 << 21) + 4095);
    assert_eq!(at, Owner { file, index: 5 });
    assert_eq!(at.file_offset(), Some(5 << 21));
    let far = Owner {
        file,
        index: u64::MAX,
    };
    assert_eq!(far.file_offset(), None);
}
