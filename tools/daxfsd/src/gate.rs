// SPDX-License-Identifier: GPL-2.0

//! When a queue stops, no request of it may touch guest memory any more. Every request passes a gate per queue: it
//! enters with the generation in which it was taken from the queue, stopping raises the generation and waits until all
//! who entered have left. A request that waits for QEMU (to map into the window) steps out meanwhile, because QEMU
//! itself waits for us while it stops a queue.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Longest wait for running requests when a queue stops. Only a host file system that hangs makes it that long.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    generation: u64,
    running: usize,
}

/// The gate of one queue.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

/// Proof that a request may touch guest memory; leaves the gate when dropped.
pub struct Pass {
    gate: Gate,
    generation: u64,
    stale: Cell<bool>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0 .0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The generation of requests that are taken from the queue now.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Lets a request in, unless the queue has stopped since it was taken.
    pub fn enter(&self, generation: u64) -> Option<Pass> {
        let mut st = self.state();
        if st.generation != generation {
            return None;
        }
        st.running += 1;
        Some(Pass {
            gate: self.clone(),
            generation,
            stale: Cell::new(false),
        })
    }

    /// Ends the generation and waits for its running requests.
    pub fn stop(&self) {
        let mut st = self.state();
        st.generation += 1;
        let (st, timeout) = self
            .0
             .1
            .wait_timeout_while(st, PATIENCE, |st| st.running > 0)
            .unwrap_or_else(|e| e.into_inner());
        if timeout.timed_out() {
            log::warn!(
                "a queue stops while {} requests are still running",
                st.running
            );
        }
    }

    fn leave(&self) {
        self.state().running -= 1;
        self.0 .1.notify_all();
    }
}

impl Pass {
    /// Runs `f` outside the gate. Afterwards the request may be stale.
    pub fn outside<T>(&self, f: impl FnOnce() -> T) -> T {
        self.gate.leave();
        let out = f();
        let mut st = self.gate.state();
        st.running += 1;
        if st.generation != self.generation {
            self.stale.set(true);
        }
        out
    }

    /// The queue has stopped: neither data nor a reply may be written any more.
    pub fn is_stale(&self) -> bool {
        self.stale.get()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_waits_and_refuses_the_late() {
        let gate = Gate::default();
        let old = gate.generation();
        let pass = gate.enter(old).unwrap();
        let (g, t) = (gate.clone(), std::time::Instant::now());
        let stopper = std::thread::spawn(move || g.stop());
        std::thread::sleep(Duration::from_millis(50));
        drop(pass);
        stopper.join().unwrap();
        assert!(t.elapsed() >= Duration::from_millis(50));
        assert!(gate.enter(old).is_none());
        assert!(gate.enter(gate.generation()).is_some());
    }

    #[test]
    fn who_is_outside_comes_back_stale() {
        let gate = Gate::default();
        let pass = gate.enter(gate.generation()).unwrap();
        assert!(!pass.is_stale());
        pass.outside(|| gate.stop());
        assert!(pass.is_stale());
    }
}
