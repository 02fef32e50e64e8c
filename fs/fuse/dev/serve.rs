// SPDX-License-Identifier: GPL-2.0

//! What a server does by read(2) and write(2) on its device: it takes requests, FORGETs and INTERRUPTs, and brings answers and
//! notifications.
//!
//! Locks: the queue's spinlock, inside it a waiter's. Neither is held during a copy.

use super::{channel::Channel, queue::Next};
use crate::{
    chan::{forget::BATCH, Request, Transport},
    chardev::{FromUser, ToUser},
    errno,
    proto::{
        dir::{BatchForgetIn, ForgetIn, ForgetOne, InterruptIn},
        header::{InHeader, NotifyCode, OutHeader},
        ids::{NodeId, Unique},
        opcode::Opcode,
        reply::HEADER_LEN,
    },
    vfs::cred::Caller,
};
use core::mem::size_of;
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc, ArcBorrow},
};
use zerocopy::{FromZeros, IntoBytes};

/// Least bytes that a server must offer for a message.
const READ_MIN: usize = 8192;
/// Bytes of header and arguments of a WRITE.
const WRITE_HEAD: usize = 80;

impl Channel {
    /// Waits for something to read, and copies it to the server.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the room is too small, `EAGAIN` with `nonblock`, `ERESTARTSYS` for a signal, `EFAULT`, and what
    /// [`Self::over`] says.
    pub(super) fn read(
        this: ArcBorrow<'_, Self>,
        device: u32,
        to: &mut ToUser<'_, '_>,
        nonblock: bool,
    ) -> Result<usize> {
        let room = to.room();
        if room < READ_MIN.max(WRITE_HEAD + this.max_write.load(Relaxed)) {
            return Err(EINVAL);
        }
        loop {
            // Also whether there is more for others.
            let next = || {
                let mut queue = this.queue.lock();
                let next = queue.next(device)?;
                Some((next, queue.is_readable()))
            };
            let (next, more) = if nonblock {
                next().ok_or(EAGAIN)?
            } else {
                this.readers.wait_one(next)?
            };
            match next {
                Next::Over => return Err(this.over()),
                Next::Interrupt(unique) => {
                    this.wake_if(more);
                    return Self::read_interrupt(unique, to);
                }
                Next::Forgets => {
                    let n = this.read_forgets(to)?;
                    if n > 0 {
                        this.wake_next();
                        return Ok(n);
                    }
                }
                Next::Request(request) => {
                    this.wake_if(more);
                    if let Some(n) = Self::read_request(this, request, to)? {
                        return Ok(n);
                    }
                }
            }
        }
    }

    /// Has another server look, if there is more to read.
    pub(super) fn wake_next(&self) {
        let more = self.queue.lock().is_readable();
        self.wake_if(more);
    }

    fn wake_if(&self, more: bool) {
        if more {
            self.readers.wake_one();
        }
    }

    /// Copies a request. `None` when it does not fit, and has failed.
    fn read_request(
        this: ArcBorrow<'_, Self>,
        request: KBox<Request>,
        to: &mut ToUser<'_, '_>,
    ) -> Result<Option<usize>> {
        let len = request.message_len();
        let unique = Unique::new(request.unique().get() & !Unique::RESEND);
        let one_way = request.is_one_way();
        let remove = || {
            if !one_way {
                this.queue.lock().remove(unique);
            }
        };
        if len > to.room() {
            let e = if request.opcode() == Opcode::SETXATTR {
                E2BIG
            } else {
                EIO
            };
            remove();
            Self::finish(this, request, Err(e));
            return Ok(None);
        }
        if request.copy_message(to).is_err() {
            remove();
            Self::finish(this, request, Err(EIO));
            return Err(EFAULT);
        }
        if one_way {
            Self::finish(this, request, Err(errno::enotconn()));
            return Ok(Some(len));
        }
        let (read, given_up) = {
            // In this order: who gives it up looks for it under the lock afterwards.
            let mut queue = this.queue.lock();
            let given_up = request.is_given_up();
            (queue.was_read(unique, request), given_up)
        };
        match read {
            Ok(interrupted) => {
                if interrupted {
                    this.tell_readers();
                }
                if given_up {
                    Arc::from(this).recall();
                }
                Ok(Some(len))
            }
            Err(request) => {
                Self::finish(this, request, Err(errno::econnaborted()));
                Err(this.over())
            }
        }
    }

    /// Copies an INTERRUPT.
    fn read_interrupt(unique: Unique, to: &mut ToUser<'_, '_>) -> Result<usize> {
        let len = size_of::<InHeader>() + size_of::<InterruptIn>();
        let header = InHeader {
            len: len as u32,
            opcode: Opcode::INTERRUPT,
            unique: unique.interrupt(),
            ..FromZeros::new_zeroed()
        };
        to.bytes(header.as_bytes())?;
        to.bytes(InterruptIn { unique }.as_bytes())?;
        Ok(len)
    }

    /// Copies FORGETs, as many as fit.
    fn read_forgets(&self, to: &mut ToUser<'_, '_>) -> Result<usize> {
        let room = to.room();
        let most = room.saturating_sub(size_of::<InHeader>() + size_of::<BatchForgetIn>())
            / size_of::<ForgetOne>();
        let mut batch = [ForgetOne::default(); BATCH];
        let mut count = 0;
        let mut queue = self.queue.lock();
        for slot in batch.iter_mut().take(most) {
            let Some(one) = queue.forgets.take_one() else {
                break;
            };
            *slot = one;
            count += 1;
        }
        drop(queue);
        let Some(batch) = batch.get(..count).filter(|batch| !batch.is_empty()) else {
            return Ok(0);
        };
        let mut header = InHeader {
            unique: self.pool().next_unique(),
            ..FromZeros::new_zeroed()
        };
        if let [one] = batch {
            let arg = ForgetIn {
                nlookup: one.nlookup,
            };
            header.opcode = Opcode::FORGET;
            header.nodeid = one.nodeid;
            header.len = (size_of::<InHeader>() + size_of::<ForgetIn>()) as u32;
            to.bytes(header.as_bytes())?;
            to.bytes(arg.as_bytes())?;
        } else {
            let arg = BatchForgetIn {
                count: count as u32,
                dummy: 0,
            };
            header.opcode = Opcode::BATCH_FORGET;
            header.nodeid = NodeId::NONE;
            header.len =
                (size_of::<InHeader>() + size_of::<BatchForgetIn>() + size_of_val(batch)) as u32;
            to.bytes(header.as_bytes())?;
            to.bytes(arg.as_bytes())?;
            to.bytes(batch.as_bytes())?;
        }
        Ok(room - to.room())
    }

    /// Takes a message of the server: an answer or a notification.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a message that breaks the protocol, `ENOENT` for an answer to nothing, `EFAULT`; for notifications see
    /// [`crate::notify`].
    pub(super) fn write(
        this: ArcBorrow<'_, Self>,
        device: u32,
        from: &mut FromUser<'_, '_>,
    ) -> Result<usize> {
        let len = from.len();
        if len < HEADER_LEN {
            return Err(EINVAL);
        }
        let mut header = OutHeader::new_zeroed();
        from.bytes(header.as_mut_bytes())?;
        if header.len as usize != len {
            return Err(EINVAL);
        }
        if let Some(code) = header.notify_code() {
            return this.take_notification(code, from).map(|()| len);
        }
        if header.error <= -512 || header.error > 0 {
            return Err(EINVAL);
        }
        if header.unique.is_interrupt() {
            return this.take_interrupt_answer(device, &header).map(|()| len);
        }
        let mut queue = this.queue.lock();
        let found = match queue.answer(header.unique, device) {
            Some(entry) if entry.taken_back => {
                let unique = entry.unique;
                queue.remove(unique);
                let forgets = !queue.forgets.is_empty();
                drop(queue);
                if forgets {
                    this.tell_readers();
                }
                return Ok(len);
            }
            Some(entry) => entry.request.take().map(|request| (entry.unique, request)),
            None => None,
        };
        drop(queue);
        let (unique, mut request) = found.ok_or(ENOENT)?;
        if request.opcode() == Opcode::INIT && !Caller::is_admin() {
            this.pool().background().limit_server();
        }
        let taken = request.take_answer(&header, from);
        let (ended, forgets) = {
            let mut queue = this.queue.lock();
            let none = queue.forgets.is_empty();
            let ended = !queue.remove(unique);
            (ended, none && !queue.forgets.is_empty())
        };
        if forgets {
            this.tell_readers();
        }
        let outcome = match taken {
            _ if ended => Err(errno::econnaborted()),
            // The sender looks at the length and sees what is wrong.
            Ok(()) | Err(EINVAL) => Ok(header.len),
            Err(_) => Err(EIO),
        };
        Self::finish(this, request, outcome);
        if ended {
            return Err(ENOENT);
        }
        taken.map(|()| len)
    }

    /// Takes a notification. The session must have begun and not be over.
    fn take_notification(&self, code: NotifyCode, from: &mut FromUser<'_, '_>) -> Result {
        let told = self.told.as_ref().ok_or(EINVAL)?;
        if !self.agreed.load(Relaxed) || !self.queue.lock().connected {
            return Err(EINVAL);
        }
        if code != NotifyCode::RESEND {
            return told.take(code, from);
        }
        self.queue.lock().resend();
        self.readers.wake_all();
        self.tell_readers();
        Ok(())
    }

    /// Takes what the server says to an INTERRUPT.
    fn take_interrupt_answer(&self, device: u32, header: &OutHeader) -> Result {
        let wire = Unique::new(header.unique.get() & !Unique::INTERRUPT);
        let mut queue = self.queue.lock();
        let unique = queue.answer(wire, device).ok_or(ENOENT)?.unique;
        if header.len as usize != HEADER_LEN {
            return Err(EINVAL);
        }
        match header.error {
            0 => (),
            // It has not seen the request yet.
            e if e == EAGAIN.to_errno() => {
                let tell = queue.signal(unique);
                drop(queue);
                if tell {
                    self.tell_readers();
                }
            }
            e if e == errno::enosys().to_errno() => self.pool().ignore_interrupts(),
            _ => (),
        }
        Ok(())
    }
}
