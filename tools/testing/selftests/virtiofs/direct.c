// SPDX-License-Identifier: GPL-2.0
/*
 * Reading and writing past the page cache: O_DIRECT and files that the server wants direct, waited for and by libaio;
 * next to mappings; large requests, requests that are under way together, and memory of every kind.
 */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (4UL << 20)

FIXTURE(direct)
{
	struct fs fs;
	int fd;
	char *buf, *p;
	aio_context_t aio;
};

FIXTURE_VARIANT(direct)
{
	const char *tag;
	int flags;
};

FIXTURE_VARIANT_ADD(direct, o_direct)
{
	.tag = "nodax",
	.flags = O_DIRECT,
};

FIXTURE_VARIANT_ADD(direct, by_server)
{
	.tag = "direct",
	.flags = 0,
};

FIXTURE_SETUP(direct)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	self->p = MAP_FAILED;
	if (!has_tag(variant->tag) || !server_is_daxfsd())
		SKIP(return, "no such device");
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, strcmp(variant->tag, "direct") ? "" : "dax=never"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf d; mkdir d"));
	ASSERT_EQ(0, host_make(&self->fs, "d/f", SIZE, 1));
	self->fd = open(at(&self->fs, "d/f"), O_RDWR | O_CLOEXEC | variant->flags);
	ASSERT_GE(self->fd, 0);
	self->buf = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buf);
	ASSERT_EQ(0, syscall(SYS_io_setup, 16, &self->aio));
}

FIXTURE_TEARDOWN(direct)
{
	if (self->fs.mounted) {
		unhang(&self->fs);
		device(&self->fs, NULL, 0, "fopen none");
	}
	if (self->aio)
		syscall(SYS_io_destroy, self->aio);
	if (self->p != MAP_FAILED)
		munmap(self->p, SIZE);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int submit(aio_context_t aio, int fd, bool write, void *buf, size_t n, off_t pos)
{
	struct iocb cb = {
		.aio_lio_opcode = write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
		.aio_fildes = fd,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = n,
		.aio_offset = pos,
	}, *list[] = { &cb };

	return syscall(SYS_io_submit, aio, 1, list);
}

/* What the next call that ends returns; -1000 when none does in time. */
static long ended(aio_context_t aio)
{
	struct timespec limit = { SOON_MS / 1000, 0 };
	struct io_event event;

	if (syscall(SYS_io_getevents, aio, 1, 1, &event, &limit) != 1)
		return -1000;
	return event.res;
}

/* Aligned and not; what is read and written is what the host has; large calls are large requests. */
TEST_F(direct, calls)
{
	size_t off;

	reset_counters(&self->fs);
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
	EXPECT_EQ(SIZE >> 20, counter(&self->fs, "READ"));
	fill(self->buf, 0, SIZE, 2);
	ASSERT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(SIZE >> 20, counter(&self->fs, "WRITE"));
	EXPECT_EQ(0, host_has(&self->fs, "d/f", SIZE, 2));
	for (off = 0; off + 70001 < SIZE; off += 70001) {
		fill(self->buf + 3, off, 70001, 3);
		ASSERT_EQ(70001, pwrite(self->fd, self->buf + 3, 70001, off));
		ASSERT_EQ(70001, pread(self->fd, self->buf + 100001, 70001, off));
		ASSERT_EQ(-1, differs(self->buf + 100001, off, 70001, 3));
	}
	/* The end of the file. */
	EXPECT_EQ(100, pread(self->fd, self->buf, SIZE, SIZE - 100));
	EXPECT_EQ(0, pread(self->fd, self->buf, SIZE, SIZE));
	fill(self->buf, SIZE, 5000, 2);
	ASSERT_EQ(5000, pwrite(self->fd, self->buf, 5000, SIZE));
	EXPECT_EQ(SIZE + 5000, lseek(self->fd, 0, SEEK_END));
	/* Memory that is not there, at once and in the middle. */
	EXPECT_EQ(-1, pread(self->fd, (char *)PAGE, 100, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(self->fd, (char *)PAGE, 100, 0));
	EXPECT_EQ(EFAULT, errno);
}

/* One call of libaio has all its requests under way at once, and does not keep its caller. */
TEST_F(direct, aio)
{
	memset(self->buf, 0, SIZE);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 100 hang"));
	ASSERT_EQ(1, submit(self->aio, self->fd, false, self->buf, SIZE, 0));
	EXPECT_TRUE(soon(hanging(&self->fs) >= (long)(SIZE >> 20)));
	unhang(&self->fs);
	EXPECT_EQ(SIZE, ended(self->aio));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
	/* Two calls that write. */
	fill(self->buf, 0, SIZE, 2);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 100 hang"));
	ASSERT_EQ(1, submit(self->aio, self->fd, true, self->buf, SIZE / 2, 0));
	ASSERT_EQ(1, submit(self->aio, self->fd, true, self->buf + SIZE / 2, SIZE / 2, SIZE / 2));
	EXPECT_TRUE(soon(hanging(&self->fs) >= (long)(SIZE >> 20)));
	unhang(&self->fs);
	EXPECT_EQ(SIZE / 2, ended(self->aio));
	EXPECT_EQ(SIZE / 2, ended(self->aio));
	EXPECT_EQ(0, host_has(&self->fs, "d/f", SIZE, 2));
	/* Over the end: what is there; and a write that makes the file longer. */
	ASSERT_EQ(1, submit(self->aio, self->fd, false, self->buf, SIZE, SIZE / 2 + 5));
	EXPECT_EQ(SIZE / 2 - 5, ended(self->aio));
	fill(self->buf, SIZE, SIZE, 2);
	ASSERT_EQ(1, submit(self->aio, self->fd, true, self->buf, SIZE, SIZE));
	EXPECT_EQ(SIZE, ended(self->aio));
	EXPECT_EQ(0, host_has(&self->fs, "d/f", 2 * SIZE, 2));
	/* An error of one request is the error of the call. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 1 errno:-5"));
	ASSERT_EQ(1, submit(self->aio, self->fd, false, self->buf, SIZE, 0));
	EXPECT_EQ(-EIO, ended(self->aio));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 errno:-28"));
	ASSERT_EQ(1, submit(self->aio, self->fd, true, self->buf, SIZE, 0));
	EXPECT_EQ(-ENOSPC, ended(self->aio));
}

/* A process that is killed with calls under way goes, and so does the one who waits. */
TEST_F(direct, killed)
{
	pid_t pid;
	int i;

	if (module_is_c())
		SKIP(return, "known difference: waits for answers that no signal ends");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 100 hang"));
		pid = fork();
		if (!pid)
			_exit(pread(self->fd, self->buf, SIZE, 0) != (ssize_t)SIZE);
		EXPECT_TRUE(soon(hanging(&self->fs) >= 1));
		kill(pid, SIGKILL);
		EXPECT_NE(-1, ended_by(pid, now_ms() + SOON_MS));
		unhang(&self->fs);
	}
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
}

/* Shared mappings and cached reads agree with what goes past the cache. */
TEST_F(direct, mapped)
{
	int other = open(at(&self->fs, "d/f"), O_RDWR | O_CLOEXEC);

	ASSERT_GE(other, 0);
	self->p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	if (self->p == MAP_FAILED)
		TH_LOG("mmap: %m");
	ASSERT_NE(MAP_FAILED, self->p);
	fill(self->p, 0, SIZE, 2);
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 2));
	fill(self->buf, 10000, 200000, 3);
	ASSERT_EQ(200000, pwrite(self->fd, self->buf, 200000, 10000));
	EXPECT_EQ(-1, differs(self->p + 10000, 10000, 200000, 3));
	EXPECT_EQ(-1, differs(self->p, 0, 10000, 2));
	EXPECT_EQ(-1, differs(self->p + 210000, 210000, 10000, 2));
	ASSERT_EQ(SIZE, pread(other, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf + 10000, 10000, 200000, 3));
	/* The call's memory is the mapping of the same file. */
	ASSERT_EQ(PAGE, pread(self->fd, self->p, PAGE, 8 * PAGE));
	EXPECT_EQ(-1, differs(self->p, 8 * PAGE, PAGE, 3));
	ASSERT_EQ(PAGE, pwrite(self->fd, self->p + 8 * PAGE, PAGE, 0));
	EXPECT_EQ(-1, differs(self->p, 8 * PAGE, PAGE, 3));
	close(other);
}

/* The call's memory lies in a DAX window, where a device cannot reach it. */
TEST_F(direct, window_memory)
{
	struct fs dax = {};
	bool written;
	char *p;
	int fd;

	if (!has_tag("dax"))
		SKIP(return, "no window");
	ASSERT_EQ(0, fs_mount(&dax, "dax", "dax=always"));
	ASSERT_EQ(0, host_make(&dax, "w", SIZE, 7));
	fd = open(at(&dax, "w"), O_RDWR);
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	close(fd);
	written = pwrite(self->fd, p, SIZE, 0) == (ssize_t)SIZE;
	if (written) {
		EXPECT_EQ(0, host_has(&self->fs, "d/f", SIZE, 7));
		ASSERT_EQ(0, host_make(&self->fs, "d/f", SIZE, 8));
		EXPECT_EQ(SIZE, pread(self->fd, p, SIZE, 0));
		EXPECT_EQ(-1, differs(p, 0, SIZE, 8));
	}
	munmap(p, SIZE);
	EXPECT_EQ(0, fs_umount(&dax));
	OURS(written, "the device cannot reach memory of another one");
}

/* Writers that overwrite run together where the server says so, and one after the other where it does not. */
TEST_F(direct, parallel)
{
	pid_t pid[2];
	int i, round;

	if (variant->flags)
		SKIP(return, "the server says so of files that it wants direct");
	for (round = 0; round < 2; round++) {
		close(self->fd);
		ASSERT_EQ(0, device(&self->fs, NULL, 0, round ? "fopen PARALLEL_DIRECT_WRITES" : "fopen none"));
		self->fd = open(at(&self->fs, "d/f"), O_RDWR | O_CLOEXEC);
		ASSERT_GE(self->fd, 0);
		/* What is known of file capabilities is learnt by a first write. */
		ASSERT_EQ(1, pwrite(self->fd, "x", 1, 0));
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 2 hang"));
		for (i = 0; i < 2; i++) {
			pid[i] = fork();
			if (!pid[i])
				_exit(pwrite(self->fd, self->buf, PAGE, i * PAGE) != PAGE);
		}
		EXPECT_TRUE(soon(hanging(&self->fs) >= (round ? 2 : 1)));
		pause_ms(300);
		EXPECT_EQ(round ? 2 : 1, hanging(&self->fs));
		unhang(&self->fs);
		for (i = 0; i < 2; i++)
			EXPECT_EQ(0, ended_by(pid[i], now_ms() + SOON_MS));
	}
}

TEST_HARNESS_MAIN
