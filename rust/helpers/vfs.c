// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/fs.h>, <linux/pagemap.h>, <linux/dcache.h>, <linux/cred.h> and <linux/slab.h>. */

#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_struct.h>
#include <linux/huge_mm.h>
#include <linux/jiffies.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#define RUST_FUSE_HELPER(ret, name, ...)	\
	ret rust_fuse_##name(__VA_ARGS__);	\
	ret rust_fuse_##name(__VA_ARGS__)

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

RUST_FUSE_HELPER(void, inode_set_atime, struct inode *inode, s64 sec, u32 nsec)
{
	inode_set_atime(inode, sec, nsec);
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

RUST_FUSE_HELPER(void, inode_ctime, const struct inode *inode, s64 *sec, u32 *nsec)
{
	*sec = inode_get_ctime_sec(inode);
	*nsec = inode_get_ctime_nsec(inode);
}

RUST_FUSE_HELPER(dev_t, new_decode_dev, u32 dev)
{
	return new_decode_dev(dev);
}

RUST_FUSE_HELPER(u32, new_encode_dev, dev_t dev)
{
	return new_encode_dev(dev);
}

RUST_FUSE_HELPER(void, mark_inode_dirty_sync, struct inode *inode)
{
	mark_inode_dirty_sync(inode);
}

RUST_FUSE_HELPER(bool, inode_unhashed, struct inode *inode)
{
	return inode_unhashed(inode);
}

RUST_FUSE_HELPER(void, ihold, struct inode *inode)
{
	ihold(inode);
}

RUST_FUSE_HELPER(bool, sb_grab_active, struct super_block *sb)
{
	return atomic_inc_not_zero(&sb->s_active);
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

RUST_FUSE_HELPER(u64, jiffies_64, void)
{
	return get_jiffies_64();
}

RUST_FUSE_HELPER(u64, nsecs_to_jiffies64, u64 n)
{
	return nsecs_to_jiffies64(n);
}

RUST_FUSE_HELPER(u64, sec_to_jiffies, u64 sec)
{
	return sec * HZ;
}

RUST_FUSE_HELPER(uid_t, current_fsuid, struct user_namespace *ns)
{
	return from_kuid(ns, current_fsuid());
}

RUST_FUSE_HELPER(gid_t, current_fsgid, struct user_namespace *ns)
{
	return from_kgid(ns, current_fsgid());
}

RUST_FUSE_HELPER(pid_t, current_pid, void)
{
	return task_pid_nr(current);
}

RUST_FUSE_HELPER(umode_t, current_umask, void)
{
	return current_umask();
}

RUST_FUSE_HELPER(uid_t, iattr_uid, struct super_block *sb, const struct iattr *attr)
{
	return from_kuid(sb->s_user_ns, attr->ia_uid);
}

RUST_FUSE_HELPER(gid_t, iattr_gid, struct super_block *sb, const struct iattr *attr)
{
	return from_kgid(sb->s_user_ns, attr->ia_gid);
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

RUST_FUSE_HELPER(bool, dir_emit, struct dir_context *ctx, const char *name, int len, u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

RUST_FUSE_HELPER(size_t, folio_size, struct folio *folio)
{
	return folio_size(folio);
}

RUST_FUSE_HELPER(loff_t, folio_pos, struct folio *folio)
{
	return folio_pos(folio);
}

/*
 * The folio at a position, made (no larger than what is written) if there is none: locked, and not being written back.
 * Waits are killable.
 */
RUST_FUSE_HELPER(struct folio *, write_begin, struct address_space *mapping, loff_t pos, size_t len)
{
	fgf_t flags = FGP_CREAT | FGP_WRITE | FGP_FOR_MMAP;
	struct folio *folio;
	int err;

	if (!offset_in_page(pos))
		flags |= fgf_set_order(len);
	for (;;) {
		folio = __filemap_get_folio(mapping, pos >> PAGE_SHIFT, flags, mapping_gfp_mask(mapping));
		if (IS_ERR(folio))
			return folio;
		err = folio_lock_killable(folio);
		if (err)
			break;
		if (folio->mapping == mapping) {
			err = folio_wait_writeback_killable(folio);
			if (!err)
				return folio;
			folio_unlock(folio);
			break;
		}
		folio_unlock(folio);
		folio_put(folio);
	}
	folio_put(folio);
	return ERR_PTR(err);
}

/*
 * Copies what is written into a folio of write_begin. A folio that is not up to date stays locked, so that nobody reads it in
 * before the server has the data. Without a byte the folio is let go.
 */
RUST_FUSE_HELPER(size_t, write_copy, struct folio *folio, loff_t pos, size_t len, struct iov_iter *iter, bool *locked)
{
	size_t copied = copy_folio_from_iter_atomic(folio, offset_in_folio(folio, pos), len, iter);

	if (!copied) {
		folio_unlock(folio);
		folio_put(folio);
		return 0;
	}
	/* What iomap tracks by blocks it finds out itself, when the folio is read. */
	if (copied == folio_size(folio) && !folio_test_private(folio))
		folio_mark_uptodate(folio);
	*locked = !folio_test_uptodate(folio);
	if (!*locked)
		folio_unlock(folio);
	return copied;
}

/* The server has what was written into a folio, or may not have it. */
RUST_FUSE_HELPER(void, write_end, struct folio *folio, bool written, bool locked)
{
	if (!written && !folio_test_dirty(folio) && !folio_test_private(folio))
		folio_clear_uptodate(folio);
	if (locked)
		folio_unlock(folio);
	folio_put(folio);
}

/* Waits until a folio that the caller has a reference to is neither read nor written back, and gives the reference up. */
RUST_FUSE_HELPER(int, folio_settle, struct folio *folio)
{
	int err = folio_wait_locked_killable(folio);

	if (!err)
		err = folio_wait_writeback_killable(folio);
	folio_put(folio);
	return err;
}

RUST_FUSE_HELPER(void *, folio_address, struct folio *folio)
{
	return folio_address(folio);
}

RUST_FUSE_HELPER(void, mapping_set_up, struct inode *inode, unsigned int max_order)
{
	mapping_set_folio_order_range(inode->i_mapping, 0, max_order);
	/* Who frees memory must not wait for a server that may be waiting for memory. */
	mapping_set_writeback_may_deadlock_on_reclaim(inode->i_mapping);
}

RUST_FUSE_HELPER(void, mapping_set_error, struct address_space *mapping, int error)
{
	mapping_set_error(mapping, error);
}

RUST_FUSE_HELPER(bool, mapping_dirty, struct address_space *mapping)
{
	return mapping_tagged(mapping, PAGECACHE_TAG_DIRTY) || mapping_tagged(mapping, PAGECACHE_TAG_WRITEBACK);
}

RUST_FUSE_HELPER(unsigned int, memalloc_nofs_save, void)
{
	return memalloc_nofs_save();
}

RUST_FUSE_HELPER(void, memalloc_nofs_restore, unsigned int flags)
{
	memalloc_nofs_restore(flags);
}

RUST_FUSE_HELPER(void, sb_start_pagefault, struct super_block *sb)
{
	sb_start_pagefault(sb);
}

RUST_FUSE_HELPER(void, sb_end_pagefault, struct super_block *sb)
{
	sb_end_pagefault(sb);
}

RUST_FUSE_HELPER(void, vma_set_dax, struct vm_area_struct *vma, const struct vm_operations_struct *ops)
{
	file_accessed(vma->vm_file);
	vma->vm_ops = ops;
	vm_flags_set(vma, VM_MIXEDMAP | VM_HUGEPAGE);
}

RUST_FUSE_HELPER(bool, vma_is_shared, const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_SHARED;
}

RUST_FUSE_HELPER(struct page *, alloc_page, void)
{
	return alloc_page(GFP_KERNEL);
}

RUST_FUSE_HELPER(void, put_page, struct page *page)
{
	put_page(page);
}

RUST_FUSE_HELPER(void *, page_address, const struct page *page)
{
	return page_address(page);
}

RUST_FUSE_HELPER(bool, iov_iter_is_write, const struct iov_iter *iter)
{
	return iov_iter_rw(iter) == WRITE;
}

RUST_FUSE_HELPER(size_t, iov_iter_count, const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

RUST_FUSE_HELPER(void, iov_iter_truncate, struct iov_iter *iter, u64 count)
{
	iov_iter_truncate(iter, count);
}

RUST_FUSE_HELPER(void, iov_iter_reexpand, struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

RUST_FUSE_HELPER(int, fs_context_purpose, const struct fs_context *fc)
{
	return fc->purpose;
}

RUST_FUSE_HELPER(int, fs_parameter_type, const struct fs_parameter *param)
{
	return param->type;
}

RUST_FUSE_HELPER(bool, iov_iter_pins, const struct iov_iter *iter)
{
	return iov_iter_extract_will_pin(iter);
}

RUST_FUSE_HELPER(bool, iov_iter_is_bvec, const struct iov_iter *iter)
{
	return iov_iter_is_bvec(iter);
}

/* The memory of another device (a DAX window) is none for ours. */
RUST_FUSE_HELPER(bool, page_reachable, const struct page *page)
{
	return !is_zone_device_page(page);
}

/*
 * Gives back what iov_iter_extract_bvecs pinned. The folio of a file is made dirty under its lock, if that is free: who waits
 * for it here may keep the one who has it from going on.
 */
RUST_FUSE_HELPER(void, unpin_bvec, const struct bio_vec *bv, bool dirty)
{
	struct folio *folio = page_folio(bv->bv_page);

	if (dirty && !folio_test_dirty(folio)) {
		if (folio_test_anon(folio)) {
			folio_mark_dirty(folio);
		} else if (folio_trylock(folio)) {
			folio_mark_dirty(folio);
			folio_unlock(folio);
		}
	}
	unpin_user_folio(folio, DIV_ROUND_UP(bv->bv_offset % PAGE_SIZE + bv->bv_len, PAGE_SIZE));
}

RUST_FUSE_HELPER(bool, is_sync_kiocb, struct kiocb *iocb)
{
	return is_sync_kiocb(iocb);
}

RUST_FUSE_HELPER(void, iocb_complete, struct kiocb *iocb, long result)
{
	iocb->ki_complete(iocb, result);
}

RUST_FUSE_HELPER(unsigned int, iocb_sync_flags, const struct kiocb *iocb)
{
	return (iocb_is_dsync(iocb) ? O_DSYNC : 0) | (iocb->ki_flags & IOCB_SYNC ? O_SYNC : 0);
}

RUST_FUSE_HELPER(ssize_t, generic_write_sync, struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
}

RUST_FUSE_HELPER(void, cond_resched, void)
{
	cond_resched();
}

RUST_FUSE_HELPER(struct dentry *, dget, struct dentry *dentry)
{
	return dget(dentry);
}

RUST_FUSE_HELPER(struct address_space *, folio_mapping, struct folio *folio)
{
	return folio->mapping;
}

/* Whether the task ends because it was killed: the signal itself is gone by then, so killable waits do not see it. */
RUST_FUSE_HELPER(bool, dying, void)
{
	return (current->flags & PF_EXITING) && (current->signal->flags & SIGNAL_GROUP_EXIT) &&
	       current->signal->group_exit_code == SIGKILL;
}

/* No signal wakes a task that is past a certain point of its end. */
RUST_FUSE_HELPER(bool, exiting, void)
{
	return current->flags & PF_EXITING;
}

/* The process was killed, if only while it was already ending by itself. */
RUST_FUSE_HELPER(bool, killed, void)
{
	return sigismember(&current->signal->shared_pending.signal, SIGKILL) ||
	       sigismember(&current->pending.signal, SIGKILL);
}

RUST_FUSE_HELPER(bool, ratelimit, void)
{
	static DEFINE_RATELIMIT_STATE(state, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&state);
}

RUST_FUSE_HELPER(void, kmem_cache_destroy, struct kmem_cache *cache)
{
	kmem_cache_destroy(cache);
}

RUST_FUSE_HELPER(void, pagefault_disable, void)
{
	pagefault_disable();
}

RUST_FUSE_HELPER(void, pagefault_enable, void)
{
	pagefault_enable();
}

RUST_FUSE_HELPER(bool, d_in_lookup, const struct dentry *dentry)
{
	return d_in_lookup(dentry);
}

RUST_FUSE_HELPER(struct folio *, lock_folio, struct address_space *mapping, pgoff_t index, bool create)
{
	struct folio *folio = __filemap_get_folio(mapping, index, FGP_LOCK | FGP_ACCESSED | (create ? FGP_CREAT : 0), mapping_gfp_mask(mapping));

	return IS_ERR(folio) ? NULL : folio;
}

RUST_FUSE_HELPER(void, unlock_folio, struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

RUST_FUSE_HELPER(bool, folio_test_uptodate, const struct folio *folio)
{
	return folio_test_uptodate(folio);
}

RUST_FUSE_HELPER(void, folio_mark_uptodate, struct folio *folio)
{
	folio_mark_uptodate(folio);
}

/* dput() is faster without the flag. A race gives either state. */
RUST_FUSE_HELPER(void, d_set_delete, struct dentry *dentry, bool on)
{
	if (on == !!(READ_ONCE(dentry->d_flags) & DCACHE_OP_DELETE))
		return;
	spin_lock(&dentry->d_lock);
	if (on)
		dentry->d_flags |= DCACHE_OP_DELETE;
	else
		dentry->d_flags &= ~DCACHE_OP_DELETE;
	spin_unlock(&dentry->d_lock);
}

RUST_FUSE_HELPER(void, d_lookup_done, struct dentry *dentry)
{
	d_lookup_done(dentry);
}

RUST_FUSE_HELPER(ssize_t, splice_copy_file_range, struct file *in, loff_t pos_in, struct file *out, loff_t pos_out, size_t len)
{
	return splice_copy_file_range(in, pos_in, out, pos_out, len);
}

RUST_FUSE_HELPER(int, file_modified, struct file *file)
{
	return file_modified(file);
}

RUST_FUSE_HELPER(bool, vma_may_share, const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_MAYSHARE;
}

RUST_FUSE_HELPER(void, vma_set_cached, struct vm_area_struct *vma, const struct vm_operations_struct *ops)
{
	file_accessed(vma->vm_file);
	vma->vm_ops = ops;
}

RUST_FUSE_HELPER(bool, vma_may_write, const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_MAYWRITE;
}

RUST_FUSE_HELPER(bool, in_x32_syscall, void)
{
#ifdef CONFIG_X86_X32_ABI
	return in_x32_syscall();
#else
	return false;
#endif
}
