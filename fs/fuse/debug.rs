// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/rust_fuse`: what is of interest to those who look for a mistake, theirs or ours.
//!
//! For each mount served by `/dev/fuse` there is a file, named by the number of the connection, with a line for each inode
//! whose io mode is not neutral: node id, mode, and who is in it. No locks; an unmount waits for those who read it.

use crate::{vfs::Mounted, Fuse};
use core::convert::Infallible;
use kernel::{
    debugfs::{Dir, File},
    fmt,
    prelude::*,
    str::CString,
    sync::Arc,
};

/// The folder.
pub(crate) fn dir() -> Dir {
    Dir::new(c"rust_fuse")
}

/// The file of a mount. It goes with this.
pub(crate) struct Modes {
    _file: Pin<KBox<File<Arc<Mounted<Fuse>>>>>,
}

impl Modes {
    /// Shows the mount with this number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dir: &Dir, connection: u32, mount: &Arc<Mounted<Fuse>>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{connection}"))?;
        let file = dir.read_callback_file::<_, Infallible, _>(&name, mount.clone(), &show);
        Ok(Self {
            _file: KBox::pin_init(file, GFP_KERNEL)?,
        })
    }
}

fn show(mount: &Arc<Mounted<Fuse>>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut written = Ok(());
    mount.with(|sb| {
        sb.for_each_inode(|inode| {
            if let Some(mode) = inode.data().modes.snapshot() {
                let (node, name) = (inode.key(), mode.name);
                let (users, writers, waiting) = (mode.users, mode.writers, mode.waiting);
                written = written.and(writeln!(
                    out,
                    "{node} {name} users={users} writers={writers} waiting={waiting}"
                ));
            }
        });
    });
    written
}
