// SPDX-License-Identifier: GPL-2.0

//! Extended attributes. The kernel asks for `security.capability` before every write; that there is none is believed for
//! as long as the attributes of the inode are. Access control lists are attributes as well.
//!
//! Locks: none but the inode's own spinlock, briefly.

use crate::{
    attr,
    chan::{Flow, Payload},
    conn::{Conn, Flag},
    errno,
    inode::Inode,
    ops::xattr::{Length, List, ListLength, Removexattr, Setxattr, Value},
    proto::{
        flags::{InitFlags, SetxattrFlags},
        ids::NodeId,
        xattr::{check_list, SetxattrIn},
    },
    vfs::{acl, inode::fields, page::Pages, xattr::Operations, SuperBlock},
    Fuse,
};
use kernel::{prelude::*, str::CStr};

/// The attribute that holds file capabilities.
const CAPS: &[u8] = b"security.capability";
/// How the names of access control lists begin.
const ACL: &[u8] = b"system.posix_acl_";
/// The bits of a mode that a write clears.
pub(crate) const S_ISUGID: u32 = 0o6000;
/// Most bytes of a value or a list.
const SIZE_MAX: usize = 65536;

/// The pages of a payload with the bytes that came, copied into the caller's room.
fn copy_out(payload: Payload, len: usize, room: &mut [u8]) -> Result<usize> {
    let Payload::Pages(pages) = payload else {
        return Err(EIO);
    };
    let mut left = room.get_mut(..len).ok_or(EIO)?;
    for chunk in pages.chunks(len) {
        let (to, rest) = left.split_at_mut_checked(chunk.len()).ok_or(EIO)?;
        to.copy_from_slice(chunk);
        left = rest;
    }
    Ok(len)
}

/// Before a write: where the server has no extended attributes, and the mode nothing that a write clears, no write has anything to
/// look for until the attributes are set.
pub(crate) fn settle_privs(inode: &Inode) {
    if inode.is_nosec() || !inode.sb().data().missing.getxattr.get() {
        return;
    }
    let state = inode.data().state.lock();
    if inode.mode() & S_ISUGID == 0 {
        inode.set_nosec();
    }
    drop(state);
}

/// Whether a write has nothing to clear: no set-user-id or set-group-id bit, and, as far as is known without asking, no file
/// capabilities.
pub(crate) fn has_no_privs(inode: &Inode) -> bool {
    inode.mode() & S_ISUGID == 0
        && (inode.sb().data().missing.getxattr.get()
            || !inode.data().state.lock().no_caps_until.passed())
}

impl Operations for Fuse {
    fn get(inode: &Inode, name: &CStr, room: &mut [u8]) -> Result<usize> {
        let conn: &Conn = inode.sb().data();
        if conn.missing.getxattr.get() {
            return Err(errno::eopnotsupp());
        }
        let caps = name.to_bytes() == CAPS;
        if caps && !inode.data().state.lock().no_caps_until.passed() {
            return Err(errno::enodata());
        }
        let nodeid = NodeId::new(inode.key());
        let size = room.len().min(SIZE_MAX);
        let got = if size == 0 {
            let op = Length {
                nodeid,
                name: name.to_bytes(),
            };
            conn.call(inode.sb(), &op)
                .map(|out| (out.size as usize).min(SIZE_MAX))
        } else {
            let op = Value {
                nodeid,
                name: name.to_bytes(),
                size: size as u32,
            };
            let pages = Payload::Pages(Pages::new(size)?);
            conn.call_with(inode.sb(), &op, pages, Flow::FromServer(size as u32))
                .and_then(|((), payload, len)| copy_out(payload, len, room))
        };
        got.inspect_err(|e| {
            if caps && *e == errno::enodata() {
                let mut state = inode.data().state.lock();
                state.no_caps_until = state.believed_for();
            }
        })
        .map_err(|e| unsupported(e, &conn.missing.getxattr))
    }

    fn set(inode: &Inode, name: &CStr, value: Option<&[u8]>, flags: u32) -> Result {
        set(inode, name, value, flags, SetxattrFlags::empty())
    }

    fn list(inode: &Inode, room: &mut [u8]) -> Result<usize> {
        let conn: &Conn = inode.sb().data();
        let nodeid = NodeId::new(inode.key());
        let missing = &conn.missing.listxattr;
        if missing.get() {
            return Err(errno::eopnotsupp());
        }
        let size = room.len().min(SIZE_MAX);
        if size == 0 {
            let out = conn
                .call(inode.sb(), &ListLength(nodeid))
                .map_err(|e| unsupported(e, missing))?;
            return Ok((out.size as usize).min(SIZE_MAX));
        }
        let op = List {
            nodeid,
            size: size as u32,
        };
        let pages = Payload::Pages(Pages::new(size)?);
        let ((), payload, len) = conn
            .call_with(inode.sb(), &op, pages, Flow::FromServer(size as u32))
            .map_err(|e| unsupported(e, missing))?;
        let len = copy_out(payload, len, room)?;
        check_list(room.get(..len).ok_or(EIO)?).map_err(|_| EIO)?;
        Ok(len)
    }
}

/// Sets or removes an attribute.
fn set(
    inode: &Inode,
    name: &CStr,
    value: Option<&[u8]>,
    flags: u32,
    setxattr_flags: SetxattrFlags,
) -> Result {
    let conn: &Conn = inode.sb().data();
    let nodeid = NodeId::new(inode.key());
    let name = name.to_bytes();
    let missing = if value.is_some() {
        &conn.missing.setxattr
    } else {
        &conn.missing.removexattr
    };
    if missing.get() {
        return Err(errno::eopnotsupp());
    }
    let done = match value {
        Some(value) => {
            let mut pages = Pages::new(value.len())?;
            let mut left = value;
            for chunk in pages.chunks_mut(value.len()) {
                let (from, rest) = left.split_at_checked(chunk.len()).ok_or(EIO)?;
                chunk.copy_from_slice(from);
                left = rest;
            }
            let size = u32::try_from(value.len()).map_err(|_| E2BIG)?;
            let op = Setxattr {
                nodeid,
                name,
                arg: SetxattrIn {
                    size,
                    flags,
                    setxattr_flags,
                    padding: 0,
                },
                long: conn.has(InitFlags::SETXATTR_EXT),
            };
            let payload = Payload::Pages(pages);
            conn.call_with(inode.sb(), &op, payload, Flow::ToServer(size))
                .map(drop)
        }
        None => conn.call(inode.sb(), &Removexattr { nodeid, name }),
    };
    if name.starts_with(ACL) {
        // It may have changed the mode.
        attr::expire(inode);
    } else {
        attr::changed(inode, fields::CTIME);
    }
    inode.data().state.lock().no_caps_until = crate::vfs::time::Moment::PAST;
    done.map_err(|e| unsupported(e, missing))
}

impl acl::Operations for Fuse {
    fn are_checked(sb: &SuperBlock<Self>) -> bool {
        sb.data().has(InitFlags::POSIX_ACL)
    }

    fn set_acl(inode: &Inode, name: &CStr, value: Option<&[u8]>, kill_sgid: bool) -> Result {
        let kill = if kill_sgid {
            SetxattrFlags::ACL_KILL_SGID
        } else {
            SetxattrFlags::empty()
        };
        let done = set(inode, name, value, 0, kill);
        if Self::are_checked(inode.sb()) {
            inode.forget_acls();
        }
        done
    }
}

/// What a server without an operation makes of it for users; it is remembered.
fn unsupported(e: Error, missing: &Flag) -> Error {
    if e == errno::enosys() {
        missing.set();
        errno::eopnotsupp()
    } else {
        e
    }
}
