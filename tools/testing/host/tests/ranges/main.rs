// SPDX-License-Identifier: GPL-2.0

//! Tests of the table of the DAX window's slots, `fs/fuse/dax/ranges`.

mod clock;
mod concurrent;
mod histories;
mod model;
mod transitions;

use rust_fuse_host_tests::dax::ranges::{
    Mode,
    Owner,
    RangeId,
    Ranges,
    Slot, //
};

/// A table of `total` slots.
fn table(total: usize) -> Ranges<Vec<Slot>> {
    let ranges = Ranges::new(vec![Slot::new(); total]);
    ranges.check().unwrap();
    ranges
}

/// Any owner that differs from those of other numbers.
fn owner(number: u64) -> Owner {
    Owner {
        inode: 100 + number,
        index: number,
    }
}

/// Maps a free slot for `owner`.
fn map(ranges: &mut Ranges<Vec<Slot>>, owner: Owner, mode: Mode) -> RangeId {
    let reserved = ranges.reserve(owner).expect("a free slot");
    let mapping = ranges.begin_map(reserved).unwrap();
    ranges.mapped(mapping, mode, false).unwrap()
}
