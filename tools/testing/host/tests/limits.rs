// SPDX-License-Identifier: GPL-2.0

//! The limit of requests that nobody waits for: against a model that keeps the requests themselves.

use proptest::prelude::*;
use rust_fuse_host_tests::chan::limits::{Limits, CONGESTION_DEFAULT, MAX_DEFAULT};
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    Come,
    End,
    /// One of those in line, if there are so many, is not wanted any more.
    GiveUp(usize),
    Max(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Come),
        3 => Just(Step::End),
        1 => (0usize..8).prop_map(Step::GiveUp),
        1 => (0u32..20).prop_map(Step::Max),
    ];
    prop::collection::vec(step, 0..200)
}

#[test]
fn without_a_word_of_the_server() {
    let limits = Limits::default();
    assert_eq!(
        (limits.max(), limits.congestion()),
        (MAX_DEFAULT, CONGESTION_DEFAULT)
    );
    assert!(!limits.congested());
}

proptest! {
    /// In order, never more than allowed, and nobody waits while there is room.
    #[test]
    fn as_a_line(steps in steps()) {
        let mut limits = Limits::default();
        let (mut line, mut sent, mut next, mut last) = (VecDeque::new(), 0u32, 0u32, None);
        for step in steps {
            match step {
                Step::Come => {
                    if limits.pass() {
                        prop_assert!(line.is_empty());
                        prop_assert!(last < Some(next));
                        last = Some(next);
                        sent += 1;
                    } else {
                        limits.line_up();
                        line.push_back(next);
                    }
                    next += 1;
                }
                Step::End if sent > 0 => {
                    limits.ended();
                    sent -= 1;
                }
                Step::End => (),
                Step::GiveUp(at) => {
                    if line.remove(at).is_some() {
                        limits.give_up();
                    }
                }
                Step::Max(max) => limits.set_max(max),
            }
            while limits.leave_line() {
                let first = line.pop_front();
                prop_assert!(first.is_some() && last < first);
                last = first;
                sent += 1;
                prop_assert!(sent <= limits.max());
            }
            prop_assert!(line.is_empty() || sent >= limits.max());
            prop_assert_eq!(limits.all(), sent + line.len() as u32);
            prop_assert_eq!(limits.congested(), limits.all() >= limits.congestion());
        }
    }
}
