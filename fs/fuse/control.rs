// SPDX-License-Identifier: GPL-2.0

//! The file system `fusectl`: a directory for each connection of a server that is a process, by which its owner sees how many
//! requests wait, ends it, and sets how many may be under way that nobody waits for. No locks.

use crate::{
    dev::Channel,
    vfs::tree::{Given, Tree, Value},
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// Most that a limit can be.
const LIMIT_MAX: u32 = 65535;

/// A connection as its owner sees it.
pub(crate) struct Control {
    channel: Arc<Channel>,
    max_background: Atomic<u32>,
    congestion_threshold: Atomic<u32>,
}

impl Control {
    /// Shows this connection.
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self {
            channel,
            max_background: Atomic::new(12),
            congestion_threshold: Atomic::new(9),
        }
    }
}

/// The file system.
pub(crate) struct FuseCtl;

impl Tree for FuseCtl {
    const NAME: &'static CStr = c"fusectl";
    const MAGIC: u64 = 0x6573_5543;
    type Thing = Control;
    const FILES: &'static [Value<Control>] = &[
        Value {
            name: c"waiting",
            mode: 0o400,
            get: Some(|control| control.channel.waiting() as u64),
            set: None,
        },
        Value {
            name: c"abort",
            mode: 0o200,
            get: None,
            set: Some(abort),
        },
        Value {
            name: c"max_background",
            mode: 0o600,
            get: Some(|control| control.max_background.load(Relaxed).into()),
            set: Some(|control, given| {
                let limit = limit(given)?;
                if let Some(control) = control {
                    control.max_background.store(limit, Relaxed);
                }
                Ok(())
            }),
        },
        Value {
            name: c"congestion_threshold",
            mode: 0o600,
            get: Some(|control| control.congestion_threshold.load(Relaxed).into()),
            set: Some(|control, given| {
                let limit = limit(given)?;
                if let Some(control) = control {
                    control.congestion_threshold.store(limit, Relaxed);
                }
                Ok(())
            }),
        },
    ];
}

/// Ends the connection, whatever is written.
fn abort(control: Option<&Control>, _given: &Given<'_>) -> Result {
    if let Some(control) = control {
        Channel::abort_by_user(control.channel.as_arc_borrow());
    }
    Ok(())
}

/// A limit that a user sets.
fn limit(given: &Given<'_>) -> Result<u32> {
    if given.pos != 0 {
        return Err(EINVAL);
    }
    u32::try_from(given.number()?)
        .ok()
        .filter(|&limit| limit <= LIMIT_MAX)
        .ok_or(EINVAL)
}
