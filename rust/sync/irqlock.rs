// SPDX-License-Identifier: GPL-2.0

//! A spinlock that is also taken in hard interrupts: it disables interrupts while it is held.
//!
//! `kernel::sync::SpinLock` leaves interrupts as they are, so an interrupt handler that takes the same lock on the same
//! CPU would spin for ever. This is the same `spinlock_t` behind the kernel's generic lock type, with the saved
//! interrupt flags as the guard's state.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::bindings;
use kernel::sync::lock::{Backend, Guard, Lock};

/// A spinlock for data that interrupt handlers share. Make it with [`new_irqlock!`].
pub(crate) type IrqLock<T> = Lock<T, IrqSaveBackend>;

/// The guard of an [`IrqLock`]; interrupts are off on this CPU while it exists.
///
/// Guards must be dropped in the reverse order of locking, as each puts back the interrupt state that it found.
pub(crate) type IrqLockGuard<'a, T> = Guard<'a, T, IrqSaveBackend>;

/// A `spinlock_t` taken with `spin_lock_irqsave`.
pub(crate) struct IrqSaveBackend;

// SAFETY: `spinlock_t` gives mutual exclusion, and `relock` is the default one, which locks in the same way.
unsafe impl Backend for IrqSaveBackend {
    type State = kernel::bindings::spinlock_t;
    type GuardState = usize;

    #[inline]
    unsafe fn init(
        ptr: *mut Self::State,
        name: *const kernel::ffi::c_char,
        key: *mut kernel::bindings::lock_class_key,
    ) {
        // SAFETY: `ptr` is valid for writes, `name` and `key` for ever, as this function requires.
        unsafe { kernel::bindings::__spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: The caller has initialised the lock.
        unsafe { bindings::rust_fuse_spin_lock_irqsave(ptr.cast()) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags = 0;
        // SAFETY: The caller has initialised the lock; `flags` is valid for writes.
        unsafe { bindings::rust_fuse_spin_trylock_irqsave(ptr.cast(), &mut flags) }.then_some(flags)
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, guard_state: &Self::GuardState) {
        // SAFETY: The caller owns the lock, and `guard_state` is what locking it gave.
        unsafe { bindings::rust_fuse_spin_unlock_irqrestore(ptr.cast(), *guard_state) }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: The caller has initialised the lock.
        unsafe { kernel::bindings::spin_assert_is_held(ptr) }
    }
}

/// Makes an initialiser of an [`IrqLock`] with a lock class of its own.
macro_rules! new_irqlock {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::IrqLock::new(
            $inner, kernel::optional_name!($($name)?), kernel::static_lock_class!())
    };
}
pub(crate) use new_irqlock;
