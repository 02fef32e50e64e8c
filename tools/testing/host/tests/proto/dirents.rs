// SPDX-License-Identifier: GPL-2.0

//! The records of READDIR and READDIRPLUS: what was written is read, and no bytes do harm.

use proptest::prelude::*;
use rust_fuse_host_tests::proto::{
    attr::EntryOut,
    dir::{
        Dirent,
        DirentPluses,
        DirentRef,
        Dirents, //
    },
    ids::NodeId,
    reply::BadReply,
    NAME_MAX, //
};
use zerocopy::IntoBytes;

/// An entry as a server has it.
#[derive(Clone, Debug)]
struct Entry {
    ino: u64,
    off: u64,
    typ: u32,
    name: Vec<u8>,
}

impl Entry {
    fn named(name: &[u8]) -> Self {
        Self {
            ino: 7,
            off: 9,
            typ: 8,
            name: name.to_vec(),
        }
    }

    /// Writes the record, with its padding.
    fn write(&self, plus: Option<&EntryOut>, buf: &mut Vec<u8>) {
        if let Some(entry) = plus {
            buf.extend_from_slice(entry.as_bytes());
        }
        let namelen = self.name.len() as u32;
        let dirent = Dirent {
            ino: self.ino,
            off: self.off,
            namelen,
            typ: self.typ,
        };
        buf.extend_from_slice(dirent.as_bytes());
        buf.extend_from_slice(&self.name);
        buf.resize(buf.len().next_multiple_of(8), 0xaa);
    }

    fn is(&self, read: &DirentRef<'_>) -> bool {
        let DirentRef {
            ino,
            off,
            typ,
            name,
        } = *read;
        (ino, off, typ, name) == (self.ino, self.off, self.typ, &self.name[..])
    }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let byte = any::<u8>().prop_filter("part of a name", |&byte| byte != 0 && byte != b'/');
    let name = prop::collection::vec(byte, 1..40);
    let entry =
        (any::<u64>(), any::<u64>(), any::<u32>(), name).prop_map(|(ino, off, typ, name)| Entry {
            ino,
            off,
            typ,
            name,
        });
    prop::collection::vec(entry, 0..12)
}

/// Bytes that look like records often enough to get past the first check.
fn almost_records() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(0u32),
        1..40u32,
        Just(b'/'.into()),
        4090..4100u32,
        Just(u32::MAX - 8),
        any::<u32>()
    ];
    (prop::collection::vec(word, 0..200), 0usize..4).prop_map(|(words, cut)| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes
    })
}

/// Checks what an iterator yields from any bytes, and that it ends.
fn sane<'a>(payload: &[u8], read: impl Iterator<Item = Result<DirentRef<'a>, BadReply>>) {
    let outside = payload.as_ptr_range();
    let mut end = outside.start;
    let mut failed = false;
    for entry in read {
        assert!(!failed, "an entry after an error");
        match entry {
            Ok(DirentRef { name, .. }) => {
                let inside = name.as_ptr_range();
                assert!(
                    end <= inside.start && inside.end <= outside.end,
                    "overlaps or outside"
                );
                end = inside.end;
                assert!((1..=NAME_MAX).contains(&name.len()));
                assert!(!name.contains(&0) && !name.contains(&b'/'));
            }
            Err(error) => {
                assert!(matches!(error, BadReply::BadNameLen | BadReply::BadName));
                failed = true;
            }
        }
    }
}

proptest! {
    #[test]
    fn entries_are_read_as_written(entries in entries(), cut in 0usize..64) {
        let mut buf = Vec::new();
        let mut ends = Vec::new();
        for entry in &entries {
            entry.write(None, &mut buf);
            ends.push(buf.len());
        }
        // A reply that was cut off holds the records that are whole.
        buf.truncate(buf.len().saturating_sub(cut));
        let whole = ends.iter().filter(|&&end| end <= buf.len()).count();
        let read: Vec<_> = Dirents::new(&buf).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), whole);
        prop_assert!(entries.iter().zip(&read).all(|(entry, read)| entry.is(read)));
    }

    #[test]
    fn plus_entries_are_read_as_written(entries in entries(), cut in 0usize..200) {
        let mut buf = Vec::new();
        let mut ends = Vec::new();
        for entry in &entries {
            let plus = EntryOut { nodeid: NodeId::new(entry.ino), ..Default::default() };
            entry.write(Some(&plus), &mut buf);
            ends.push(buf.len());
        }
        buf.truncate(buf.len().saturating_sub(cut));
        let whole = ends.iter().filter(|&&end| end <= buf.len()).count();
        let read: Vec<_> = DirentPluses::new(&buf).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read.len(), whole);
        for (entry, read) in entries.iter().zip(&read) {
            prop_assert!(entry.is(&read.dirent));
            prop_assert_eq!(read.entry().nodeid.get(), entry.ino);
        }
    }

    #[test]
    fn no_bytes_do_harm(payload in prop_oneof![
        almost_records(),
        prop::collection::vec(any::<u8>(), 0..600),
    ]) {
        // Every alignment of the payload.
        for start in 0..payload.len().min(8) {
            let payload = &payload[start..];
            sane(payload, Dirents::new(payload));
            let plus = DirentPluses::new(payload);
            sane(payload, plus.map(|entry| entry.map(|entry| entry.dirent)));
        }
    }
}

/// What the iterator says about one name between two good ones.
fn between(name: &[u8]) -> Vec<Result<Vec<u8>, BadReply>> {
    let mut buf = Vec::new();
    for name in [b"first", name, b"last"] {
        Entry::named(name).write(None, &mut buf);
    }
    let mut read = Dirents::new(&buf);
    let all = read
        .by_ref()
        .map(|entry| entry.map(|entry| entry.name.to_vec()))
        .collect();
    assert!(read.next().is_none(), "the iterator is fused");
    all
}

#[test]
fn names_are_checked() {
    assert_eq!(between(b"..").len(), 3);
    assert_eq!(between(&[b'x'; NAME_MAX])[1], Ok(vec![b'x'; NAME_MAX]));
    for (name, error) in [
        (&b""[..], BadReply::BadNameLen),
        (&[b'x'; NAME_MAX + 1], BadReply::BadNameLen),
        (b"a/b", BadReply::BadName),
        (b"/", BadReply::BadName),
        (b"a\0b", BadReply::BadName),
        (b"\0", BadReply::BadName),
    ] {
        assert_eq!(
            between(name),
            [Ok(b"first".to_vec()), Err(error)],
            "{name:?}"
        );
    }
}

#[test]
fn every_byte_of_a_name_is_checked() {
    // Others that a search by words could take for one of the two.
    let filling = [b'.', b'0', 1, 0x7f, 0x80, 0x81, 0xaf, 0xff];
    for len in 1..=40 {
        let good: Vec<u8> = (0..len).map(|i| filling[(i * i + len) % 8]).collect();
        assert_eq!(between(&good)[1], Ok(good.clone()), "{good:?}");
        for (at, byte) in (0..len).flat_map(|at| [(at, 0), (at, b'/')]) {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(between(&bad)[1], Err(BadReply::BadName), "{bad:?}");
        }
    }
}

#[test]
fn long_name_is_refused_even_if_cut_off() {
    let mut buf = Vec::new();
    Entry::named(&[b'x'; NAME_MAX + 1]).write(None, &mut buf);
    let mut read = Dirents::new(&buf[..40]);
    assert_eq!(read.next(), Some(Err(BadReply::BadNameLen)));
    assert_eq!(read.next(), None);
}

#[test]
fn empty_reply_has_no_entries() {
    assert_eq!(Dirents::new(&[]).count(), 0);
    assert_eq!(DirentPluses::new(&[]).count(), 0);
}
