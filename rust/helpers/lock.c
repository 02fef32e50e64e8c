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

RUST_FUSE_HELPER(pid_t, current_tgid, void)
{
	return task_tgid_nr(current);
}

RUST_FUSE_HELPER(bool, pid_is_known, pid_t pid)
{
	guard(rcu)();
	return find_pid_ns(pid, &init_pid_ns);
}

RUST_FUSE_HELPER(const void *, current_files, void)
{
	return current->files;
}

RUST_FUSE_HELPER(u64, random_u64, void)
{
	return get_random_u64();
}
