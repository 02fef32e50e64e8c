// SPDX-License-Identifier: GPL-2.0
/*
 * WRITEBACK_CACHE: what is written stays in the page cache until it is written back. Requests are counted at the server; what
 * the server has is looked at on the host, by a process without the file: every close of it writes back.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include "aside.h"
#include <linux/falloc.h>

#define SIZE (1UL << 20)
#define LIMIT 20000

FIXTURE(writeback)
{
	struct fs fs;
	int fd, to, from;
	pid_t helper;
	char *buf;
};

#define ON_HOST(command, ...) ask(self->to, self->from, "ctl host nodax '" command "'", ##__VA_ARGS__)
#define DEVICE(command, ...) ask(self->to, self->from, "ctl nodax " command, ##__VA_ARGS__)
#define COUNT(name) atol(DEVICE("counters | sed -n \"s/^%s //p\"", name))
#define RESET() DEVICE("reset")

FIXTURE_SETUP(writeback)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	self->helper = 0;
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no daxfsd without a window");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "nodax");
	self->helper = aside(&self->to, &self->from);
	ASSERT_LT(0, self->helper);
	device(&self->fs, NULL, 0, "defaults");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable WRITEBACK_CACHE"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", ""));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf w; mkdir w"));
	ASSERT_EQ(0, host_make(&self->fs, "w/old", SIZE, 1));
	self->fd = open(at(&self->fs, "w/f"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	ASSERT_GE(self->fd, 0);
	self->buf = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
	RESET();
}

FIXTURE_TEARDOWN(writeback)
{
	if (!self->helper)
		return;
	DEVICE("faults clear");
	DEVICE("release-hung");
	if (self->fd >= 0)
		close(self->fd);
	close(self->to);
	waitpid(self->helper, NULL, 0);
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
	free(self->buf);
}

/* Many small writes are one large request, and one for the times. */
TEST_F(writeback, many_writes)
{
	size_t off;

	if (module_is_c())
		SKIP(return, "known difference: little may be dirty there (a strict limit of 1 %%), so the flusher begins early");
	fill(self->buf, 0, SIZE, 1);
	for (off = 0; off < SIZE; off += 1000)
		ASSERT_LT(0, pwrite(self->fd, self->buf + off, SIZE - off < 1000 ? SIZE - off : 1000, off));
	EXPECT_EQ(0, COUNT("WRITE"));
	EXPECT_EQ(0, COUNT("READ"));
	EXPECT_EQ(0, atol(ON_HOST("stat -c %%s w/f")));
	/* What was written is there at once. */
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
	EXPECT_EQ(0, COUNT("READ"));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(1, COUNT("WRITE"));
	EXPECT_EQ(1, COUNT("SETATTR"));
	EXPECT_EQ(1, COUNT("FSYNC"));
	EXPECT_EQ(0, host_has(&self->fs, "w/f", SIZE, 1));
	/* Nothing is left to say. */
	RESET();
	ASSERT_EQ(0, fsync(self->fd));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, COUNT("WRITE"));
	EXPECT_EQ(0, COUNT("SETATTR"));
}

/* A write of a part of a page reads the page; one behind the end reads nothing. */
TEST_F(writeback, parts_of_pages)
{
	int fd = open(at(&self->fs, "w/old"), O_WRONLY | O_CLOEXEC), copy;

	ASSERT_LE(0, fd);
	fill(self->buf, 0, SIZE, 1);
	fill(self->buf + 5 * PAGE + 100, 5 * PAGE + 100, 200, 2);
	ASSERT_EQ(200, pwrite(fd, self->buf + 5 * PAGE + 100, 200, 5 * PAGE + 100));
	EXPECT_EQ(1, COUNT("READ"));
	/* That page is there now, and whole pages need no reading. */
	fill(self->buf + 5 * PAGE + 900, 5 * PAGE + 900, 2 * PAGE - 900, 3);
	ASSERT_EQ(2 * PAGE - 900, pwrite(fd, self->buf + 5 * PAGE + 900, 2 * PAGE - 900, 5 * PAGE + 900));
	EXPECT_EQ(1, COUNT("READ"));
	ASSERT_EQ(0, fsync(fd));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "cp w/old w/copy"));
	copy = open(at(&self->fs, "w/copy"), O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(SIZE, pread(copy, self->buf, SIZE, 0));
	close(copy);
	EXPECT_EQ(-1, differs(self->buf, 0, 5 * PAGE + 100, 1));
	EXPECT_EQ(-1, differs(self->buf + 5 * PAGE + 100, 5 * PAGE + 100, 200, 2));
	EXPECT_EQ(-1, differs(self->buf + 5 * PAGE + 300, 5 * PAGE + 300, 600, 1));
	EXPECT_EQ(-1, differs(self->buf + 5 * PAGE + 900, 5 * PAGE + 900, 2 * PAGE - 900, 3));
	EXPECT_EQ(-1, differs(self->buf + 7 * PAGE, 7 * PAGE, SIZE - 7 * PAGE, 1));
	RESET();
	ASSERT_EQ(10, pwrite(fd, self->buf, 10, SIZE + 3 * PAGE + 5));
	EXPECT_EQ(0, COUNT("READ"));
	close(fd);
	EXPECT_STREQ("1060879", ON_HOST("stat -c %%s w/old"));
	/* A read that fails fails the write. */
	fd = open(at(&self->fs, "w/old"), O_RDWR | O_CLOEXEC);
	DEVICE("fault READ 1 errno:-5");
	EXPECT_EQ(-1, pwrite(fd, self->buf, 10, 100 * PAGE + 5));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(10, pwrite(fd, self->buf, 10, 100 * PAGE + 5));
	close(fd);
}

/* Size and times are the client's own until the server has everything; then they are the same there. */
TEST_F(writeback, size_and_times)
{
	struct stat before, st;
	struct statx stx;
	char host_time[64], ours[64];

	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 4000));
	ASSERT_EQ(0, fstat(self->fd, &before));
	EXPECT_EQ(4100, before.st_size);
	/* The server is asked, and does not know. */
	pause_ms(1100);
	ASSERT_EQ(0, statx(self->fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx));
	EXPECT_EQ(4100, stx.stx_size);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(4100, st.st_size);
	EXPECT_EQ(before.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	EXPECT_EQ(before.st_ctim.tv_nsec, st.st_ctim.tv_nsec);
	ASSERT_EQ(4100, pread(self->fd, self->buf, 8000, 0));
	close(self->fd);
	self->fd = -1;
	snprintf(ours, sizeof(ours), "%ld.%09ld", before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
	snprintf(host_time, sizeof(host_time), "%s", ON_HOST("stat -c %%.9Y w/f"));
	EXPECT_STREQ(ours, host_time);
	EXPECT_STREQ("4100", ON_HOST("stat -c %%s w/f"));
	ASSERT_EQ(0, stat(at(&self->fs, "w/f"), &st));
	EXPECT_EQ(before.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	/* So it is where data was written back long before the close: what the server sets then does not count. */
	self->fd = open(at(&self->fs, "w/f"), O_RDWR | O_CLOEXEC);
	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 0));
	ASSERT_EQ(0, fstat(self->fd, &before));
	pause_ms(50);
	ASSERT_EQ(0, sync_file_range(self->fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	EXPECT_EQ(2, COUNT("WRITE"));
	close(self->fd);
	self->fd = -1;
	snprintf(ours, sizeof(ours), "%ld.%09ld", before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
	EXPECT_STREQ(ours, ON_HOST("stat -c %%.9Y w/f"));
	ASSERT_EQ(0, stat(at(&self->fs, "w/f"), &st));
	EXPECT_EQ(before.st_mtim.tv_nsec, st.st_mtim.tv_nsec);
	/* From then on the host may change it. */
	ON_HOST("head -c 10000 /dev/zero >w/f");
	/* When the second of belief is over; on a machine that has much to do the guest's clock ticks late. */
	if (module_is_c())
		pause_ms(1200);
	else
		soon(!stat(at(&self->fs, "w/f"), &st) && st.st_size == 10000);
	ASSERT_EQ(0, stat(at(&self->fs, "w/f"), &st));
	OURS(st.st_size == 10000, "believes no size of the server while the inode is in memory");
}

/* What is set by hand stays, whatever is written back after it was written. */
TEST_F(writeback, times_set)
{
	struct timespec t[2] = { { 1000, 5 }, { 2000, 7 } };
	struct stat st;

	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 0));
	ASSERT_EQ(0, futimens(self->fd, t));
	EXPECT_EQ(1, COUNT("WRITE"));
	EXPECT_STREQ("2000.000000007", ON_HOST("stat -c %%.9Y w/f"));
	ASSERT_EQ(0, fsync(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(2000, st.st_mtim.tv_sec);
	close(self->fd);
	self->fd = -1;
	EXPECT_STREQ("2000.000000007", ON_HOST("stat -c %%.9Y w/f"));
	/* A change of the mode writes back first as well. */
	self->fd = open(at(&self->fs, "w/f"), O_RDWR | O_CLOEXEC);
	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 50));
	RESET();
	ASSERT_EQ(0, fchmod(self->fd, 0600));
	EXPECT_EQ(1, COUNT("WRITE"));
	EXPECT_STREQ("600 150", ON_HOST("stat -c \"%%a %%s\" w/f"));
}

/* Two who have the file open see what the other has written, and append one behind the other. */
TEST_F(writeback, two_openers)
{
	int a = open(at(&self->fs, "w/f"), O_WRONLY | O_APPEND | O_CLOEXEC);
	int b = open(at(&self->fs, "w/f"), O_RDWR | O_APPEND | O_CLOEXEC), i;

	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	for (i = 0; i < 1000; i++) {
		fill(self->buf, i * 96, 96, 1);
		ASSERT_EQ(96, write(i & 1 ? a : b, self->buf, 96));
	}
	ASSERT_EQ(96000, pread(b, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 96000, 1));
	EXPECT_EQ(0, COUNT("WRITE"));
	close(a);
	EXPECT_EQ(0, host_has(&self->fs, "w/f", 96000, 1));
	close(b);
	/* Another open while something is dirty loses nothing. */
	fill(self->buf, 0, 96000, 2);
	ASSERT_EQ(96000, pwrite(self->fd, self->buf, 96000, 0));
	b = open(at(&self->fs, "w/f"), O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(96000, pread(b, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 96000, 2));
	close(b);
	/* The host appends in between: nobody has anything dirty now. */
	ON_HOST("head -c 100 /dev/zero >>w/f");
	a = open(at(&self->fs, "w/f"), O_WRONLY | O_APPEND | O_CLOEXEC);
	ASSERT_EQ(8, write(a, "appended", 8));
	close(a);
	OURS(atol(ON_HOST("stat -c %%s w/f")) == 96108, "appends where it believes the end to be");
}

/* What is dirty and what the server does itself: size, holes, copies, direct access. */
TEST_F(writeback, dirty_and_server)
{
	loff_t in = 0, out = 0;
	int fd;

	fill(self->buf, 0, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	ASSERT_EQ(0, ftruncate(self->fd, 100000));
	EXPECT_EQ(100000, lseek(self->fd, 0, SEEK_END));
	ASSERT_EQ(0, ftruncate(self->fd, 200000));
	ASSERT_EQ(200000, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 100000, 1));
	EXPECT_EQ(0, self->buf[100000] | self->buf[199999]);
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096));
	ASSERT_EQ(4096, pread(self->fd, self->buf, 4096, 8192));
	EXPECT_EQ(0, self->buf[0] | self->buf[4095]);
	ASSERT_EQ(4096, pread(self->fd, self->buf, 4096, 4096));
	EXPECT_EQ(-1, differs(self->buf, 4096, 4096, 1));
	ASSERT_EQ(0, fallocate(self->fd, 0, 0, 300000));
	EXPECT_EQ(300000, lseek(self->fd, 0, SEEK_END));
	fill(self->buf, 0, 50000, 2);
	ASSERT_EQ(50000, pwrite(self->fd, self->buf, 50000, 0));
	EXPECT_EQ(0, lseek(self->fd, 0, SEEK_DATA));
	fd = open(at(&self->fs, "w/copy"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_EQ(100, pwrite(fd, self->buf, 100, 0));
	ASSERT_EQ(50000, copy_file_range(self->fd, &in, fd, &out, 50000, 0));
	ASSERT_EQ(50000, pread(fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 50000, 2));
	close(fd);
	EXPECT_EQ(0, host_has(&self->fs, "w/copy", 50000, 2));
	/* Direct access sees what is dirty, and what is dirty elsewhere stays. */
	fill(self->buf, 0, 12288, 3);
	ASSERT_EQ(12288, pwrite(self->fd, self->buf, 12288, 0));
	fd = open(at(&self->fs, "w/f"), O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_EQ(8192, pread(fd, self->buf, 8192, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 8192, 3));
	fill(self->buf, 4096, 4096, 4);
	ASSERT_EQ(4096, pwrite(fd, self->buf, 4096, 4096));
	ASSERT_EQ(12288, pread(self->fd, self->buf, 12288, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, 4096, 3));
	EXPECT_EQ(-1, differs(self->buf + 4096, 4096, 4096, 4));
	EXPECT_EQ(-1, differs(self->buf + 8192, 8192, 4096, 3));
	close(fd);
}

/* Stores in a mapping and writes to the same pages, neither losing the other. */
TEST_F(writeback, mapped)
{
	struct stat st;
	char *p;

	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	fill(self->buf, 0, SIZE, 1);
	for (size_t off = 0; off < SIZE; off += 1024) {
		memcpy(p + off, self->buf + off, 512);
		ASSERT_EQ(512, pwrite(self->fd, self->buf + off + 512, 512, off + 512));
	}
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	munmap(p, SIZE);
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, host_has(&self->fs, "w/f", SIZE, 1));
	/* A store alone moves the time of modification, and the server is told which. */
	ASSERT_EQ(0, fstat(self->fd, &st));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	pause_ms(50);
	*p = 9;
	munmap(p, PAGE);
	close(self->fd);
	self->fd = -1;
	EXPECT_LT(st.st_mtim.tv_sec * 1e9 + st.st_mtim.tv_nsec, atof(ON_HOST("stat -c %%.9Y w/f")) * 1e9);
}

/* An error of writing back is told by fsync, once to each who has the file open, and by close. */
TEST_F(writeback, errors)
{
	static const int wanted[2] = { ENOSPC, EIO };

	for (int i = 0; i < 2; i++) {
		int other = open(at(&self->fs, "w/f"), O_RDWR | O_CLOEXEC);

		DEVICE("fault WRITE 1 errno:-%d", wanted[i]);
		ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 0));
		EXPECT_EQ(-1, fsync(self->fd));
		EXPECT_EQ(wanted[i], errno);
		EXPECT_EQ(0, fsync(self->fd));
		EXPECT_EQ(-1, fsync(other));
		EXPECT_EQ(wanted[i], errno);
		EXPECT_EQ(0, fsync(other));
		close(other);
		DEVICE("fault WRITE 1 errno:-%d", wanted[i]);
		ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 0));
		EXPECT_EQ(-1, close(dup(self->fd)));
		EXPECT_EQ(wanted[i], errno);
		/* fsync asks for itself. */
		EXPECT_EQ(-1, fsync(self->fd));
	}
	/* It goes on. */
	fill(self->buf, 0, 100, 5);
	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, 0));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, host_has(&self->fs, "w/f", 100, 5));
}

/* Who waits for a server that does not answer can be killed, and what it wrote is not lost. */
TEST_F(writeback, killed)
{
	pid_t pid;
	int i;

	if (module_is_c())
		SKIP(return, "known difference: waits for writing back that no signal ends");
	close(self->fd);
	self->fd = -1;
	for (i = 0; i < 2; i++) {
		DEVICE("fault %s 1 hang", i ? "SETATTR" : "WRITE");
		pid = fork();
		if (!pid) {
			int fd = open(at(&self->fs, "w/f"), O_RDWR | O_CLOEXEC);

			fill(self->buf, 0, SIZE, 2 + i);
			_exit(pwrite(fd, self->buf, SIZE, 0) != SIZE || fsync(fd));
		}
		for (long end = now_ms() + LIMIT; now_ms() < end && atol(DEVICE("hung")) < 1;)
			pause_ms(50);
		EXPECT_EQ(1, atol(DEVICE("hung")));
		kill(pid, SIGKILL);
		EXPECT_NE(-1, ended_by(pid, now_ms() + LIMIT));
		DEVICE("release-hung");
		self->fd = open(at(&self->fs, "w/f"), O_RDWR | O_CLOEXEC);
		ASSERT_EQ(0, fsync(self->fd));
		EXPECT_EQ(0, host_has(&self->fs, "w/f", SIZE, 2 + i));
		close(self->fd);
		self->fd = -1;
	}
}

/* sync(2) and an unmount hand over what is dirty. */
TEST_F(writeback, sync_and_unmount)
{
	fill(self->buf, 0, SIZE, 3);
	ASSERT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	if (module_is_c())
		fsync(self->fd);
	else
		ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(1, COUNT("SETATTR"));
	EXPECT_EQ(0, host_has(&self->fs, "w/f", SIZE, 3));
	/* A file without a name has nothing to hand over later. */
	ASSERT_EQ(0, unlink(at(&self->fs, "w/f")));
	ASSERT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, fs_umount(&self->fs));
	self->fs.mounted = false;
	EXPECT_EQ(NULL, strstr(DEVICE("nofiles"), "handles 1"));
}

TEST_HARNESS_MAIN
