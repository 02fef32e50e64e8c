// SPDX-License-Identifier: GPL-2.0

//! The file system `fusectl`: a directory for each connection of a server that is a process, by which its owner sees how many
//! requests wait, ends it, and sets how many may be under way that nobody waits for. No locks.

use crate::{
    chan::Transport,
    dev::Channel,
    params,
    vfs::cred::Caller,
    vfs::tree::{Given, Tree, Value},
};
use kernel::{prelude::*, str::CStr, sync::Arc};

/// Most that a limit can be.
const LIMIT_MAX: u32 = 65535;

/// A connection as its owner sees it.
pub(crate) struct Control(Arc<Channel>);

impl Control {
    /// Shows this connection.
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self(channel)
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
            get: Some(|control| control.0.waiting() as u64),
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
            get: Some(|control| control.0.pool().background().max().into()),
            set: Some(|control, given| {
                let max = limit(given, params::user_limits().0)?;
                if let Some(Control(channel)) = control {
                    channel.pool().background().set_max(&**channel, max);
                }
                Ok(())
            }),
        },
        Value {
            name: c"congestion_threshold",
            mode: 0o600,
            get: Some(|control| control.0.pool().background().congestion().into()),
            set: Some(|control, given| {
                let threshold = limit(given, params::user_limits().1)?;
                if let Some(Control(channel)) = control {
                    channel.pool().background().set_congestion(threshold);
                }
                Ok(())
            }),
        },
    ];
}

/// Ends the connection, whatever is written.
fn abort(control: Option<&Control>, _given: &Given<'_>) -> Result {
    if let Some(control) = control {
        Channel::abort_by_user(control.0.as_arc_borrow());
    }
    Ok(())
}

/// A limit that a user sets, `most` at most but for administrators.
fn limit(given: &Given<'_>, most: u32) -> Result<u32> {
    if given.pos != 0 {
        return Err(EINVAL);
    }
    let most = if Caller::is_admin() {
        LIMIT_MAX
    } else {
        most.min(LIMIT_MAX)
    };
    u32::try_from(given.number()?)
        .ok()
        .filter(|&limit| limit <= most)
        .ok_or(EINVAL)
}
