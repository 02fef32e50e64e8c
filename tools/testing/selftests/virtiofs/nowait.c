// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that will not wait (RWF_NOWAIT, as io_uring makes them first) for files that are reached by DAX: what lies in ranges that
 * are mapped is read and overwritten, without a request; everything else fails with EAGAIN, also without a request.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <sys/uio.h>

#define SIZE (4 * RANGE)

FIXTURE(nowait)
{
	struct fs fs;
	int fd;
	char *buf;
};

FIXTURE_SETUP(nowait)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host_make(&self->fs, "nowait-data", SIZE, 1));
	self->fd = open(at(&self->fs, "nowait-data"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	self->buf = malloc(2 * RANGE);
	memset(self->buf, 0, 2 * RANGE);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(nowait)
{
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
	free(self->buf);
}

/* After fork() the memory is shared until it is stored to, which a call that will not wait leaves to others. */
static ssize_t get(int fd, void *buf, size_t len, off_t pos)
{
	struct iovec v = { buf, len };
	ssize_t n;

	if (buf)
		memset(buf, 0, len);
	n = preadv2(fd, &v, 1, pos, RWF_NOWAIT);
	return n < 0 ? -errno : n;
}

static ssize_t put(int fd, void *buf, size_t len, off_t pos, int flags)
{
	struct iovec v = { buf, len };
	ssize_t n = pwritev2(fd, &v, 1, pos, RWF_NOWAIT | flags);

	return n < 0 ? -errno : n;
}

/* Requests that a read or write may come to. Asking for a counter is a process, which closes the file: that is a FLUSH. */
static long asked(const struct fs *fs)
{
	static const char *const ops[] = { "SETUPMAPPING", "READ", "WRITE", "GETATTR", "STATX", "GETXATTR", "FSYNC" };
	long n = 0;
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		n += counter(fs, ops[i]);
	return n;
}

TEST_F(nowait, reads_what_is_mapped)
{
	OURS(get(self->fd, self->buf, PAGE, 0) == -EAGAIN, "EOPNOTSUPP: every call may wait (W-13)");
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(PAGE, pread(self->fd, self->buf, PAGE, 0));
	EXPECT_EQ(1, counter(&self->fs, "SETUPMAPPING"));
	reset_counters(&self->fs);
	EXPECT_EQ(PAGE, get(self->fd, self->buf, PAGE, 5 * PAGE));
	EXPECT_EQ(-1, differs(self->buf, 5 * PAGE, PAGE, 1));
	/* Up to the end of what is mapped. */
	EXPECT_EQ((ssize_t)PAGE, get(self->fd, self->buf, 2 * PAGE, RANGE - PAGE));
	EXPECT_EQ(-1, differs(self->buf, RANGE - PAGE, PAGE, 1));
	EXPECT_EQ(-EAGAIN, get(self->fd, self->buf, PAGE, RANGE));
	EXPECT_EQ(-EAGAIN, get(self->fd, NULL, PAGE, 0));
	EXPECT_EQ(0, asked(&self->fs));
}

TEST_F(nowait, writes_what_is_mapped)
{
	fill(self->buf, 0, PAGE, 2);
	OURS(put(self->fd, self->buf, PAGE, 0, 0) == -EAGAIN, "EOPNOTSUPP: every call may wait (W-13)");
	/* A write finds out that the file has no capabilities that it would clear. */
	ASSERT_EQ(PAGE, pwrite(self->fd, self->buf, PAGE, 0));
	reset_counters(&self->fs);
	EXPECT_EQ(PAGE, put(self->fd, self->buf, PAGE, 8 * PAGE, 0));
	/* What makes the file longer, or is to be durable, waits for the server. */
	EXPECT_EQ(-EAGAIN, put(self->fd, self->buf, PAGE, SIZE - 8, 0));
	EXPECT_EQ(-EAGAIN, put(self->fd, self->buf, PAGE, 0, RWF_APPEND));
	EXPECT_EQ(-EAGAIN, put(self->fd, self->buf, PAGE, 0, RWF_DSYNC));
	EXPECT_EQ(-EAGAIN, put(self->fd, self->buf, PAGE, 2 * RANGE, 0));
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(PAGE, pread(self->fd, self->buf + PAGE, PAGE, 8 * PAGE));
	EXPECT_EQ(0, memcmp(self->buf, self->buf + PAGE, PAGE));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "cmp -n 4096 nowait-data nowait-data 0 32768"));
}

/* Who would wait for the server does not, nor for who does. */
TEST_F(nowait, while_others_wait)
{
	char text[256];
	pid_t pid;
	long limit;

	ASSERT_EQ(PAGE, pread(self->fd, self->buf, PAGE, 0));
	OURS(get(self->fd, self->buf, PAGE, PAGE) == PAGE, "EOPNOTSUPP: every call may wait (W-13)");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETUPMAPPING 1 hang"));
	pid = fork();
	if (!pid)
		_exit(pread(self->fd, self->buf, PAGE, 2 * RANGE + PAGE) != PAGE);
	for (limit = now_ms() + 20000; now_ms() < limit; pause_ms(20))
		if (!device(&self->fs, text, sizeof(text), "hung") && strchr(text, '1'))
			break;
	EXPECT_EQ(-EAGAIN, get(self->fd, self->buf, PAGE, 2 * RANGE));
	EXPECT_EQ(PAGE, get(self->fd, self->buf, PAGE, 0));
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "hung"));
	EXPECT_NE(NULL, strchr(text, '1'));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "release-hung"));
	ASSERT_EQ(0, ended_by(pid, now_ms() + 20000));
	EXPECT_EQ(PAGE, get(self->fd, self->buf, PAGE, 2 * RANGE));
	EXPECT_EQ(-1, differs(self->buf, 2 * RANGE, PAGE, 1));
}

/* Files of the page cache do not say that they can. */
TEST_F(nowait, not_without_dax)
{
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=never"));
	self->fd = open(at(&self->fs, "nowait-data"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(PAGE, pread(self->fd, self->buf, PAGE, 0));
	EXPECT_EQ(-EOPNOTSUPP, get(self->fd, self->buf, PAGE, 0));
	EXPECT_EQ(-EOPNOTSUPP, put(self->fd, self->buf, PAGE, 0, 0));
}

TEST_HARNESS_MAIN
