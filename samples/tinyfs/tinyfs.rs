// SPDX-License-Identifier: GPL-2.0

//! A read-only file system in memory, as an example of [`vfs`]: a module of its own, without `unsafe`, in which everything
//! that a file system needs is on one page.
//!
//! `mount -t tinyfs none /mnt` shows what is in [`NODES`]. [`vfs::FileSystem`] says what a super block, an inode and an open
//! file hold (nothing here) and [`vfs::fs::Type`] how it is mounted. The other traits are the tables of operations: each is
//! implemented, with what differs from "there is no such thing", for the one type [`TinyFs`]. Nothing changes, so nothing is locked.

#![deny(unsafe_op_in_unsafe_fn)]

use kernel::{prelude::*, str::CStr, sync::Arc};
use vfs::{
    context::Call,
    dentry::Belief,
    dir::{Emitter, Found},
    file::{File, Opening},
    inode::{Attributes, Got, Ref},
    iter::Read,
    Inode, SuperBlock,
};

#[path = "../../rust/bindings/mod.rs"]
mod bindings;
#[path = "../../rust/errno.rs"]
#[expect(dead_code, reason = "for all file systems")]
mod errno;
#[path = "../../rust/sync/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "shared")]
mod sync;
#[path = "../../rust/vfs/mod.rs"]
#[expect(dead_code, unused_imports, reason = "for all file systems")]
mod vfs;

struct TinyFs;

/// What is in it. The place in the list is the inode number; a name's directory comes before it.
const NODES: &[Node] = &[
    Node(0, "", FOLDER, ""),
    Node(0, "hello", FILE, "Hello from the kernel\n"),
    Node(0, "empty", FILE, ""),
    Node(0, "folder", FOLDER, ""),
    Node(3, "inside", FILE, "One level down\n"),
    Node(3, "up", LINK, "../hello"),
];

/// One inode: the directory that it is in, its name there, its mode, and what it says.
struct Node(u64, &'static str, u32, &'static str);

const FOLDER: u32 = 0o040555;
const FILE: u32 = 0o100444;
const LINK: u32 = 0o120777;

impl Node {
    /// The one with that inode number.
    fn get(number: u64) -> Result<&'static Self> {
        NODES.get(usize::try_from(number)?).ok_or(EIO)
    }

    /// What is in the directory with that inode number, each with its own.
    fn children(of: u64) -> impl Iterator<Item = (u64, &'static Self)> {
        (0..)
            .zip(NODES)
            .filter(move |(number, node)| *number != 0 && node.0 == of)
    }
}

/// The inode in memory, which is made where there is none yet.
fn inode(sb: &SuperBlock<TinyFs>, number: u64) -> Result<Ref<TinyFs>> {
    let node = Node::get(number)?;
    let new = match sb.get_inode(number)? {
        Got::Existing(inode) => return Ok(inode),
        Got::New(new) => new,
    };
    new.init(&Attributes {
        ino: number + 1,
        mode: node.2,
        nlink: 1,
        size: node.3.len() as u64,
        ..Attributes::default()
    });
    match node.2 {
        FOLDER => new.set_dir(),
        LINK => new.set_link(),
        _ => new.set_file(),
    }
    Ok(new.done())
}

impl vfs::FileSystem for TinyFs {
    const INODE_CACHE: &'static CStr = c"tinyfs_inode";
    const MAGIC: u64 = 0x7469_6e79;
    type Super = ();
    type Inode = ();
    type File = ();

    fn new_inode() -> impl PinInit<(), Error> {
        Ok(())
    }
}

impl vfs::fs::Type for TinyFs {
    type Fs = Self;
    const NAME: &'static CStr = c"tinyfs";
    type Context = ();
    type Options = ();

    fn prepare(_: &(), _: &Call<'_, ()>, _: Option<&CStr>) -> Result<Arc<()>> {
        Ok(Arc::new((), GFP_KERNEL)?)
    }

    fn fill_super(sb: &SuperBlock<Self>, _: &Call<'_, ()>) -> Result<Ref<Self>> {
        sb.set_read_only();
        inode(sb, 0)
    }
}

impl vfs::dir::Operations for TinyFs {
    fn lookup(dir: &Inode<Self>, name: &[u8]) -> Result<Found<Self>> {
        let found = Node::children(dir.key()).find(|(_, node)| node.1.as_bytes() == name);
        let inode = found.map(|(number, _)| inode(dir.sb(), number));
        let (inode, belief) = (inode.transpose()?, Belief::FOREVER);
        Ok(Found { inode, belief })
    }
}

impl vfs::file::DirOperations for TinyFs {
    fn open_dir(_: &Inode<Self>, _: &Opening<'_>) -> Result<KBox<()>> {
        Ok(KBox::new((), GFP_KERNEL)?)
    }

    fn read_dir(file: &File<Self>, out: &mut Emitter<'_, Self>) -> Result {
        if !out.dots() {
            return Ok(());
        }
        // Positions 0 and 1 are those of the dots; what comes behind the entry of inode 1 is at 3.
        for (number, node) in Node::children(file.inode().key()) {
            let ended = number + 1 < out.pos();
            if !ended && !out.emit(node.1.as_bytes(), number + 1, node.2 >> 12, number + 2) {
                break;
            }
        }
        Ok(())
    }
}

impl vfs::file::Operations for TinyFs {
    fn open(_: &Inode<Self>, _: &Opening<'_>) -> Result<KBox<()>> {
        Ok(KBox::new((), GFP_KERNEL)?)
    }

    fn read(io: &mut Read<'_, Self>) -> Result<usize> {
        let text = Node::get(io.file().inode().key())?.3.as_bytes();
        io.copy_at_pos(text)
    }
}

impl vfs::inode::LinkOperations for TinyFs {
    fn read_link(inode: &Inode<Self>) -> Result<(KVec<u8>, bool)> {
        let mut text = KVec::new();
        text.extend_from_slice(Node::get(inode.key())?.3.as_bytes(), GFP_KERNEL)?;
        Ok((text, true))
    }
}

impl vfs::inode::Operations for TinyFs {}
impl vfs::acl::Operations for TinyFs {}
impl vfs::fileattr::Operations for TinyFs {}
impl vfs::xattr::Operations for TinyFs {}
impl vfs::file::IoctlOperations for TinyFs {}
impl vfs::file::LockOperations for TinyFs {}
impl vfs::file::PollOperations for TinyFs {}

module! {
    type: Module,
    name: "tinyfs",
    authors: ["The rust_fuse developers"],
    description: "A read-only file system in memory",
    license: "GPL",
    alias: ["fs-tinyfs"],
}

#[pin_data]
struct Module {
    #[pin]
    tinyfs: vfs::Registration<TinyFs>,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tinyfs <- vfs::Registration::new(
                module,
                vfs::Common::new()?,
                Arc::new((), GFP_KERNEL)?,
            ),
        })
    }
}
