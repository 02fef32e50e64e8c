// SPDX-License-Identifier: GPL-2.0

//! The machine behind a lock, with real waiting, under every schedule that loom finds. A wake-up that is lost is a deadlock
//! there.

use super::model::{Held, Outcome, Want, World};
use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

struct Inode {
    world: Mutex<World>,
    changed: Condvar,
}

impl Inode {
    /// Enters; nothing when that is refused.
    fn enter(&self, want: Want) -> Option<Held> {
        let mut waiting = None;
        let mut world = self.world.lock().unwrap();
        loop {
            let (outcome, wake) = world.enter(want, &mut waiting);
            if wake {
                self.changed.notify_all();
            }
            match outcome {
                Outcome::In(held) => return Some(held),
                Outcome::Refused(_) | Outcome::Alone => return None,
                Outcome::Wait => world = self.changed.wait(world).unwrap(),
            }
        }
    }

    fn leave(&self, held: Held) {
        if self.world.lock().unwrap().leave(held) {
            self.changed.notify_all();
        }
    }

    fn visit(&self, want: Want) {
        if let Some(held) = self.enter(want) {
            self.leave(held);
        }
    }
}

fn explore(programs: [&'static [Want]; 3]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let inode = Arc::new(Inode {
            world: Mutex::new(World::new()),
            changed: Condvar::new(),
        });
        let threads: Vec<_> = programs
            .into_iter()
            .map(|program| {
                let inode = inode.clone();
                thread::spawn(move || program.iter().for_each(|want| inode.visit(*want)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let world = inode.world.lock().unwrap();
        assert_eq!(world.mode.waiting(), 0);
        assert!(world.mode.backing().is_none());
    });
}

#[test]
fn writers_and_the_page_cache() {
    explore([
        &[Want::Write, Want::Write],
        &[Want::Write],
        &[Want::Cached, Want::Cached],
    ]);
}

#[test]
fn passthrough_between_writers_and_the_page_cache() {
    explore([
        &[Want::Write, Want::Cached],
        &[Want::Passthrough(0), Want::Passthrough(1)],
        &[Want::Cached],
    ]);
}

#[test]
fn two_backing_files() {
    explore([
        &[Want::Passthrough(0), Want::Write],
        &[Want::Passthrough(1)],
        &[Want::Passthrough(0), Want::Cached],
    ]);
}
