// SPDX-License-Identifier: GPL-2.0

//! How many requests that nobody waits for the server has at a time: the count alone, without the requests.
//!
//! Those above the limit wait in line; who comes goes behind them. No locks; also built for the host.

/// Requests that a server has at a time, where it does not say.
pub const MAX_DEFAULT: u32 = 12;
/// Requests with which the way is congested, where the server does not say.
pub const CONGESTION_DEFAULT: u32 = MAX_DEFAULT * 3 / 4;

/// How many there are, and may be.
///
/// No more than the limit are at the server, except after it was lowered; some wait only while that many are.
#[derive(Debug)]
pub struct Limits {
    max: u32,
    congestion: u32,
    sent: u32,
    waiting: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: MAX_DEFAULT,
            congestion: CONGESTION_DEFAULT,
            sent: 0,
            waiting: 0,
        }
    }
}

impl Limits {
    /// The limit. Never 0: something has to go on.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Sets the limit.
    pub fn set_max(&mut self, max: u32) {
        self.max = max.max(1);
    }

    /// With how many the way is congested.
    pub fn congestion(&self) -> u32 {
        self.congestion
    }

    /// Sets with how many the way is congested.
    pub fn set_congestion(&mut self, congestion: u32) {
        self.congestion = congestion;
    }

    /// How many there are, at the server and in line.
    pub fn all(&self) -> u32 {
        self.sent + self.waiting
    }

    /// Whether what need not be sent had better not.
    pub fn congested(&self) -> bool {
        self.all() >= self.congestion
    }

    /// Another request: whether it may be sent at once, past an empty line.
    pub fn pass(&mut self) -> bool {
        let now = self.waiting == 0 && self.sent < self.max;
        if now {
            self.sent += 1;
        }
        now
    }

    /// Another request goes to the end of the line.
    pub fn line_up(&mut self) {
        self.waiting += 1;
    }

    /// Whether the first in line, if there is one, may be sent now; then it counts as sent.
    pub fn leave_line(&mut self) -> bool {
        let now = self.waiting > 0 && self.sent < self.max;
        if now {
            self.waiting -= 1;
            self.sent += 1;
        }
        now
    }

    /// One of those in line will not be sent.
    pub fn give_up(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// One that was sent has ended.
    pub fn ended(&mut self) {
        self.sent = self.sent.saturating_sub(1);
    }
}
