// SPDX-License-Identifier: GPL-2.0
/*
 * Lock classes for file systems of one type that are stacked on each other, for <linux/lockdep.h>. A write goes through the upper
 * one to the lower one and takes the same locks of both; those of different depth are different locks to lockdep.
 */

#include <linux/fs.h>
#include <linux/lockdep.h>

static struct lock_class_key rust_fuse_writers_key[FILESYSTEM_MAX_STACK_DEPTH][SB_FREEZE_LEVELS];
static struct lock_class_key rust_fuse_inode_key[FILESYSTEM_MAX_STACK_DEPTH];

/* Sets how deep @sb is stacked. */
RUST_FUSE_HELPER(void, set_stack_depth, struct super_block *sb, int depth)
{
	int i;

	WRITE_ONCE(sb->s_stack_depth, depth);
	if (depth < 1 || depth > FILESYSTEM_MAX_STACK_DEPTH)
		return;
	for (i = 0; i < SB_FREEZE_LEVELS; i++)
		lockdep_set_class_and_name(&sb->s_writers.rw_sem[i], &rust_fuse_writers_key[depth - 1][i], "stacked sb_writers");
}

/* @inode, a file's, is new. */
RUST_FUSE_HELPER(void, stacked_inode, struct inode *inode)
{
	int depth = READ_ONCE(inode->i_sb->s_stack_depth);

	if (depth >= 1 && depth <= FILESYSTEM_MAX_STACK_DEPTH)
		lockdep_set_class_and_name(&inode->i_rwsem, &rust_fuse_inode_key[depth - 1], "stacked i_rwsem");
}
