// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/fs.h>, <linux/pagemap.h>, <linux/dcache.h> and <linux/seq_file.h>. */

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

loff_t rust_fuse_i_size_read(const struct inode *inode);
loff_t rust_fuse_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}
