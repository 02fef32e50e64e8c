// SPDX-License-Identifier: GPL-2.0

//! The check of a reply's header lets through exactly what the rules allow.

use proptest::prelude::*;
use rust_fuse_host_tests::proto::{
    header::OutHeader,
    ids::Unique,
    reply::{
        check,
        BadReply,
        HEADER_LEN, //
    },
};

const UNIQUE: Unique = Unique::new(6);

/// A reply of `payload` bytes that is in order, but for `error`.
fn reply(payload: usize, error: i32) -> (OutHeader, usize) {
    let used = HEADER_LEN + payload;
    (
        OutHeader {
            len: used as u32,
            error,
            unique: UNIQUE,
        },
        used,
    )
}

#[test]
fn good_replies() {
    let (header, used) = reply(0, 0);
    assert_eq!(check(&header, used, UNIQUE, 0, 0), Ok(Ok(0)));
    let (header, used) = reply(24, 0);
    assert_eq!(check(&header, used, UNIQUE, 24, 24), Ok(Ok(24)));
    assert_eq!(check(&header, used, UNIQUE, 0, 4096), Ok(Ok(24)));
    let (header, used) = reply(0, -2);
    assert_eq!(check(&header, used, UNIQUE, 24, 24), Ok(Err(-2)));
    let (header, used) = reply(0, -511);
    assert_eq!(check(&header, used, UNIQUE, 0, 0), Ok(Err(-511)));
}

#[test]
fn each_rule_is_checked() {
    let bad = |header: &OutHeader, used| check(header, used, UNIQUE, 8, 16).unwrap_err();
    let (good, used) = reply(8, 0);

    for short in 0..HEADER_LEN {
        assert_eq!(bad(&good, short), BadReply::TooShort);
    }
    assert_eq!(bad(&good, used - 1), BadReply::LengthMismatch);
    assert_eq!(bad(&good, used + 1), BadReply::LengthMismatch);
    assert_eq!(
        bad(
            &OutHeader {
                len: u32::MAX,
                ..good
            },
            used
        ),
        BadReply::LengthMismatch
    );
    // A length that only looks right when it is cut to 32 bits.
    #[cfg(target_pointer_width = "64")]
    assert_eq!(bad(&good, used + (1 << 32)), BadReply::LengthMismatch);
    for unique in [UNIQUE.interrupt(), Unique::NOTIFICATION, Unique::new(4)] {
        assert_eq!(
            bad(&OutHeader { unique, ..good }, used),
            BadReply::WrongUnique
        );
    }
    for error in [1, i32::MAX, -512, -513, i32::MIN] {
        let (header, used) = reply(0, error);
        assert_eq!(bad(&header, used), BadReply::BadErrno);
    }
    let (header, used) = reply(8, -5);
    assert_eq!(bad(&header, used), BadReply::TooLong);
    let (header, used) = reply(7, 0);
    assert_eq!(bad(&header, used), BadReply::TooShort);
    let (header, used) = reply(17, 0);
    assert_eq!(bad(&header, used), BadReply::TooLong);
}

/// Headers that are often almost right, so that every rule is reached.
fn headers() -> impl Strategy<Value = (OutHeader, usize)> {
    let used = prop_oneof![0usize..64, any::<usize>()];
    let len = prop_oneof![4 => Just(None), 1 => any::<u32>().prop_map(Some)];
    let error = prop_oneof![2 => Just(0), 2 => -600..600, 1 => any::<i32>()];
    let unique = prop_oneof![4 => Just(UNIQUE), 1 => any::<u64>().prop_map(Unique::new)];
    (used, len, error, unique).prop_map(|(used, len, error, unique)| {
        let len = len.unwrap_or(used as u32);
        (OutHeader { len, error, unique }, used)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nothing_else_gets_through(
        (header, used) in headers(),
        min in 0usize..40,
        room in 0usize..40,
    ) {
        let max = min + room;
        let right = used >= 16
            && header.len as usize == used
            && header.unique == UNIQUE
            && header.error <= 0
            && header.error > -512;
        match check(&header, used, UNIQUE, min, max) {
            Ok(Ok(payload)) => {
                prop_assert!(right && header.error == 0);
                prop_assert!(payload == used - 16 && (min..=max).contains(&payload));
            }
            Ok(Err(errno)) => {
                prop_assert!(right && used == 16);
                prop_assert!(errno == header.error && errno < 0);
            }
            Err(BadReply::TooShort) => {
                prop_assert!(used < 16 || right && header.error == 0 && used - 16 < min);
            }
            Err(BadReply::TooLong) => {
                let most = if header.error < 0 { 0 } else { max };
                prop_assert!(right && used - 16 > most);
            }
            Err(BadReply::LengthMismatch) => prop_assert!(header.len as usize != used),
            Err(BadReply::WrongUnique) => prop_assert!(header.unique != UNIQUE),
            Err(BadReply::BadErrno) => {
                prop_assert!(header.error > 0 || header.error <= -512);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
