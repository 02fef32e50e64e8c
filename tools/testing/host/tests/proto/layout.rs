// SPDX-License-Identifier: GPL-2.0

//! Sizes, offsets and constants are those of the C header, all of them.
//!
//! `sizes.txt` is what a C compiler said about the header (see `sizes.sh`). It is compared with the
//! Rust types always, and with the header itself wherever one is found.

use super::structs::structs;
use rust_fuse_host_tests::proto::{
    self,
    flags::*,
    ids::{
        NodeId,
        Unique, //
    },
    opcode::Opcode,
    *, //
};
use std::{
    collections::BTreeMap,
    env,
    fs,
    mem::{
        offset_of,
        size_of, //
    },
    path::{
        Path,
        PathBuf, //
    },
    process::Command, //
};

/// Lines of the table by what they are about.
type Table = BTreeMap<String, String>;

fn parse(text: &str) -> Table {
    let table: Table = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect();
    assert_eq!(table.len(), text.lines().count(), "a name twice");
    table
}

fn committed() -> Table {
    let table = parse(include_str!("../../sizes.txt"));
    assert!(table.len() > 500, "sizes.txt is not complete");
    table
}

/// Fails with the differences only.
fn assert_same(what: &str, left: &Table, right: &Table) {
    let differ: Vec<_> = left
        .keys()
        .chain(right.keys().filter(|&key| !left.contains_key(key)))
        .filter(|&key| left.get(key) != right.get(key))
        .map(|key| format!("{key}: {:?} and {:?}", left.get(key), right.get(key)))
        .collect();
    assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
}

/// Size of the field that `get` returns.
fn size_of_field<T, F>(_: impl FnOnce(&T) -> &F) -> usize {
    size_of::<F>()
}

/// The C name of a field: the one given, or that of Rust.
macro_rules! c_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

/// The lines of every struct as Rust lays it out.
macro_rules! lines {
    ($($module:ident::$name:ident = $c:literal { $($field:ident $(= $c_field:literal)?),* },)*) => {{
        let mut table = Table::new();
        $(
            table.insert($c.into(), size_of::<$module::$name>().to_string());
            // A field that is missing from the list fails to compile here.
            let _ = |$module::$name { $($field: _),* }: $module::$name| ();
            $(
                table.insert(
                    format!("{}.{}", $c, c_name!($field $($c_field)?)),
                    format!(
                        "{} {}",
                        offset_of!($module::$name, $field),
                        size_of_field(|x: &$module::$name| &x.$field),
                    ),
                );
            )*
        )*
        table
    }};
}

#[test]
fn structs_are_those_of_the_header() {
    let ours = structs!(lines);
    let mut header = committed();
    header.retain(|_, rest| !rest.starts_with('='));
    assert_same("Rust and sizes.txt", &ours, &header);
}

/// Names of C for the flags of a type: prefix and name.
macro_rules! flags {
    ($table:ident: $($name:ident $prefix:literal),* $(,)?) => {$(
        for (flag, value) in $name::NAMES {
            $table.insert(
                format!("{}{}", $prefix, flag.trim_start_matches("IOCTL_")),
                format!("= {}", value.bits()),
            );
        }
    )*};
}

#[test]
fn constants_are_those_of_the_header() {
    let mut ours = Table::new();
    flags!(ours:
        InitFlags "FUSE_", CuseInitFlags "CUSE_", FopenFlags "FOPEN_", AttrFlags "FUSE_ATTR_",
        SetattrValid "FATTR_", GetattrFlags "FUSE_GETATTR_", ReadFlags "FUSE_READ_",
        WriteFlags "FUSE_WRITE_", OpenInFlags "FUSE_OPEN_", ReleaseFlags "FUSE_RELEASE_",
        FsyncFlags "FUSE_FSYNC_", LkFlags "FUSE_LK_", IoctlFlags "FUSE_IOCTL_",
        PollFlags "FUSE_POLL_", SetxattrFlags "FUSE_SETXATTR_",
        SetupmappingFlags "FUSE_SETUPMAPPING_FLAG_", InvalEntryFlags "FUSE_",
    );
    for code in Opcode::ALL {
        let prefix = if code.name().starts_with("CUSE_") {
            ""
        } else {
            "FUSE_"
        };
        ours.insert(
            format!("{prefix}{}", code.name()),
            format!("= {}", code.get()),
        );
    }
    for code in (1..)
        .map(header::NotifyCode::new)
        .take_while(|code| code.name() != "UNKNOWN")
    {
        ours.insert(
            format!("FUSE_NOTIFY_{}", code.name()),
            format!("= {}", code.get()),
        );
    }
    let page = 4096;
    let others = [
        ("FUSE_KERNEL_VERSION", u64::from(proto::KERNEL_VERSION)),
        (
            "FUSE_KERNEL_MINOR_VERSION",
            u64::from(proto::KERNEL_MINOR_VERSION),
        ),
        ("FUSE_ROOT_ID", NodeId::ROOT.get()),
        ("FUSE_MIN_READ_BUFFER", proto::MIN_READ_BUFFER as u64),
        (
            "FUSE_COMPAT_ENTRY_OUT_SIZE",
            attr::COMPAT_ENTRY_OUT_SIZE as u64,
        ),
        (
            "FUSE_COMPAT_ATTR_OUT_SIZE",
            attr::COMPAT_ATTR_OUT_SIZE as u64,
        ),
        (
            "FUSE_COMPAT_MKNOD_IN_SIZE",
            dir::COMPAT_MKNOD_IN_SIZE as u64,
        ),
        (
            "FUSE_COMPAT_WRITE_IN_SIZE",
            file::COMPAT_WRITE_IN_SIZE as u64,
        ),
        ("FUSE_COMPAT_STATFS_SIZE", statfs::COMPAT_STATFS_SIZE as u64),
        (
            "FUSE_COMPAT_SETXATTR_IN_SIZE",
            xattr::COMPAT_SETXATTR_IN_SIZE as u64,
        ),
        (
            "FUSE_COMPAT_INIT_OUT_SIZE",
            init::COMPAT_INIT_OUT_SIZE as u64,
        ),
        (
            "FUSE_COMPAT_22_INIT_OUT_SIZE",
            init::COMPAT_22_INIT_OUT_SIZE as u64,
        ),
        ("CUSE_INIT_INFO_MAX", init::CUSE_INIT_INFO_MAX as u64),
        ("FUSE_IOCTL_MAX_IOV", file::IOCTL_MAX_IOV as u64),
        ("FUSE_MAX_NR_SECCTX", u64::from(ext::MAX_NR_SECCTX)),
        ("FUSE_EXT_GROUPS", u64::from(ext::EXT_GROUPS)),
        ("FUSE_UNIQUE_RESEND", Unique::RESEND),
        ("FUSE_INVALID_UIDGID", u64::from(header::INVALID_UIDGID)),
        ("FUSE_NAME_OFFSET", size_of::<dir::Dirent>() as u64),
        (
            "FUSE_NAME_OFFSET_DIRENTPLUS",
            size_of::<dir::Direntplus>() as u64,
        ),
        ("FUSE_DEV_IOC_MAGIC", u64::from(device::DEV_IOC_MAGIC)),
        (
            "FUSE_REMOVEMAPPING_MAX_ENTRY",
            dax::removemapping_max_entry(page) as u64,
        ),
        (
            "FUSE_URING_IN_OUT_HEADER_SZ",
            device::URING_IN_OUT_HEADER_SZ as u64,
        ),
        ("FUSE_URING_OP_IN_OUT_SZ", device::URING_OP_IN_OUT_SZ as u64),
        (
            "FUSE_IO_URING_CMD_INVALID",
            u64::from(device::URING_CMD_INVALID),
        ),
        (
            "FUSE_IO_URING_CMD_REGISTER",
            u64::from(device::URING_CMD_REGISTER),
        ),
        (
            "FUSE_IO_URING_CMD_COMMIT_AND_FETCH",
            u64::from(device::URING_CMD_COMMIT_AND_FETCH),
        ),
        // Obsolete aliases, which have no name of their own in Rust.
        (
            "FUSE_DIRECT_IO_RELAX",
            InitFlags::DIRECT_IO_ALLOW_MMAP.bits(),
        ),
        (
            "FUSE_WRITE_KILL_PRIV",
            u64::from(WriteFlags::KILL_SUIDGID.bits()),
        ),
    ];
    for (name, value) in others {
        ours.insert(name.into(), format!("= {value}"));
    }
    let mut header = committed();
    header.retain(|_, rest| rest.starts_with('='));
    assert_same("Rust and sizes.txt", &ours, &header);
}

/// Every C header at hand: `RUST_FUSE_UAPI`, or those of the kernel sources in the cache.
fn headers() -> Vec<PathBuf> {
    if let Some(path) = env::var_os("RUST_FUSE_UAPI") {
        return vec![path.into()];
    }
    let Some(cache) = env::var_os("RUST_FUSE_CACHE") else {
        return Vec::new();
    };
    let Ok(sources) = fs::read_dir(Path::new(&cache).join("src")) else {
        return Vec::new();
    };
    sources
        .flatten()
        .map(|source| source.path().join("include/uapi/linux/fuse.h"))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn table_is_that_of_the_header() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/sizes.sh");
    let headers = headers();
    if headers.is_empty() {
        println!("no C header: set RUST_FUSE_UAPI to a fuse.h to compare sizes.txt with it");
    }
    for path in headers {
        let out = Command::new(script)
            .arg(&path)
            .output()
            .expect("sizes.sh needs bash");
        assert!(
            out.status.success(),
            "{} failed; it needs a C compiler (CC, or cc) and awk:\n{}",
            script,
            String::from_utf8_lossy(&out.stderr),
        );
        let header = parse(&String::from_utf8(out.stdout).unwrap());
        let what = format!(
            "sizes.txt and {}; if the header is right, run sizes.sh",
            path.display()
        );
        assert_same(&what, &committed(), &header);
    }
}
