// SPDX-License-Identifier: GPL-2.0

//! Requests and their way to the server and back.
//!
//! A [`Request`] owns everything that its completion touches: buffers, pages, locked folios. It moves: from its sender
//! into the [`Transport`], from there into the device, and at completion to its [`Waiter`], which hands it to the sender.
//! No code of an operation runs at completion; replies are parsed by the sender in its own context, so a completion cannot
//! wait for the server. What nobody waits for ([`call_background`]) is limited in number ([`background`]) and ended by the
//! reaper, a work item.
//!
//! A sender that is killed leaves ([`interrupt`] has what it tells the server before). Its request stays with the device
//! until it is answered or the device is reset, and is then reaped: what the server did for it (a lookup reference, an open file) is undone.
//!
//! Locks: [`Waiter`] has a short one that is taken in interrupt context, and [`Pool`] one that is not; both inside no
//! other.

pub(crate) mod background;
mod fifo;
pub(crate) mod forget;
mod interrupt;
pub mod limits;
pub(crate) mod op;
mod pool;
pub(crate) mod reap;
mod recall;
mod request;
mod waiter;

pub(crate) use fifo::{any, find, find_by, hang, Fifo, Linked};
pub(crate) use forget::{ForgetNode, Lookup};
pub(crate) use op::{Args, Operation};
pub(crate) use pool::Pool;
pub(crate) use recall::Recallable;
pub(crate) use request::{Flow, Payload, Request};
pub(crate) use waiter::Waiter;
use waiter::Woken;

use crate::{
    proto::{flags::InitFlags, ids::Unique},
    vfs::cred::Caller,
};
use core::{marker::PhantomData, mem::MaybeUninit};
use kernel::{prelude::*, str::CStr, sync::Arc};
use zerocopy::FromZeros;

/// What carries requests to a server. Its methods may be called from every thread, and do not wait for the server.
pub(crate) trait Transport: Send + Sync {
    /// Takes memory that the next [`Self::submit`] may need, so that it is unlikely to fail for lack of it: others may be faster.
    fn reserve(&self) -> Result {
        Ok(())
    }

    /// Sends a request. Its waiter is told the end, in any case exactly once.
    fn submit(&self, request: KBox<Request>);

    /// Takes a request back that was not handed to the server yet.
    fn cancel(&self, unique: Unique) -> Option<KBox<Request>>;

    /// The sender of a request that the server has was killed.
    fn left(&self, _unique: Unique) {}

    /// Whether what [`Self::recall`] says can be done: a device may write an answer to the memory that it was told of until it
    /// gives that back, whatever becomes of the call.
    fn can_recall(&self) -> bool {
        false
    }

    /// Ends all requests of calls that were given up with `ECANCELED`, and has the server told. Their answers reach no memory
    /// from then on. Process context.
    fn recall(self: Arc<Self>) {}

    /// Sends an INTERRUPT. When it comes back it is handed over by [`Request::interrupt_done`].
    fn interrupt(&self, request: KBox<Request>) {
        self.pool().give(request);
    }

    /// Whether the server is a process. It is told of signals by [`Self::signalled`], for requests of every kind; others are by
    /// [`Self::interrupt`], for those that wait for other users.
    fn is_process(&self) -> bool {
        false
    }

    /// The sender of a request has got a signal.
    fn signalled(&self, _unique: Unique) {}

    /// Queues a FORGET; it is sent when there is room, in batches.
    fn forget(&self, node: KBox<ForgetNode>);

    /// Drops FORGETs that were not sent yet: the session they belong to has ended.
    fn drop_forgets(&self);

    /// Where requests come from and go back to.
    fn pool(&self) -> &Pool;

    /// Pages that one request can carry.
    fn max_pages(&self) -> usize;

    /// Ends the session if a request has not been answered for so many milliseconds. False when it is over.
    fn expire(self: Arc<Self>, _age: u64) -> bool {
        false
    }

    /// INIT agreed on features, and on the most bytes of a WRITE.
    fn agreed(&self, _flags: InitFlags, _max_write: usize) {}

    /// Counts and reports (at a bounded rate) an answer that breaks the protocol.
    fn bad_reply(&self, request: &Request, what: &'static str);
}

/// Why an operation failed.
pub(crate) struct Failed {
    /// What the caller is told.
    pub(crate) error: Error,
    /// Whether it is known what the server did: nothing, as it answered with that error or was never asked.
    pub(crate) known: bool,
}

impl Failed {
    /// Nothing was sent, or the server answered with this error.
    pub(crate) fn known(error: Error) -> Self {
        Self { error, known: true }
    }

    /// Something was sent, and no proper answer came.
    fn unknown(error: Error) -> Self {
        Self {
            error,
            known: false,
        }
    }
}

/// What a request is for, where that must be told the end whoever is left to wait for it. It travels with the request, and
/// is told exactly once, in process context.
pub(crate) trait Owner: Send {
    /// The request ended; `awaited` says whether who sent it is still there and goes on with it.
    fn answered(&mut self, result: Result<(), &Failed>, awaited: bool);
}

/// What becomes of a request that nobody waits for. It travels with the request.
pub(crate) trait Ended: Send {
    /// The request ended: told exactly once, in process context, and must not wait for the server. Gives what is wrong
    /// with an answer that breaks the protocol.
    fn ended(&mut self, request: &mut Request) -> Option<&'static str>;
}

/// Reads the answer and calls a function.
struct Then<O, F> {
    then: Option<F>,
    _op: PhantomData<fn(O)>,
}

impl<O, F> Ended for Then<O, F>
where
    O: Operation,
    F: FnOnce(Result<(O::Reply, usize), Failed>, Payload) + Send,
{
    fn ended(&mut self, request: &mut Request) -> Option<&'static str> {
        let mut bad = None;
        let result = parse_answer::<O>(request, &mut bad);
        let payload = request.take_payload();
        if let Some(then) = self.then.take() {
            then(result, payload);
        }
        bad
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Sends `op` and waits for its answer.
///
/// # Errors
///
/// What the server answered; `EIO` for an answer that breaks the protocol; `EINTR` when a fatal signal came first;
/// `ENOTCONN` when the device is gone; `ENOMEM`.
pub(crate) fn call<O: Operation>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
) -> Result<O::Reply, Failed> {
    call_with(t, who, op, Payload::None, Flow::None).map(|(reply, _, _)| reply)
}

/// As [`call`], with a payload that goes along or is filled. Returns the payload, and how many bytes of it came.
pub(crate) fn call_with<O: Operation>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    payload: Payload,
    flow: Flow,
) -> Result<(O::Reply, Payload, usize), Failed> {
    let mut request = t.pool().take().map_err(Failed::known)?;
    if let Err(e) = request.prepare(t.pool(), who, op, payload, flow) {
        t.pool().give(request);
        return Err(Failed::known(e));
    }
    let mut request = interrupt::send::<O>(t, request).map_err(|left| left.settle(t))?;
    let result = read_answer::<O>(t, &request);
    let payload = request.take_payload();
    t.pool().give(request);
    result.map(|(reply, len)| (reply, payload, len))
}

/// Sends `op` without waiting; the waiter gets the answer.
pub(crate) fn send<O: Operation>(t: &dyn Transport, who: Caller, op: &O) -> Result<Arc<Waiter>> {
    let mut request = t.pool().take()?;
    if let Err(e) = request.prepare(t.pool(), who, op, Payload::None, Flow::None) {
        t.pool().give(request);
        return Err(e);
    }
    let waiter = request.waiter();
    t.submit(request);
    Ok(waiter)
}

/// Reads the answer to a request that came back.
pub(crate) fn read_answer<O: Operation>(
    t: &dyn Transport,
    request: &Request,
) -> Result<(O::Reply, usize), Failed> {
    let mut bad = None;
    let result = parse_answer::<O>(request, &mut bad);
    if let Some(bad) = bad {
        t.bad_reply(request, bad);
    }
    result
}

/// As [`read_answer`]; what is wrong with an answer that breaks the protocol is left in `bad`.
fn parse_answer<O: Operation>(
    request: &Request,
    bad: &mut Option<&'static str>,
) -> Result<(O::Reply, usize), Failed> {
    let used = request.outcome().map_err(Failed::unknown)?;
    if O::SILENCE_IS_YES && used == 0 {
        return Ok((O::Reply::new_zeroed(), 0));
    }
    match request.parse::<O>(used) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(errno)) => Err(Failed::known(Error::from_errno(errno))),
        Err(reply) => {
            *bad = Some(reply.as_str());
            Err(Failed::unknown(EIO))
        }
    }
}

/// Sends `op` with a payload, when its turn comes, and does not wait. `then` is called with the answer (and how many bytes of the payload came)
/// and the payload, exactly once: by the reaper, or by this call when nothing could be sent.
pub(crate) fn call_background<O, F>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    payload: Payload,
    flow: Flow,
    then: F,
) where
    O: Operation + 'static,
    F: FnOnce(Result<(O::Reply, usize), Failed>, Payload) + Send + 'static,
{
    call_part(t, who, op, payload, flow, None, then);
}

/// As [`call_background`], for a part of a call that may be given up.
pub(crate) fn call_part<O, F>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    payload: Payload,
    flow: Flow,
    call: Option<Arc<Recallable>>,
    then: F,
) where
    O: Operation + 'static,
    F: FnOnce(Result<(O::Reply, usize), Failed>, Payload) + Send + 'static,
{
    match prepare_background(t, who, op, payload, flow) {
        Ok(mut prepared) => {
            prepared.request.set_call(call);
            prepared.send(t, then);
        }
        Err((e, payload)) => then(Err(Failed::known(e)), payload),
    }
}

/// As [`call_background`], but when nothing can be sent the payload comes back. Else `begin` gives what is called in the end.
///
/// # Errors
///
/// `ENOMEM`, and what [`Pool::take`] says.
pub(crate) fn try_call_background<O, F>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    payload: Payload,
    flow: Flow,
    begin: impl FnOnce() -> F,
) -> Result<(), (Error, Payload)>
where
    O: Operation + 'static,
    F: FnOnce(Result<(O::Reply, usize), Failed>, Payload) + Send + 'static,
{
    if let Err(e) = t.reserve() {
        return Err((e, payload));
    }
    prepare_background(t, who, op, payload, flow).map(|prepared| prepared.send(t, begin()))
}

/// All that a request needs which nobody waits for.
struct Prepared<O, F> {
    request: KBox<Request>,
    place: KBox<MaybeUninit<Then<O, F>>>,
}

fn prepare_background<O: Operation, F>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    payload: Payload,
    flow: Flow,
) -> Result<Prepared<O, F>, (Error, Payload)> {
    let memory = || Ok((KBox::new_uninit(GFP_KERNEL)?, t.pool().take()?));
    let (place, mut request) = match memory() {
        Ok(memory) => memory,
        Err(e) => return Err((e, payload)),
    };
    if let Err(e) = request.prepare(t.pool(), who, op, payload, flow) {
        let payload = request.take_payload();
        t.pool().give(request);
        return Err((e, payload));
    }
    Ok(Prepared { request, place })
}

impl<O, F> Prepared<O, F>
where
    O: Operation + 'static,
    F: FnOnce(Result<(O::Reply, usize), Failed>, Payload) + Send + 'static,
{
    fn send(mut self, t: &dyn Transport, then: F) {
        self.request.set_ended(self.place.write(Then {
            then: Some(then),
            _op: PhantomData,
        }));
        self.request.waiter().abandon();
        t.pool().background().send(t, self.request);
    }
}

/// Sends `op` on behalf of `owner`, which is told how it ends; with `wait`, before this returns, unless a fatal signal comes
/// first. For operations that are answered with nothing but success.
pub(crate) fn call_owned<O: Operation<Reply = ()>>(
    t: &dyn Transport,
    who: Caller,
    op: &O,
    mut owner: KBox<dyn Owner>,
    wait: bool,
) -> Result<(), Failed> {
    let prepared = t.pool().take().and_then(|mut request| {
        match request.prepare(t.pool(), who, op, Payload::None, Flow::None) {
            Ok(()) => Ok(request),
            Err(e) => {
                t.pool().give(request);
                Err(e)
            }
        }
    });
    let mut request = match prepared {
        Ok(request) => request,
        Err(e) => {
            let failed = Failed::known(e);
            owner.answered(Err(&failed), true);
            return Err(failed);
        }
    };
    request.set_owner(owner);
    if !wait {
        request.waiter().abandon();
        t.submit(request);
        return Ok(());
    }
    let mut request = interrupt::send::<O>(t, request).map_err(|left| left.settle(t))?;
    let result = read_answer::<O>(t, &request).map(drop);
    if let Some(mut owner) = request.take_owner() {
        owner.answered(result.as_ref().copied(), true);
    }
    t.pool().give(request);
    result
}

/// Sends `op` without waiting; whatever the server answers is reaped.
pub(crate) fn send_detached<O: Operation>(t: &dyn Transport, who: Caller, op: &O) -> Result {
    let mut request = t.pool().take()?;
    if let Err(e) = request.prepare(t.pool(), who, op, Payload::None, Flow::None) {
        t.pool().give(request);
        return Err(e);
    }
    request.waiter().abandon();
    t.submit(request);
    Ok(())
}

/// Sends `op` to a server that does not answer it and knows it by `unique`.
pub(crate) fn send_one_way<O: Operation>(
    t: &dyn Transport,
    unique: Unique,
    op: &O,
    payload: Payload,
    flow: Flow,
) -> Result {
    let mut request = t.pool().take()?;
    if let Err(e) = request.prepare(t.pool(), Caller::default(), op, payload, flow) {
        t.pool().give(request);
        return Err(e);
    }
    request.set_one_way(unique);
    request.waiter().abandon();
    t.submit(request);
    Ok(())
}

/// Reports an answer that breaks the protocol, at a bounded rate.
pub(crate) fn report_bad_reply(source: &CStr, request: &Request, what: &'static str) {
    if crate::vfs::ratelimit() {
        pr_warn!(
            "{}: {} to {} of node {}: the call fails with EIO\n",
            source,
            what,
            request.opcode().name(),
            request.nodeid().get()
        );
    }
}
