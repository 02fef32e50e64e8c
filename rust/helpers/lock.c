// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/filelock.h>, <linux/pid.h> and <linux/random.h>. */

#include <linux/filelock.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/random.h>

RUST_FUSE_HELPER(bool, lock_is_async, const struct file_lock *fl)
{
	return fl->fl_lmops && fl->fl_lmops->lm_grant;
}

RUST_FUSE_HELPER(int, locks_lock_file_wait, struct file *file, struct file_lock *fl)
{
	return locks_lock_file_wait(file, fl);
}

/* The current thread and process as @ns knows them, 0 when it does not. */
RUST_FUSE_HELPER(pid_t, current_pid, struct pid_namespace *ns)
{
	return pid_nr_ns(task_pid(current), ns);
}

RUST_FUSE_HELPER(pid_t, current_tgid, struct pid_namespace *ns)
{
	return pid_nr_ns(task_tgid(current), ns);
}

/* What process @pid of @ns is in the initial namespace, 0 when there is none. */
RUST_FUSE_HELPER(pid_t, initial_pid, pid_t pid, struct pid_namespace *ns)
{
	guard(rcu)();
	return pid_nr_ns(find_pid_ns(pid, ns), &init_pid_ns);
}

RUST_FUSE_HELPER(const void *, current_files, void)
{
	return current->files;
}

RUST_FUSE_HELPER(u64, random_u64, void)
{
	return get_random_u64();
}
