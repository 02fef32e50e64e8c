// SPDX-License-Identifier: GPL-2.0
/*
 * A set that is larger than the window: a file of 8 MiB through a window of 2 MiB, which is a single range.
 * Every way in must end, in time and with the right bytes.
 */
#include "kselftest_harness.h"
#include "vfs.h"

#define SIZE (8UL << 20)
#define LIMIT 120

FIXTURE(window)
{
	struct fs fs;
	char *buf;
	int fd;
};

FIXTURE_SETUP(window)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("tiny"))
		SKIP(return, "no device with a window of 2 MiB");
	ASSERT_EQ(0, fs_mount(&self->fs, "tiny", "dax=always"));
	ASSERT_EQ(0, host_make(&self->fs, "f", SIZE, 1));
	self->fd = open(at(&self->fs, "f"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	self->buf = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(window)
{
	if (self->fd >= 0)
		close(self->fd);
	free(self->buf);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

TEST_F_TIMEOUT(window, read, LIMIT)
{
	EXPECT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
}

TEST_F_TIMEOUT(window, read_at_random, LIMIT)
{
	uint64_t off, x = 1;
	int i;

	for (i = 0; i < 200; i++) {
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		off = (x >> 33) % (SIZE - PAGE);
		ASSERT_EQ(PAGE, pread(self->fd, self->buf, PAGE, off));
		ASSERT_EQ(-1, differs(self->buf, off, PAGE, 1));
	}
}

TEST_F_TIMEOUT(window, write, LIMIT)
{
	fill(self->buf, 0, SIZE, 2);
	EXPECT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(0, host_has(&self->fs, "f", SIZE, 2));
}

TEST_F_TIMEOUT(window, mapped_read, LIMIT)
{
	char *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	/* Again: every range must come back. */
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	munmap(p, SIZE);
}

TEST_F_TIMEOUT(window, mapped_write, LIMIT)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	fill(p, 0, SIZE, 3);
	EXPECT_EQ(-1, differs(p, 0, SIZE, 3));
	EXPECT_EQ(0, host_has(&self->fs, "f", SIZE, 3));
	munmap(p, SIZE);
}

/* read(2) from one range into a mapping of another: both are wanted at once, and there is one. */
TEST_F_TIMEOUT(window, read_into_mapping, LIMIT)
{
	char *p;

	if (c_is_spared())
		SKIP(return, "known difference: the C client holds the range it reads while it waits for another, forever (G-6)");
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(PAGE, pread(self->fd, p + 2 * RANGE, PAGE, 0));
	EXPECT_EQ(-1, differs(p, 0, PAGE, 1));
	EXPECT_EQ(0, memcmp(p, p + 2 * RANGE, PAGE));
	munmap(p, SIZE);
}

/* Four processes, each in its own part, by read, write and mapping. */
TEST_F_TIMEOUT(window, together, LIMIT)
{
	size_t part = SIZE / 4, off;
	int i, status, round;
	char *p;

	for (i = 0; i < 4; i++) {
		if (fork())
			continue;
		p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
		for (round = 0; round < 4; round++) {
			for (off = i * part; off < (i + 1) * part; off += 16 * PAGE) {
				fill(self->buf, off, PAGE, 4 + round);
				if (i % 2)
					memcpy(p + off, self->buf, PAGE);
				else if (pwrite(self->fd, self->buf, PAGE, off) != PAGE)
					_exit(1);
				if (pread(self->fd, self->buf, PAGE, off) != PAGE ||
				    differs(self->buf, off, PAGE, 4 + round) != -1 || differs(p + off, off, PAGE, 4 + round) != -1)
					_exit(2);
			}
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
}

TEST_HARNESS_MAIN
