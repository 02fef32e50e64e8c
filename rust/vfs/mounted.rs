// SPDX-License-Identifier: GPL-2.0

//! Reaching a super block from elsewhere: work in the background, a driver whose device goes.
//!
//! Whoever works on a mount without being called by its users holds a [`Mounted`]. The super block is lent through it from
//! the end of the mount call to the beginning of the unmount, which waits for those that have it: later, an inode that
//! somebody still holds would outlive its super block.
//!
//! Locks: one spinlock, and inside it that of a wait queue; who has the super block holds no lock of this. The super block's
//! list of inodes has a spinlock, with the inode's own inside.

use super::{inode::Ref, FileSystem, SuperBlock};
use crate::{
    bindings,
    sync::{
        waitq::{exiting, new_waitq},
        WaitQueue,
    },
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{new_spinlock, prelude::*, sync::SpinLock, time::Msecs};

/// How long nothing may end of what an unmount waits for, until it ends all of it by force: the server may be slow, and what is
/// written would be lost. In slices of so many milliseconds; when the unmount was killed, and when it comes with the end of a
/// task, which nobody can kill.
const GRACE: u32 = 20;
const GRACE_AT_EXIT: u32 = 240;
const SLICE: Msecs = 500;

/// A super block, while it is mounted.
///
/// # Invariants
///
/// While the state holds a super block or counts users, it is one of `T` that is mounted.
#[pin_data]
pub(crate) struct Mounted<T: FileSystem> {
    #[pin]
    state: SpinLock<State>,
    /// The last user is gone.
    #[pin]
    unused: WaitQueue,
    _fs: PhantomData<T>,
}

struct State {
    sb: Option<NonNull<bindings::super_block>>,
    users: usize,
    /// How often one has left.
    left: u64,
}

// SAFETY: Super blocks are shared between threads.
unsafe impl Send for State {}

/// Counts as a user until it is dropped.
struct User<'a, T: FileSystem>(&'a Mounted<T>);

impl<T: FileSystem> Drop for User<'_, T> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T: FileSystem> Mounted<T> {
    /// Nothing is mounted yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: It holds none.
        pin_init!(Self {
            state <- new_spinlock!(State { sb: None, users: 0, left: 0 }, "vfs::Mounted"),
            unused <- new_waitq!("vfs::Mounted"),
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

    /// Counts a user of `sb`, unless its unmount has begun. It has to [`leave`](Self::leave).
    pub(super) fn enter(&self, sb: &SuperBlock<T>) -> bool {
        let mut state = self.state.lock();
        let is_lent = state.sb.is_some_and(|lent| lent.as_ptr() == sb.as_raw());
        state.users += usize::from(is_lent);
        is_lent
    }

    /// Counts a user no more. The super block may be gone afterwards.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.users -= 1;
        state.left += 1;
        if state.users == 0 {
            // With the lock held: who is waked may free this as soon as it has it.
            self.unused.wake_all();
        }
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

    /// The unmount of `sb` begins, or its mount failed. Waits for those that have it. When the task was killed and none of them
    /// has left for some time, `give_up` is called to make them end.
    pub(super) fn close(&self, sb: *mut bindings::super_block, give_up: impl FnOnce()) {
        let mut state = self.state.lock();
        if state.sb.is_none_or(|lent| lent.as_ptr() != sb) {
            return;
        }
        state.sb = None;
        drop(state);
        let unused = || (self.state.lock().users == 0).then_some(());
        if self.unused.wait_killable(unused).is_ok() {
            return;
        }
        let grace = if exiting() { GRACE_AT_EXIT } else { GRACE };
        let (mut slices, mut left) = (0, self.state.lock().left);
        while slices < grace {
            if self.unused.wait_for(SLICE, unused).is_some() {
                return;
            }
            let now = self.state.lock().left;
            slices = if now == left { slices + 1 } else { 0 };
            left = now;
        }
        give_up();
        // What cannot be ended has memory that is still in use.
        while self.unused.wait_for(SLICE, unused).is_none() {}
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
