// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/xarray.h>: arrays of numbers, and the lock of any array. */

#include <linux/xarray.h>

void rust_fuse_xa_init(struct xarray *xa);
void rust_fuse_xa_init(struct xarray *xa)
{
	xa_init_flags(xa, XA_FLAGS_ACCOUNT);
}

void rust_fuse_xa_end(struct xarray *xa);
void rust_fuse_xa_end(struct xarray *xa)
{
	/* The lock is not for softirqs, where inodes are freed; then there is nothing to free here any more. */
	if (!xa_empty(xa))
		xa_destroy(xa);
}

bool rust_fuse_xa_get(struct xarray *xa, unsigned long index, unsigned long *value);
bool rust_fuse_xa_get(struct xarray *xa, unsigned long index, unsigned long *value)
{
	void *entry = xa_load(xa, index);

	if (!entry)
		return false;
	*value = xa_to_value(entry);
	return true;
}

int rust_fuse_xa_insert(struct xarray *xa, unsigned long index, unsigned long value);
int rust_fuse_xa_insert(struct xarray *xa, unsigned long index, unsigned long value)
{
	return xa_insert(xa, index, xa_mk_value(value), GFP_KERNEL);
}

bool rust_fuse_xa_remove(struct xarray *xa, unsigned long index, unsigned long value);
bool rust_fuse_xa_remove(struct xarray *xa, unsigned long index, unsigned long value)
{
	void *entry = xa_mk_value(value);

	return xa_cmpxchg(xa, index, entry, NULL, 0) == entry;
}

bool rust_fuse_xa_next(struct xarray *xa, unsigned long *index, unsigned long *value);
bool rust_fuse_xa_next(struct xarray *xa, unsigned long *index, unsigned long *value)
{
	void *entry = xa_find(xa, index, ULONG_MAX, XA_PRESENT);

	if (!entry)
		return false;
	*value = xa_to_value(entry);
	return true;
}

void rust_fuse_xa_lock_irq(struct xarray *xa);
void rust_fuse_xa_lock_irq(struct xarray *xa)
{
	xa_lock_irq(xa);
}

void rust_fuse_xa_unlock_irq(struct xarray *xa);
void rust_fuse_xa_unlock_irq(struct xarray *xa)
{
	xa_unlock_irq(xa);
}
