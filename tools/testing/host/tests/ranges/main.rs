// SPDX-License-Identifier: GPL-2.0

//! Tests of the table of the DAX window's slots, `fs/fuse/dax/ranges`.

mod clock;
mod concurrent;
mod histories;
#[path = "../common/loom_words.rs"]
mod loom_words;
mod model;
mod spans;
mod taking;
mod transitions;
#[path = "../common/words.rs"]
mod words;

use rust_fuse_host_tests::dax::ranges::{
    By,
    FileId,
    Found,
    Mode,
    Owner,
    RangeId,
    Take,
    Unmapping, //
};
use words::Table;

/// Anything may be taken, and there is no pass.
const OVER: Take = Take::Over { behind: None };

/// A table of `total` slots.
fn table(total: usize) -> Table {
    let ranges = Table::new(total);
    ranges.check().unwrap();
    ranges
}

/// Any owner that differs from those of other numbers.
fn owner(number: u64) -> Owner {
    Owner {
        file: FileId {
            sb: 1,
            inode: 100 + number,
        },
        index: number,
    }
}

/// Maps a free slot for `owner`.
fn map(ranges: &mut Table, owner: Owner, mode: Mode) -> RangeId {
    let mapping = ranges.reserve(owner).expect("a free slot");
    ranges.mapped(mapping, mode, By::Access).unwrap()
}

fn park(ranges: &mut Table, id: RangeId) {
    let unmapping = ranges.begin_unmap(id).unwrap();
    assert_eq!(ranges.park(unmapping), Ok(id));
    assert!(ranges.pick_victim().is_none_or(|(victim, _)| victim != id));
}

/// The token of what is closed now, and whose it was.
fn closed(found: Option<Found>) -> (Unmapping, Owner) {
    match found {
        Some(Found::Closed(token, owner)) => (token, owner),
        other => panic!("{other:?}"),
    }
}
