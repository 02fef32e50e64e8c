// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/workqueue.h>. */

#include <linux/workqueue.h>

struct workqueue_struct *rust_fuse_alloc_workqueue(const char *name);
struct workqueue_struct *rust_fuse_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0, name);
}

void rust_fuse_flush_workqueue(struct workqueue_struct *wq);
void rust_fuse_flush_workqueue(struct workqueue_struct *wq)
{
	flush_workqueue(wq);
}

RUST_FUSE_HELPER(void, init_delayed_work, struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

RUST_FUSE_HELPER(void, queue_delayed_work, struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(system_dfl_long_wq, work, delay);
}
