// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/backing-file.h> and what it needs of <linux/cred.h> and <linux/fs.h>. */

#include <linux/backing-file.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/shmem_fs.h>
#include <linux/uio.h>

RUST_FUSE_HELPER(const struct cred *, get_current_cred, void)
{
	return get_current_cred();
}

RUST_FUSE_HELPER(bool, capable_sys_admin, void)
{
	return capable(CAP_SYS_ADMIN);
}

/* Whether data can be read and written there in place of a file of a file system that is stacked @max_depth deep. */
RUST_FUSE_HELPER(int, backing_check, const struct file *file, unsigned int max_depth)
{
	const struct dentry *dentry = file->f_path.dentry;

	if (!d_is_reg(dentry))
		return d_is_dir(dentry) ? -EISDIR : -EINVAL;
	return file_inode(file)->i_sb->s_stack_depth >= max_depth ? -ELOOP : 0;
}

/* Flags of the user's file that fcntl(2) may have changed hold for what was opened in its place. */
RUST_FUSE_HELPER(void, backing_follow_flags, struct file *backing, unsigned int flags)
{
	unsigned int mask = O_APPEND | O_NONBLOCK | O_DIRECT;

	if (IS_APPEND(file_inode(backing)))
		mask &= ~O_APPEND;
	if (!(backing->f_mode & FMODE_CAN_ODIRECT))
		mask &= ~O_DIRECT;
	if (!((READ_ONCE(backing->f_flags) ^ flags) & mask))
		return;
	spin_lock(&backing->f_lock);
	backing->f_flags = (backing->f_flags & ~mask) | (flags & mask);
	backing->f_iocb_flags = iocb_flags(backing);
	spin_unlock(&backing->f_lock);
}

/* Files of network file systems and of FUSE that are read past the page cache have no pages, and may be read asynchronously. */
RUST_FUSE_HELPER(bool, backing_reads_at_once, struct file *backing, bool direct)
{
	struct address_space *mapping = backing->f_mapping;

	return shmem_mapping(mapping) || (!direct && READ_ONCE(mapping->nrpages));
}

/*
 * Reads for a caller who waits, or where what is read is there at once, with no control block that outlives the call. Other than
 * backing_file_read_iter() it hands the call's own flags on as they are, with no way by RWF_* flags and back, and what was
 * opened need not follow them.
 */
RUST_FUSE_HELPER(ssize_t, backing_read, struct file *backing, struct kiocb *iocb, struct iov_iter *iter, const struct cred *cred)
{
	struct kiocb own;
	ssize_t ret;

	if (iocb->ki_flags & IOCB_DIRECT && !(backing->f_mode & FMODE_CAN_ODIRECT))
		return -EINVAL;
	if (iocb->ki_flags & IOCB_NOWAIT && !(backing->f_mode & FMODE_NOWAIT))
		return -EOPNOTSUPP;
	kiocb_clone(&own, iocb, backing);
	scoped_with_creds(cred)
		ret = vfs_iocb_iter_read(backing, &own, iter);
	iocb->ki_pos = own.ki_pos;
	return ret;
}

/* What a change of the data changes: size, and the times of the last change in seconds and nanoseconds. */
RUST_FUSE_HELPER(void, backing_stamp, const struct file *file, s64 *stamp)
{
	const struct inode *inode = file_inode(file);

	stamp[0] = i_size_read(inode);
	stamp[1] = inode_get_mtime_sec(inode);
	stamp[2] = inode_get_mtime_nsec(inode);
	stamp[3] = inode_get_ctime_sec(inode);
	stamp[4] = inode_get_ctime_nsec(inode);
	stamp[5] = inode->i_blocks;
	stamp[6] = inode_get_atime_sec(inode);
	stamp[7] = inode_get_atime_nsec(inode);
}

RUST_FUSE_HELPER(bool, backing_mapped_for_writing, const struct file *file)
{
	return mapping_writably_mapped(file->f_mapping);
}

RUST_FUSE_HELPER(ssize_t, backing_splice_read, struct file *in, struct file *backing, loff_t *pos, struct pipe_inode_info *pipe, size_t len, unsigned int flags, struct backing_file_ctx *ctx)
{
	struct kiocb iocb;
	ssize_t ret;

	init_sync_kiocb(&iocb, in);
	iocb.ki_pos = *pos;
	ret = backing_file_splice_read(backing, &iocb, pipe, len, flags, ctx);
	*pos = iocb.ki_pos;
	return ret;
}
