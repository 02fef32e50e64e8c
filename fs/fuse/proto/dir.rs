// SPDX-License-Identifier: GPL-2.0

//! Names: making, renaming, linking, forgetting; and the records that READDIR and READDIRPLUS
//! return.
//!
//! A READDIR reply is a sequence of [`Dirent`]s, each followed by its name and padded to 8 bytes;
//! in READDIRPLUS an [`EntryOut`] stands before each. The reply may end in the middle of a record:
//! that record comes again with the next request.

use super::{
    attr::EntryOut,
    ids::{
        NodeId,
        Unique, //
    },
    rec_align,
    reply::BadReply,
    NAME_MAX, //
};
use core::mem::size_of;
use zerocopy::FromBytes as _;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Length in bytes of [`MknodIn`] before protocol 7.12 (`FUSE_COMPAT_MKNOD_IN_SIZE`).
pub const COMPAT_MKNOD_IN_SIZE: usize = 8;

/// Body of MKNOD; the name follows (`struct fuse_mknod_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct MknodIn {
    /// Type and permissions, `S_*`.
    pub mode: u32,
    /// Device number, in the kernel's 32-bit form.
    pub rdev: u32,
    /// File mode creation mask of the caller.
    pub umask: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of MKDIR; the name follows (`struct fuse_mkdir_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct MkdirIn {
    /// Permissions.
    pub mode: u32,
    /// File mode creation mask of the caller.
    pub umask: u32,
}

/// Body of RENAME; old and new name follow (`struct fuse_rename_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RenameIn {
    /// Directory of the new name.
    pub newdir: NodeId,
}

/// Body of RENAME2; old and new name follow (`struct fuse_rename2_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Rename2In {
    /// Directory of the new name.
    pub newdir: NodeId,
    /// Flags of `renameat2(2)`, `RENAME_*`.
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of LINK; the name follows (`struct fuse_link_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct LinkIn {
    /// Inode that gets another name.
    pub oldnodeid: NodeId,
}

/// Body of FORGET (`struct fuse_forget_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ForgetIn {
    /// Number of lookup references to give back.
    pub nlookup: u64,
}

/// One inode of a BATCH_FORGET (`struct fuse_forget_one`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ForgetOne {
    /// The inode.
    pub nodeid: NodeId,
    /// Number of lookup references to give back.
    pub nlookup: u64,
}

/// Body of BATCH_FORGET; `count` times [`ForgetOne`] follow (`struct fuse_batch_forget_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BatchForgetIn {
    /// Number of inodes.
    pub count: u32,
    /// Zero.
    pub dummy: u32,
}

/// Body of ACCESS (`struct fuse_access_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AccessIn {
    /// What is wanted, `MAY_READ`, `MAY_WRITE`, `MAY_EXEC`.
    pub mask: u32,
    /// Zero.
    pub padding: u32,
}

/// Body of INTERRUPT (`struct fuse_interrupt_in`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InterruptIn {
    /// Request to cut short.
    pub unique: Unique,
}

/// Start of a directory entry; `namelen` bytes follow (`struct fuse_dirent`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Dirent {
    /// Inode number that users see.
    pub ino: u64,
    /// Where the next entry is found: the server's cookie.
    pub off: u64,
    /// Length of the name in bytes, without a NUL.
    pub namelen: u32,
    /// Type, `DT_*` (C's `type`).
    pub typ: u32,
}

/// Start of a directory entry with attributes; `dirent.namelen` bytes follow (`struct
/// fuse_direntplus`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Direntplus {
    /// The inode; without a node id the entry was not looked up.
    pub entry_out: EntryOut,
    /// The entry.
    pub dirent: Dirent,
}

/// A checked directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirentRef<'a> {
    /// Inode number that users see.
    pub ino: u64,
    /// Where the next entry is found: the server's cookie.
    pub off: u64,
    /// Type, `DT_*`.
    pub typ: u32,
    /// The name: 1 to [`NAME_MAX`] bytes, no slash, no NUL. It may be `.` or `..`.
    pub name: &'a [u8],
}

impl DirentRef<'_> {
    /// What stands before the name on the wire.
    #[inline]
    pub fn head(&self) -> Dirent {
        Dirent {
            ino: self.ino,
            off: self.off,
            namelen: self.name.len() as u32,
            typ: self.typ,
        }
    }

    /// Length in bytes of the record, with its padding.
    #[inline]
    pub fn record_len(&self) -> usize {
        (size_of::<Dirent>() + self.name.len()).next_multiple_of(super::REC_ALIGN)
    }
}

/// A checked directory entry with attributes, which are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirentPlusRef<'a> {
    entry: &'a [u8; size_of::<EntryOut>()],
    /// The entry.
    pub dirent: DirentRef<'a>,
}

/// What taking one record off a buffer came to: the record's name and padding are gone from `rest`.
struct Taken<'a> {
    dirent: DirentRef<'a>,
    rest: &'a [u8],
}

impl DirentPlusRef<'_> {
    /// The inode; without a node id the entry was not looked up and no reference was taken.
    #[inline]
    pub fn entry(&self) -> EntryOut {
        zerocopy::transmute!(*self.entry)
    }

    /// Whether the server counts a reference for the entry: it does not for `.` and `..`, whatever it says of them.
    #[inline]
    pub fn counts(&self) -> bool {
        !self.entry().nodeid.is_none() && !matches!(self.dirent.name, b"." | b"..")
    }
}

/// Whether there is a byte that no name has: the end of one, or `/`. Looks at eight bytes at a time.
fn has_separator(name: &[u8]) -> bool {
    const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = LOWEST << 7;
    const SLASHES: u64 = LOWEST * b'/' as u64;
    // The highest bit of the lowest byte that is zero; others may follow.
    let zeros = |word: u64| word.wrapping_sub(LOWEST) & !word & HIGHEST;
    let found = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        zeros(word) | zeros(word ^ SLASHES) != 0
    };
    match name.last_chunk() {
        // The last eight again, as far as they were looked at before.
        Some(last) => {
            found(*last)
                || name
                    .chunks_exact(8)
                    .filter_map(|chunk| chunk.first_chunk())
                    .any(|chunk| found(*chunk))
        }
        None => name.iter().any(|byte| matches!(byte, 0 | b'/')),
    }
}

/// Takes the record at the start of `buf`, whose [`Dirent`] was at `head` bytes and is already
/// read.
///
/// [`None`] when the record does not end inside `buf`.
fn take<'a>(buf: &'a [u8], head: usize, dirent: &Dirent) -> Option<Result<Taken<'a>, BadReply>> {
    let Ok(namelen) = usize::try_from(dirent.namelen) else {
        return Some(Err(BadReply::BadNameLen));
    };
    if namelen == 0 || namelen > NAME_MAX {
        return Some(Err(BadReply::BadNameLen));
    }
    let start = head.checked_add(size_of::<Dirent>())?;
    let end = start.checked_add(namelen)?;
    let rest = buf.get(rec_align(end)?..)?;
    let name = buf.get(start..end)?;
    if has_separator(name) {
        return Some(Err(BadReply::BadName));
    }
    Some(Ok(Taken {
        dirent: DirentRef {
            ino: dirent.ino,
            off: dirent.off,
            typ: dirent.typ,
            name,
        },
        rest,
    }))
}

/// The entries of a READDIR reply.
///
/// Ends at the first record that is cut off, or after the first error.
#[derive(Clone, Debug)]
pub struct Dirents<'a> {
    rest: &'a [u8],
}

impl<'a> Dirents<'a> {
    /// Reads the payload of a reply.
    #[inline]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }
}

impl<'a> Iterator for Dirents<'a> {
    type Item = Result<DirentRef<'a>, BadReply>;

    fn next(&mut self) -> Option<Self::Item> {
        let buf = core::mem::take(&mut self.rest);
        let (dirent, _) = Dirent::read_from_prefix(buf).ok()?;
        Some(take(buf, 0, &dirent)?.map(|taken| {
            self.rest = taken.rest;
            taken.dirent
        }))
    }
}

impl core::iter::FusedIterator for Dirents<'_> {}

/// The entries of a READDIRPLUS reply.
///
/// Ends at the first record that is cut off, or after the first error. Entries behind an error hold
/// lookup references that cannot be given back, because their node ids cannot be known.
#[derive(Clone, Debug)]
pub struct DirentPluses<'a> {
    rest: &'a [u8],
}

impl<'a> DirentPluses<'a> {
    /// Reads the payload of a reply.
    #[inline]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }
}

impl<'a> Iterator for DirentPluses<'a> {
    type Item = Result<DirentPlusRef<'a>, BadReply>;

    fn next(&mut self) -> Option<Self::Item> {
        let buf = core::mem::take(&mut self.rest);
        let (entry, dirent) = buf.split_first_chunk()?;
        let (dirent, _) = Dirent::read_from_prefix(dirent).ok()?;
        Some(take(buf, entry.len(), &dirent)?.map(|taken| {
            self.rest = taken.rest;
            DirentPlusRef {
                entry,
                dirent: taken.dirent,
            }
        }))
    }
}

impl core::iter::FusedIterator for DirentPluses<'_> {}
