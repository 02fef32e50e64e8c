// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/pipe_fs_i.h>: buffers of pipes, and pages that move from there into a page cache. */

#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>
#include <linux/swap.h>

/* The buffer of a locked pipe that is read after @n others; NULL where there is none. */
RUST_FUSE_HELPER(struct pipe_buffer *, pipe_nth, struct pipe_inode_info *pipe, unsigned int n)
{
	return n < pipe_occupancy(pipe->head, pipe->tail) ? pipe_buf(pipe, pipe->tail + n) : NULL;
}

/* Takes the first buffer out of a locked pipe. What it refers to is the caller's. */
RUST_FUSE_HELPER(void, pipe_take_first, struct pipe_inode_info *pipe)
{
	pipe_buf(pipe, pipe->tail)->ops = NULL;
	pipe->tail++;
}

RUST_FUSE_HELPER(bool, pipe_buf_get, struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_get(pipe, buf);
}

RUST_FUSE_HELPER(int, pipe_buf_confirm, struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	return pipe_buf_confirm(pipe, buf);
}

RUST_FUSE_HELPER(void, pipe_buf_release, struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	pipe_buf_release(pipe, buf);
}

/* Has those who write to a locked pipe look for room. */
RUST_FUSE_HELPER(void, pipe_wake_writers, struct pipe_inode_info *pipe)
{
	if (waitqueue_active(&pipe->wr_wait))
		wake_up_interruptible(&pipe->wr_wait);
	kill_fasync(&pipe->fasync_writers, SIGIO, POLL_OUT);
}

/* What may be said of a page that is about to begin a new life, besides being up to date. */
#define HARMLESS (BIT(PG_locked) | BIT(PG_referenced) | BIT(PG_uptodate) | BIT(PG_lru) | BIT(PG_active) | \
		  BIT(PG_workingset) | BIT(PG_reclaim) | BIT(PG_waiters) | BIT(PG_mappedtodisk) | \
		  LRU_GEN_MASK | LRU_REFS_MASK)

/*
 * Takes the page of a confirmed buffer, if it is a single one, is nobody else's, and has nothing about it that a new page of a
 * file has not. It is locked then, not up to date, and its reference stays that of the buffer. Else NULL, and the buffer can
 * still be copied.
 */
RUST_FUSE_HELPER(struct folio *, pipe_buf_steal, struct pipe_inode_info *pipe, struct pipe_buffer *buf)
{
	struct folio *folio = page_folio(buf->page);

	/*
	 * Taking it may cost its owner something, so what can be seen before is. Memory of processes stays anonymous. A page that is
	 * locked or written back may wait for the very server that sends it, where nothing but the end of the session would help.
	 */
	if (folio_test_large(folio) || folio_test_anon(folio) || folio_mapped(folio) || folio_test_dirty(folio) ||
	    folio_test_locked(folio) || folio_test_writeback(folio) || folio_is_zone_device(folio))
		return NULL;
	if (!pipe_buf_try_steal(pipe, buf))
		return NULL;
	if (folio->mapping || folio_mapped(folio) || folio_ref_count(folio) != 1 || PageHWPoison(&folio->page) ||
	    (folio->flags.f & PAGE_FLAGS_CHECK_AT_PREP & ~HARMLESS)) {
		folio_unlock(folio);
		return NULL;
	}
	folio_clear_uptodate(folio);
	folio_clear_mappedtodisk(folio);
	return folio;
}

/* Whether another page can take the place of this one, which is locked to be read. */
RUST_FUSE_HELPER(bool, folio_exchangeable, struct folio *folio)
{
	return !folio_test_large(folio) && !folio_test_private(folio) && !folio_test_uptodate(folio) &&
	       !folio_mapped(folio) && !folio_test_dirty(folio) && !folio_test_writeback(folio) &&
	       !folio_test_mlocked(folio) && !folio_test_hwpoison(folio);
}

/* Puts @new into the place of @old, both locked. What marks where the next pages are to be read ahead stays in its place. */
RUST_FUSE_HELPER(void, folio_exchange, struct folio *old, struct folio *new, bool listed)
{
	folio_get(old);
	if (folio_test_readahead(old))
		folio_set_readahead(new);
	else
		folio_clear_readahead(new);
	replace_page_cache_folio(old, new);
	if (!listed)
		folio_add_lru(new);
	folio_unlock(old);
	folio_put(old);
}
