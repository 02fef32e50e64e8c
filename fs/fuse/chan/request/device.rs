// SPDX-License-Identifier: GPL-2.0

//! Requests and devices: the pieces of memory that a device reads and writes. No locks.

use super::{Buffers, Flow, Payload, Request};
use crate::virtio::{Chain, SgBuilder};
use kernel::prelude::*;

impl Chain for Request {
    fn build<'a>(&'a mut self, sg: &mut SgBuilder<'a>) -> Result {
        let Self {
            buffers,
            long,
            input_len,
            output_len,
            payload,
            flow,
            ..
        } = self;
        let Buffers { input, output } = &mut **buffers;
        let input: &[u8] = if long.is_empty() { input } else { long };
        sg.readable(input.get(..*input_len).ok_or(EINVAL)?)?;
        let answer = match *output_len {
            0 => None,
            n => Some(output.get_mut(..n).ok_or(EINVAL)?),
        };
        if let Flow::Both(to, from) = *flow {
            let Payload::Exchange(sent, room) = payload else {
                return Err(EINVAL);
            };
            sent.chunks(to as usize)
                .try_for_each(|chunk| sg.readable(chunk))?;
            if let Some(answer) = answer {
                sg.writable(answer)?;
            }
            return room
                .chunks_mut(from as usize)
                .try_for_each(|chunk| sg.writable(chunk));
        }
        if let Flow::ToServer(len) = *flow {
            let len = len as usize;
            match payload {
                Payload::Pages(pages) => {
                    pages.chunks(len).try_for_each(|chunk| sg.readable(chunk))?
                }
                Payload::WriteBack(parts) => sg.readable_memory(parts, len)?,
                Payload::Filled(parts) => sg.readable_memory(parts, len)?,
                Payload::User(pages) => sg.readable_memory(pages, len)?,
                _ => return Err(EINVAL),
            }
            return answer.map_or(Ok(()), |answer| sg.writable(answer));
        }
        if let Some(answer) = answer {
            sg.writable(answer)?;
        }
        let Flow::FromServer(len) = *flow else {
            return Ok(());
        };
        let len = len as usize;
        match payload {
            Payload::None => Ok(()),
            Payload::Pages(pages) => pages
                .chunks_mut(len)
                .try_for_each(|chunk| sg.writable(chunk)),
            Payload::Bytes(bytes) => sg.writable(bytes.get_mut(..len).ok_or(EINVAL)?),
            Payload::Fill(parts) => sg.writable_memory(parts, len),
            Payload::User(pages) => sg.writable_memory(pages, len),
            Payload::WriteBack(_) | Payload::Filled(_) | Payload::Exchange(..) => Err(EINVAL),
        }
    }
}
