// SPDX-License-Identifier: GPL-2.0

//! Requests whose sender left before the answer came: undo what the server did for nobody.

use super::{send_detached, Failed, ForgetNode, Lookup, Payload, Request, Transport};
use crate::{
    lock,
    ops::{file::Release, names::EntryAndOpen},
    proto::{attr::EntryOut, dir::DirentPluses, file::OpenOut, ids::NodeId, opcode::Opcode},
    vfs::cred::Caller,
};
use kernel::{prelude::*, sync::Arc};

/// Reaps one request and gives it back to the pool. Runs in process context.
pub(crate) fn reap(t: &Arc<dyn Transport>, mut request: KBox<Request>) {
    if let Some(mut ended) = request.take_ended() {
        if let Some(bad) = ended.ended(&mut request) {
            t.bad_reply(&request, bad);
        }
    }
    if let Some(mut owner) = request.take_owner() {
        // Owners belong to operations that are answered with nothing but success.
        let result = match request
            .outcome()
            .map(|used| request.parse_as::<()>(used, 0))
        {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(errno))) => Err(Failed::known(Error::from_errno(errno))),
            Ok(Err(_)) => Err(Failed::unknown(EIO)),
            Err(e) => Err(Failed::unknown(e)),
        };
        owner.answered(result.as_ref().copied(), false);
    }
    if let Ok(used) = request.outcome() {
        if request.session() == t.pool().session() {
            undo(t, &request, used);
        }
    }
    t.pool().give(request);
    t.pool().background().go_on(&**t);
}

/// What the server has done when it answers.
#[derive(Clone, Copy)]
enum Done {
    /// Looked up a name.
    Entry,
    /// And opened the file.
    EntryAndOpen,
    /// Opened something that has to be released with this.
    Open(Opcode),
    /// Looked up all names that it lists.
    Entries,
    /// Set a lock.
    Lock,
}

/// What has to be undone of a request that is answered when nobody waits any more.
fn done_by(opcode: Opcode) -> Option<Done> {
    match opcode {
        Opcode::LOOKUP | Opcode::MKNOD | Opcode::MKDIR | Opcode::SYMLINK | Opcode::LINK => {
            Some(Done::Entry)
        }
        Opcode::CREATE | Opcode::TMPFILE => Some(Done::EntryAndOpen),
        Opcode::OPEN => Some(Done::Open(Opcode::RELEASE)),
        Opcode::OPENDIR => Some(Done::Open(Opcode::RELEASEDIR)),
        Opcode::READDIRPLUS => Some(Done::Entries),
        Opcode::SETLK | Opcode::SETLKW => Some(Done::Lock),
        _ => None,
    }
}

/// Whether there may be something to undo of a request.
pub(super) fn undoes(opcode: Opcode) -> bool {
    done_by(opcode).is_some()
}

fn undo(t: &Arc<dyn Transport>, request: &Request, used: u32) {
    let Some(done) = done_by(request.opcode()) else {
        return;
    };
    match done {
        Done::Entry => {
            if let Ok(Ok((entry, _))) =
                request.parse_as::<EntryOut>(used, core::mem::size_of::<EntryOut>())
            {
                forget(t, entry.nodeid);
            }
        }
        Done::EntryAndOpen => {
            if let Ok(Ok((r, _))) =
                request.parse_as::<EntryAndOpen>(used, core::mem::size_of::<EntryAndOpen>())
            {
                release(t, Opcode::RELEASE, r.entry.nodeid, &r.open);
                forget(t, r.entry.nodeid);
            }
        }
        Done::Open(with) => {
            if let Ok(Ok((open, _))) =
                request.parse_as::<OpenOut>(used, core::mem::size_of::<OpenOut>())
            {
                release(t, with, request.nodeid(), &open);
            }
        }
        Done::Entries => {
            if let (Ok(Ok(((), len))), Payload::Bytes(bytes)) =
                (request.parse_as::<()>(used, 0), request.payload())
            {
                for plus in DirentPluses::new(bytes.get(..len).unwrap_or_default()).flatten() {
                    if plus.counts() {
                        forget(t, plus.entry().nodeid);
                    }
                }
            }
        }
        Done::Lock => {
            if let (Ok(Ok(_)), Some(arg)) = (request.parse_as::<()>(used, 0), request.arguments()) {
                if lock::undo(&**t, request.nodeid(), arg).is_err() {
                    pr_warn!("no memory to give up a lock that nobody waited for\n");
                }
            }
        }
    }
}

fn forget(t: &Arc<dyn Transport>, nodeid: NodeId) {
    if nodeid == NodeId::NONE {
        return;
    }
    match ForgetNode::new() {
        Ok(node) => drop(Lookup::new(t.clone(), nodeid, node)),
        Err(_) => pr_warn!("no memory to give back a reference that nobody waited for\n"),
    }
}

fn release(t: &Arc<dyn Transport>, opcode: Opcode, nodeid: NodeId, open: &OpenOut) {
    let sent = if opcode == Opcode::RELEASE {
        send_detached(
            &**t,
            Caller::default(),
            &Release::<false>::new(nodeid, open.fh, 0),
        )
    } else {
        send_detached(
            &**t,
            Caller::default(),
            &Release::<true>::new(nodeid, open.fh, 0),
        )
    };
    if sent.is_err() {
        pr_warn!("no memory to release a file that nobody waited for\n");
    }
}
