// SPDX-License-Identifier: GPL-2.0

//! Who may use a mount, and who decides about a file of it.
//!
//! A server sees what its users do and can keep them waiting, so it must not be able to do that to anybody who did not ask for
//! it: without `allow_other` only tasks that belong to the mounting user altogether may use the mount, with it those of the
//! user namespace. Whether a file may be used is the server's business then, unless `default_permissions` says that its
//! mode is to be looked at here. No locks.

use crate::{
    attr::S_IFREG,
    conn::tolerate_missing,
    inode::Inode,
    ops::attr::Access as AccessOp,
    params,
    proto::{dir::AccessIn, ids::NodeId},
    super_block::Mount,
    vfs::{
        cred::{self, Caller, Kgid, Kuid},
        inode::{fields, Mask, Operations as _, Verdict},
        SuperBlock,
    },
    Fuse,
};
use kernel::prelude::*;

/// Who may use a mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allow {
    /// Tasks of the mounting user.
    Owner,
    /// Tasks of the mount's user namespace.
    Namespace,
}

/// What a mount of `/dev/fuse` says about access.
pub(crate) struct Access {
    pub(crate) user: Kuid,
    pub(crate) group: Kgid,
    pub(crate) allow: Allow,
    pub(crate) default_permissions: bool,
    /// The option, as it was given.
    pub(crate) max_read: Option<u32>,
}

/// Whether the current task may use the mount at all.
pub(crate) fn allowed(sb: &SuperBlock<Fuse>) -> bool {
    let mount: &Mount = sb.data();
    let one_of_them = mount.access().is_none_or(|access| match access.allow {
        Allow::Owner => cred::current_is_all(access.user, access.group),
        Allow::Namespace => sb.current_in_ns(),
    });
    one_of_them || params::lets_admins_in() && Caller::is_admin()
}

/// Whether the current task may use `inode`.
pub(crate) fn permission(inode: &Inode, mask: Mask) -> Result<Verdict> {
    let mount = inode.sb().data();
    if !allowed(inode.sb()) {
        return Err(EACCES);
    }
    if mount.goes_by_mode() {
        return Ok(Verdict::ByMode);
    }
    if mask.asks() {
        if !mask.may_block() {
            return Err(ECHILD);
        }
        if mount.missing.access.get() {
            return Ok(Verdict::Granted);
        }
        let op = AccessOp {
            nodeid: NodeId::new(inode.key()),
            arg: AccessIn {
                mask: mask.rwx(),
                padding: 0,
            },
        };
        tolerate_missing(mount.call(inode.sb(), &op), &mount.missing.access)?;
    } else if mask.executes() && inode.mode() & S_IFREG == S_IFREG && inode.mode() & 0o111 == 0 {
        Fuse::refresh(inode, fields::ACCESS, true, mask.may_block())?;
        if inode.mode() & 0o111 == 0 {
            return Err(EACCES);
        }
    }
    Ok(Verdict::Granted)
}
