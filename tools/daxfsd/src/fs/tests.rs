// SPDX-License-Identifier: GPL-2.0

//! The file server without a guest: what a hostile client may try, and that nothing leaves the folder or stays behind.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use zerocopy::IntoBytes;

use super::*;
use crate::gate::Gate;
use proto::init::{HAS_INODE_DAX, INIT_EXT};

/// A server for a folder `share`, next to a folder `secret` that nobody may reach.
struct Rig {
    dir: tempfile::TempDir,
    server: Server,
    pass: Pass,
    room: Vec<u8>,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["share/sub", "secret"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        std::fs::write(dir.path().join("secret/key"), "x").unwrap();
        std::fs::write(dir.path().join("share/a.dax"), "hello").unwrap();
        symlink("../secret", dir.path().join("share/out")).unwrap();
        symlink("/etc/passwd", dir.path().join("share/abs")).unwrap();
        let counters = Arc::new(Counters::new());
        let window = Window::new(16 << 20, 0, 4096, false, counters.clone());
        let config = Config {
            cache: Cache::Auto,
            enable: 0,
            disable: 0,
            fopen: 0,
            map_alignment: 12,
            background: (64, 48),
        };
        let share = dir.path().join("share");
        let rule = "*.dax".parse().unwrap();
        let server = Server::new(&share, config, window, rule, counters).unwrap();
        let gate = Gate::default();
        let pass = gate.enter(gate.generation()).unwrap();
        let room = vec![0; 8192];
        let mut rig = Rig {
            dir,
            server,
            pass,
            room,
        };
        let init = proto::InitIn {
            major: 7,
            minor: 45,
            max_readahead: 0,
            flags: INIT_EXT as u32,
        };
        let ext = proto::InitExtIn {
            flags2: (HAS_INODE_DAX >> 32) as u32,
            unused: [0; 11],
        };
        let body = [init.as_bytes(), ext.as_bytes()].concat();
        assert!(rig.call(op::INIT, 0, &body).is_ok());
        rig
    }

    fn path(&self, sub: &str) -> PathBuf {
        self.dir.path().join(sub)
    }

    fn call(&mut self, opcode: u32, nodeid: u64, body: &[u8]) -> Res<Vec<u8>> {
        let hdr = proto::InHeader {
            opcode,
            nodeid,
            ..Default::default()
        };
        let req = Request {
            hdr,
            body,
            ext: &[],
            data: Pieces::default(),
            out: Pieces::of(&mut self.room),
            pass: &self.pass,
            counters: &self.server.counters,
        };
        match self.server.serve(&req)? {
            Reply::Bytes(bytes) => Ok(bytes),
            Reply::InPlace(n) => Ok(self.room[..n].to_vec()),
            Reply::None => Ok(Vec::new()),
        }
    }

    fn lookup(&mut self, dir: u64, name: &str) -> Res<proto::EntryOut> {
        let body = [name.as_bytes(), b"\0"].concat();
        let reply = self.call(op::LOOKUP, dir, &body)?;
        Ok(proto::EntryOut::read_from_bytes(&reply).unwrap())
    }

    fn escapes(&self) -> u64 {
        self.server.counters.escapes.load(Relaxed)
    }
}

const EINVAL: Errno = Errno(libc::EINVAL);

#[test]
fn names_cannot_lead_out() {
    let mut rig = Rig::new();
    for name in [
        "..",
        ".",
        "../secret",
        "sub/..",
        "/etc",
        "out/key",
        "sub/../../secret",
    ] {
        assert_eq!(rig.lookup(1, name).err(), Some(EINVAL), "{name}");
    }
    assert_eq!(rig.escapes(), 7);
    assert_eq!(rig.lookup(1, "").err(), Some(EINVAL));
    assert_eq!(
        rig.lookup(1, &"n".repeat(256)).err(),
        Some(Errno(libc::ENAMETOOLONG))
    );
    assert_eq!(rig.call(op::LOOKUP, 1, b"no end").err(), Some(EINVAL));
    let create = [
        proto::CreateIn::default().as_bytes(),
        b"../secret/new\0".as_slice(),
    ]
    .concat();
    assert_eq!(rig.call(op::CREATE, 1, &create).err(), Some(EINVAL));
    assert_eq!(
        rig.call(op::UNLINK, 1, b"../secret/key\0").err(),
        Some(EINVAL)
    );
    let rename = [
        proto::RenameIn { newdir: 1 }.as_bytes(),
        b"a.dax\0../secret/a\0".as_slice(),
    ]
    .concat();
    assert_eq!(rig.call(op::RENAME, 1, &rename).err(), Some(EINVAL));
    assert_eq!(std::fs::read_dir(rig.path("secret")).unwrap().count(), 1);
}

#[test]
fn symlinks_are_never_followed() {
    let mut rig = Rig::new();
    for name in ["out", "abs"] {
        let link = rig.lookup(1, name).unwrap();
        assert_eq!(link.attr.mode & libc::S_IFMT, libc::S_IFLNK);
        assert_eq!(
            rig.lookup(link.nodeid, "key").err(),
            Some(Errno(libc::ENOTDIR))
        );
        let open = proto::OpenIn::default();
        assert!(rig.call(op::OPEN, link.nodeid, open.as_bytes()).is_err());
        assert!(rig.call(op::OPENDIR, link.nodeid, open.as_bytes()).is_err());
        let create = [
            proto::CreateIn::default().as_bytes(),
            name.as_bytes(),
            b"\0",
        ]
        .concat();
        assert!(rig.call(op::CREATE, 1, &create).is_err());
        let set = proto::SetattrIn {
            valid: proto::FATTR_SIZE,
            ..Default::default()
        };
        assert!(rig.call(op::SETATTR, link.nodeid, set.as_bytes()).is_err());
    }
    // A folder that becomes a symlink while the client holds it stays the folder.
    let sub = rig.lookup(1, "sub").unwrap();
    std::fs::rename(rig.path("share/sub"), rig.path("share/moved")).unwrap();
    symlink("../secret", rig.path("share/sub")).unwrap();
    assert_eq!(
        rig.lookup(sub.nodeid, "key").err(),
        Some(Errno(libc::ENOENT))
    );
    assert_eq!(std::fs::read(rig.path("secret/key")).unwrap(), b"x");
}

#[test]
fn only_files_and_folders_are_opened() {
    let mut rig = Rig::new();
    sys::mknodat(
        libc::AT_FDCWD,
        &std::ffi::CString::new(rig.path("share/fifo").to_str().unwrap()).unwrap(),
        libc::S_IFIFO | 0o600,
        0,
    )
    .unwrap();
    let fifo = rig.lookup(1, "fifo").unwrap();
    let open = proto::OpenIn::default();
    assert_eq!(
        rig.call(op::OPEN, fifo.nodeid, open.as_bytes()).err(),
        Some(Errno(libc::ENXIO))
    );
    let create = [proto::CreateIn::default().as_bytes(), b"fifo\0".as_slice()].concat();
    assert_eq!(
        rig.call(op::CREATE, 1, &create).err(),
        Some(Errno(libc::ENXIO))
    );
    assert_eq!(
        rig.server.census().1,
        1,
        "the failed CREATE keeps no reference"
    );
}

#[test]
fn lookups_are_counted_and_given_back() {
    let mut rig = Rig::new();
    let a = rig.lookup(1, "a.dax").unwrap();
    assert_eq!(a.attr.flags, proto::ATTR_DAX);
    assert_eq!(rig.lookup(1, "sub").unwrap().attr.flags, 0);
    assert_eq!(rig.lookup(1, "a.dax").unwrap().nodeid, a.nodeid);
    assert_eq!(rig.server.census(), (2, 3, 0));
    let forget = proto::ForgetIn { nlookup: 2 };
    rig.call(op::FORGET, a.nodeid, forget.as_bytes()).unwrap();
    assert_eq!(rig.server.census(), (1, 1, 0));
    rig.call(op::FORGET, a.nodeid, forget.as_bytes()).unwrap();
    assert_eq!(rig.server.counters.bad_forgets.load(Relaxed), 1);
    let get = proto::GetattrIn::default();
    assert_eq!(
        rig.call(op::GETATTR, a.nodeid, get.as_bytes()).err(),
        Some(Errno(libc::ESTALE))
    );
    // A node id is never used again.
    assert!(rig.lookup(1, "a.dax").unwrap().nodeid > a.nodeid);
    rig.call(op::DESTROY, 0, &[]).unwrap();
    assert_eq!(rig.server.census(), (0, 0, 0));
    assert_eq!(rig.lookup(1, "a.dax").err(), Some(Errno(libc::EIO)));
}

#[test]
fn handles_belong_to_their_inode() {
    let mut rig = Rig::new();
    let a = rig.lookup(1, "a.dax").unwrap();
    let open = proto::OpenIn::default();
    let reply = rig.call(op::OPEN, a.nodeid, open.as_bytes()).unwrap();
    let fh = proto::OpenOut::read_from_bytes(&reply).unwrap().fh;
    let read = proto::ReadIn {
        fh,
        size: 4096,
        ..Default::default()
    };
    let data = rig.call(op::READ, a.nodeid, read.as_bytes()).unwrap();
    assert_eq!(data, b"hello");
    assert_eq!(
        rig.call(op::READ, 1, read.as_bytes()).err(),
        Some(Errno(libc::EBADF))
    );
    let release = proto::ReleaseIn {
        fh,
        ..Default::default()
    };
    rig.call(op::RELEASE, a.nodeid, release.as_bytes()).unwrap();
    assert_eq!(
        rig.call(op::READ, a.nodeid, read.as_bytes()).err(),
        Some(Errno(libc::EBADF))
    );
}

#[test]
fn folders_are_listed_completely_and_in_pieces() {
    let mut rig = Rig::new();
    for i in 0..200 {
        std::fs::write(rig.path(&format!("share/sub/file-{i}")), "").unwrap();
    }
    let sub = rig.lookup(1, "sub").unwrap();
    let open = proto::OpenIn::default();
    let reply = rig.call(op::OPENDIR, sub.nodeid, open.as_bytes()).unwrap();
    let fh = proto::OpenOut::read_from_bytes(&reply).unwrap().fh;
    for (opcode, entry) in [(op::READDIR, 0), (op::READDIRPLUS, 128)] {
        let (mut offset, mut names) = (0, 0);
        loop {
            let read = proto::ReadIn {
                fh,
                offset,
                size: 1000,
                ..Default::default()
            };
            let reply = rig.call(opcode, sub.nodeid, read.as_bytes()).unwrap();
            if reply.is_empty() {
                break;
            }
            let mut left = &reply[..];
            while !left.is_empty() {
                let (rec, _) = proto::Dirent::read_from_prefix(&left[entry..]).unwrap();
                (offset, names) = (rec.off, names + 1);
                left = &left[(entry + 24 + rec.namelen as usize).next_multiple_of(8)..];
            }
        }
        assert_eq!(names, 202);
    }
    // One reference to each file and one to the folder itself.
    assert_eq!(rig.server.census().1, 201);
}

#[test]
fn short_arguments_are_refused() {
    let mut rig = Rig::new();
    for (name, opcode) in op::NAMES {
        let harmless = matches!(
            *opcode,
            op::DESTROY | op::INIT | op::FORGET | op::BATCH_FORGET | op::INTERRUPT
        );
        if !harmless {
            let reply = rig.call(*opcode, 1, &[0; 3]);
            let fine = matches!(*opcode, op::STATFS | op::SYNCFS | op::OPENDIR);
            assert_eq!(reply.is_ok(), fine, "{name}");
        }
    }
    assert_eq!(rig.call(9999, 1, &[]).err(), Some(Errno(libc::ENOSYS)));
}

#[test]
fn nonsense_does_no_harm() {
    let mut rig = Rig::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let strings: [&[u8]; 6] = [b"a.dax", b"sub", b"out", b"..", b"new", b"../secret/key"];
    for _ in 0..20_000 {
        let opcode = random(60) as u32;
        // Device nodes and disk space of the machine that runs the tests are left alone.
        if matches!(opcode, op::MKNOD | op::FALLOCATE | op::DESTROY) {
            continue;
        }
        let mut body: Vec<u8> = Vec::new();
        for _ in 0..random(12) {
            let word = match random(4) {
                0 => random(u64::MAX),
                1 => random(1 << 32),
                _ => random(9),
            };
            body.extend_from_slice(&word.to_le_bytes());
        }
        for _ in 0..random(3) {
            body.extend_from_slice(strings[random(6) as usize]);
            body.push(0);
        }
        let _ = rig.call(opcode, random(7), &body);
    }
    assert_eq!(std::fs::read(rig.path("secret/key")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(rig.path("secret")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(rig.path("")).unwrap().count(), 2);
}
