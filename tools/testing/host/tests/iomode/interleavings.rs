// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of three threads that open, write and close, on two files with a backing file each.
//!
//! All programs of two visits a thread are tried. A thread that has to wait sleeps until somebody wakes it, or is killed at
//! any moment. A state is visited once: it is reached by running the steps that lead to it again, as tokens cannot be copied.

use super::model::{Held, Outcome, Want, World};
use rust_fuse_host_tests::iomode::Waiting;
use std::collections::HashSet;

const WANTS: [Want; 4] = [
    Want::Cached,
    Want::Passthrough(0),
    Want::Passthrough(1),
    Want::Write,
];

type Program = [Want; 2];

#[derive(Default)]
struct Thread {
    /// Visits that are over.
    done: usize,
    held: Option<Held>,
    waiting: Option<Waiting>,
    asleep: bool,
    killed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Run(usize),
    Kill(usize),
}

struct Run<'a> {
    world: World,
    threads: [Thread; 3],
    programs: &'a [Program; 3],
    opened: usize,
}

impl<'a> Run<'a> {
    fn new(programs: &'a [Program; 3]) -> Self {
        Self {
            world: World::new(),
            threads: Default::default(),
            programs,
            opened: 0,
        }
    }

    fn step(&mut self, step: Step) {
        let wake = match step {
            Step::Kill(i) => {
                let thread = &mut self.threads[i];
                self.world.kill(thread.waiting.take().expect("it waits"));
                (thread.asleep, thread.killed) = (false, true);
                false
            }
            Step::Run(i) => {
                let thread = &mut self.threads[i];
                if let Some(held) = thread.held.take() {
                    thread.done += 1;
                    self.world.leave(held)
                } else {
                    let want = self.programs[i][thread.done];
                    self.opened += usize::from(matches!(want, Want::Passthrough(_)));
                    let (outcome, wake) = self.world.enter(want, &mut thread.waiting);
                    match outcome {
                        Outcome::In(held) => thread.held = Some(held),
                        Outcome::Refused(_) | Outcome::Alone => thread.done += 1,
                        Outcome::Wait => thread.asleep = true,
                    }
                    wake
                }
            }
        };
        if wake {
            self.threads.iter_mut().for_each(|t| t.asleep = false);
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, thread) in self.threads.iter().enumerate() {
            let over = thread.killed || (thread.done == 2 && thread.held.is_none());
            if !over && !thread.asleep {
                steps.push(Step::Run(i));
            }
            if thread.waiting.is_some() {
                steps.push(Step::Kill(i));
            }
        }
        steps
    }

    /// Everything that the future depends on.
    fn state(&self) -> String {
        let threads: Vec<_> = self
            .threads
            .iter()
            .map(|t| {
                (
                    t.done,
                    t.held.is_some(),
                    t.waiting.is_some(),
                    t.asleep,
                    t.killed,
                )
            })
            .collect();
        format!("{:?} {threads:?}", self.world.mode)
    }

    /// Nobody can do anything any more but be killed.
    fn check_end(&self) {
        assert!(self.threads.iter().all(|t| !t.asleep), "a wake-up was lost");
        assert_eq!(self.world.dropped, self.opened);
        assert_eq!(self.world.mode.waiting(), 0);
    }
}

/// Visits all states of three programs; says how many there are.
fn explore(programs: &[Program; 3]) -> usize {
    let mut seen = HashSet::new();
    let mut todo: Vec<Vec<Step>> = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let mut run = Run::new(programs);
        path.iter().for_each(|step| run.step(*step));
        if !seen.insert(run.state()) {
            continue;
        }
        let steps = run.steps();
        if !steps.iter().any(|step| matches!(step, Step::Run(_))) {
            run.check_end();
        }
        for step in steps {
            let mut longer = path.clone();
            longer.push(step);
            todo.push(longer);
        }
    }
    seen.len()
}

#[test]
fn every_interleaving_of_two_files_and_three_threads() {
    let programs: Vec<Program> = WANTS
        .iter()
        .flat_map(|a| WANTS.iter().map(move |b| [*a, *b]))
        .collect();
    let mut states = 0;
    for (i, a) in programs.iter().enumerate() {
        for (j, b) in programs.iter().enumerate().skip(i) {
            for c in programs.iter().skip(j) {
                states += explore(&[*a, *b, *c]);
            }
        }
    }
    // 816 sets of programs.
    println!("{states} states");
    assert!(states > 10_000);
}
