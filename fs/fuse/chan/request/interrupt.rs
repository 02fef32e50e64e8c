// SPDX-License-Identifier: GPL-2.0

//! Requests that are INTERRUPTs. No locks.

use super::{Pool, Request, Waiter};
use crate::proto::{
    dir::InterruptIn,
    ids::{NodeId, Unique},
    opcode::Opcode,
    reply::HEADER_LEN,
};
use kernel::{prelude::*, sync::Arc};

impl Request {
    /// Makes an INTERRUPT of the request `unique`, for which `target` waits.
    pub(in crate::chan) fn interrupt(
        pool: &Pool,
        target: &Arc<Waiter>,
        unique: Unique,
    ) -> Result<KBox<Self>> {
        let mut this = pool.take()?;
        let arg = InterruptIn { unique };
        let (id, none) = (unique.interrupt(), NodeId::default());
        if let Err(e) = this.prepare_forget(Opcode::INTERRUPT, id, none, |args| args.put(&arg)) {
            pool.give(this);
            return Err(e);
        }
        this.output_len = HEADER_LEN;
        this.target = Some(target.clone());
        Ok(this)
    }

    /// What the server says to an INTERRUPT: nothing, when it has heard.
    pub(in crate::chan) fn interrupt_answer(&self) -> Result {
        let used = self.outcome?;
        if used == 0 {
            return Ok(());
        }
        match self.parse_as::<()>(used, 0) {
            Ok(Err(errno)) => Err(Error::from_errno(errno)),
            _ => Ok(()),
        }
    }

    /// Hands an INTERRUPT that came back to who is interrupted. Gives it back when nobody waits any more.
    pub(crate) fn interrupt_done(
        mut interrupt: KBox<Self>,
        outcome: Result<u32>,
    ) -> Option<KBox<Self>> {
        interrupt.outcome = outcome;
        match interrupt.take_target() {
            Some(target) => target.interrupted(interrupt),
            None => Some(interrupt),
        }
    }

    /// Takes whom an INTERRUPT is for.
    pub(in crate::chan) fn take_target(&mut self) -> Option<Arc<Waiter>> {
        self.target.take()
    }
}
