// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is short, or not to be had: a group of processes that writes many times what it may keep must get on, and an
 * allocation that fails for a request is no error of input or output.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define CGROUP "/sys/fs/cgroup"
#define GROUP CGROUP "/ksft-memory"
#define SIZE (48UL << 20)
#define PART (256UL << 10)
#define LIMIT "20M"
#define PATIENCE 150000

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), bad;

	if (fd < 0)
		return -1;
	bad = write(fd, text, strlen(text)) < 0;
	close(fd);
	return bad;
}

/* Waits for a process; one that does not end in time is shown and given up. */
static int end_of(pid_t pid)
{
	char command[64];
	int status;
	long end;

	for (end = now_ms() + PATIENCE; now_ms() < end; pause_ms(20))
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	snprintf(command, sizeof(command), "sed 's/^/# /' /proc/%d/stack", pid);
	if (system(command))
		printf("# no stack\n");
	kill(pid, SIGKILL);
	return -1;
}

FIXTURE(memory)
{
	struct fs fs;
	bool group;
};

FIXTURE_VARIANT(memory)
{
	const char *tag, *options, *features;
};

FIXTURE_VARIANT_ADD(memory, through) { .tag = "nodax", .features = "none" };
FIXTURE_VARIANT_ADD(memory, writeback) { .tag = "nodax", .features = "WRITEBACK_CACHE" };
FIXTURE_VARIANT_ADD(memory, dax) { .tag = "dax", .options = "dax=always", .features = "none" };

FIXTURE_SETUP(memory)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag(variant->tag))
		SKIP(return, "no such share");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "%s", variant->tag);
	device(&self->fs, NULL, 0, "defaults");
	if (strcmp(variant->features, "none")) {
		char line[64];

		snprintf(line, sizeof(line), "enable %s", variant->features);
		ASSERT_EQ(0, device(&self->fs, NULL, 0, line));
	}
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf memory && mkdir memory"));
}

FIXTURE_TEARDOWN(memory)
{
	if (!self->fs.mounted)
		return;
	host(&self->fs, NULL, 0, "rm -rf memory");
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
	rmdir(GROUP);
}

/* Runs something in a group that may have little memory. */
static pid_t in_group(int (*run)(const struct fs *), const struct fs *fs)
{
	pid_t pid = fork();

	if (!pid)
		_exit(write_to(GROUP "/cgroup.procs", "0") ? 99 : run(fs));
	return pid;
}

static const char *make_group(void)
{
	if (mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY)
		return "no cgroup2";
	write_to(CGROUP "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		return "no group";
	return write_to(GROUP "/memory.max", LIMIT) ? "no memory controller" : NULL;
}

static int write_much(const struct fs *fs)
{
	int fd = open(at(fs, "memory/written"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	char *buf = malloc(PART);

	if (fd < 0 || !buf)
		return 1;
	for (size_t off = 0; off < SIZE; off += PART) {
		fill(buf, off, PART, 3);
		if (pwrite(fd, buf, PART, off) != PART)
			return 2;
	}
	for (size_t off = 0; off < SIZE; off += PART)
		if (pread(fd, buf, PART, off) != PART || differs(buf, off, PART, 3) >= 0)
			return 3;
	return fsync(fd) ? 4 : 0;
}

static int store_much(const struct fs *fs)
{
	int fd = open(at(fs, "memory/stored"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	char *map;

	if (fd < 0 || ftruncate(fd, SIZE))
		return 1;
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 2;
	fill(map, 0, SIZE, 4);
	if (differs(map, 0, SIZE, 4) >= 0)
		return 3;
	return msync(map, SIZE, MS_SYNC) ? 4 : 0;
}

TEST_F_TIMEOUT(memory, written_in_a_group, 400)
{
	const char *why = make_group();

	if (why)
		SKIP(return, "%s", why);
	EXPECT_EQ(0, end_of(in_group(write_much, &self->fs)));
	EXPECT_EQ(0, host_has(&self->fs, "memory/written", SIZE, 3));
}

TEST_F_TIMEOUT(memory, stored_in_a_group, 400)
{
	const char *why = make_group();

	if (why)
		SKIP(return, "%s", why);
	EXPECT_EQ(0, end_of(in_group(store_much, &self->fs)));
	EXPECT_EQ(0, host_has(&self->fs, "memory/stored", SIZE, 4));
}

/* In tasks that ask for it, so many of 100 allocations fail: of all kinds, or only of those that may not wait. */
static void let_fail(int percent, bool may_wait)
{
	char path[96], number[8];

	snprintf(number, sizeof(number), "%d", percent);
	for (int i = 0; i < 2; i++) {
		const char *kind = i ? "fail_page_alloc" : "failslab";
		const struct { const char *name, *text; } set[] = {
			{ "task-filter", "Y" }, { "ignore-gfp-wait", may_wait ? "N" : "Y" }, { "ignore-gfp-highmem", "N" },
			{ "min-order", "0" }, { "verbose", "0" }, { "times", "-1" }, { "interval", "1" }, { "probability", number },
		};

		for (int k = 0; k < 8; k++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kind, set[k].name);
			write_to(path, set[k].text);
		}
	}
}

#define ROUNDS 150
#define DATA 40000

/* Errnos that came, and how often; 0 is success. */
static int *came;

/* Counts the outcome of a call, and gives it on. */
static long outcome(long result)
{
	came[result < 0 ? errno & 255 : 0]++;
	return result;
}

/* So often memory may be short. */
#define OFTEN 3000

/* Until it succeeds, or fails for another reason than memory. */
#define until_done(call) ({						\
	long _result;							\
									\
	do								\
		_result = outcome(call);				\
	while (_result < 0 && errno == ENOMEM && came[ENOMEM] < OFTEN);	\
	_result;							\
})

/* What a program does, and all of it with what memory there is. */
static int work_on(const struct fs *fs)
{
	char *buf = malloc(DATA), name[32];
	struct stat st;
	bool failed;
	int fd;

	if (write_to("/proc/self/make-it-fail", "1"))
		return 98;
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "memory/%d", i % 10);
		fd = until_done(open(at(fs, name), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
		if (fd < 0)
			return 1;
		fill(buf, 0, DATA, i + 1);
		/* What could not be written back is told once, by fsync: then all is written again. */
		do {
			for (size_t done = 0; done < DATA; ) {
				long n = until_done(pwrite(fd, buf + done, DATA - done, done));

				if (n <= 0)
					return 2;
				done += n;
			}
			failed = outcome(fsync(fd)) < 0;
			if (failed && (errno != ENOMEM || came[ENOMEM] >= OFTEN))
				return 3;
		} while (failed);
		memset(buf, 0, DATA);
		for (size_t done = 0; done < DATA; ) {
			long n = until_done(pread(fd, buf + done, DATA - done, done));

			if (n <= 0)
				return 4;
			done += n;
		}
		if (differs(buf, 0, DATA, i + 1) >= 0)
			return 5;
		outcome(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0);
		memset(buf, 0, DATA);
		if (until_done(pread(fd, buf, 4096, 8192)) != 4096 || differs(buf, 8192, 4096, i + 1) >= 0)
			return 6;
		if (until_done(fstat(fd, &st)) || st.st_size != DATA)
			return 7;
		close(fd);
		if (i % 10 == 9 && until_done(unlink(at(fs, name))))
			return 8;
	}
	return 0;
}

/* Shows what came, and gives the number of errnos other than one, and of what else went wrong. */
static int others_than(int errnum, int result)
{
	int n = result;

	if (result)
		printf("# ended with %d\n", result);

	for (int i = 0; i < 256; i++) {
		if (!came[i])
			continue;
		printf("# %d x %s\n", came[i], i ? strerror(i) : "success");
		if (i && i != errnum)
			n += came[i];
	}
	return n;
}

static int under_failures(const struct fs *fs, int percent, bool may_wait)
{
	int result;
	pid_t pid;

	came = mmap(NULL, 256 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	let_fail(percent, may_wait);
	pid = fork();
	if (!pid)
		_exit(work_on(fs));
	result = end_of(pid);
	let_fail(0, true);
	return result;
}

static const char *cannot_fail(void)
{
	const char *leaks = getenv("VM_KMEMLEAK");

	if (access("/sys/kernel/debug/failslab", F_OK))
		return "the kernel has no failslab";
	return leaks && strcmp(leaks, "0") ? "the leak detector needs memory" : NULL;
}

/* Memory that cannot be had at once is waited for: nobody notices. */
TEST_F_TIMEOUT(memory, none_at_once, 400)
{
	const char *why = cannot_fail();

	if (why)
		SKIP(return, "%s", why);
	OURS(others_than(0, under_failures(&self->fs, 100, false)) == 0,
	     "a request that is sent under a lock fails when there is no memory at once (G-16)");
}

/* Who has no memory is told so, and of no error of the file system; what was written is there. */
TEST_F_TIMEOUT(memory, none_at_times, 400)
{
	const char *why = cannot_fail();

	if (why)
		SKIP(return, "%s", why);
	OURS(others_than(ENOMEM, under_failures(&self->fs, 10, true)) == 0, "errors of memory come as errors of input and output");
	EXPECT_LT(0, came[ENOMEM]);
}

#define KEPT (64 << 10)
#define PIECE 4096
/* More than a pass of writing back needs. */
#define ALLOCATIONS 40

/* Overwrites each second page, or all. */
static bool overwrite(int fd, const char *data, bool all)
{
	for (int off = 0; off < KEPT; off += all ? KEPT : 2 * PIECE) {
		int len = all ? KEPT : PIECE;

		if (pwrite(fd, data + off, len, off) != len)
			return false;
	}
	return true;
}

/* fsync that has memory for so many allocations less one, and no more. */
static int sync_with_memory_for(int fd, int nth)
{
	/* Without memory nothing is opened. */
	int fail = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC), from = open("/proc/self/fail-nth", O_WRONLY | O_CLOEXEC);
	char number[8];
	int result = 0, errnum = 0;

	snprintf(number, sizeof(number), "%d", nth);
	if (write(fail, "1", 1) == 1 && write(from, number, strlen(number)) > 0) {
		result = fsync(fd);
		errnum = errno;
	}
	if (write(from, "0", 1) != 1 || write(fail, "0", 1) != 1)
		_exit(98);
	close(fail);
	close(from);
	errno = errnum;
	return result;
}

/*
 * Has memory end after each allocation of an fsync in turn. Gives how often that failed, and how often what was written was lost, or
 * the error was another one.
 */
static int sync_short(const struct fs *fs, bool all, int *lost)
{
	char *data = malloc(KEPT), *other = malloc(KEPT);
	int fd = open(at(fs, "memory/kept"), O_RDWR | O_CREAT | O_CLOEXEC, 0666), failed = 0;

	*lost = 0;
	if (fd < 0)
		return -1;
	for (int nth = 1; nth <= ALLOCATIONS; nth++) {
		fill(data, 0, KEPT, 10 + nth);
		for (int i = 0; i < KEPT; i++)
			other[i] = all || i / PIECE % 2 == 0 ? ~data[i] : data[i];
		if (pwrite(fd, other, KEPT, 0) != KEPT || fsync(fd) || !overwrite(fd, data, all))
			return -1;
		if (sync_with_memory_for(fd, nth)) {
			failed++;
			*lost += errno != ENOMEM;
		}
		*lost += fsync(fd) || host_has(fs, "memory/kept", KEPT, 10 + nth);
	}
	close(fd);
	free(data);
	free(other);
	return failed;
}

/*
 * What there is no memory to write back for stays dirty, also when some of it was collected already and in however many pieces: fsync
 * says so, and the next pass with memory writes it.
 */
TEST_F_TIMEOUT(memory, dirty_until_written, 400)
{
	const char *why = cannot_fail();
	int failed, lost;

	if (why || strcmp(variant->features, "WRITEBACK_CACHE"))
		SKIP(return, "%s", why ? why : "nothing is written back");
	for (int all = 0; all < 2; all++) {
		let_fail(100, true);
		failed = sync_short(&self->fs, all, &lost);
		let_fail(0, true);
		printf("# %d of %d failed\n", failed, ALLOCATIONS);
		EXPECT_LT(0, failed);
		OURS(lost == 0, "what there was no memory for is lost");
	}
}

TEST_HARNESS_MAIN
