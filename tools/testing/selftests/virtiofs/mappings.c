// SPDX-License-Identifier: GPL-2.0
/*
 * What a process does with its mappings of a DAX file: moving, dropping, protecting and syncing them, sharing their page
 * tables by fork(), and having the kernel take hold of their pages for pipes, direct I/O, futexes and other processes.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/futex.h>
#include <linux/loop.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define SIZE (3 * RANGE)
#define PAGES (RANGE / PAGE)

FIXTURE(mappings)
{
	struct fs fs;
	int fd;
	char *p;
};

FIXTURE_VARIANT(mappings)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(mappings, pages) { .huge = false };
FIXTURE_VARIANT_ADD(mappings, huge) { .huge = true };

FIXTURE_SETUP(mappings)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf m; mkdir m"));
	ASSERT_EQ(0, host_make(&self->fs, "m/f", SIZE, 1));
	self->fd = open(at(&self->fs, "m/f"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	self->p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_NE(MAP_FAILED, self->p);
	touch_all(self->p, SIZE);
	ASSERT_EQ(variant->huge ? 3 * PAGES : 0, huge_pages(self->p, SIZE));
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(mappings)
{
	if (self->fd >= 0) {
		munmap(self->p, SIZE);
		close(self->fd);
	}
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What was asked for mappings: the C client asks a second time where a store follows a load (W-5). */
static bool asked_nothing(const struct fs *fs)
{
	long setups = counter(fs, "SETUPMAPPING");

	return setups == 0 || (module_is_c() && setups == counter(fs, "upgrades"));
}

/* Nothing was asked of the device for data, and the host has the file as it should be. */
#define ALL_IN_WINDOW(seed)                                                 \
	do {                                                                \
		EXPECT_EQ(0, counter(&self->fs, "READ"));                   \
		EXPECT_EQ(0, counter(&self->fs, "WRITE"));                  \
		EXPECT_TRUE(asked_nothing(&self->fs));                      \
		EXPECT_EQ(0, host_has(&self->fs, "m/f", SIZE, seed));       \
	} while (0)

/* Moved to where 2 MiB fit and to where they do not, in part and as a whole, and made longer. */
TEST_F(mappings, mremap)
{
	char *room = mmap(NULL, SIZE + 2 * RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *to, *part;

	ASSERT_NE(MAP_FAILED, room);
	to = (char *)(((uintptr_t)room + RANGE - 1) & ~(RANGE - 1));
	ASSERT_EQ(to, mremap(self->p, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, touch(self->p, false));
	EXPECT_EQ(-1, differs(to, 0, SIZE, 1));
	fill(to, 0, SIZE, 2);
	/* One page out of the middle. */
	part = mremap(to + RANGE + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + SIZE);
	ASSERT_EQ(to + SIZE, part);
	EXPECT_EQ(SIGSEGV, touch(to + RANGE + PAGE, true));
	EXPECT_EQ(-1, differs(part, RANGE + PAGE, PAGE, 2));
	EXPECT_EQ(-1, differs(to + RANGE + 2 * PAGE, RANGE + 2 * PAGE, RANGE, 2));
	fill(part, RANGE + PAGE, PAGE, 3);
	/* The last 2 MiB, one page off. */
	ASSERT_EQ(self->p + PAGE, mremap(to + 2 * RANGE, RANGE, RANGE, MREMAP_MAYMOVE | MREMAP_FIXED, self->p + PAGE));
	EXPECT_EQ(-1, differs(self->p + PAGE, 2 * RANGE, RANGE, 2));
	/* Longer again: what comes is the file. */
	part = mremap(part, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, part);
	EXPECT_EQ(-1, differs(part, RANGE + PAGE, PAGE, 3));
	EXPECT_EQ(-1, differs(part + PAGE, RANGE + 2 * PAGE, 3 * PAGE, 2));
	fill(part, RANGE + PAGE, PAGE, 2);
	munmap(part, 4 * PAGE);
	munmap(self->p, SIZE);
	munmap(room, SIZE + 2 * RANGE);
	ALL_IN_WINDOW(2);
}

TEST_F(mappings, madvise)
{
	char zeros[PAGE] = "";

	/* Gone from the page tables, and back without a request. */
	ASSERT_EQ(0, madvise(self->p, RANGE, MADV_DONTNEED));
	EXPECT_EQ(2 * PAGES, present(0, self->p, SIZE));
	ASSERT_EQ(0, madvise(self->p + RANGE + 5 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, present(0, self->p + RANGE + 5 * PAGE, PAGE));
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));
	EXPECT_EQ(3 * PAGES, present(0, self->p, SIZE));
	/* What concerns a page cache or anonymous memory does nothing. */
	EXPECT_EQ(0, madvise(self->p, SIZE, MADV_WILLNEED));
	EXPECT_EQ(0, madvise(self->p, SIZE, MADV_SEQUENTIAL));
	EXPECT_EQ(-1, madvise(self->p, SIZE, MADV_FREE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));
	/* Populated by one call, for loads and for stores. */
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_POPULATE_READ));
	EXPECT_EQ(3 * PAGES, present(0, self->p, SIZE));
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_POPULATE_WRITE));
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));
	ALL_IN_WINDOW(1);
	if (module_is_c())
		return;
	/* A hole, which the host has as well. */
	ASSERT_EQ(0, madvise(self->p + RANGE, 2 * PAGE, MADV_REMOVE));
	EXPECT_EQ(1, counter(&self->fs, "FALLOCATE"));
	EXPECT_EQ(0, memcmp(self->p + RANGE, zeros, PAGE));
	EXPECT_EQ(-1, differs(self->p + RANGE + 2 * PAGE, RANGE + 2 * PAGE, PAGE, 1));
	fill(self->p + RANGE, RANGE, 2 * PAGE, 1);
	EXPECT_EQ(0, host_has(&self->fs, "m/f", SIZE, 1));
}

/* Populated by mmap(2); behind the end of the file there is nothing to populate. */
TEST_F(mappings, populate)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self->fd, 0);
	long before;

	ASSERT_NE(MAP_FAILED, p);
	before = faults();
	touch_all(p, SIZE);
	EXPECT_EQ(before, faults());
	munmap(p, SIZE);
	p = mmap(NULL, SIZE + RANGE, PROT_READ, MAP_SHARED | MAP_POPULATE, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(3 * PAGES, present(0, p, SIZE + RANGE));
	EXPECT_EQ(-1, madvise(p, SIZE + RANGE, MADV_POPULATE_READ));
	EXPECT_EQ(EFAULT, errno);
	munmap(p, SIZE + RANGE);
	EXPECT_EQ(-1, (long)mmap(NULL, SIZE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, self->fd, 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
	ALL_IN_WINDOW(1);
}

TEST_F(mappings, mprotect)
{
	char *q;
	int ro;

	if (c_is_spared())
		SKIP(return, "known difference: open() drops the mappings of every process, with a WARNING (G-2)");
	ro = open(at(&self->fs, "m/f"), O_RDONLY);
	q = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, ro, 0);
	ASSERT_TRUE(ro >= 0 && q != MAP_FAILED);
	EXPECT_EQ(-1, mprotect(q, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	/* A page in the middle, a whole range, then all. */
	ASSERT_EQ(0, mprotect(self->p + RANGE + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(0, touch(self->p + RANGE + PAGE, false));
	EXPECT_EQ(SIGSEGV, touch(self->p + RANGE + PAGE, true));
	EXPECT_EQ(0, touch(self->p + RANGE, true));
	EXPECT_EQ(0, touch(self->p + RANGE + 2 * PAGE, true));
	ASSERT_EQ(0, mprotect(self->p, SIZE, PROT_NONE));
	EXPECT_EQ(SIGSEGV, touch(self->p + 2 * RANGE, false));
	EXPECT_EQ(SIGSEGV, touch(self->p + RANGE + PAGE, false));
	ASSERT_EQ(0, mprotect(self->p, SIZE, PROT_READ));
	EXPECT_EQ(SIGSEGV, touch(self->p + RANGE, true));
	ASSERT_EQ(0, mprotect(self->p, SIZE, PROT_READ | PROT_WRITE));
	fill(self->p, 0, SIZE, 2);
	EXPECT_EQ(-1, differs(q, 0, SIZE, 2));
	munmap(q, SIZE);
	close(ro);
	ALL_IN_WINDOW(2);
}

TEST_F(mappings, msync_and_mincore)
{
	unsigned char in[3 * PAGES];
	size_t i, n = 0;

	fill(self->p, 0, SIZE, 2);
	EXPECT_EQ(0, msync(self->p, SIZE, MS_ASYNC));
	EXPECT_EQ(0, counter(&self->fs, "FSYNC"));
	EXPECT_EQ(0, msync(self->p + PAGE, PAGE, MS_SYNC));
	EXPECT_EQ(1, counter(&self->fs, "FSYNC"));
	EXPECT_EQ(0, msync(self->p, SIZE, MS_SYNC | MS_INVALIDATE));
	EXPECT_EQ(0, fdatasync(self->fd));
	EXPECT_EQ(3, counter(&self->fs, "FSYNC"));
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 2));
	/* What is in the page tables is in memory; what is not cannot be told and is reported as not there. */
	ASSERT_EQ(0, madvise(self->p + RANGE, RANGE, MADV_DONTNEED));
	ASSERT_EQ(0, mincore(self->p, SIZE, in));
	for (i = 0; i < 3 * PAGES; i++)
		n += in[i] & 1;
	EXPECT_EQ(2 * PAGES, n);
	EXPECT_EQ(0, in[PAGES + 7] & 1);
	ASSERT_EQ(0, munmap(self->p + RANGE, RANGE));
	EXPECT_EQ(-1, msync(self->p, SIZE, MS_SYNC));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-1, mincore(self->p, SIZE, in));
	EXPECT_EQ(ENOMEM, errno);
	ALL_IN_WINDOW(2);
}

#define MANY 12

/* Page tables of many processes: each unmaps in an order of its own, some die; the others keep what they have. */
TEST_F(mappings, many_processes)
{
	volatile int *go = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[MANY];
	int i, r, status;

	go[0] = -1;
	for (i = 0; i < MANY; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		if (madvise(self->p, SIZE, i % 2 ? MADV_POPULATE_READ : MADV_POPULATE_WRITE))
			_exit(1);
		__sync_fetch_and_add(&go[1], 1);
		while (go[0] != i && !go[2])
			pause_ms(2);
		for (r = 0; r < 3; r++) {
			if (differs(self->p + (i + r) % 3 * RANGE, (i + r) % 3 * RANGE, PAGE, 1) != -1)
				_exit(2);
			if (i % 4 == 3)
				break;
			if (munmap(self->p + (i + r) % 3 * RANGE + (i % 4 == 2) * PAGE, RANGE - (i % 4 == 2) * PAGE))
				_exit(3);
		}
		_exit(0);
	}
	ASSERT_TRUE(soon(go[1] == MANY));
	/* Every third one by itself, the rest together. */
	for (i = 0; i < MANY; i += 3) {
		go[0] = i;
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(3 * PAGES, present(0, self->p, SIZE));
		EXPECT_EQ(variant->huge ? 3 * PAGES : 0, huge_pages(self->p, SIZE));
		EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));
	}
	go[2] = 1;
	for (i = 0; i < MANY; i++) {
		if (i % 3 == 0)
			continue;
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	ALL_IN_WINDOW(1);
	/* No page is held by anybody: the file can be cut off and goes without waiting. */
	if (!module_is_c()) {
		ASSERT_EQ(0, ftruncate(self->fd, 0));
		EXPECT_EQ(0, present(0, self->p, SIZE));
	}
}

/* Other processes reach the memory of this one, through its page tables. */
TEST_F(mappings, by_other_process)
{
	char buf[2 * PAGE], path[64];
	int mem, status;
	pid_t pid = fork();

	if (!pid) {
		snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
		mem = open(path, O_RDWR);
		if (mem < 0 || pread(mem, buf, sizeof(buf), (uintptr_t)self->p + RANGE - PAGE) != sizeof(buf) ||
		    differs(buf, RANGE - PAGE, sizeof(buf), 1) != -1)
			_exit(1);
		fill(buf, RANGE - PAGE, sizeof(buf), 2);
		_exit(pwrite(mem, buf, sizeof(buf), (uintptr_t)self->p + RANGE - PAGE) != sizeof(buf));
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-1, differs(self->p + RANGE - PAGE, RANGE - PAGE, 2 * PAGE, 2));
	fill(self->p + RANGE - PAGE, RANGE - PAGE, 2 * PAGE, 1);
	ALL_IN_WINDOW(1);
}

static long futex(volatile uint32_t *word, int op, uint32_t value, const struct timespec *limit)
{
	return syscall(SYS_futex, word, op, value, limit, NULL, 0);
}

/* A word of a shared mapping is one futex for all who have it mapped, at whatever address. */
TEST_F(mappings, shared_futex)
{
	struct timespec limit = { 2 * SOON_MS / 1000, 0 };
	char *q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, RANGE);
	volatile uint32_t *here = (uint32_t *)(self->p + RANGE), *there = (uint32_t *)q;
	int status;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, q);
	*here = 7;
	pid = fork();
	if (!pid)
		_exit(futex(there, FUTEX_WAIT, 7, &limit) ? errno == EAGAIN ? 0 : 1 : 0);
	EXPECT_TRUE(soon(futex(here, FUTEX_WAKE, 1, NULL) == 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	munmap(q, PAGE);
}

/* Pages of a mapping travel through a pipe without a copy: what is stored afterwards is what comes out. */
TEST_F(mappings, through_pipe)
{
	struct iovec v = { self->p + RANGE - PAGE, 2 * PAGE };
	char buf[2 * PAGE];
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(sizeof(buf), vmsplice(pipes[1], &v, 1, 0));
	fill(self->p + RANGE - PAGE, RANGE - PAGE, 2 * PAGE, 2);
	ASSERT_EQ(sizeof(buf), read(pipes[0], buf, sizeof(buf)));
	EXPECT_EQ(-1, differs(buf, RANGE - PAGE, 2 * PAGE, 2));
	/* Unmapped while it is in the pipe. */
	ASSERT_EQ(sizeof(buf), vmsplice(pipes[1], &v, 1, 0));
	munmap(self->p, SIZE);
	ASSERT_EQ(sizeof(buf), read(pipes[0], buf, sizeof(buf)));
	EXPECT_EQ(-1, differs(buf, RANGE - PAGE, 2 * PAGE, 2));
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_TRUE(asked_nothing(&self->fs));
}

/* A block device whose memory is a memfd, opened past the page cache; -1 where there is none. */
static int block_device(size_t size, int *memory)
{
	int control = open("/dev/loop-control", O_RDWR), n, fd;
	char path[32];

	*memory = memfd_create("blocks", 0);
	if (control < 0 || *memory < 0 || ftruncate(*memory, size))
		return -1;
	n = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(path, sizeof(path), "/dev/loop%d", n);
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0 || ioctl(fd, LOOP_SET_FD, *memory))
		return -1;
	return fd;
}

/* Direct I/O of a block device from and to the mapping: the pages are pinned, and none of it goes through the guest's cache. */
TEST_F(mappings, direct_io)
{
	char *buf = malloc(SIZE);
	int memory, fd = block_device(SIZE, &memory);

	if (fd < 0)
		SKIP(return, "no loop devices");
	/* The middle, over the border between two ranges, to the device ... */
	ASSERT_EQ(RANGE, pwrite(fd, self->p + RANGE / 2, RANGE, RANGE / 2));
	ASSERT_EQ(RANGE, pread(memory, buf, RANGE, RANGE / 2));
	EXPECT_EQ(-1, differs(buf, RANGE / 2, RANGE, 1));
	/* ... and from it. */
	fill(buf, 0, SIZE, 2);
	ASSERT_EQ(SIZE, pwrite(memory, buf, SIZE, 0));
	ASSERT_EQ(SIZE, pread(fd, self->p, SIZE, 0));
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 2));
	ALL_IN_WINDOW(2);
	/* Where the pages are not in the page tables yet. */
	munmap(self->p, SIZE);
	self->p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_EQ(RANGE, pread(fd, self->p + RANGE, RANGE, 0));
	EXPECT_EQ(-1, differs(self->p + RANGE, 0, RANGE, 2));
	EXPECT_EQ(-1, differs(self->p, 0, RANGE, 2));
	fill(self->p, 0, SIZE, 1);
	ALL_IN_WINDOW(1);
	/* Behind the end of the file there are no pages. */
	if (!module_is_c()) {
		ASSERT_EQ(0, ftruncate(self->fd, RANGE));
		EXPECT_EQ(-1, pwrite(fd, self->p + RANGE, PAGE, 0));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_EQ(0, ioctl(fd, LOOP_CLR_FD));
	close(fd);
	close(memory);
	free(buf);
}

/* read(2) and write(2) of one DAX file with the mapping of another, and of itself, as the buffer. */
TEST_F(mappings, as_buffer)
{
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "m/g", SIZE, 2));
	fd = open(at(&self->fs, "m/g"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(RANGE, pread(fd, self->p + RANGE / 2, RANGE, RANGE / 2));
	EXPECT_EQ(-1, differs(self->p + RANGE / 2, RANGE / 2, RANGE, 2));
	EXPECT_EQ(-1, differs(self->p, 0, RANGE / 2, 1));
	EXPECT_EQ(RANGE, pwrite(fd, self->p, RANGE, 2 * RANGE));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "cmp -n %lu m/f m/g 0 %lu", RANGE, 2 * RANGE));
	EXPECT_EQ(RANGE, pwrite(self->fd, self->p + 2 * RANGE, RANGE, 0));
	EXPECT_EQ(0, memcmp(self->p, self->p + 2 * RANGE, RANGE));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	close(fd);
}

TEST_HARNESS_MAIN
