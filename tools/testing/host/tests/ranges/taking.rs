// SPDX-License-Identifier: GPL-2.0

//! Which slot is taken when none is free: what is left over, parked or behind a pass, and what a pass closes.

use super::{
    closed,
    map,
    owner,
    park,
    table,
    words::Table,
    OVER, //
};
use rust_fuse_host_tests::dax::ranges::*;

#[test]
fn what_the_host_refused_can_be_mapped_over() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let unmapping = ranges.begin_unmap(id).unwrap();
    ranges.unmap_refused(unmapping).unwrap();
    assert_eq!(ranges.get(id, false), Err(Refused::Gone));
    assert_eq!((ranges.counts().left, ranges.counts().retired), (1, 0));
    assert!(!ranges.has_left() && ranges.take_left().is_none());
    assert!(ranges.reserve(owner(1)).is_none(), "only to be mapped over");
    let (token, was) = closed(ranges.find(owner(1), OVER));
    assert_eq!(was, Owner::default());
    let mapping = ranges.hand_over(token, owner(1)).unwrap();
    // Refused again, and that is known, too.
    ranges.release(mapping).unwrap();
    assert!(ranges.has_left());
    let token = ranges.take_left().unwrap();
    assert_eq!(ranges.unmapped(token), Ok(Fate::Free));
    ranges.check().unwrap();
}

#[test]
fn what_was_not_asked_of_the_host_comes_first() {
    let mut ranges = table(4);
    let ids = [0, 1, 2, 3].map(|n| map(&mut ranges, owner(n), Mode::ReadOnly));
    let unmapping = ranges.begin_unmap(ids[2]).unwrap();
    ranges.park(unmapping).unwrap();
    let unmapping = ranges.begin_unmap(ids[0]).unwrap();
    ranges.unmap_refused(unmapping).unwrap();
    let unmapping = ranges.begin_unmap(ids[1]).unwrap();
    ranges.leave(unmapping).unwrap();
    for index in [1, 0, 2] {
        let (token, was) = closed(ranges.find(owner(9), OVER));
        assert_eq!(token.offset(), ids[index].offset());
        assert_eq!(was == Owner::default(), index != 2);
        let _mapping = ranges.hand_over(token, owner(9)).unwrap();
    }
    assert!(
        matches!(ranges.find(owner(9), OVER), Some(Found::Victim(token, was))
        if token.id() == ids[3] && was == owner(3))
    );
    ranges.check().unwrap();
}

#[test]
fn hand_over_passes_the_free_list() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let unmapping = ranges.begin_unmap(id).unwrap();
    let reserved = ranges.hand_over(unmapping, owner(1)).unwrap();
    assert!(ranges.reserve(owner(2)).is_none());
    assert_eq!(
        ranges.get(id, false),
        Err(Refused::Gone),
        "the id was the old owner's"
    );
    assert_eq!(ranges.owner(reserved.id()), Ok(owner(1)));
    assert_eq!(reserved.offset(), id.offset());
    ranges
        .mapped(reserved, Mode::ReadWrite, By::Access)
        .unwrap();
    ranges.check().unwrap();

    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadOnly);
    let upgrading = ranges.begin_upgrade(id).unwrap();
    ranges.retire_upgrade(upgrading).unwrap();
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.hand_over(unmapping, owner(1)), Err(Refused::Tainted));
    assert_eq!(ranges.counts().retired, 1);
    ranges.check().unwrap();
}

/// Closes a mapping and parks it.
#[test]
fn parked_mapping_is_opened_again() {
    let mut ranges = table(1);
    let id = map(&mut ranges, owner(0), Mode::ReadWrite);
    park(&mut ranges, id);
    assert_eq!((ranges.counts().parked, ranges.counts().mapped), (1, 0));
    let held = ranges.get(id, true).unwrap();
    assert_eq!((ranges.counts().parked, ranges.counts().mapped), (0, 1));
    ranges.put(held);
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
    let (token, was) = closed(ranges.find(owner(2), OVER));
    assert_eq!((token.id(), was), (ids[1], owner(1)));
    assert_eq!(ranges.get(ids[1], false), Err(Refused::Busy));
    let mapping = ranges.hand_over(token, owner(2)).unwrap();
    assert_eq!(ranges.get(ids[1], false), Err(Refused::Gone));
    let new = ranges.mapped(mapping, Mode::ReadOnly, By::Access).unwrap();
    assert_eq!(ranges.owner(new), Ok(owner(2)));
    // What the host has there is to be removed when the slot is not needed, or mapping over it fails.
    let (token, _) = closed(ranges.find(owner(3), OVER));
    let mapping = ranges.hand_over(token, owner(3)).unwrap();
    ranges.release(mapping).unwrap();
    let token = ranges.take_left().expect("a leftover");
    assert_eq!(ranges.unmapped(token), Ok(Fate::Free));
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
    for mapping in [first, second, third, last] {
        assert_eq!(ranges.release(mapping), Ok(()));
        ranges.check().unwrap();
    }
    assert_eq!(ranges.counts().free, 4);
}

#[test]
fn runs_of_slots() {
    for (total, wanted, room, got) in [(4, 3, 8, 3), (4, 9, 8, 4), (6, 5, 3, 3), (1, 1, 8, 1)] {
        let mut ranges = table(total);
        let first = ranges.reserve(owner(0)).unwrap();
        let mut run: Vec<_> = (0..room).map(|_| None).collect();
        ranges.reserve_run(first, (1..wanted).map(owner), &mut run);
        let run: Vec<_> = run.into_iter().flatten().collect();
        assert_eq!(run.len(), got, "{total} {wanted} {room}");
        for (n, mapping) in run.iter().enumerate() {
            assert_eq!(mapping.offset(), n as u64 * RANGE_SIZE);
            assert_eq!(ranges.owner(mapping.id()), Ok(owner(n as u64)));
        }
        assert_eq!(ranges.counts().mapping as usize, got);
        ranges.check().unwrap();
    }
}

#[test]
fn what_nobody_wants_any_more_is_left() {
    let mut ranges = table(2);
    let mapping = ranges.reserve(owner(0)).unwrap();
    let id = mapping.id();
    assert!(!ranges.abandon(id), "it is on its way");
    assert_eq!(
        ranges.mapped(mapping, Mode::ReadOnly, By::Ahead),
        Err(Refused::Gone)
    );
    assert!(ranges.has_left());
    assert_eq!(ranges.ahead(), Ahead { used: 0, wasted: 1 });
    let id = map(&mut ranges, owner(1), Mode::ReadOnly);
    let held = ranges.get(id, false).unwrap();
    assert!(!ranges.abandon(id), "it is in use");
    ranges.put(held);
    assert!(ranges.abandon(id) && !ranges.abandon(id));
    assert_eq!(ranges.counts().left, 2);
    ranges.check().unwrap();
}

/// Maps parts 0 and on for a pass.
fn pass(ranges: &mut Table, count: u64) -> Vec<Option<RangeId>> {
    (0..count)
        .map(|n| {
            let mapping = ranges.reserve(owner(n)).unwrap();
            Some(ranges.mapped(mapping, Mode::ReadOnly, By::Pass).unwrap())
        })
        .collect()
}

#[test]
fn pass_takes_what_it_has_behind_it() {
    let mut ranges = table(3);
    let ids = pass(&mut ranges, 3);
    let take = Take::Over { behind: ids[2] };
    // Not the first by the clock.
    match ranges.find(owner(9), take) {
        Some(Found::Victim(token, was)) => {
            assert_eq!((Some(token.id()), was), (ids[2], owner(2)));
            ranges.unmap_cancelled(token).unwrap();
        }
        other => panic!("{other:?}"),
    }
    // Somebody uses it; or it was not mapped for a pass.
    let held = ranges.get(ids[2].unwrap(), false).unwrap();
    assert!(
        matches!(ranges.find(owner(9), take), Some(Found::Victim(token, _))
        if Some(token.id()) == ids[0])
    );
    ranges.put(held);
    let mut ranges = table(2);
    let first = map(&mut ranges, owner(0), Mode::ReadOnly);
    let second = map(&mut ranges, owner(1), Mode::ReadOnly);
    let take = Take::Over {
        behind: Some(second),
    };
    assert!(
        matches!(ranges.find(owner(9), take), Some(Found::Victim(token, _))
        if token.id() == first)
    );
}

#[test]
fn pass_closes_adjacent_slots_behind_it() {
    let closed = |ranges: &mut Table, behind: &[Option<RangeId>], least: usize, most: usize| {
        let mut run: Vec<_> = (0..most).map(|_| None).collect();
        let count = ranges.close_passed(behind, least, &mut run);
        let run: Vec<_> = run.into_iter().flatten().collect();
        assert_eq!(run.len(), count);
        ranges.check().unwrap();
        run
    };
    // Nearest first.
    let mut ranges = table(5);
    let mut ids = pass(&mut ranges, 4);
    ids.reverse();
    let run = closed(&mut ranges, &ids, 1, 3);
    let offsets: Vec<_> = run
        .iter()
        .map(|token| token.offset() / RANGE_SIZE)
        .collect();
    assert_eq!(offsets, [3, 2, 1]);
    for token in run {
        ranges.unmap_cancelled(token).unwrap();
    }
    assert_eq!(closed(&mut ranges, &ids, 5, 8).len(), 0, "too few");
    // A gap in the file, one that is in use, one that is elsewhere in the window, one that is not of a pass.
    let gap = [ids[0], None, ids[1]];
    assert_eq!(closed(&mut ranges, &gap, 1, 8).len(), 1);
    let mut ranges = table(5);
    let ids = pass(&mut ranges, 4);
    let held = ranges.get(ids[1].unwrap(), false).unwrap();
    assert_eq!(
        closed(&mut ranges, &[ids[2], ids[1], ids[0]], 1, 8).len(),
        1
    );
    assert_eq!(closed(&mut ranges, &[ids[3], ids[0]], 1, 8).len(), 1);
    assert!(ranges.put(held));
    let mut ranges = table(5);
    let first = map(&mut ranges, owner(9), Mode::ReadOnly);
    let ids = pass(&mut ranges, 1);
    assert_eq!(closed(&mut ranges, &[ids[0], Some(first)], 1, 8).len(), 1);
    assert_eq!(closed(&mut ranges, &[Some(first)], 1, 8).len(), 0);
}
