// SPDX-License-Identifier: GPL-2.0
/* The module's parameters, for <linux/moduleparam.h>. */

#include <linux/mm.h>
#include <linux/moduleparam.h>

/* Bytes of memory for each request that an unprivileged server may have waiting. */
#define RUST_FUSE_BYTES_PER_REQUEST (392UL << 13)

static unsigned int rust_fuse_param_bgreq;
static unsigned int rust_fuse_param_congthresh;

/* 0 stands for what the memory allows. */
static unsigned int rust_fuse_param_bounded(unsigned int value)
{
	unsigned long most = value ?: (totalram_pages() << PAGE_SHIFT) / RUST_FUSE_BYTES_PER_REQUEST;

	return min(most, (unsigned long)U16_MAX);
}

static int rust_fuse_param_set(const char *text, const struct kernel_param *param)
{
	int error = param_set_uint(text, param);

	if (!error)
		*(unsigned int *)param->arg = rust_fuse_param_bounded(*(unsigned int *)param->arg);
	return error;
}

static int rust_fuse_param_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%u\n", rust_fuse_param_bounded(*(unsigned int *)param->arg));
}

static const struct kernel_param_ops rust_fuse_param_ops = {
	.set = rust_fuse_param_set,
	.get = rust_fuse_param_get,
};

module_param_cb(max_user_bgreq, &rust_fuse_param_ops, &rust_fuse_param_bgreq, 0644);
__MODULE_PARM_TYPE(max_user_bgreq, "uint");
MODULE_PARM_DESC(max_user_bgreq, "most requests without anybody waiting that an unprivileged server may ask for");
module_param_cb(max_user_congthresh, &rust_fuse_param_ops, &rust_fuse_param_congthresh, 0644);
__MODULE_PARM_TYPE(max_user_congthresh, "uint");
MODULE_PARM_DESC(max_user_congthresh, "highest congestion threshold that an unprivileged server may ask for");

RUST_FUSE_HELPER(unsigned int, max_user_bgreq, void)
{
	return rust_fuse_param_bounded(READ_ONCE(rust_fuse_param_bgreq));
}

RUST_FUSE_HELPER(unsigned int, max_user_congthresh, void)
{
	return rust_fuse_param_bounded(READ_ONCE(rust_fuse_param_congthresh));
}

static bool rust_fuse_param_sys_admin;
module_param_named(allow_sys_admin_access, rust_fuse_param_sys_admin, bool, 0644);
MODULE_PARM_DESC(allow_sys_admin_access, "let administrators use every mount, also those that did not allow others");

static unsigned int rust_fuse_param_inval;

static int rust_fuse_param_inval_set(const char *text, const struct kernel_param *param)
{
	unsigned int seconds;
	int error = kstrtouint(text, 0, &seconds);

	if (error)
		return error;
	if (seconds > U16_MAX || (seconds && seconds < 5))
		return -EINVAL;
	WRITE_ONCE(rust_fuse_param_inval, seconds);
	return 0;
}

static const struct kernel_param_ops rust_fuse_param_inval_ops = {
	.set = rust_fuse_param_inval_set,
	.get = param_get_uint,
};

module_param_cb(inval_wq, &rust_fuse_param_inval_ops, &rust_fuse_param_inval, 0644);
__MODULE_PARM_TYPE(inval_wq, "uint");
MODULE_PARM_DESC(inval_wq, "seconds between searches for names that are not believed any more, 5 at least; 0: none");

RUST_FUSE_HELPER(unsigned int, inval_wq, void)
{
	return READ_ONCE(rust_fuse_param_inval);
}

RUST_FUSE_HELPER(bool, allow_sys_admin_access, void)
{
	return READ_ONCE(rust_fuse_param_sys_admin);
}
