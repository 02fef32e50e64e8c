// SPDX-License-Identifier: GPL-2.0

//! Numbers of processes and threads as they are known in one pid namespace: that of whoever mounted, whose server is told
//! them. Takes no locks.
//!
//! `kernel::pid_namespace` has the reference; numbers of threads, and the way back from a number, are missing there.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/pid_namespace.h`](srctree/include/linux/pid_namespace.h)

use crate::bindings;
use kernel::{current, pid_namespace::PidNamespace, prelude::*, sync::aref::ARef};

/// A pid namespace.
pub(crate) struct Pids(ARef<PidNamespace>);

impl Pids {
    /// The namespace of the current task.
    ///
    /// # Errors
    ///
    /// `ESRCH` for a task that ends and is in none any more.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self(current!().active_pid_ns().ok_or(ESRCH)?.into()))
    }

    /// The number of the current thread; 0 when the namespace does not have it.
    pub(crate) fn thread(&self) -> u32 {
        // SAFETY: The namespace is referenced; the other is the current task.
        unsafe { bindings::rust_fuse_current_pid(self.0.as_ptr().cast()) as u32 }
    }

    /// The number of the current process; 0 when the namespace does not have it.
    pub(crate) fn process(&self) -> u32 {
        // SAFETY: As above.
        unsafe { bindings::rust_fuse_current_tgid(self.0.as_ptr().cast()) as u32 }
    }

    /// The number that a process of the namespace has in the initial one; 0 when there is none.
    pub(crate) fn initial(&self, pid: u32) -> u32 {
        match i32::try_from(pid) {
            // SAFETY: The namespace is referenced; numbers that nobody has are no harm.
            Ok(pid) if pid > 0 => unsafe {
                bindings::rust_fuse_initial_pid(pid, self.0.as_ptr().cast()) as u32
            },
            _ => 0,
        }
    }
}
