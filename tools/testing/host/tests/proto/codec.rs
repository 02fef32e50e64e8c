// SPDX-License-Identifier: GPL-2.0

//! Every struct survives the way to the wire and back; flags, ids and the replies that are parsed.

use super::structs::structs;
use proptest::prelude::*;
use rust_fuse_host_tests::proto::{
    flags::*,
    ids::*,
    init::{
        InitIn,
        InitOut, //
    },
    opcode::Opcode,
    reply::BadReply,
    xattr,
    *, //
};
use std::fmt::Debug;
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Any bytes of the right length are a struct, whose bytes are the same; any other length is not.
fn round_trip<T>(bytes: &[u8])
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Copy + Debug + PartialEq,
{
    let size = size_of::<T>();
    assert_eq!(size % 4, 0);
    let read = T::read_from_bytes(&bytes[..size]).unwrap();
    assert_eq!(read.as_bytes(), &bytes[..size]);
    assert!(T::read_from_bytes(&bytes[..size - 1]).is_err());
    assert!(T::read_from_bytes(&bytes[..size + 1]).is_err());
    // The way of the kernel: read from the front of a longer buffer, at any alignment.
    let (prefix, rest) = T::read_from_prefix(&bytes[1..]).unwrap();
    assert_eq!(prefix.as_bytes(), &bytes[1..][..size]);
    assert_eq!(rest.len(), bytes.len() - 1 - size);
    assert!(!format!("{read:?}").is_empty());
}

macro_rules! round_trips {
    ($($module:ident::$name:ident = $c:literal { $($fields:tt)* },)*) => {
        /// Calls [`round_trip`] for every struct of the protocol.
        fn round_trip_all(bytes: &[u8]) {
            $(round_trip::<$module::$name>(bytes);)*
        }
    };
}

structs!(round_trips);

/// Bytes of a reply, more than the longest struct.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 400)
}

proptest! {
    #[test]
    fn every_struct_round_trips(bytes in bytes()) {
        round_trip_all(&bytes);
    }

    #[test]
    fn init_flags_split_and_join(bits in any::<u64>()) {
        let flags = InitFlags::from_bits(bits);
        let joined = InitFlags::from_words(flags.low(), flags.high());
        if flags.contains(InitFlags::INIT_EXT) {
            prop_assert_eq!(joined, flags);
        } else {
            prop_assert_eq!(joined.bits(), u64::from(flags.low()));
        }
    }

    #[test]
    fn flag_words_are_sets(a in any::<u32>(), b in any::<u32>()) {
        let (x, y) = (FopenFlags::from_bits(a), FopenFlags::from_bits(b));
        prop_assert_eq!((x | y).bits(), a | b);
        prop_assert_eq!((x & y).bits(), a & b);
        prop_assert_eq!(x.difference(y).bits(), a & !b);
        prop_assert_eq!(x.contains(y), a & b == b);
        prop_assert_eq!(x.intersects(y), a & b != 0);
        prop_assert_eq!(x.is_empty(), a == 0);
        let mut z = x;
        z.set(y, true);
        prop_assert_eq!(z, x | y);
        z.set(y, false);
        prop_assert_eq!(z, x.difference(y));
    }

    #[test]
    fn init_reply_is_zero_filled(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        match InitOut::parse(&payload) {
            Ok(out) => {
                let (there, rest) = out.as_bytes().split_at(payload.len());
                prop_assert_eq!(there, &payload[..]);
                prop_assert!(rest.iter().all(|&byte| byte == 0));
            }
            Err(BadReply::TooLong) => prop_assert!(payload.len() > 64),
            Err(BadReply::TooShort) => prop_assert!(payload.len() < 24),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn xattr_lists_are_checked(list in prop::collection::vec(0u8..3, 0..20)) {
        // The other way to say it: nothing, or pieces between NULs, the last one empty, no other.
        let pieces: Vec<_> = list.split(|&byte| byte == 0).collect();
        let (last, names) = pieces.split_last().unwrap();
        let good = last.is_empty() && names.iter().all(|name| !name.is_empty());
        prop_assert_eq!(xattr::check_list(&list).is_ok(), good);
    }

    #[test]
    fn records_are_aligned(len in 0..1usize << 40) {
        let aligned = rec_align(len).unwrap();
        prop_assert!(aligned >= len && aligned - len < REC_ALIGN && aligned % REC_ALIGN == 0);
    }
}

#[test]
fn record_that_does_not_fit() {
    assert_eq!(rec_align(usize::MAX), None);
    assert_eq!(rec_align(usize::MAX - 7), Some(usize::MAX - 7));
}

#[test]
fn init_replies_of_old_servers() {
    let reply = |major: u32, minor: u32, len: usize| {
        let out = InitOut {
            major,
            minor,
            max_write: 4096,
            ..Default::default()
        };
        InitOut::parse(&out.as_bytes()[..len]).map(|out| (out.minor, out.max_write))
    };
    assert_eq!(reply(7, 4, 8), Ok((4, 0)));
    assert_eq!(reply(7, 22, 24), Ok((22, 4096)));
    assert_eq!(reply(7, 45, 64), Ok((45, 4096)));
    assert_eq!(
        reply(7, 31, 24),
        Ok((31, 4096)),
        "the C client takes it too"
    );
    assert_eq!(reply(7, 22, 20), Err(BadReply::TooShort));
    assert_eq!(reply(7, 45, 8), Err(BadReply::TooShort));
    assert_eq!(reply(7, 4, 7), Err(BadReply::TooShort));
    assert_eq!(reply(7, 4, 0), Err(BadReply::TooShort));
    assert_eq!(
        reply(8, 99, 8),
        Ok((99, 0)),
        "another major version: the rest has no meaning"
    );
}

#[test]
fn init_request_offers_both_words() {
    let mut request = InitIn::default();
    request.set_features(InitFlags::MAP_ALIGNMENT | InitFlags::HAS_INODE_DAX);
    assert_eq!(request.flags, (1 << 26) | (1 << 30));
    assert_eq!(request.flags2, 1 << 1);
    assert!(request
        .features()
        .contains(InitFlags::HAS_INODE_DAX | InitFlags::INIT_EXT));
}

#[test]
fn unique_ids() {
    let unique = Unique::new(42);
    assert_eq!(unique.interrupt(), Unique::new(43));
    assert!(unique.interrupt().is_interrupt() && !unique.is_interrupt());
    assert_eq!(unique.interrupt().request(), unique);
    assert!(NodeId::NONE.is_none() && !NodeId::ROOT.is_none() && NodeId::ROOT.is_root());
}

#[test]
fn messages_name_things() {
    assert_eq!(format!("{:?}", Opcode::SETUPMAPPING), "SETUPMAPPING(48)");
    assert_eq!(format!("{:?}", Opcode::new(7)), "UNKNOWN(7)");
    assert_eq!(format!("{:?}", Fh::NONE), "Fh(0xffffffffffffffff)");
    let flags = FopenFlags::DIRECT_IO | FopenFlags::NOFLUSH | FopenFlags::from_bits(1 << 31);
    assert_eq!(
        format!("{flags:?}"),
        "FopenFlags(DIRECT_IO | NOFLUSH | 0x80000000)"
    );
    assert_eq!(format!("{:?}", FopenFlags::empty()), "FopenFlags()");
    assert_eq!(format!("{:?}", header::NotifyCode::PRUNE), "PRUNE(9)");
}
