// SPDX-License-Identifier: GPL-2.0

//! Requests and servers that are processes: the message is copied to them, the answer from them. No locks.

use super::{Flow, Payload, Request};
use crate::{
    chan::{interrupt::may_cancel, reap::undoes},
    chardev::{FromUser, ToUser},
    proto::{header::OutHeader, reply::HEADER_LEN},
};
use kernel::prelude::*;
use zerocopy::IntoBytes;

impl Request {
    /// Whether it is of use although nobody waits for it: something is told of its end or has to be undone; folios are locked until then,
    /// as others must not read what the server does not have yet; or it ends something, also if the server asks to have it sent again.
    pub(crate) fn matters(&self) -> bool {
        let folios = matches!(
            self.payload,
            Payload::Fill(_) | Payload::WriteBack(_) | Payload::Filled(_)
        );
        let told = self.owner.is_some() || self.ended.is_some();
        folios || told || undoes(self.opcode) || !may_cancel(self.opcode)
    }

    /// Length of the message in bytes.
    pub(crate) fn message_len(&self) -> usize {
        let payload = match self.flow {
            Flow::ToServer(n) | Flow::Both(n, _) => n as usize,
            _ => 0,
        };
        self.input_len + payload
    }

    /// Copies the message to a server that is a process.
    ///
    /// # Errors
    ///
    /// `EFAULT`.
    pub(crate) fn copy_message(&self, to: &mut ToUser<'_, '_>) -> Result {
        let input = self.input().ok_or(EINVAL)?;
        let len = self.message_len() - input.len();
        match &self.payload {
            Payload::WriteBack(parts) => return to.message(input, parts, len),
            Payload::Filled(parts) => return to.message(input, parts, len),
            _ => (),
        }
        to.expect(self.message_len());
        to.bytes(input)?;
        if len == 0 {
            return Ok(());
        }
        match &self.payload {
            Payload::Pages(pages) | Payload::Exchange(pages, _) => {
                pages.chunks(len).try_for_each(|chunk| to.bytes(chunk))
            }
            Payload::User(pages) => to.memory(pages, len),
            _ => Err(EINVAL),
        }
    }

    /// Takes an answer of `header.len` bytes, whose header was read already, from a server that is a process.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an answer of a length that the operation does not have; its header is taken, so that the sender learns of
    /// it. `EFAULT`.
    pub(crate) fn take_answer(
        &mut self,
        header: &OutHeader,
        from: &mut FromUser<'_, '_>,
    ) -> Result {
        let output = self.buffers.output.get_mut(..self.output_len);
        let (head, fixed) = output
            .and_then(|output| output.split_at_mut_checked(HEADER_LEN))
            .ok_or(EINVAL)?;
        head.copy_from_slice(header.as_bytes());
        let len = header.len as usize;
        if header.error != 0 {
            return if len == HEADER_LEN {
                Ok(())
            } else {
                Err(EINVAL)
            };
        }
        let room = match self.flow {
            Flow::FromServer(n) | Flow::Both(_, n) => n as usize,
            _ => 0,
        };
        if len < self.output_min || len > self.output_len + room {
            return Err(EINVAL);
        }
        let fixed_len = fixed.len().min(len - HEADER_LEN);
        from.bytes(fixed.get_mut(..fixed_len).ok_or(EINVAL)?)?;
        let len = len - HEADER_LEN - fixed_len;
        match &mut self.payload {
            Payload::Pages(pages) | Payload::Exchange(_, pages) => pages
                .chunks_mut(len)
                .try_for_each(|chunk| from.bytes(chunk)),
            Payload::Bytes(bytes) => from.bytes(bytes.get_mut(..len).ok_or(EINVAL)?),
            Payload::Fill(parts) => from.fill(parts, len),
            Payload::User(pages) => from.memory(pages, len),
            _ if len == 0 => Ok(()),
            _ => Err(EINVAL),
        }
    }
}
