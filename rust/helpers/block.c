// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/blkdev.h> and <linux/backing-dev.h>: super blocks on block devices. */

#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/fs.h>

/* Gives @sb a backing device of its own, named by its number; also one on a block device, which has that device's until then. */
RUST_FUSE_HELPER(int, setup_bdi, struct super_block *sb)
{
	if (sb->s_bdev) {
		bdi_put(sb->s_bdi);
		sb->s_bdi = &noop_backing_dev_info;
	}
	return super_setup_bdi_name(sb, "%u:%u%s", MAJOR(sb->s_dev), MINOR(sb->s_dev), sb->s_bdev ? "-fuseblk" : "");
}

RUST_FUSE_HELPER(int, sb_set_blocksize, struct super_block *sb, int size)
{
	return sb_set_blocksize(sb, size);
}
