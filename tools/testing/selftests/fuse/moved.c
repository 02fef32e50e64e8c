// SPDX-License-Identifier: GPL-2.0
/*
 * Answers to READ whose pages move from a pipe into the page cache. That a page moved is seen by its number: in /proc/self/pagemap of
 * the server, where it maps its file, and in that of the test, where it maps the file that is served.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "moved.h"

/* Has the file read, in a mapping, and says how many of its pages are those that the server had. */
static int read_it(struct __test_metadata *_metadata, FIXTURE_DATA(moved) *self, enum way way)
{
	struct server *v = &self->v;
	size_t shift = way == SHIFTED ? 100 : 0, len = way == SHIFTED ? LEN - PAGE : LEN;
	const char *want = self->v.s->data + shift;
	int fd, same = 0;
	char *map;

	if (way == SHORT)
		self->v.s->size = LEN - PAGE / 2;
	if (way == SHIFTED)
		self->v.s->size = LEN - PAGE;
	if (way == SHORT)
		len = LEN - PAGE / 2;
	EXPECT_EQ(0, start(self, way));
	fd = open(under(v, "file"), O_RDONLY);
	EXPECT_LE(0, fd);
	map = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	EXPECT_NE(MAP_FAILED, map);
	if (way == AGAIN) {
		char page[PAGE];

		/* What could not be read ahead is there, and read by itself. Whether that is now or later depends. */
		self->w->refused = 1;
		(void)!pread(fd, page, PAGE, 0);
		for (size_t i = 0; i < LEN; i += PAGE) {
			EXPECT_EQ((ssize_t)PAGE, pread(fd, page, PAGE, i));
			EXPECT_EQ(0, memcmp(page, want + i, PAGE));
		}
	}
	if (way == ALONE)
		EXPECT_EQ(0, madvise(map, LEN, MADV_RANDOM));
	EXPECT_EQ(0, memcmp(map, want, len));
	for (size_t i = len; i % PAGE; i++)
		EXPECT_EQ(0, map[i]);
	for (size_t i = 0; i < len; i += PAGE) {
		uint64_t n = number_of(map + i);

		EXPECT_NE(0, n);
		same += n == self->w->number[i / PAGE];
	}
	EXPECT_EQ(0, self->w->failed);
	EXPECT_LT(0, self->w->reads);
	TH_LOG("%d of %zu pages in %d answers", same, (len + PAGE - 1) / PAGE, self->w->reads);
	/* They are still there, and right, when the server is gone. */
	server_kill(v);
	EXPECT_EQ(0, memcmp(map, want, len));
	munmap(map, LEN);
	close(fd);
	return same;
}

TEST_F(moved, moved)
{
	EXPECT_EQ(PAGES, read_it(_metadata, self, MOVED));
}

/* Nothing is read ahead: who waits for a page waits for that very one. */
TEST_F(moved, waited_for)
{
	EXPECT_EQ(0, read_it(_metadata, self, ALONE));
	EXPECT_EQ(PAGES, self->w->reads);
}

TEST_F(moved, after_an_error)
{
	/* The page that was asked for is in the file already, and stays. */
	EXPECT_GT(PAGES, read_it(_metadata, self, AGAIN));
}

TEST_F(moved, mapped_by_server)
{
	EXPECT_EQ(0, read_it(_metadata, self, MAPPED));
}

TEST_F(moved, shifted)
{
	EXPECT_EQ(0, read_it(_metadata, self, SHIFTED));
}

TEST_F(moved, not_asked_for)
{
	EXPECT_EQ(0, read_it(_metadata, self, NO_MOVE));
}

TEST_F(moved, given_memory)
{
	EXPECT_EQ(0, read_it(_metadata, self, GIVEN));
}

TEST_F(moved, in_another_pipe)
{
	EXPECT_EQ(0, read_it(_metadata, self, TEED));
}

/* The last page, of which half came, is copied. */
TEST_F(moved, end_of_file)
{
	EXPECT_EQ(PAGES - 1, read_it(_metadata, self, SHORT));
}

TEST_F(moved, written)
{
	read_it(_metadata, self, WRITTEN);
}

TEST_HARNESS_MAIN
