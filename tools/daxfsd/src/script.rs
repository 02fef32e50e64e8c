// SPDX-License-Identifier: GPL-2.0

//! What the tests ask the device to do wrong: delays per opcode, faults for the next so many requests, and faults that are
//! drawn from a seed.

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
    /// Some numbers in the body say something else; which ones follows from this seed.
    Scramble(u64),
    /// The answer comes so many milliseconds later.
    Late(u64),
}

/// Numbers from a seed (splitmix64).
#[derive(Clone, Copy, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next one, smaller than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// A number that programs get wrong.
    pub fn odd(&mut self) -> u32 {
        const ODD: [u32; 12] = [
            0,
            1,
            7,
            4095,
            4096,
            65535,
            65536,
            1 << 20,
            i32::MAX as u32,
            1 << 31,
            u32::MAX - 4095,
            u32::MAX,
        ];
        match self.below(5) {
            0 => self.next() as u32,
            _ => ODD[self.below(ODD.len() as u64) as usize],
        }
    }
}

/// Faults that are drawn.
struct Fuzz {
    rng: Rng,
    one_in: u64,
    hang: bool,
    careful: bool,
}

impl Fuzz {
    fn fault(&mut self, opcode: u32) -> Option<Fault> {
        if self.rng.below(self.one_in) != 0 {
            return None;
        }
        // A client that is wrong about the size of a mapped file has QEMU touch what is behind its end, and QEMU dies.
        let kinds = match opcode {
            _ if !self.careful => 10,
            proto::op::SETATTR | proto::op::CREATE | proto::op::OPEN => 3,
            proto::op::LOOKUP | proto::op::GETATTR | proto::op::STATX | proto::op::READDIRPLUS => 8,
            proto::op::MKNOD | proto::op::LINK | proto::op::TMPFILE => 8,
            _ => 10,
        };
        Some(match self.rng.below(kinds) {
            0 => Fault::Errno(-(1 + self.rng.below(511) as i32)),
            1 => Fault::Late(self.rng.below(150)),
            2 if self.hang && self.rng.below(20) == 0 => Fault::Hang,
            2 => Fault::Empty,
            3 => Fault::Errno(match self.rng.below(2) {
                0 => -512 - self.rng.below(5000) as i32,
                _ => 1 + self.rng.below(1 << 31) as i32,
            }),
            4 => Fault::Short,
            5 => Fault::Long,
            6 => Fault::Length,
            7 => Fault::Unique,
            _ => Fault::Scramble(self.rng.next()),
        })
    }
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
    fuzz: Option<Fuzz>,
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

    /// Takes the next fault for an opcode, if one is left, or draws one.
    pub fn fault(&self, opcode: u32) -> Option<Fault> {
        let mut st = self.state();
        let Some(at) = st.faults.iter().position(|(t, _, _)| t.hits(opcode)) else {
            return st.fuzz.as_mut()?.fault(opcode);
        };
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

    /// `fuzz SEED ONE_IN [careful] [hang]`
    pub fn set_fuzz(&self, seed: &str, one_in: &str, more: &[&str]) -> Result<(), String> {
        let number = |s: &str| s.parse::<u64>().map_err(|_| format!("not a number: {s}"));
        let mut fuzz = Fuzz {
            rng: Rng(number(seed)?),
            one_in: number(one_in)?,
            hang: false,
            careful: false,
        };
        for word in more {
            match *word {
                "hang" => fuzz.hang = true,
                "careful" => fuzz.careful = true,
                _ => return Err(format!("unknown option {word}")),
            }
        }
        self.state().fuzz = Some(fuzz);
        Ok(())
    }

    /// `faults clear`: what hangs already keeps hanging.
    pub fn clear_faults(&self) {
        let mut st = self.state();
        st.faults.clear();
        st.fuzz = None;
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
    fn a_seed_gives_the_same_faults_again() {
        let s = Script::default();
        let mut draw = |seed, more: &[&str]| {
            s.set_fuzz(seed, "2", more).unwrap();
            (0..2000).map(|_| s.fault(op::SETATTR)).collect::<Vec<_>>()
        };
        assert_eq!(draw("7", &[]), draw("7", &[]));
        assert_ne!(draw("7", &[]), draw("8", &[]));
        assert!(!draw("7", &[]).contains(&Some(Fault::Hang)));
        assert!(draw("7", &["hang"]).contains(&Some(Fault::Hang)));
        assert!(!draw("7", &["careful"]).contains(&Some(Fault::Short)));
        s.add_fault("SETATTR", "1", "die").unwrap();
        assert_eq!(s.fault(op::SETATTR), Some(Fault::Die));
        s.clear_faults();
        assert!((0..100).all(|_| s.fault(op::SETATTR).is_none()));
        assert!(s.set_fuzz("1", "x", &[]).is_err() && s.set_fuzz("1", "1", &["y"]).is_err());
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
