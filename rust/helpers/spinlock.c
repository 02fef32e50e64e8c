// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/spinlock.h>. */

#include <linux/spinlock.h>

unsigned long rust_fuse_spin_lock_irqsave(spinlock_t *lock);
unsigned long rust_fuse_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void rust_fuse_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);
void rust_fuse_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

bool rust_fuse_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags);
bool rust_fuse_spin_trylock_irqsave(spinlock_t *lock, unsigned long *flags)
{
	return spin_trylock_irqsave(lock, *flags);
}
