// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/pagemap.h>, <linux/uio.h>, <linux/mm.h> and what open files need of <linux/fs.h>. */

#include <linux/aio.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/jiffies.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

RUST_FUSE_HELPER(void, inode_set_atime, struct inode *inode, s64 sec, u32 nsec)
{
	inode_set_atime(inode, sec, nsec);
}

RUST_FUSE_HELPER(void, inode_ctime, const struct inode *inode, s64 *sec, u32 *nsec)
{
	*sec = inode_get_ctime_sec(inode);
	*nsec = inode_get_ctime_nsec(inode);
}

RUST_FUSE_HELPER(bool, inode_unhashed, struct inode *inode)
{
	return inode_unhashed(inode);
}

RUST_FUSE_HELPER(u64, jiffies_64, void)
{
	return get_jiffies_64();
}

RUST_FUSE_HELPER(u64, to_jiffies, u32 sec, u32 nsec)
{
	return (u64)sec * HZ + (nsec ? nsecs_to_jiffies64(nsec) : 0);
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

/* Whether it is neither, without waiting; gives the reference up. */
RUST_FUSE_HELPER(bool, folio_is_settled, struct folio *folio)
{
	bool settled = !folio_test_locked(folio) && !folio_test_writeback(folio);

	folio_put(folio);
	return settled;
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

/* As many pages as there are, up to @n, into @pages, which is empty. */
RUST_FUSE_HELPER(void, alloc_pages, unsigned long n, struct page **pages)
{
	alloc_pages_bulk(GFP_KERNEL, n, pages);
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
 * Gives back what iov_iter_extract_pages pinned, in pieces of pages side by side. The folio of a file is made dirty under its
 * lock, if that is free: who waits for it here may keep the one who has it from going on.
 */
RUST_FUSE_HELPER(void, unpin_bvecs, const struct bio_vec *bv, size_t count, bool dirty)
{
	for (; count; count--, bv++) {
		unsigned long left = DIV_ROUND_UP(bv->bv_offset + bv->bv_len, PAGE_SIZE);
		struct page *page = bv->bv_page;

		while (left) {
			struct folio *folio = page_folio(page);
			unsigned long n = 1;

			if (left > 1)
				n = min(left, folio_nr_pages(folio) - folio_page_idx(folio, page));
			if (dirty && !folio_test_dirty(folio)) {
				if (folio_test_anon(folio)) {
					folio_mark_dirty(folio);
				} else if (folio_trylock(folio)) {
					folio_mark_dirty(folio);
					folio_unlock(folio);
				}
			}
			unpin_user_folio(folio, n);
			page += n;
			left -= n;
		}
	}
}

/* The cached name in @dir that follows @last, which was the one before; the first one without it. It is counted. */
RUST_FUSE_HELPER(struct dentry *, next_child, struct dentry *dir, struct dentry *last)
{
	struct dentry *child = NULL;

	spin_lock(&dir->d_lock);
	if (!last)
		child = d_first_child(dir);
	else if (last->d_parent == dir)
		child = d_next_sibling(last);
	while (child) {
		bool found;

		spin_lock_nested(&child->d_lock, DENTRY_D_LOCK_NESTED);
		found = !(child->d_flags & DCACHE_DENTRY_CURSOR) && (int)child->d_lockref.count >= 0;
		if (found)
			dget_dlock(child);
		spin_unlock(&child->d_lock);
		if (found)
			break;
		child = d_next_sibling(child);
	}
	spin_unlock(&dir->d_lock);
	return child;
}

RUST_FUSE_HELPER(void, cond_resched, void)
{
	cond_resched();
}

RUST_FUSE_HELPER(bool, is_sync_kiocb, struct kiocb *iocb)
{
	return is_sync_kiocb(iocb);
}

RUST_FUSE_HELPER(void, iocb_complete, struct kiocb *iocb, long result)
{
	iocb->ki_complete(iocb, result);
}

/* The memory map of the task whose libaio call this is, with one count more; NULL for calls of other kinds. */
RUST_FUSE_HELPER(struct mm_struct *, iocb_mm, const struct kiocb *iocb)
{
	if (!(iocb->ki_flags & IOCB_AIO_RW) || !current->mm)
		return NULL;
	mmgrab(current->mm);
	return current->mm;
}

RUST_FUSE_HELPER(void, iocb_arm, struct kiocb *iocb, void *private, kiocb_cancel_fn *cancel)
{
	iocb->private = private;
	kiocb_set_cancel_fn(iocb, cancel);
}

/* Whether every process is gone that had the map. */
RUST_FUSE_HELPER(bool, mm_is_unused, const struct mm_struct *mm)
{
	return !atomic_read(&mm->mm_users);
}

RUST_FUSE_HELPER(void, mmdrop, struct mm_struct *mm)
{
	mmdrop(mm);
}

RUST_FUSE_HELPER(unsigned int, iocb_sync_flags, const struct kiocb *iocb)
{
	return (iocb_is_dsync(iocb) ? O_DSYNC : 0) | (iocb->ki_flags & IOCB_SYNC ? O_SYNC : 0);
}

RUST_FUSE_HELPER(ssize_t, generic_write_sync, struct kiocb *iocb, ssize_t count)
{
	return generic_write_sync(iocb, count);
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

RUST_FUSE_HELPER(void, pagefault_disable, void)
{
	pagefault_disable();
}

RUST_FUSE_HELPER(void, pagefault_enable, void)
{
	pagefault_enable();
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
