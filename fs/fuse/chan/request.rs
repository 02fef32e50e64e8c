// SPDX-License-Identifier: GPL-2.0

//! Requests: what is sent.
//!
//! How one gets to a device and back is in [`device`], to a server that is a process in [`process`]; [`answer`] reads what came
//! back. A request has one owner
//! at a time, so there are no locks here; how its sender waits for it is in [`super::waiter`].

mod answer;
mod device;
mod interrupt;
mod process;

use super::{Args, Ended, Operation, Owner, Pool, Recallable, Waiter};
use crate::{
    errno,
    proto::{
        dir::{LinkIn, RenameIn},
        file::CopyFileRangeIn,
        header::InHeader,
        ids::{NodeId, Unique},
        opcode::Opcode,
        reply::HEADER_LEN,
        NAME_LOW_MAX, NAME_MAX,
    },
    vfs::{
        cred::Caller,
        page::{zeroed_bytes, Pages},
        pagecache::{Filled, ReadParts, WriteParts},
        time::Moment,
        user_pages::UserPages,
    },
    Fuse,
};
use core::mem::size_of;
use kernel::{prelude::*, sync::Arc};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes for the header and the arguments: two names of `NAME_LOW_MAX` and the largest structure, with room.
const INPUT: usize = 2560;
/// Bytes for those where longer names were agreed on.
const LONG_INPUT: usize = INPUT + 2 * (NAME_MAX - NAME_LOW_MAX);
/// Bytes for the header and the fixed part of an answer.
const OUTPUT: usize = 512;
/// The memory that a device reads and writes.
#[derive(Zeroable)]
struct Buffers {
    input: [u8; INPUT],
    output: [u8; OUTPUT],
}

/// Data that goes along with a request.
pub(crate) enum Payload {
    /// None.
    None,
    /// Pages of our own.
    Pages(Pages),
    /// Pages of our own that go to the server, and others that the answer fills.
    Exchange(Pages, Pages),
    /// Parts of the page cache that the answer fills.
    Fill(ReadParts<Fuse>),
    /// Parts of the page cache that are written back.
    WriteBack(WriteParts<Fuse>),
    /// Parts of the page cache that a write was copied into.
    Filled(Filled<Fuse>),
    /// The memory of the call itself.
    User(UserPages),
    /// Bytes in one piece.
    Bytes(KVec<u8>),
}

/// Which way the payload flows, and how many bytes of it.
#[derive(Clone, Copy)]
pub(crate) enum Flow {
    /// Nowhere.
    None,
    /// To the server.
    ToServer(u32),
    /// From the server: at most this much.
    FromServer(u32),
    /// To the server, and then from it at most the other.
    Both(u32, u32),
}

/// A request and all it needs.
pub(crate) struct Request {
    /// The next in a list.
    pub(crate) next: Option<KBox<Request>>,
    buffers: KBox<Buffers>,
    /// Header and arguments, where the room in `buffers` is too small for them.
    long: KVec<u8>,
    opcode: Opcode,
    unique: Unique,
    nodeid: NodeId,
    input_len: usize,
    output_len: usize,
    /// The least length of an answer that is no error.
    output_min: usize,
    payload: Payload,
    flow: Flow,
    /// What it is for, if that must be told the end.
    owner: Option<KBox<dyn Owner>>,
    /// Who is told the end, if nobody waits for it.
    ended: Option<KBox<dyn Ended>>,
    /// The server does not answer it.
    one_way: bool,
    /// Whom an INTERRUPT is for.
    target: Option<Arc<Waiter>>,
    /// Whether it counts among those that nobody waits for.
    background: bool,
    /// The call that it is a part of, where that may be given up.
    call: Option<Arc<Recallable>>,
    /// The session that it was sent in.
    session: u32,
    /// Since when it has waited for a place at the device, if it does.
    pub(crate) in_line: Moment,
    /// How it ended: the bytes that the device wrote, or why it did not answer.
    outcome: Result<u32>,
    waiter: Arc<Waiter>,
}

impl Request {
    pub(super) fn new() -> Result<KBox<Self>> {
        let buffers = KBox::zeroed(GFP_KERNEL)?;
        let waiter = Waiter::new()?;
        Ok(KBox::new(
            Self {
                next: None,
                buffers,
                long: KVec::new(),
                opcode: Opcode::INIT,
                unique: Unique::default(),
                nodeid: NodeId::default(),
                input_len: 0,
                output_len: 0,
                output_min: 0,
                payload: Payload::None,
                flow: Flow::None,
                owner: None,
                ended: None,
                one_way: false,
                target: None,
                background: false,
                call: None,
                session: 0,
                in_line: Moment::PAST,
                outcome: Err(errno::enotconn()),
                waiter,
            },
            GFP_KERNEL,
        )?)
    }

    /// Lets go of the room for long arguments.
    fn shorten(&mut self) {
        // Dropping an empty vector is a call of the allocator as well.
        if !self.long.is_empty() {
            self.long = KVec::new();
        }
    }

    /// Writes header and arguments and takes the payload.
    pub(super) fn prepare<O: Operation>(
        &mut self,
        pool: &Pool,
        who: Caller,
        op: &O,
        payload: Payload,
        flow: Flow,
    ) -> Result {
        self.payload = payload;
        self.shorten();
        let encode = |input: &mut [u8]| {
            let room = input.get_mut(size_of::<InHeader>()..).ok_or(EINVAL)?;
            let mut args = Args::new(room);
            op.encode(&mut args).map(|()| args.len())
        };
        let args = match encode(&mut self.buffers.input) {
            Err(e) if e == errno::enametoolong() => {
                self.long = zeroed_bytes(LONG_INPUT)?;
                encode(&mut self.long)?
            }
            args => args?,
        };
        self.input_len = size_of::<InHeader>() + args;
        let unique = pool.next_unique();
        self.session = pool.session();
        let extra = match flow {
            Flow::ToServer(n) | Flow::Both(n, _) => n as usize,
            _ => 0,
        };
        let header = InHeader {
            len: u32::try_from(self.input_len + extra).map_err(|_| EINVAL)?,
            opcode: O::OPCODE,
            unique,
            nodeid: op.nodeid(),
            uid: who.uid,
            gid: who.gid,
            pid: who.pid,
            total_extlen: u16::try_from(op.extensions() / 8).map_err(|_| EINVAL)?,
            padding: 0,
        };
        self.write_input(0, header.as_bytes());
        self.opcode = O::OPCODE;
        self.unique = unique;
        self.nodeid = op.nodeid();
        self.output_len = HEADER_LEN + size_of::<O::Reply>();
        self.output_min = HEADER_LEN + O::REPLY_MIN;
        self.flow = flow;
        self.one_way = false;
        self.outcome = Err(errno::enotconn());
        self.waiter.start();
        Ok(())
    }

    /// Prepares a message that has no answer.
    pub(super) fn prepare_forget(
        &mut self,
        opcode: Opcode,
        unique: Unique,
        nodeid: NodeId,
        encode: impl FnOnce(&mut Args<'_>) -> Result,
    ) -> Result {
        self.shorten();
        let (head, room) = self.buffers.input.split_at_mut(size_of::<InHeader>());
        let mut args = Args::new(room);
        encode(&mut args)?;
        self.input_len = head.len() + args.len();
        let header = InHeader {
            len: self.input_len as u32,
            opcode,
            unique,
            nodeid,
            uid: 0,
            gid: 0,
            pid: 0,
            total_extlen: 0,
            padding: 0,
        };
        head.copy_from_slice(header.as_bytes());
        self.opcode = opcode;
        self.unique = unique;
        self.nodeid = nodeid;
        self.output_len = 0;
        self.payload = Payload::None;
        self.flow = Flow::None;
        Ok(())
    }

    /// Says that the server does not answer it, and knows it by `unique`, an id of its own.
    pub(super) fn set_one_way(&mut self, unique: Unique) {
        self.one_way = true;
        self.set_unique(unique);
    }

    /// Whether the server does not answer it.
    pub(crate) fn is_one_way(&self) -> bool {
        self.one_way
    }

    /// Marks it as sent again.
    pub(crate) fn set_resent(&mut self) {
        self.set_unique(Unique::new(self.unique.get() | Unique::RESEND));
    }

    fn set_unique(&mut self, unique: Unique) {
        self.unique = unique;
        self.write_input(core::mem::offset_of!(InHeader, unique), unique.as_bytes());
    }

    /// Header and arguments.
    fn input(&self) -> Option<&[u8]> {
        let input: &[u8] = if self.long.is_empty() {
            &self.buffers.input
        } else {
            &self.long
        };
        input.get(..self.input_len)
    }

    /// Changes a part of the header.
    fn write_input(&mut self, at: usize, bytes: &[u8]) {
        let input: &mut [u8] = if self.long.is_empty() {
            &mut self.buffers.input
        } else {
            &mut self.long
        };
        if let Some(place) = input.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// The id that it is answered under.
    pub(crate) fn unique(&self) -> Unique {
        self.unique
    }

    /// What the request does.
    pub(crate) fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The inode that it is about.
    pub(crate) fn nodeid(&self) -> NodeId {
        self.nodeid
    }

    /// Another inode that it names.
    pub(crate) fn second(&self) -> Option<NodeId> {
        match self.opcode {
            Opcode::RENAME | Opcode::RENAME2 => self.arguments().map(|arg: RenameIn| arg.newdir),
            Opcode::LINK => self.arguments().map(|arg: LinkIn| arg.oldnodeid),
            Opcode::COPY_FILE_RANGE | Opcode::COPY_FILE_RANGE_64 => {
                self.arguments().map(|arg: CopyFileRangeIn| arg.nodeid_out)
            }
            _ => None,
        }
    }

    /// Who waits for it.
    pub(crate) fn waiter(&self) -> Arc<Waiter> {
        self.waiter.clone()
    }

    /// Says what it is for.
    pub(super) fn set_owner(&mut self, owner: KBox<dyn Owner>) {
        self.owner = Some(owner);
    }

    /// Takes what it is for, to tell it the end.
    pub(super) fn take_owner(&mut self) -> Option<KBox<dyn Owner>> {
        self.owner.take()
    }

    /// Counts it among those that nobody waits for.
    pub(super) fn set_background(&mut self) {
        self.background = true;
    }

    /// Counts it no more, and says whether it was.
    pub(super) fn take_background(&mut self) -> bool {
        core::mem::take(&mut self.background)
    }

    /// Says which call it is a part of.
    pub(super) fn set_call(&mut self, call: Option<Arc<Recallable>>) {
        self.call = call;
    }

    /// Whether the call that it is a part of was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.is_given_up())
    }

    /// The payload.
    pub(super) fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Says who is told the end.
    pub(super) fn set_ended(&mut self, ended: KBox<dyn Ended>) {
        self.ended = Some(ended);
    }

    /// Takes who is told the end.
    pub(super) fn take_ended(&mut self) -> Option<KBox<dyn Ended>> {
        self.ended.take()
    }

    /// Lets go of the payload.
    pub(super) fn drop_payload(&mut self) {
        // Mostly there is none, and dropping that is a call.
        if !matches!(self.payload, Payload::None) {
            self.payload = Payload::None;
        }
    }

    /// Takes the payload back.
    pub(super) fn take_payload(&mut self) -> Payload {
        core::mem::replace(&mut self.payload, Payload::None)
    }

    /// The arguments that it was sent with.
    pub(super) fn arguments<A: FromBytes>(&self) -> Option<A> {
        let args = self.input()?.get(size_of::<InHeader>()..)?;
        A::read_from_prefix(args).ok().map(|(args, _)| args)
    }

    /// The session that it was sent in.
    pub(crate) fn session(&self) -> u32 {
        self.session
    }

    /// Tells the waiter how `request` ended. Gives it back when nobody waits any more.
    pub(crate) fn complete(mut request: KBox<Self>, outcome: Result<u32>) -> Option<KBox<Self>> {
        request.outcome = outcome;
        let waiter = request.waiter.clone();
        waiter.complete(request)
    }
}
