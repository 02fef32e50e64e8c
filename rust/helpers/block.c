// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/blkdev.h> and <linux/backing-dev.h>: super blocks on block devices, and how much may be dirty. */

#include <linux/backing-dev.h>
#include <linux/blkdev.h>
#include <linux/fs.h>

/*
 * Gives @sb a backing device of its own, named by its number; also one on a block device, which has that device's until then.
 * @strict: its users are held up early, as nobody knows when what they write is written back.
 */
RUST_FUSE_HELPER(int, setup_bdi, struct super_block *sb, bool block, bool strict)
{
	int err;

	if (block) {
		bdi_put(sb->s_bdi);
		sb->s_bdi = &noop_backing_dev_info;
	}
	err = super_setup_bdi_name(sb, "%u:%u%s", MAJOR(sb->s_dev), MINOR(sb->s_dev), block ? "-fuseblk" : "");
	if (err || !strict)
		return err;
	sb->s_bdi->capabilities |= BDI_CAP_STRICTLIMIT;
	bdi_set_max_ratio(sb->s_bdi, 1);
	return 0;
}

RUST_FUSE_HELPER(int, sb_set_blocksize, struct super_block *sb, int size)
{
	return sb_set_blocksize(sb, size);
}
