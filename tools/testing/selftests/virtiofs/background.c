// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that nobody waits for: no more at a time than INIT says, the others in line and in order, and nothing that need
 * not be sent when the server has enough to do.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#define SIZE (16UL << 20)
#define CALLS 20

FIXTURE(background)
{
	struct fs fs;
	int fd;
};

FIXTURE_VARIANT(background)
{
	const char *limits;
	long max, congestion;
};

FIXTURE_VARIANT_ADD(background, small)
{
	.limits = "background 4 3",
	.max = 4,
	.congestion = 3,
};

FIXTURE_VARIANT_ADD(background, one)
{
	.limits = "background 1 100",
	.max = 1,
	.congestion = 100,
};

/* A server that does not say. */
FIXTURE_VARIANT_ADD(background, none)
{
	.limits = "background 0 0",
	.max = 12,
	.congestion = 9,
};

FIXTURE_SETUP(background)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no daxfsd without a window");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "nodax");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, variant->limits));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", ""));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf b; mkdir b"));
	ASSERT_EQ(0, host_make(&self->fs, "b/f", SIZE, 1));
}

FIXTURE_TEARDOWN(background)
{
	if (!self->fs.mounted)
		return;
	unhang(&self->fs);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

/* How many requests hang in the end: the number that does not change for a while. */
static long settled(const struct fs *fs, long wanted)
{
	(void)soon(hanging(fs) >= wanted);
	pause_ms(500);
	return hanging(fs);
}

/* Calls of libaio: the limit is kept, no call is lost, and the server sees them in order. */
TEST_F(background, in_line)
{
	struct iocb cb[CALLS], *list[CALLS];
	struct io_event events[CALLS];
	aio_context_t ctx = 0;
	char *buf;
	int i, n;

	self->fd = open(at(&self->fs, "b/f"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, posix_memalign((void **)&buf, PAGE, CALLS * PAGE));
	ASSERT_EQ(0, syscall(SYS_io_setup, CALLS, &ctx));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 1000 hang"));
	memset(cb, 0, sizeof(cb));
	for (i = 0; i < CALLS; i++) {
		cb[i].aio_fildes = self->fd;
		cb[i].aio_lio_opcode = IOCB_CMD_PREAD;
		cb[i].aio_buf = (uintptr_t)(buf + i * PAGE);
		cb[i].aio_nbytes = PAGE;
		cb[i].aio_offset = i * PAGE;
		list[i] = &cb[i];
	}
	if (module_is_c())
		SKIP(return, "known difference: io_submit waits for the server");
	ASSERT_EQ(CALLS, syscall(SYS_io_submit, ctx, CALLS, list));
	EXPECT_EQ(variant->max, settled(&self->fs, variant->max));
	/* A read that somebody waits for does not stand in line: it is sent, and hangs too. */
	if (!fork()) {
		int fd = open(at(&self->fs, "b/f"), O_RDONLY | O_CLOEXEC);

		_exit(pread(fd, buf, PAGE, 8 << 20) != PAGE);
	}
	EXPECT_EQ(variant->max + 1, settled(&self->fs, variant->max + 1));
	unhang(&self->fs);
	for (n = 0; n < CALLS;) {
		struct timespec t = { SOON_MS / 1000, 0 };

		i = syscall(SYS_io_getevents, ctx, 1, CALLS - n, events + n, &t);
		ASSERT_LT(0, i);
		n += i;
	}
	for (i = 0; i < CALLS; i++)
		EXPECT_EQ(PAGE, events[i].res);
	EXPECT_EQ(-1, differs(buf, 0, CALLS * PAGE, 1));
	wait(&i);
	EXPECT_EQ(0, i);
	syscall(SYS_io_destroy, ctx);
	free(buf);
}

/* Nothing is read ahead once the server has so much to do; what is wanted is read all the same. */
TEST_F(background, congested)
{
	char *buf = malloc(SIZE);
	long sent;
	int i;

	ASSERT_NE(NULL, buf);
	self->fd = open(at(&self->fs, "b/f"), O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	if (module_is_c())
		SKIP(return, "known difference: reads 128 KiB ahead, and fadvise waits for room");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 1000 hang"));
	for (i = 0; i < 16; i++)
		posix_fadvise(self->fd, i << 20, 1 << 20, POSIX_FADV_WILLNEED);
	sent = variant->max < variant->congestion ? variant->max : variant->congestion;
	EXPECT_EQ(sent, settled(&self->fs, sent));
	unhang(&self->fs);
	ASSERT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
	EXPECT_EQ(-1, differs(buf, 0, SIZE, 1));
	free(buf);
}

/* Many requests of writing back: all are sent in the end. */
TEST_F(background, written_back)
{
	long pages = SIZE / 16 / (2 * PAGE), sent;
	char *p;

	/* Every close writes back, also of the processes that ask the device. */
	reset_counters(&self->fs);
	self->fd = open(at(&self->fs, "b/f"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	/* Every other page, so that each is a request of its own. */
	for (size_t off = 0; off < SIZE / 16; off += 2 * PAGE)
		fill(p + off, off, PAGE, 2);
	ASSERT_EQ(0, msync(p, SIZE, MS_SYNC));
	munmap(p, SIZE);
	close(self->fd);
	self->fd = -1;
	/* The flusher may come to a page that is being filled, which is then sent once more. */
	sent = counter(&self->fs, "WRITE");
	EXPECT_LE(pages, sent);
	EXPECT_GE(2 * pages, sent);
	self->fd = open(at(&self->fs, "b/f"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	p = mmap(NULL, SIZE / 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(SIZE / 16, pread(self->fd, p, SIZE / 16, 0));
	for (size_t off = 0; off < SIZE / 16; off += PAGE)
		ASSERT_EQ(-1, differs(p + off, off, PAGE, off / PAGE % 2 ? 1 : 2));
}

TEST_HARNESS_MAIN
