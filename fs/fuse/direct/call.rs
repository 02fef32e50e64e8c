// SPDX-License-Identifier: GPL-2.0

//! Calls that need not be waited for (libaio, io_uring): all requests are sent at once, and the last answer ends the call.
//!
//! What is answered is ended by the reaper, which waits for nothing. Takes no locks.

use super::{
    limit, read_op,
    turn::{Running, Turn},
    write_op,
};
use crate::{
    attr,
    chan::{self, Failed, Flow, Payload, Recallable},
    conn::Conn,
    iomode::ParallelWrite,
    vfs::{
        cred::Caller,
        defer::{Deferred, Recall},
        inode::fields,
        iter::Io,
        user_pages::UserPages,
    },
    Fuse,
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// A call whose requests are under way. It ends with the last of them.
pub(super) struct Call {
    call: Arc<Deferred<Fuse>>,
    write: bool,
    /// What its requests say, so that they can be taken back.
    recall: Option<Arc<Recallable>>,
    pos: u64,
    /// Bytes that were asked for.
    asked: Atomic<u64>,
    /// Where the first answer that was short ends.
    end: Atomic<u64>,
    /// The first error.
    error: Atomic<i32>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let done = match self.error.load(Relaxed) {
            0 => Ok(self.asked.load(Relaxed).min(self.end.load(Relaxed)) as usize),
            e => Err(Error::from_errno(e)),
        };
        let inode = self.call.file().inode();
        if self.write {
            // Only overwrites get here.
            attr::changed(inode, fields::DATA);
            // What was read in meanwhile. This may be the reaper, so nothing is waited for.
            inode.forget_pages(self.pos, done.unwrap_or(0) as u64);
        } else {
            attr::was_read(inode);
        }
        self.call.set_result(done);
    }
}

impl Call {
    /// The answer for the `len` bytes at `offset` of the call: so many were moved.
    fn answered(&self, offset: u64, len: usize, moved: Result<usize>) {
        match moved {
            Ok(n) if n < len => {
                let end = offset + n as u64;
                let mut known = self.end.load(Relaxed);
                while end < known {
                    match self.end.cmpxchg(known, end, Relaxed) {
                        Ok(_) => break,
                        Err(other) => known = other,
                    }
                }
            }
            Ok(_) => (),
            Err(e) => {
                let _ = self.error.cmpxchg(0, e.to_errno(), Relaxed);
            }
        }
    }

    /// Begins a call that ends later, and sends all that `io` asks for. `first` is as for [`Self::start`].
    ///
    /// # Errors
    ///
    /// See [`Io::defer`].
    pub(super) fn begin<const WRITE: bool>(
        io: &mut Io<'_, Fuse, WRITE>,
        turn: &Turn<'_>,
        first: Option<(UserPages, Running<'_>)>,
    ) -> Result<usize> {
        let recall = Recallable::new(io.file().inode().sb().data().transport())?;
        let part = recall.clone();
        io.defer(
            recall.map(|recall| recall as Arc<dyn Recall>),
            |io, call| Self::start(io, call, part, turn, first),
        )
    }

    /// Sends all that `io` asks for. `first` is the memory of the first request, where it has begun already.
    fn start<const WRITE: bool>(
        io: &mut Io<'_, Fuse, WRITE>,
        deferred: &Arc<Deferred<Fuse>>,
        recall: Option<Arc<Recallable>>,
        turn: &Turn<'_>,
        mut first: Option<(UserPages, Running<'_>)>,
    ) {
        let pos = io.pos();
        let call = Arc::new(
            Self {
                call: deferred.clone(),
                write: WRITE,
                recall,
                pos,
                asked: Atomic::new(0),
                end: Atomic::new(u64::MAX),
                error: Atomic::new(0),
            },
            GFP_KERNEL,
        );
        let call = match call {
            Ok(call) => call,
            Err(e) => return deferred.set_result(Err(e.into())),
        };
        let max = limit::<WRITE>(io.file().inode());
        while first.is_some() || io.len() > 0 {
            let asked = call.asked.load(Relaxed);
            let next = match first.take() {
                Some(first) => Ok(Some(first)),
                None => begin(io, max, turn),
            };
            match next {
                Ok(Some((pages, running))) => {
                    let len = pages.len();
                    call.asked.store(asked + len as u64, Relaxed);
                    Self::send::<WRITE>(&call, asked, pages, running.into_write());
                }
                // The caller asks for the rest again.
                _ if asked > 0 => break,
                Ok(None) => {
                    call.answered(0, 0, Err(EFAULT));
                    break;
                }
                Err(e) => {
                    call.answered(0, 0, Err(e));
                    break;
                }
            }
        }
    }

    fn send<const WRITE: bool>(
        this: &Arc<Self>,
        offset: u64,
        pages: UserPages,
        write: Option<ParallelWrite>,
    ) {
        let len = pages.len();
        let payload = Payload::User(pages);
        let file = this.call.file();
        let inode = file.inode();
        let conn: &Conn = inode.sb().data();
        let at = this.pos + offset;
        let who = Caller::current(inode.sb());
        let (t, part, this) = (&**conn.transport(), this.recall.clone(), this.clone());
        if WRITE {
            let op = write_op(file, at, len);
            let flow = Flow::ToServer(len as u32);
            chan::call_part(t, who, &op, payload, flow, part, move |r, p| {
                drop(p);
                if let Some(write) = write {
                    this.call.file().inode().data().modes.end_write(write);
                }
                this.answered(offset, len, moved(r.map(|(out, _)| out.size as usize), len));
            });
        } else {
            let op = read_op(file, at, len);
            let flow = Flow::FromServer(len as u32);
            attr::was_read(inode);
            chan::call_part(t, who, &op, payload, flow, part, move |r, p| {
                if let Payload::User(pages) = p {
                    pages.written();
                }
                this.answered(offset, len, moved(r.map(|((), got)| got), len));
            });
        }
    }
}

/// How many of `len` bytes were moved.
fn moved(result: Result<usize, Failed>, len: usize) -> Result<usize> {
    match result {
        Ok(n) if n <= len => Ok(n),
        Ok(_) => Err(EIO),
        Err(failed) => Err(failed.error),
    }
}

/// Begins a request of a call that goes on without its caller. `None` when its memory is not of that kind, or the turn is over.
pub(super) fn begin<'a, const WRITE: bool>(
    io: &mut Io<'_, Fuse, WRITE>,
    max: usize,
    turn: &Turn<'a>,
) -> Result<Option<(UserPages, Running<'a>)>> {
    let Some(pages) = io.user_pages(max, max / PAGE_SIZE, true)? else {
        return Ok(None);
    };
    let Some(running) = turn.begin() else {
        io.revert(pages.len());
        return Ok(None);
    };
    Ok(Some((pages, running)))
}
