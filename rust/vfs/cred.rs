// SPDX-License-Identifier: GPL-2.0

//! Who is calling: ids of the current task as the server of a mount sees them.
//!
//! A mount may show owners as others than they are ([`Idmap`]). What the server is told then are the owners as it knows them;
//! and only where something new is to belong to the caller, as there is no caller whom it could judge by.
//!
//! C header: [`include/linux/mnt_idmapping.h`](srctree/include/linux/mnt_idmapping.h)

use super::{pids::Pids, FileSystem, SuperBlock};
use crate::bindings;
use kernel::types::Opaque;

/// How a mount shows the owners of inodes, and takes those of its users.
#[repr(transparent)]
pub(crate) struct Idmap(Opaque<bindings::mnt_idmap>);

impl Idmap {
    /// # Safety
    ///
    /// `idmap` is valid for `'a`.
    pub(super) unsafe fn from_raw<'a>(idmap: *mut bindings::mnt_idmap) -> &'a Self {
        // SAFETY: By the caller's promise; the type is transparent.
        unsafe { &*idmap.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }
}

/// The ids of a caller, in the user namespace of the mount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    /// File system user id; `u32::MAX` when it has no mapping.
    pub(crate) uid: u32,
    /// File system group id; `u32::MAX` when it has no mapping.
    pub(crate) gid: u32,
    /// The thread, in the pid namespace of who mounted; 0 when that does not have it.
    pub(crate) pid: u32,
}

impl Caller {
    /// The current task. Where mounts may show other owners than there are it has no ids.
    pub(crate) fn current<T: FileSystem>(sb: &SuperBlock<T>) -> Self {
        let pid = T::pids(sb.data()).map_or(0, Pids::thread);
        if sb.allows_idmap() {
            return Self {
                uid: u32::MAX,
                gid: u32::MAX,
                pid,
            };
        }
        // SAFETY: The super block keeps its user namespace alive; the others read the current task.
        unsafe {
            let ns = (*sb.as_raw()).s_user_ns;
            Self {
                uid: bindings::rust_fuse_current_fsuid(ns),
                gid: bindings::rust_fuse_current_fsgid(ns),
                pid,
            }
        }
    }

    /// As [`Self::current`], for what nobody may be refused: ids without a number are the overflow ids.
    pub(crate) fn anyone<T: FileSystem>(sb: &SuperBlock<T>) -> Self {
        let who = Self::current(sb);
        if who.is_known() || sb.allows_idmap() {
            return who;
        }
        // SAFETY: As in `current`.
        unsafe {
            let ns = (*sb.as_raw()).s_user_ns;
            Self {
                uid: bindings::rust_fuse_current_fsuid_munged(ns),
                gid: bindings::rust_fuse_current_fsgid_munged(ns),
                ..who
            }
        }
    }

    /// The current task as the owner of something that it makes through a mount.
    pub(crate) fn owner<T: FileSystem>(sb: &SuperBlock<T>, idmap: &Idmap) -> Self {
        // SAFETY: As in `current`; the map is valid.
        unsafe {
            let ns = (*sb.as_raw()).s_user_ns;
            Self {
                uid: bindings::rust_fuse_mapped_fsuid(idmap.as_raw(), ns),
                gid: bindings::rust_fuse_mapped_fsgid(idmap.as_raw(), ns),
                pid: T::pids(sb.data()).map_or(0, Pids::thread),
            }
        }
    }

    /// Whether both ids have a number in the mount's user namespace.
    pub(crate) fn is_known(&self) -> bool {
        self.uid != u32::MAX && self.gid != u32::MAX
    }

    /// Whether the current task keeps set-user-id and set-group-id bits of what it changes (`CAP_FSETID`).
    pub(crate) fn keeps_suidgid() -> bool {
        // SAFETY: Reads the current task.
        unsafe { bindings::rust_fuse_capable_fsetid() }
    }

    /// Whether the current task has the rights of an administrator (`CAP_SYS_ADMIN`).
    pub(crate) fn is_admin() -> bool {
        // SAFETY: Reads the current task.
        unsafe { bindings::rust_fuse_capable_admin() }
    }

    /// The file mode creation mask of the current task.
    pub(crate) fn umask() -> u32 {
        // SAFETY: Reads the current task.
        u32::from(unsafe { bindings::rust_fuse_current_umask() })
    }
}

/// A user, as the kernel numbers them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kuid(pub(super) u32);

/// A group, as the kernel numbers them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kgid(pub(super) u32);

/// Whether all ids of the current task are these: whoever is that user can do everything to such a task already.
pub(crate) fn current_is_all(user: Kuid, group: Kgid) -> bool {
    // SAFETY: Reads the current task.
    unsafe { bindings::rust_fuse_current_is_all(user.0, group.0) }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Whether mounts may show other owners than there are.
    pub(crate) fn allows_idmap(&self) -> bool {
        // SAFETY: The super block is valid; the word is read whole.
        let flags = unsafe { (&raw const (*self.as_raw()).s_iflags).read_volatile() };
        flags & bindings::SB_I_NOIDMAP as usize == 0
    }

    /// Lets mounts show other owners than there are. While nobody else can use the super block, or before any request but the
    /// one that this follows from.
    pub(crate) fn allow_idmap(&self) {
        // SAFETY: The super block is valid; no other bit changes in these moments.
        unsafe {
            let flags = &raw mut (*self.as_raw()).s_iflags;
            flags.write_volatile(flags.read_volatile() & !(bindings::SB_I_NOIDMAP as usize));
        }
    }

    /// Whether the current task is in the user namespace of the mount, or below.
    pub(crate) fn current_in_ns(&self) -> bool {
        // SAFETY: The super block keeps its user namespace alive.
        unsafe { bindings::rust_fuse_current_in_userns((*self.as_raw()).s_user_ns) }
    }

    /// Whether it was mounted by the initial user namespace.
    pub(crate) fn in_initial_ns(&self) -> bool {
        // SAFETY: Compares addresses only.
        unsafe { bindings::rust_fuse_is_init_user_ns((*self.as_raw()).s_user_ns) }
    }

    /// The number of a user and of a group in the mount's namespace.
    pub(crate) fn ids(&self, user: Kuid, group: Kgid) -> (u32, u32) {
        // SAFETY: As above.
        unsafe {
            let ns = (*self.as_raw()).s_user_ns;
            (
                bindings::rust_fuse_from_kuid_munged(ns, user.0),
                bindings::rust_fuse_from_kgid_munged(ns, group.0),
            )
        }
    }
}
