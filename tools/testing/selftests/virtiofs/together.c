// SPDX-License-Identifier: GPL-2.0
/*
 * Features that meet in one mount: files with DAX beside files with WRITEBACK_CACHE, O_TRUNC that goes with OPEN on a file that
 * is mapped by DAX, DAX where file systems of the host are mounted below the share.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include "aside.h"
#include <sys/sendfile.h>

#define SIZE (1UL << 20)

FIXTURE(together)
{
	struct fs fs;
	int to, from, fd, dax;
	pid_t helper;
	char *buf, *map;
};

#define ON_HOST(command, ...) ask(self->to, self->from, "ctl host dax '" command "'", ##__VA_ARGS__)
#define DEVICE(command, ...) ask(self->to, self->from, "ctl dax " command, ##__VA_ARGS__)
#define COUNT(name) atol(DEVICE("counters | sed -n \"s/^%s //p\"", name))

FIXTURE_SETUP(together)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = self->dax = -1;
	self->helper = 0;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window of 64 MiB");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "dax");
	self->helper = aside(&self->to, &self->from);
	ASSERT_LT(0, self->helper);
	device(&self->fs, NULL, 0, "defaults");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "dax-files *.dax"));
	/* First what a case has left that was ended from outside. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "busybox umount -l t/below 2>/dev/null; rm -rf t; mkdir -p t/below; busybox mount -t tmpfs -o size=4m none t/below"));
	ASSERT_EQ(0, host_make(&self->fs, "t/a.dax", SIZE, 1));
	ASSERT_EQ(0, host_make(&self->fs, "t/plain", SIZE, 2));
	ASSERT_EQ(0, host_make(&self->fs, "t/below/b.dax", SIZE, 3));
	self->buf = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(together)
{
	if (!self->helper)
		return;
	DEVICE("faults clear");
	if (self->map)
		munmap(self->map, SIZE);
	if (self->fd >= 0)
		close(self->fd);
	if (self->dax >= 0)
		close(self->dax);
	close(self->to);
	waitpid(self->helper, NULL, 0);
	free(self->buf);
	EXPECT_EQ(0, fs_umount(&self->fs));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
	host(&self->fs, NULL, 0, "busybox umount -l t/below; rm -rf t");
	device(&self->fs, NULL, 0, "defaults");
}

/* Mounts with a feature. */
static int with(struct fs *fs, const char *feature, const char *options)
{
	char line[64];

	snprintf(line, sizeof(line), "enable %s", feature);
	return device(fs, NULL, 0, line) ?: fs_mount(fs, "dax", options);
}

static void open_both(struct fs *fs, int *dax, int *fd)
{
	*dax = open(at(fs, "t/a.dax"), O_RDWR | O_CLOEXEC);
	*fd = open(at(fs, "t/plain"), O_RDWR | O_CLOEXEC);
}

/* What is written to the one is with the host at once, what is written to the other when it is written back. */
TEST_F(together, each_its_way)
{
	struct stat st;

	ASSERT_EQ(0, with(&self->fs, "WRITEBACK_CACHE", "dax=inode"));
	open_both(&self->fs, &self->dax, &self->fd);
	ASSERT_LE(0, self->dax);
	ASSERT_LE(0, self->fd);
	DEVICE("reset");
	fill(self->buf, 0, SIZE, 7);
	for (size_t off = 0; off < SIZE; off += 65536) {
		ASSERT_EQ(65536, pwrite(self->dax, self->buf + off, 65536, off));
		ASSERT_EQ(65536, pwrite(self->fd, self->buf + off, 65536, off));
	}
	EXPECT_LT(0, COUNT("SETUPMAPPING"));
	OURS(COUNT("WRITE") == 0, "little may be dirty there (a strict limit of 1 %), so the flusher begins early");
	EXPECT_EQ(0, strcmp("", ON_HOST("cmp -s t/a.dax t/plain && echo same")));
	/* The one has its times from the host, the other its own. */
	ON_HOST("touch -d @1000 t/a.dax t/plain");
	/* When the second of belief is over; on a machine that has much to do the guest's clock ticks late. */
	EXPECT_TRUE(soon(!fstat(self->dax, &st) && st.st_mtime == 1000));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_LT(1000, st.st_mtime);
	/* Appended to, both are longer at once here; at the host only the one is. */
	ASSERT_EQ(100, pwrite(self->dax, self->buf, 100, SIZE));
	ASSERT_EQ(100, pwrite(self->fd, self->buf, 100, SIZE));
	ASSERT_EQ(0, fstat(self->dax, &st));
	EXPECT_EQ(SIZE + 100, st.st_size);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE + 100, st.st_size);
	EXPECT_EQ(SIZE + 100, atol(ON_HOST("stat -c %%s t/a.dax")));
	EXPECT_EQ(SIZE, atol(ON_HOST("stat -c %%s t/plain")));
	ASSERT_EQ(0, syncfs(self->fd));
	EXPECT_EQ(SIZE + 100, atol(ON_HOST("stat -c %%s t/plain")));
	EXPECT_EQ(0, strcmp("same", ON_HOST("cmp -s t/a.dax t/plain && echo same")));
	ASSERT_EQ(0, ftruncate(self->dax, SIZE));
	EXPECT_EQ(0, host_has(&self->fs, "t/a.dax", SIZE, 7));
}

/* From the one into the other, by every way there is, and what the source has only here goes along. */
TEST_F(together, from_one_into_the_other)
{
	loff_t from, into;
	off_t pos;

	ASSERT_EQ(0, with(&self->fs, "WRITEBACK_CACHE", "dax=inode"));
	open_both(&self->fs, &self->dax, &self->fd);
	ASSERT_LE(0, self->dax);
	ASSERT_LE(0, self->fd);
	self->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dax, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	/* Dirty pages here are copied by the server into what is mapped. */
	fill(self->buf, 0, PAGE * 4, 9);
	ASSERT_EQ(4 * PAGE, pwrite(self->fd, self->buf, 4 * PAGE, 0));
	from = into = 0;
	ASSERT_EQ(4 * PAGE, copy_file_range(self->fd, &from, self->dax, &into, 4 * PAGE, 0));
	EXPECT_EQ(-1, differs(self->map, 0, 4 * PAGE, 9));
	/* The other way round: what was stored in the mapping. */
	fill(self->map + 8 * PAGE, 8 * PAGE, 4 * PAGE, 10);
	ASSERT_EQ(4 * PAGE, pread(self->fd, self->buf, 4 * PAGE, 8 * PAGE));
	from = into = 8 * PAGE;
	ASSERT_EQ(4 * PAGE, copy_file_range(self->dax, &from, self->fd, &into, 4 * PAGE, 0));
	ASSERT_EQ(4 * PAGE, pread(self->fd, self->buf, 4 * PAGE, 8 * PAGE));
	EXPECT_EQ(-1, differs(self->buf, 8 * PAGE, 4 * PAGE, 10));
	/* By a pipe. */
	pos = 8 * PAGE;
	ASSERT_EQ(16 * PAGE, lseek(self->fd, 16 * PAGE, SEEK_SET));
	ASSERT_EQ(4 * PAGE, sendfile(self->fd, self->dax, &pos, 4 * PAGE));
	ASSERT_EQ(4 * PAGE, pread(self->fd, self->buf, 4 * PAGE, 16 * PAGE));
	EXPECT_EQ(-1, differs(self->buf, 8 * PAGE, 4 * PAGE, 10));
	/* The one as memory for the other. */
	ASSERT_EQ(4 * PAGE, pwrite(self->fd, self->map, 4 * PAGE, 32 * PAGE));
	ASSERT_EQ(4 * PAGE, pread(self->fd, self->map + 40 * PAGE, 4 * PAGE, 32 * PAGE));
	EXPECT_EQ(-1, differs(self->map + 40 * PAGE, 0, 4 * PAGE, 9));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, strcmp("same", ON_HOST("cmp -s -n 16384 t/a.dax t/plain && echo same")));
}

/* The mapping of a file that is cut by an open loses its pages before the server cuts it; one that fails has cut nothing. */
TEST_F(together, truncating_open)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, with(&self->fs, "ATOMIC_O_TRUNC", "dax=always"));
	self->dax = open(at(&self->fs, "t/a.dax"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dax);
	self->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dax, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	EXPECT_EQ(-1, differs(self->map, 0, SIZE, 1));
	DEVICE("reset");
	DEVICE("fault OPEN 1 errno:-13");
	EXPECT_EQ(-1, open(at(&self->fs, "t/a.dax"), O_RDWR | O_TRUNC | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, fstat(self->dax, &st));
	EXPECT_EQ(SIZE, st.st_size);
	EXPECT_EQ(-1, differs(self->map, 0, SIZE, 1));
	fd = open(at(&self->fs, "t/a.dax"), O_RDWR | O_TRUNC | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, COUNT("SETATTR"));
	EXPECT_EQ(0, atol(ON_HOST("stat -c %%s t/a.dax")));
	ASSERT_EQ(0, fstat(self->dax, &st));
	EXPECT_EQ(0, st.st_size);
	EXPECT_EQ(SIGBUS, touch(self->map, false));
	EXPECT_EQ(SIGBUS, touch(self->map + SIZE - 1, true));
	/* The file begins again, and so does the mapping. */
	fill(self->buf, 0, 2 * PAGE, 5);
	ASSERT_EQ(2 * PAGE, pwrite(fd, self->buf, 2 * PAGE, 0));
	EXPECT_EQ(-1, differs(self->map, 0, 2 * PAGE, 5));
	EXPECT_EQ(SIGBUS, touch(self->map + 2 * PAGE, false));
	close(fd);
	EXPECT_EQ(0, host_has(&self->fs, "t/a.dax", 2 * PAGE, 5));
}

/* A program maps a file, another cuts it by opening it again and again: no other end than SIGBUS. */
TEST_F(together, truncating_open_against_mappings)
{
	pid_t pid;
	int fd, status;

	ASSERT_EQ(0, with(&self->fs, "ATOMIC_O_TRUNC", "dax=always"));
	self->dax = open(at(&self->fs, "t/a.dax"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dax);
	self->map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dax, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	pid = fork();
	if (!pid) {
		for (unsigned int i = 0;; i++)
			touch(self->map + i % 16 * PAGE, i & 1);
	}
	fill(self->buf, 0, 16 * PAGE, 6);
	for (int i = 0; i < 60; i++) {
		fd = open(at(&self->fs, "t/a.dax"), O_RDWR | O_TRUNC | O_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(16 * PAGE, pwrite(fd, self->buf, 16 * PAGE, 0));
		close(fd);
	}
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Files of a file system below the share: the same data by every way, with or without a mapping in the window. */
TEST_F(together, below_the_share)
{
	struct stat above, below;
	char *map;
	int fd;

	ASSERT_EQ(0, with(&self->fs, "SUBMOUNTS", "dax=always"));
	DEVICE("reset");
	fd = open(at(&self->fs, "t/below/b.dax"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &below));
	ASSERT_EQ(0, stat(at(&self->fs, "t/a.dax"), &above));
	EXPECT_NE(above.st_dev, below.st_dev);
	ASSERT_EQ(SIZE, pread(fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 3));
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, differs(map, 0, SIZE, 3));
	fill(map, 0, PAGE, 8);
	ASSERT_EQ(PAGE, pread(fd, self->buf, PAGE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, PAGE, 8));
	fill(self->buf, PAGE, PAGE, 8);
	ASSERT_EQ(PAGE, pwrite(fd, self->buf, PAGE, PAGE));
	EXPECT_EQ(-1, differs(map, 0, 2 * PAGE, 8));
	ASSERT_EQ(0, msync(map, SIZE, MS_SYNC));
	EXPECT_EQ(0, ftruncate(fd, PAGE));
	EXPECT_EQ(SIGBUS, touch(map + PAGE, false));
	munmap(map, SIZE);
	close(fd);
	EXPECT_EQ(0, host_has(&self->fs, "t/below/b.dax", PAGE, 8));
}

TEST_HARNESS_MAIN
