// SPDX-License-Identifier: GPL-2.0

//! Requests and what came back: whether the answer keeps to the protocol, and what it says. No locks.

use super::{Flow, Operation, Request};
use crate::proto::{
    header::OutHeader,
    reply::{self, BadReply, HEADER_LEN},
};
use core::mem::size_of;
use kernel::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

impl Request {
    /// How it ended.
    pub(crate) fn outcome(&self) -> Result<u32> {
        self.outcome
    }

    /// Checks an answer of `used` bytes with a fixed part of up to `N` bytes. Gives the fixed part's and payload's length
    /// together, or the server's errno.
    fn check(&self, used: usize, min: usize, fixed: usize) -> Result<Result<usize, i32>, BadReply> {
        let header = self
            .buffers
            .output
            .get(..HEADER_LEN)
            .and_then(|b| OutHeader::read_from_bytes(b).ok())
            .ok_or(BadReply::TooShort)?;
        let payload = match self.flow {
            Flow::FromServer(n) | Flow::Both(_, n) => n as usize,
            _ => 0,
        };
        reply::check(&header, used, self.unique, min, fixed + payload)
    }

    /// Reads the answer to `O`.
    pub(in crate::chan) fn parse<O: Operation>(
        &self,
        used: u32,
    ) -> Result<Result<(O::Reply, usize), i32>, BadReply> {
        self.parse_as::<O::Reply>(used, O::REPLY_MIN)
    }

    /// Reads an answer whose fixed part is `R`, at least `min` bytes of it.
    pub(in crate::chan) fn parse_as<R: FromBytes + IntoBytes>(
        &self,
        used: u32,
        min: usize,
    ) -> Result<Result<(R, usize), i32>, BadReply> {
        let fixed = size_of::<R>();
        let len = match self.check(used as usize, min, fixed)? {
            Ok(len) => len,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut r = R::new_zeroed();
        let n = len.min(fixed);
        let from = self
            .buffers
            .output
            .get(HEADER_LEN..HEADER_LEN + n)
            .ok_or(BadReply::TooLong)?;
        if let Some(to) = r.as_mut_bytes().get_mut(..n) {
            to.copy_from_slice(from);
        }
        Ok(Ok((r, len - n)))
    }
}
