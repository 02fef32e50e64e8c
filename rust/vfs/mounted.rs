// SPDX-License-Identifier: GPL-2.0

//! Reaching a super block from elsewhere: work in the background, a driver whose device goes.
//!
//! Whoever works on a mount without being called by its users holds a [`Mounted`]. The super block is lent through it from
//! the end of the mount call to the beginning of the unmount, which waits for those that have it: later, an inode that
//! somebody still holds would outlive its super block.
//!
//! Locks: one mutex, held for a moment only; who has the super block holds no lock of this. The super block's list of inodes has
//! a spinlock, with the inode's own inside.

use super::{inode::Ref, FileSystem, SuperBlock};
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    new_condvar, new_mutex,
    prelude::*,
    sync::{CondVar, Mutex},
};

/// A super block, while it is mounted.
///
/// # Invariants
///
/// While the state holds a super block or counts users, it is one of `T` that is mounted.
#[pin_data]
pub(crate) struct Mounted<T: FileSystem> {
    #[pin]
    state: Mutex<State>,
    /// The last user is gone.
    #[pin]
    unused: CondVar,
    _fs: PhantomData<T>,
}

struct State {
    sb: Option<NonNull<bindings::super_block>>,
    users: usize,
}

// SAFETY: Super blocks are shared between threads.
unsafe impl Send for State {}

/// Counts as a user until it is dropped.
struct User<'a, T: FileSystem>(&'a Mounted<T>);

impl<T: FileSystem> Drop for User<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.users -= 1;
        if state.users == 0 {
            self.0.unused.notify_all();
        }
    }
}

impl<T: FileSystem> Mounted<T> {
    /// Nothing is mounted yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: It holds none.
        pin_init!(Self {
            state <- new_mutex!(State { sb: None, users: 0 }, "vfs::Mounted"),
            unused <- new_condvar!("vfs::Mounted"),
            _fs: PhantomData,
        })
    }

    /// Runs `work` with the super block, unless its unmount has begun. The unmount waits for the end of `work`, and no signal
    /// ends that.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&SuperBlock<T>) -> R) -> Option<R> {
        let mut state = self.state.lock();
        let sb = state.sb?;
        state.users += 1;
        drop(state);
        let _user = User(self);
        // SAFETY: By the type invariant; `close` waits for the user that was just counted.
        Some(work(unsafe { SuperBlock::from_raw(sb.as_ptr()) }))
    }

    /// Lends the super block out.
    ///
    /// # Safety
    ///
    /// `sb` is a super block of `T` whose private data is set, and [`Self::close`] is called before its inodes are evicted.
    pub(super) unsafe fn open(&self, sb: *mut bindings::super_block) {
        // INVARIANT: By the caller's promise.
        self.state.lock().sb = NonNull::new(sb);
    }

    /// The unmount of `sb` begins, or its mount failed. Waits for those that have it.
    pub(super) fn close(&self, sb: *mut bindings::super_block) {
        let mut state = self.state.lock();
        if state.sb.is_none_or(|lent| lent.as_ptr() != sb) {
            return;
        }
        state.sb = None;
        while state.users > 0 {
            self.unused.wait(&mut state);
        }
    }
}

impl<T: FileSystem> SuperBlock<T> {
    /// Calls `f` for the inodes in memory. May leave out those that come meanwhile; leaves out those that are leaving.
    pub(crate) fn for_each_inode(&self, mut f: impl FnMut(&Ref<T>)) {
        let mut last = None;
        while let Some(inode) = self.inode_after(last.as_ref()) {
            f(&inode);
            // The one before is given up only now: its place in the list was needed.
            last = Some(inode);
        }
    }

    /// The inode that follows in the list; the first one without `last`.
    fn inode_after(&self, last: Option<&Ref<T>>) -> Option<Ref<T>> {
        let sb = self.as_raw();
        // SAFETY: The list is walked under its lock. `last` is on it, as inodes leave it with their last reference. What is on
        // it is an inode of `T`, set up since it was allocated.
        unsafe {
            bindings::rust_fuse_inode_list_lock(sb);
            let head = &raw mut (*sb).s_inodes;
            let mut at = match last {
                Some(inode) => (*inode.as_raw()).i_sb_list.next,
                None => (*head).next,
            };
            let mut found = None;
            while at != head && found.is_none() {
                let inode = kernel::container_of!(at, bindings::inode, i_sb_list);
                found = NonNull::new(bindings::igrab(inode)).map(|inode| Ref::from_raw(inode));
                at = (*at).next;
            }
            bindings::rust_fuse_inode_list_unlock(sb);
            found
        }
    }
}
