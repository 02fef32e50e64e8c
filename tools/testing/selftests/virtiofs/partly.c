// SPDX-License-Identifier: GPL-2.0
/*
 * A change of a part of 2 MiB of a DAX file that one mapping has as a huge page and others page by page. The kernel keeps all of it
 * as one entry, so who takes an entry away must have taken every page of it out of page tables before: also those that the change
 * does not concern. Else their references are lost, with a WARNING and, some time later, a BUG.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/falloc.h>
#include <sys/uio.h>

#define SIZE (2 * RANGE)
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
/* What changes begins at this page of the second 2 MiB; these before and behind it are mapped page by page. */
#define CHANGED 100
#define BEFORE 5
#define BEHIND 300

FIXTURE(partly)
{
	struct fs fs;
	int fd, other;
	char *huge, *pages;
};

FIXTURE_SETUP(partly)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = self->other = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf p; mkdir p"));
	ASSERT_EQ(0, host_make(&self->fs, "p/f", SIZE, 1));
	ASSERT_EQ(0, host_make(&self->fs, "p/other", RANGE, 2));
	self->fd = open(at(&self->fs, "p/f"), O_RDWR);
	self->other = open(at(&self->fs, "p/other"), O_RDONLY);
	ASSERT_TRUE(self->fd >= 0 && self->other >= 0);
	self->huge = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, true);
	self->pages = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, false);
	ASSERT_TRUE(self->huge != MAP_FAILED && self->pages != MAP_FAILED);
	self->huge += RANGE;
	self->pages += RANGE;
	touch_all(self->huge, PAGE);
	ASSERT_EQ(RANGE / PAGE, huge_pages(self->huge, RANGE));
	touch_all(self->pages + BEFORE * PAGE, PAGE);
	touch_all(self->pages + BEHIND * PAGE, PAGE);
	ASSERT_EQ(2, present(0, self->pages, RANGE));
	ASSERT_EQ(0, huge_pages(self->pages, RANGE));
}

FIXTURE_TEARDOWN(partly)
{
	if (self->fd >= 0) {
		munmap(self->huge - RANGE, SIZE);
		munmap(self->pages - RANGE, SIZE);
		close(self->fd);
		close(self->other);
	}
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Both mappings show the file at a page, as the seed says; at the same place, as what one of them writes the other one reads. */
static bool both(const char *a, const char *b, int page, int seed)
{
	uint64_t offset = RANGE + page * PAGE;
	bool good = differs(a + page * PAGE, offset, PAGE, seed) == -1 && differs(b + page * PAGE, offset, PAGE, seed) == -1;

	((volatile char *)a)[page * PAGE] ^= 1;
	good &= *(const volatile char *)(a + page * PAGE) == *(const volatile char *)(b + page * PAGE);
	((volatile char *)b)[page * PAGE] ^= 1;
	return good;
}

TEST_F(partly, punched)
{
	char zeros[PAGE] = "";

	ASSERT_EQ(0, fallocate(self->fd, PUNCH, RANGE + CHANGED * PAGE, 16 * PAGE));
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	EXPECT_TRUE(both(self->huge, self->pages, BEHIND, 1));
	EXPECT_EQ(0, memcmp(self->huge + CHANGED * PAGE, zeros, PAGE));
	EXPECT_EQ(0, memcmp(self->pages + CHANGED * PAGE, zeros, PAGE));
}

/* While a page of the part is pinned, as it is in a pipe, who changes it waits. */
TEST_F(partly, punched_when_let_go)
{
	struct iovec page = { self->huge + CHANGED * PAGE, PAGE };
	char got[PAGE], zeros[PAGE] = "";
	int p[2], status;
	pid_t pid;

	if (c_is_spared())
		SKIP(return, "known difference: it waits until nobody has the page in page tables any more (G-29)");
	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(PAGE, vmsplice(p[1], &page, 1, 0));
	pid = fork();
	if (!pid)
		_exit(fallocate(self->fd, PUNCH, RANGE + CHANGED * PAGE, 16 * PAGE) ? errno : 0);
	/* fallocate(2), and then a little. */
	EXPECT_TRUE(soon(sleeps_in(pid) == 285));
	pause_ms(300);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	/* Mapped again meanwhile. */
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	ASSERT_EQ(PAGE, read(p[0], got, PAGE));
	EXPECT_EQ(-1, differs(got, RANGE + CHANGED * PAGE, PAGE, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	EXPECT_TRUE(both(self->huge, self->pages, BEHIND, 1));
	EXPECT_EQ(0, memcmp(self->huge + CHANGED * PAGE, zeros, PAGE));
	close(p[0]);
	close(p[1]);
}

TEST_F(partly, copied_into)
{
	loff_t from = RANGE / 2, to = RANGE + CHANGED * PAGE;

	if (c_is_spared())
		SKIP(return, "known difference: the layout is not broken, WARNINGs and a bad page map (G-4)");
	ASSERT_EQ(16 * PAGE, copy_file_range(self->other, &from, self->fd, &to, 16 * PAGE, 0));
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	EXPECT_TRUE(both(self->huge, self->pages, BEHIND, 1));
	EXPECT_EQ(-1, differs(self->huge + CHANGED * PAGE, RANGE / 2, 16 * PAGE, 2));
	EXPECT_EQ(-1, differs(self->pages + CHANGED * PAGE, RANGE / 2, 16 * PAGE, 2));
}

TEST_F(partly, cut)
{
	ASSERT_EQ(0, ftruncate(self->fd, RANGE + CHANGED * PAGE));
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	EXPECT_EQ(SIGBUS, touch(self->pages + BEHIND * PAGE, false));
	EXPECT_EQ(SIGBUS, touch(self->huge + BEHIND * PAGE, false));
	EXPECT_EQ(SIGBUS, touch(self->huge + CHANGED * PAGE, false));
}

/* By the host, which is noticed when the file is looked at. */
TEST_F(partly, cut_by_host)
{
	struct stat st;

	if (c_is_spared())
		SKIP(return, "known difference: the layout is not broken (G-3)");
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu p/f", RANGE + CHANGED * PAGE));
	EXPECT_TRUE(soon(!fstat(self->fd, &st) && st.st_size == (off_t)(RANGE + CHANGED * PAGE)));
	EXPECT_TRUE(both(self->huge, self->pages, BEFORE, 1));
	EXPECT_EQ(SIGBUS, touch(self->pages + BEHIND * PAGE, false));
	EXPECT_EQ(SIGBUS, touch(self->huge + CHANGED * PAGE, false));
}

TEST_HARNESS_MAIN
