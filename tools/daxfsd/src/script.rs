// SPDX-License-Identifier: GPL-2.0

//! What the tests ask the device to do wrong: delays per opcode and faults for the next so many requests.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::proto;

/// One way to answer wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The reply is cut: half of its body, or half of its header when it has no body. Header and used length agree.
    Short,
    /// Eight bytes more than the reply has. Header and used length agree, even where the buffer ends before.
    Long,
    /// The length in the header is eight bytes more than the used length.
    Length,
    /// The reply names another request.
    Unique,
    /// The error field has this value, whatever it is, and the body is left out. The operation is not done.
    Errno(i32),
    /// No answer until `release-hung`.
    Hang,
    /// The process aborts.
    Die,
    /// The buffer comes back with nothing in it.
    Empty,
    /// Four bytes of the body, from this one on, say something else.
    Poke(usize, u32),
}

impl Fault {
    fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "short" => Fault::Short,
            "long" => Fault::Long,
            "length" => Fault::Length,
            "unique" => Fault::Unique,
            "hang" => Fault::Hang,
            "die" => Fault::Die,
            "empty" => Fault::Empty,
            _ if s.starts_with("poke:") => {
                let (at, value) = s.strip_prefix("poke:")?.split_once(':')?;
                Fault::Poke(at.parse().ok()?, value.parse().ok()?)
            }
            _ => Fault::Errno(s.strip_prefix("errno:")?.parse().ok()?),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    All,
    Op(u32),
}

impl Target {
    fn parse(s: &str) -> Result<Self, String> {
        if s.eq_ignore_ascii_case("all") {
            return Ok(Target::All);
        }
        proto::op_by_name(s)
            .map(Target::Op)
            .ok_or_else(|| format!("unknown opcode {s}"))
    }

    fn hits(self, opcode: u32) -> bool {
        self == Target::All || self == Target::Op(opcode)
    }
}

#[derive(Default)]
struct State {
    delays: Vec<(Target, Duration)>,
    faults: Vec<(Target, u64, Fault)>,
    hung: u64,
    released: u64,
}

/// Delays and faults in force.
#[derive(Default)]
pub struct Script {
    state: Mutex<State>,
    wake: Condvar,
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The delay of an opcode: its own, or else the one for all.
    pub fn delay(&self, opcode: u32) -> Option<Duration> {
        let st = self.state();
        let find = |t| st.delays.iter().find(|(x, _)| *x == t).map(|(_, d)| *d);
        find(Target::Op(opcode)).or_else(|| find(Target::All))
    }

    /// Takes the next fault for an opcode, if one is left.
    pub fn fault(&self, opcode: u32) -> Option<Fault> {
        let mut st = self.state();
        let at = st.faults.iter().position(|(t, _, _)| t.hits(opcode))?;
        let (_, left, fault) = &mut st.faults[at];
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            st.faults.remove(at);
        }
        Some(fault)
    }

    /// Waits until `release` is called.
    pub fn hang(&self) {
        let mut st = self.state();
        st.hung += 1;
        let round = st.released;
        let on = self.wake.wait_while(st, |st| st.released == round);
        drop(on.unwrap_or_else(|e| e.into_inner()));
    }

    /// Number of requests that hang.
    pub fn hung(&self) -> u64 {
        self.state().hung
    }

    /// Lets every hanging request go on.
    pub fn release(&self) {
        let mut st = self.state();
        st.released += 1;
        st.hung = 0;
        drop(st);
        self.wake.notify_all();
    }

    /// `delay OPCODE|all MS`
    pub fn set_delay(&self, target: &str, ms: &str) -> Result<(), String> {
        let target = Target::parse(target)?;
        let ms: u64 = ms
            .parse()
            .map_err(|_| format!("not a number of milliseconds: {ms}"))?;
        let mut st = self.state();
        if ms == 0 && target == Target::All {
            st.delays.clear();
        } else {
            st.delays.retain(|(t, _)| *t != target);
        }
        if ms > 0 {
            st.delays.push((target, Duration::from_millis(ms)));
        }
        Ok(())
    }

    /// `fault OPCODE|all COUNT KIND`
    pub fn add_fault(&self, target: &str, count: &str, kind: &str) -> Result<(), String> {
        let target = Target::parse(target)?;
        let count: u64 = count
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| format!("not a count: {count}"))?;
        let fault = Fault::parse(kind).ok_or_else(|| format!("unknown kind of fault {kind}"))?;
        self.state().faults.push((target, count, fault));
        Ok(())
    }

    /// `faults clear`: what hangs already keeps hanging.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// One line per fault in force.
    pub fn list_faults(&self) -> Vec<String> {
        let name = |t: &Target| match t {
            Target::All => "all",
            Target::Op(op) => proto::op_name(*op).unwrap_or("?"),
        };
        self.state()
            .faults
            .iter()
            .map(|(t, n, f)| format!("{} {n} {f:?}", name(t)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::op;

    #[test]
    fn faults_are_used_up_in_order() {
        let s = Script::default();
        s.add_fault("READ", "2", "short").unwrap();
        s.add_fault("all", "1", "errno:-512").unwrap();
        assert_eq!(s.fault(op::WRITE), Some(Fault::Errno(-512)));
        assert_eq!(s.fault(op::READ), Some(Fault::Short));
        assert_eq!(s.fault(op::READ), Some(Fault::Short));
        assert_eq!(s.fault(op::READ), None);
        s.add_fault("READ", "1", "poke:16:4294967295").unwrap();
        assert_eq!(s.fault(op::READ), Some(Fault::Poke(16, u32::MAX)));
        assert!(s.add_fault("READ", "1", "poke:16").is_err());
        assert!(s.add_fault("READ", "0", "short").is_err());
        assert!(s.add_fault("NOPE", "1", "short").is_err());
        assert!(s.add_fault("READ", "1", "errno:x").is_err());
    }

    #[test]
    fn an_own_delay_beats_the_one_for_all() {
        let s = Script::default();
        s.set_delay("all", "5").unwrap();
        s.set_delay("fuse_read", "7").unwrap();
        assert_eq!(s.delay(op::READ), Some(Duration::from_millis(7)));
        assert_eq!(s.delay(op::OPEN), Some(Duration::from_millis(5)));
        s.set_delay("all", "0").unwrap();
        assert_eq!(s.delay(op::READ), None);
    }
}
