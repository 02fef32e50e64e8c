// SPDX-License-Identifier: GPL-2.0

//! Credentials of the calling thread: files are created as the user who asked, and writes that must clear set-user-id
//! bits run without CAP_FSETID. Only the file system ids change (raw per-thread calls), and the capability to pass
//! permission checks is kept: the client has checked permissions already, with the caller's groups, which we lack.

use crate::sys::{Errno, Res};

const CAP_FSETID: u32 = 4;
const CAP_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn capget() -> Res<[CapData; 2]> {
    let mut hdr = CapHeader {
        version: CAP_VERSION_3,
        pid: 0,
    };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 takes two data blocks; both buffers outlive the call.
    if unsafe { libc::syscall(libc::SYS_capget, &mut hdr, data.as_mut_ptr()) } < 0 {
        return Err(Errno::last());
    }
    Ok(data)
}

fn capset(data: &[CapData; 2]) -> Res<()> {
    let mut hdr = CapHeader {
        version: CAP_VERSION_3,
        pid: 0,
    };
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_capset, &mut hdr, data.as_ptr()) } < 0 {
        return Err(Errno::last());
    }
    Ok(())
}

fn without_fsetid(mut caps: [CapData; 2]) -> [CapData; 2] {
    caps[0].effective &= !(1 << CAP_FSETID);
    caps
}

/// While it lives, writes and truncations of this thread clear set-user-id and set-group-id bits.
pub struct KillPriv(Option<[CapData; 2]>);

impl KillPriv {
    /// Drops CAP_FSETID if `wanted`.
    pub fn new(wanted: bool) -> Res<Self> {
        if !wanted {
            return Ok(KillPriv(None));
        }
        let saved = capget()?;
        capset(&without_fsetid(saved))?;
        Ok(KillPriv(Some(saved)))
    }
}

impl Drop for KillPriv {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            // The permitted set was not touched, so this cannot fail.
            let _ = capset(saved);
        }
    }
}

/// While it lives, this thread creates files as another user.
pub struct AsUser {
    caps: Option<[CapData; 2]>,
    groups: bool,
}

fn setgroups(groups: &[u32]) -> Res<()> {
    // SAFETY: the raw call concerns this thread only; the list outlives it.
    if unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } < 0 {
        return Err(Errno::last());
    }
    Ok(())
}

fn setfsids(uid: u32, gid: u32) -> Res<()> {
    // SAFETY: no memory is passed. A second call with an invalid id reads back what is set.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        if libc::setfsgid(u32::MAX) as u32 != gid || libc::setfsuid(u32::MAX) as u32 != uid {
            return Err(Errno(libc::EPERM));
        }
    }
    Ok(())
}

impl AsUser {
    /// Takes on `uid`, `gid` and at most one supplementary group. A server that is not root creates as itself.
    pub fn new(uid: u32, gid: u32, group: Option<u32>) -> Res<Self> {
        // SAFETY: no memory is passed.
        let root = unsafe { libc::geteuid() } == 0;
        let mut me = AsUser {
            caps: None,
            groups: false,
        };
        if !root || (uid == 0 && gid == 0) {
            return Ok(me);
        }
        let saved = capget()?;
        me.caps = Some(saved);
        if let Some(group) = group {
            setgroups(&[group])?;
            me.groups = true;
        }
        setfsids(uid, gid)?;
        if uid != 0 {
            // Leaving user 0 took the file system capabilities away; all but CAP_FSETID come back.
            capset(&without_fsetid(saved))?;
        }
        Ok(me)
    }
}

impl Drop for AsUser {
    fn drop(&mut self) {
        let Some(saved) = &self.caps else { return };
        let back = setfsids(0, 0).and_then(|()| capset(saved));
        let groups = if self.groups { setgroups(&[]) } else { Ok(()) };
        if back.and(groups).is_err() {
            // Going on with a user's rights would only produce wrong files.
            log::error!("cannot return to the server's own credentials: aborting");
            std::process::abort();
        }
    }
}
