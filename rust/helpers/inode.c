// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/fs.h> and <linux/slab.h>: inodes, their locks, their memory. */

#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

RUST_FUSE_HELPER(loff_t, i_size_read, const struct inode *inode)
{
	return i_size_read(inode);
}

RUST_FUSE_HELPER(void, i_size_write, struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

RUST_FUSE_HELPER(void, i_uid_write, struct inode *inode, uid_t uid)
{
	i_uid_write(inode, uid);
}

RUST_FUSE_HELPER(void, i_gid_write, struct inode *inode, gid_t gid)
{
	i_gid_write(inode, gid);
}

RUST_FUSE_HELPER(void, inode_set_times, struct inode *inode, s64 msec, u32 mnsec, s64 csec, u32 cnsec)
{
	inode_set_mtime(inode, msec, mnsec);
	inode_set_ctime(inode, csec, cnsec);
}

RUST_FUSE_HELPER(void, inode_mtime, const struct inode *inode, s64 *sec, u32 *nsec)
{
	*sec = inode_get_mtime_sec(inode);
	*nsec = inode_get_mtime_nsec(inode);
}

RUST_FUSE_HELPER(dev_t, new_decode_dev, u32 dev)
{
	return new_decode_dev(dev);
}

RUST_FUSE_HELPER(u32, new_encode_dev, dev_t dev)
{
	return new_encode_dev(dev);
}

RUST_FUSE_HELPER(void, ihold, struct inode *inode)
{
	ihold(inode);
}

/*
 * Gives up a reference. It may belong to I/O that the flusher has just begun, and failed to begin: the flusher would wait
 * for itself if it ended the inode. The inode then stays, without users, until somebody uses it or its pages go.
 */
RUST_FUSE_HELPER(void, iput_not_writing, struct inode *inode)
{
	if (atomic_add_unless(&inode->i_count, -1, 1))
		return;
	spin_lock(&inode->i_lock);
	if (inode_state_read(inode) & I_SYNC) {
		atomic_dec(&inode->i_count);
		spin_unlock(&inode->i_lock);
		return;
	}
	spin_unlock(&inode->i_lock);
	iput(inode);
}

RUST_FUSE_HELPER(void, inode_list_lock, struct super_block *sb)
{
	spin_lock(&sb->s_inode_list_lock);
}

RUST_FUSE_HELPER(void, inode_list_unlock, struct super_block *sb)
{
	spin_unlock(&sb->s_inode_list_lock);
}

RUST_FUSE_HELPER(bool, inode_is_new, struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

RUST_FUSE_HELPER(void, inode_lock, struct inode *inode)
{
	inode_lock(inode);
}

RUST_FUSE_HELPER(int, inode_lock_killable, struct inode *inode)
{
	return down_write_killable(&inode->i_rwsem);
}

RUST_FUSE_HELPER(void, inode_unlock, struct inode *inode)
{
	inode_unlock(inode);
}

RUST_FUSE_HELPER(int, inode_lock_shared_killable, struct inode *inode)
{
	return down_read_killable(&inode->i_rwsem);
}

RUST_FUSE_HELPER(bool, inode_trylock, struct inode *inode)
{
	return inode_trylock(inode);
}

RUST_FUSE_HELPER(bool, inode_trylock_shared, struct inode *inode)
{
	return inode_trylock_shared(inode);
}

RUST_FUSE_HELPER(void, inode_unlock_shared, struct inode *inode)
{
	inode_unlock_shared(inode);
}

RUST_FUSE_HELPER(void, filemap_invalidate_lock, struct inode *inode)
{
	filemap_invalidate_lock(inode->i_mapping);
}

RUST_FUSE_HELPER(int, filemap_invalidate_lock_killable, struct inode *inode)
{
	return down_write_killable(&inode->i_mapping->invalidate_lock);
}

RUST_FUSE_HELPER(void, filemap_invalidate_unlock, struct inode *inode)
{
	filemap_invalidate_unlock(inode->i_mapping);
}

RUST_FUSE_HELPER(int, filemap_invalidate_lock_shared_killable, struct inode *inode)
{
	return down_read_killable(&inode->i_mapping->invalidate_lock);
}

RUST_FUSE_HELPER(void, filemap_invalidate_lock_shared, struct inode *inode)
{
	filemap_invalidate_lock_shared(inode->i_mapping);
}

RUST_FUSE_HELPER(void, filemap_invalidate_unlock_shared, struct inode *inode)
{
	filemap_invalidate_unlock_shared(inode->i_mapping);
}

RUST_FUSE_HELPER(struct kmem_cache *, inode_cache_create, const char *name, unsigned int size, unsigned int align, void (*ctor)(void *))
{
	struct kmem_cache_args args = {
		.align = align,
		.ctor = ctor,
	};

	return kmem_cache_create(name, size, &args, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT);
}

RUST_FUSE_HELPER(void *, alloc_inode_sb, struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

RUST_FUSE_HELPER(void, kfree, const void *p)
{
	kfree(p);
}

RUST_FUSE_HELPER(void, rcu_barrier, void)
{
	rcu_barrier();
}

RUST_FUSE_HELPER(void, kmem_cache_destroy, struct kmem_cache *cache)
{
	kmem_cache_destroy(cache);
}

RUST_FUSE_HELPER(void, mark_inode_dirty_sync, struct inode *inode)
{
	mark_inode_dirty_sync(inode);
}

RUST_FUSE_HELPER(void, inode_set_nosec, struct inode *inode)
{
	inode_set_flags(inode, S_NOSEC, S_NOSEC);
}
