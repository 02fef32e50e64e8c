// SPDX-License-Identifier: GPL-2.0
/*
 * What idle files keep: their ranges of the window and the memory for them go back when memory runs short, by the kernel's
 * own shrinkers. Files that are open or mapped keep theirs.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define FILES 12
#define CGROUP "/sys/fs/cgroup"

FIXTURE(pressure)
{
	struct fs fs;
	int open;
	char *mapped;
};

/* Maps the one range of each file, by read(2) and by a page fault, which leaves an entry in the file's mapping. */
static int use_all(const struct fs *fs)
{
	char name[32], byte, *p;
	int fd;

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "idle/f%d", i + 1);
		fd = open(at(fs, name), O_RDONLY);
		if (fd < 0 || pread(fd, &byte, 1, 100) != 1)
			return -1;
		p = mmap(NULL, RANGE, PROT_READ, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			return -1;
		touch_all(p, PAGE);
		munmap(p, RANGE);
		close(fd);
	}
	return 0;
}

FIXTURE_SETUP(pressure)
{
	char byte;
	int fd;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window of 64 MiB");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mkdir -p idle && for i in $(seq 1 %d); do truncate -s 2M idle/f$i; done", FILES));
	/* Two more that stay in use: one open, one mapped. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s 2M open mapped"));
	self->open = open(at(&self->fs, "open"), O_RDONLY);
	ASSERT_GE(self->open, 0);
	ASSERT_EQ(1, pread(self->open, &byte, 1, 0));
	fd = open(at(&self->fs, "mapped"), O_RDONLY);
	self->mapped = mmap(NULL, RANGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	ASSERT_NE(MAP_FAILED, self->mapped);
	touch_all(self->mapped, PAGE);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(pressure)
{
	if (self->mapped)
		munmap(self->mapped, RANGE);
	if (self->open > 0)
		close(self->open);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Waits until only what is in use has ranges; `press` puts memory under pressure once. */
static long left_after(const struct fs *fs, void (*press)(void))
{
	soon((press(), counter(fs, "live_maps") <= 2));
	return counter(fs, "live_maps");
}

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		/* memory.reclaim says EAGAIN when there was less than it was told. */
		if (write(fd, text, strlen(text)) < 0)
			usleep(1000);
		close(fd);
	}
}

static void drop_caches(void)
{
	write_to("/proc/sys/vm/drop_caches", "2");
}

TEST_F(pressure, drop_caches)
{
	char byte;

	ASSERT_EQ(0, use_all(&self->fs));
	ASSERT_EQ(FILES + 2, counter(&self->fs, "live_maps"));
	EXPECT_EQ(2, left_after(&self->fs, drop_caches));
	EXPECT_GE(counter(&self->fs, "forgets"), FILES);
	if (!module_is_c()) {
		EXPECT_EQ(2, window_number("dax", "ranges_mapped"));
		EXPECT_EQ(0, ranges_unaccounted("dax"));
	}
	/* What was in use was not mapped again. */
	reset_counters(&self->fs);
	EXPECT_EQ(1, pread(self->open, &byte, 1, 100));
	touch_all(self->mapped, PAGE);
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
}

static void reclaim_group(void)
{
	write_to(CGROUP "/ksft/memory.reclaim", "64M");
}

/* The files are charged to a group of processes, and the group has to give memory back. */
TEST_F(pressure, of_a_group)
{
	int status;
	pid_t pid;

	if (mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY)
		SKIP(return, "no cgroup2");
	write_to(CGROUP "/cgroup.subtree_control", "+memory");
	ASSERT_TRUE(!mkdir(CGROUP "/ksft", 0755) || errno == EEXIST);
	if (access(CGROUP "/ksft/memory.reclaim", W_OK))
		SKIP(return, "no memory controller");
	pid = fork();
	if (!pid) {
		write_to(CGROUP "/ksft/cgroup.procs", "0");
		_exit(!!use_all(&self->fs));
	}
	waitpid(pid, &status, 0);
	ASSERT_EQ(0, status);
	ASSERT_EQ(FILES + 2, counter(&self->fs, "live_maps"));
	EXPECT_EQ(2, left_after(&self->fs, reclaim_group));
	EXPECT_GE(counter(&self->fs, "forgets"), FILES);
	rmdir(CGROUP "/ksft");
	if (!module_is_c())
		EXPECT_EQ(0, ranges_unaccounted("dax"));
}

TEST_HARNESS_MAIN
