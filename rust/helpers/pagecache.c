// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/dcache.h>, <linux/pagemap.h> and <linux/writeback.h>: what becomes of names and cached data. */

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/pagemap.h>
#include <linux/stringhash.h>
#include <linux/writeback.h>

RUST_FUSE_HELPER(bool, d_mountpoint, const struct dentry *dentry)
{
	return d_mountpoint(dentry);
}

RUST_FUSE_HELPER(void, dont_mount, struct dentry *dentry)
{
	dont_mount(dentry);
}

RUST_FUSE_HELPER(struct dentry *, d_lookup, struct dentry *dir, const char *name, unsigned int len)
{
	struct qstr q = QSTR_INIT(name, len);

	q.hash = full_name_hash(dir, name, len);
	return d_lookup(dir, &q);
}

RUST_FUSE_HELPER(void, inode_set_dead, struct inode *inode)
{
	inode_set_flags(inode, S_DEAD, S_DEAD);
}

/*
 * Copies into the folio at @pos, which is made if there is none, as much of @len bytes as it holds. With @ends the file ends
 * behind them, so the rest of the folio reads as zeroes.
 */
RUST_FUSE_HELPER(long, store_folio, struct address_space *mapping, loff_t pos, const void *from, size_t len, bool ends)
{
	struct folio *folio = filemap_grab_folio(mapping, pos >> PAGE_SHIFT);
	size_t offset, size;

	if (IS_ERR(folio))
		return PTR_ERR(folio);
	offset = offset_in_folio(folio, pos);
	size = folio_size(folio);
	len = min(len, size - offset);
	memcpy_to_folio(folio, offset, from, len);
	/* What iomap tracks by blocks it finds out itself, when the folio is read. */
	if (!folio_test_uptodate(folio) && !folio_test_private(folio) && !offset && (ends || len == size)) {
		folio_zero_segment(folio, len, size);
		folio_mark_uptodate(folio);
	}
	folio_unlock(folio);
	folio_put(folio);
	return len;
}

/* Copies up to @len bytes from the folio at @pos, if it is there and up to date. */
RUST_FUSE_HELPER(size_t, retrieve_folio, struct address_space *mapping, loff_t pos, void *to, size_t len)
{
	struct folio *folio = filemap_get_folio(mapping, pos >> PAGE_SHIFT);
	size_t offset;

	if (IS_ERR(folio))
		return 0;
	if (folio_test_uptodate(folio)) {
		offset = offset_in_folio(folio, pos);
		len = min(len, folio_size(folio) - offset);
		memcpy_from_folio(to, folio, offset, len);
	} else {
		len = 0;
	}
	folio_put(folio);
	return len;
}

/*
 * How many of the @len bytes at @offset of the folio are up to date, in whole blocks; where the first are not, how many are
 * not, as a negative number.
 */
RUST_FUSE_HELPER(long, folio_valid, struct folio *folio, size_t offset, size_t len)
{
	size_t block = i_blocksize(folio->mapping->host), n;
	bool valid;

	/* Without state of blocks it is valid as a whole: else it would not be dirty. */
	if (folio_test_uptodate(folio) || !folio_test_private(folio))
		return len;
	valid = iomap_is_partially_uptodate(folio, offset, min(block, len));
	for (n = block; n < len; n += block)
		if (iomap_is_partially_uptodate(folio, offset + n, min(block, len - n)) != valid)
			break;
	n = min(n, len);
	return valid ? n : -(long)n;
}

/*
 * Has what is dirty in [@start, @end] written. Other than filemap_fdatawrite_range() it waits for no page: what is being
 * written already is left out. That it is for a sync distinguishes it from the flusher, which may be refused.
 */
RUST_FUSE_HELPER(int, write_range, struct address_space *mapping, loff_t start, loff_t end)
{
	struct writeback_control wbc = {
		.sync_mode = WB_SYNC_NONE,
		.for_sync = 1,
		.nr_to_write = LONG_MAX,
		.range_start = start,
		.range_end = end,
	};
	int r;

	if (!mapping->a_ops->writepages || !mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		return 0;
	wbc_attach_fdatawrite_inode(&wbc, mapping->host);
	r = mapping->a_ops->writepages(mapping, &wbc);
	wbc_detach_inode(&wbc);
	return r;
}
