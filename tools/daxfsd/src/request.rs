// SPDX-License-Identifier: GPL-2.0

//! The way of one request: header checked, delays and faults of the script, the file server, the reply. Whatever the
//! guest sends, the worst that happens is an error reply or a descriptor that comes back empty.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes};

use crate::counters::count;
use crate::device::{Device, Vring};
use crate::fs::{Reply, Request};
use crate::gate::Pass;
use crate::proto::{self, op};
use crate::script::{Fault, Rng};
use crate::sg::{Chain, Pieces};
use crate::sys::{Errno, Res};

const IN_HEADER: usize = std::mem::size_of::<proto::InHeader>();
const OUT_HEADER: usize = std::mem::size_of::<proto::OutHeader>();
/// Largest request apart from the data of a WRITE: a value of 64 KiB and its name fit twice.
const MAX_BODY: usize = 160 << 10;

/// One request on its way.
struct Job {
    queue: usize,
    vring: Vring,
    chain: Chain,
    generation: u64,
    hdr: proto::InHeader,
    fault: Option<Fault>,
}

/// Reads and checks the header.
fn header(chain: &Chain) -> Option<proto::InHeader> {
    let bytes = chain.readable.copy_out(IN_HEADER);
    let hdr = proto::InHeader::read_from_bytes(&bytes).ok()?;
    let len = hdr.len as usize;
    // Data that lies outside guest memory is found out later, and gets a reply.
    (len >= IN_HEADER && (len <= chain.readable.len() || chain.readable.truncated)).then_some(hdr)
}

impl Device {
    /// Starts a request that was just taken from its queue.
    pub fn take(&self, queue: usize, vring: &Vring, chain: Chain, generation: u64) {
        let counters = &self.server.counters;
        let Some(hdr) = header(&chain) else {
            count(&counters.bad_requests);
            log::warn!("queue {queue}: a request without a valid header");
            if let Some(_pass) = self.gates[queue].enter(generation) {
                self.give_back(vring, chain.head, 0);
            }
            return;
        };
        counters.request(hdr.opcode, hdr.nodeid);
        log::debug!(
            "queue {queue}: {} unique {:#x} node {} len {}",
            proto::op_name(hdr.opcode).unwrap_or("?"),
            hdr.unique,
            hdr.nodeid,
            hdr.len
        );
        let fault = self.script.fault(hdr.opcode);
        if let Some(fault) = fault {
            log::info!(
                "fault {fault:?} for {:?} unique {:#x}",
                proto::op_name(hdr.opcode),
                hdr.unique
            );
            count(&counters.faults);
        }
        if fault == Some(Fault::Die) {
            std::process::abort();
        }
        let delay = match fault {
            Some(Fault::Late(ms)) => Some(Duration::from_millis(ms)),
            _ => self.script.delay(hdr.opcode),
        };
        let job = Job {
            queue,
            vring: vring.clone(),
            chain,
            generation,
            hdr,
            fault,
        };
        // Who waits for a lock must not keep others from giving it up.
        if delay.is_none() && fault != Some(Fault::Hang) && hdr.opcode != op::SETLKW {
            self.run(job);
            return;
        }
        let Some(me) = self.shared() else { return };
        let script = self.script.clone();
        let late = move || {
            if let Some(delay) = delay {
                std::thread::sleep(delay);
            }
            if fault == Some(Fault::Hang) {
                script.hang();
            }
            me.run(job);
        };
        if let Err(e) = std::thread::Builder::new().name("late".into()).spawn(late) {
            log::error!("no thread for a delayed request, it is lost: {e}");
        }
    }

    fn run(&self, job: Job) {
        let Some(pass) = self.gates[job.queue].enter(job.generation) else {
            log::debug!(
                "unique {:#x} comes too late, its queue was stopped",
                job.hdr.unique
            );
            return;
        };
        let reply = self.answer(&job, &pass);
        if !pass.is_stale() {
            let used = self.write_reply(&job, reply);
            self.give_back(&job.vring, job.chain.head, used);
        }
    }

    fn answer(&self, job: &Job, pass: &Pass) -> Res<Reply> {
        let is_write = job.hdr.opcode == op::WRITE;
        let len = (job.hdr.len as usize).min(job.chain.readable.len()) - IN_HEADER;
        let args = if is_write {
            std::mem::size_of::<proto::WriteIn>().min(len)
        } else {
            len
        };
        let rest = job.chain.readable.skip(IN_HEADER);
        let mut body = rest.copy_out(args.min(MAX_BODY));
        let ext_len = if is_write {
            0
        } else {
            job.hdr.total_extlen as usize * 8
        };
        let too_long = args > MAX_BODY || body.len() < args || ext_len > body.len();
        let ext = body.split_off(body.len() - ext_len.min(body.len()));
        let req = Request {
            hdr: job.hdr,
            body: &body,
            ext: &ext,
            data: if is_write {
                rest.skip(args)
                    .take(job.hdr.len as usize - IN_HEADER - args)
            } else {
                Pieces::default()
            },
            out: job.chain.writable.skip(OUT_HEADER),
            pass,
            counters: &self.server.counters,
        };
        let no_room = job.chain.writable.len() < OUT_HEADER;
        let no_reply = match job.hdr.opcode {
            op::FORGET | op::BATCH_FORGET => true,
            op::INTERRUPT => no_room,
            _ => false,
        };
        if !no_reply && no_room {
            return Err(req.bad("no room for a reply"));
        }
        if too_long || (!is_write && job.chain.readable.truncated) {
            return Err(req.bad("wrong lengths"));
        }
        if let Some(Fault::Errno(_) | Fault::Empty) = job.fault {
            return Ok(Reply::Bytes(Vec::new()));
        }
        let reply =
            catch_unwind(AssertUnwindSafe(|| self.server.serve(&req))).unwrap_or_else(|_| {
                log::error!("panic while serving {:?}", job.hdr);
                Err(Errno(libc::EIO))
            });
        match reply {
            Ok(Reply::Bytes(b)) if b.len() > req.out.len() => {
                Err(req.bad("the reply does not fit"))
            }
            reply if no_reply => reply.and(Ok(Reply::None)).or(Ok(Reply::None)),
            reply => reply,
        }
    }

    /// Writes header and body, wrong if a fault says so, and returns the used length.
    fn write_reply(&self, job: &Job, reply: Res<Reply>) -> u32 {
        let counters = &self.server.counters;
        let writable = &job.chain.writable;
        let (error, body) = match reply {
            Ok(Reply::None) => return 0,
            Ok(Reply::Bytes(bytes)) => {
                writable.skip(OUT_HEADER).copy_in(&bytes);
                (0, bytes.len())
            }
            Ok(Reply::InPlace(n)) => (0, n),
            Err(Errno(e)) => (-e, 0),
        };
        let mut used = OUT_HEADER + body;
        let mut hdr = proto::OutHeader {
            len: used as u32,
            error,
            unique: job.hdr.unique,
        };
        match job.fault {
            Some(Fault::Short) => {
                used = if body > 0 {
                    OUT_HEADER + body / 2
                } else {
                    OUT_HEADER / 2
                };
                hdr.len = used as u32;
            }
            Some(Fault::Long) => {
                writable.skip(used).copy_in(&[0xa5; 8]);
                used += 8;
                hdr.len = used as u32;
            }
            Some(Fault::Length) => hdr.len += 8,
            Some(Fault::Unique) => hdr.unique ^= 1 << 40,
            Some(Fault::Errno(e)) => hdr.error = e,
            Some(Fault::Empty) => return 0,
            Some(Fault::Poke(at, value)) => {
                if at + 4 <= body {
                    writable.skip(OUT_HEADER + at).copy_in(&value.to_ne_bytes());
                }
            }
            Some(Fault::Scramble(seed)) => {
                let mut rng = Rng(seed);
                let places = (body / 4) as u64;
                for _ in 0..=rng.below(4).min(places) {
                    let at = OUT_HEADER + 4 * rng.below(places.min(64)) as usize;
                    if body >= 4 {
                        writable.skip(at).copy_in(&rng.odd().to_ne_bytes());
                    }
                }
            }
            Some(Fault::Hang | Fault::Die | Fault::Late(_)) | None => (),
        }
        if writable.copy_in(hdr.as_bytes()) < OUT_HEADER {
            return 0;
        }
        counters.round_trips.fetch_add(1, Relaxed);
        if hdr.error != 0 {
            count(&counters.errors);
            log::debug!("unique {:#x}: error {}", job.hdr.unique, hdr.error);
        }
        used as u32
    }
}
