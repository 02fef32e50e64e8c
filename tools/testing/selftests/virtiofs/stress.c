// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once on eight times the window: processes read, write, load, store, punch, append, truncate, rename and
 * open again, also with O_DIRECT. Each block of 4 KiB has one owner, who notes what it wrote there last, so that every byte
 * can be checked, by the owner during the run and at the end here and on the host. STRESS_SECONDS=N (also as a kernel
 * argument) is how long each case takes; STRESS_SEED=N repeats a run as far as that goes.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <setjmp.h>

#define FILES 16
#define PROCS 8
/* Blocks that one operation takes at most. */
#define MOST 32

/* Of each file: the seed of every block (0: a hole), in memory that all processes share. */
struct file {
	uint16_t *seed;
	/* The size in blocks; only files with an owner change it. */
	uint32_t blocks;
	/* Whether its name is the other one; the same holds. */
	bool moved;
	char *map;
	int fd, direct;
};

/* What a process says at its end. */
struct report {
	uint32_t blocks;
	bool moved;
	long steps;
};

FIXTURE(stress)
{
	struct fs fs;
	struct file files[FILES];
	uint32_t max;
};

FIXTURE_VARIANT(stress)
{
	const char *tag;
	size_t window;
};

/* Of each file at most. */
#define ROOM (8 * variant->window / FILES)

FIXTURE_VARIANT_ADD(stress, one_range)
{
	.tag = "tiny",
	.window = RANGE,
};

FIXTURE_VARIANT_ADD(stress, eight_ranges)
{
	.tag = "second",
	.window = 8 * RANGE,
};

static const char *name_of(int i, bool moved)
{
	static char name[2][16];
	static int turn;

	turn ^= 1;
	snprintf(name[turn], sizeof(name[turn]), moved ? "s/d/%d" : "s/%d", i);
	return name[turn];
}

static int open_files(struct fs *fs, struct file *files, size_t size)
{
	int i;

	for (i = 0; i < FILES; i++) {
		files[i].fd = open(at(fs, name_of(i, files[i].moved)), O_RDWR);
		files[i].direct = open(at(fs, name_of(i, files[i].moved)), O_RDWR | O_DIRECT);
		if (files[i].fd < 0 || files[i].direct < 0)
			return -1;
		files[i].map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, files[i].fd, 0);
		if (files[i].map == MAP_FAILED)
			return -1;
	}
	return 0;
}

static void close_files(struct file *files, size_t size)
{
	int i;

	for (i = 0; i < FILES; i++) {
		if (files[i].map && files[i].map != MAP_FAILED)
			munmap(files[i].map, size);
		if (files[i].fd >= 0)
			close(files[i].fd);
		if (files[i].direct >= 0)
			close(files[i].direct);
		files[i].map = NULL;
		files[i].fd = files[i].direct = -1;
	}
}

FIXTURE_SETUP(stress)
{
	int i;

	kmsg("ksft-case", _metadata->name);
	for (i = 0; i < FILES; i++)
		self->files[i].fd = self->files[i].direct = -1;
	if (!server_is_daxfsd() || !has_tag(variant->tag))
		SKIP(return, "no device with a window of that size");
	if (module_is_c())
		SKIP(return, "known difference: waits for a range for good while it holds one (G-6, G-7)");
	self->max = ROOM / PAGE;
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf s; mkdir -p s/d; cd s; truncate -s %lu $(seq 0 %d)", ROOM, FILES - 1));
	for (i = 0; i < FILES; i++) {
		self->files[i].seed = mmap(NULL, self->max * sizeof(uint16_t), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, self->files[i].seed);
		self->files[i].blocks = self->max;
	}
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(stress)
{
	close_files(self->files, ROOM);
	if (*self->fs.tag)
		host(&self->fs, NULL, 0, "rm -rf s");
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static uint64_t state;

static uint32_t any(uint32_t below)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % below;
}

static void block_fill(char *buf, uint64_t block, uint16_t seed)
{
	uint64_t *words = (uint64_t *)buf;
	size_t i;

	for (i = 0; i < PAGE / 8; i++)
		words[i] = seed ? pattern(block * PAGE + i * 8, seed) : 0;
}

/* Whether the block is what its owner wrote last. */
static bool block_right(const void *got, uint64_t block, uint16_t seed)
{
	static char want[PAGE] __attribute__((aligned(8)));

	block_fill(want, block, seed);
	return !memcmp(got, want, PAGE);
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static int fail(const char *what, int file, uint32_t block, long got)
{
	fprintf(stderr, "# %s: file %d block %u: %ld, errno %d\n", what, file, block, got, errno);
	return 1;
}

/*
 * Renames a file of its own, over one that was just made, written and mapped; and goes on with what it finds there. What was
 * open stays so until then.
 */
static int move(struct fs *fs, struct file *f, int i, uint32_t max)
{
	int over = open(at(fs, name_of(i, !f->moved)), O_RDWR | O_CREAT, 0644), fd, direct;
	struct stat before, after;
	char *p;

	if (over < 0 || pwrite(over, f, sizeof(*f), 0) != sizeof(*f) || ftruncate(over, PAGE))
		return fail("a file to rename over", i, 0, over);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, over, 0);
	p[1] = p[0];
	if (rename(at(fs, name_of(i, f->moved)), at(fs, name_of(i, !f->moved))))
		return fail("rename", i, 0, -1);
	f->moved = !f->moved;
	/* It has no name any more, and is still there. */
	p[PAGE - 1] = p[1];
	munmap(p, PAGE);
	close(over);
	fd = open(at(fs, name_of(i, f->moved)), O_RDWR);
	direct = open(at(fs, name_of(i, f->moved)), O_RDWR | O_DIRECT);
	if (fd < 0 || direct < 0 || fstat(fd, &after) || fstat(f->fd, &before) || before.st_ino != after.st_ino)
		return fail("what was renamed", i, 0, fd);
	close(f->fd);
	close(f->direct);
	f->fd = fd;
	f->direct = direct;
	if (any(2) && mmap(f->map, (uint64_t)max * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != f->map)
		return fail("mmap", i, 0, -1);
	return 0;
}

/* One operation on blocks of its own. Files below FILES - PROCS are shared in equal parts, the others have one owner. */
static int step(struct fs *fs, struct file *files, uint32_t max, int me)
{
	static char buf[MOST * PAGE] __attribute__((aligned(PAGE)));
	int i = any(2) ? (int)any(FILES - PROCS) : FILES - PROCS + me, how = any(14);
	struct file *f = &files[i];
	bool own = i >= FILES - PROCS;
	uint32_t first = own ? 0 : max / PROCS * me, end = own ? f->blocks : max / PROCS * (me + 1), at, n, b, inner;
	uint16_t seed = 1 + any(65535);
	long got;

	/* Most of the time near the beginning, so that some parts are hot. */
	at = first + (any(3) ? any(end - first) % 64 % (end - first) : any(end - first));
	n = 1 + any(MOST < end - at ? MOST : end - at);
	switch (how) {
	case 0 ... 2:
		for (b = 0; b < n; b++)
			block_fill(buf + b * PAGE, at + b, seed);
		got = pwrite(how ? f->fd : f->direct, buf, n * PAGE, (uint64_t)at * PAGE);
		if (got != (long)(n * PAGE))
			return fail("pwrite", i, at, got);
		for (b = 0; b < n; b++)
			f->seed[at + b] = seed;
		return 0;
	case 3 ... 4:
		for (b = 0; b < n; b++) {
			block_fill(f->map + (uint64_t)(at + b) * PAGE, at + b, seed);
			f->seed[at + b] = seed;
		}
		return 0;
	case 5 ... 6:
		got = pread(how == 5 ? f->fd : f->direct, buf, n * PAGE, (uint64_t)at * PAGE);
		if (got != (long)(n * PAGE))
			return fail("pread", i, at, got);
		for (b = 0; b < n; b++)
			if (!block_right(buf + b * PAGE, at + b, f->seed[at + b]))
				return fail("what was read", i, at + b, f->seed[at + b]);
		return 0;
	case 7 ... 8:
		for (b = 0; b < n; b++)
			if (!block_right(f->map + (uint64_t)(at + b) * PAGE, at + b, f->seed[at + b]))
				return fail("what was loaded", i, at + b, f->seed[at + b]);
		return 0;
	case 9:
		/* From a mapping of this file into another file of its own: both may want the only range. */
		inner = max / PROCS * me;
		got = pwrite(files[0].fd, f->map + (uint64_t)at * PAGE, PAGE - 8, (uint64_t)inner * PAGE + 4);
		if (got != (long)(PAGE - 8))
			return fail("pwrite from a mapping", i, at, got);
		block_fill(buf, inner, seed);
		if (pwrite(files[0].fd, buf, PAGE, (uint64_t)inner * PAGE) != PAGE)
			return fail("pwrite", 0, inner, -1);
		files[0].seed[inner] = seed;
		return 0;
	case 10:
		if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (uint64_t)at * PAGE, n * PAGE))
			return fail("punch", i, at, -1);
		memset(f->seed + at, 0, n * sizeof(*f->seed));
		return 0;
	case 12:
		if (!any(8) && msync(f->map + (uint64_t)at * PAGE, n * PAGE, MS_SYNC))
			return fail("msync", i, at, -1);
		if (madvise(f->map + (uint64_t)at * PAGE, n * PAGE, MADV_DONTNEED))
			return fail("madvise", i, at, -1);
		return 0;
	case 13:
		return own ? move(fs, f, i, max) : 0;
	}
	if (!own) {
		/* A file that its owner may be truncating: any content, but no error, and SIGBUS only for a load. */
		i = FILES - PROCS + (me + 1) % PROCS;
		at = any(max);
		if (pread(files[i].fd, buf, n * PAGE, (uint64_t)at * PAGE) < 0)
			return fail("pread of another's file", i, at, -1);
		if (!sigsetjmp(fault, 1))
			(void)*(volatile char *)(files[i].map + (uint64_t)at * PAGE);
		return 0;
	}
	if (any(2) || f->blocks + MOST > max) {
		f->blocks = 1 + any(f->blocks);
		if (ftruncate(f->fd, (uint64_t)f->blocks * PAGE))
			return fail("truncate", i, f->blocks, -1);
		memset(f->seed + f->blocks, 0, (max - f->blocks) * sizeof(*f->seed));
		return 0;
	}
	for (b = 0; b < MOST; b++)
		block_fill(buf + b * PAGE, f->blocks + b, seed);
	got = pwrite(f->fd, buf, MOST * PAGE, (uint64_t)f->blocks * PAGE);
	if (got != (long)(MOST * PAGE))
		return fail("append", i, f->blocks, got);
	for (b = 0; b < MOST; b++)
		f->seed[f->blocks + b] = seed;
	f->blocks += MOST;
	return 0;
}

static void work(struct fs *fs, struct file *files, uint32_t max, int me, long until, struct report *report)
{
	int bad = 0;

	signal(SIGBUS, on_fault);
	/* SIGBUS is expected of loads from another's file only; a jump to here is one from elsewhere. */
	if (sigsetjmp(fault, 1))
		_exit(fail("SIGBUS", me, 0, 0));
	while (!bad && now_ms() < until) {
		bad = step(fs, files, max, me);
		if (sigsetjmp(fault, 1))
			_exit(fail("SIGBUS", me, 0, 0));
		report->steps++;
	}
	report->blocks = files[FILES - PROCS + me].blocks;
	report->moved = files[FILES - PROCS + me].moved;
	_exit(bad);
}

/* The SHA-256 of a file, by a shell command's first word. */
static const char *hash(char *text)
{
	text[strcspn(text, " ")] = 0;
	return text;
}

/* Every byte through the mount, and the whole file on the host. */
static int verify(struct fs *fs, struct file *f, int i)
{
	static char buf[MOST * PAGE] __attribute__((aligned(PAGE)));
	char here[256] = "", there[256] = "", command[128];
	uint32_t at, b, n;
	struct stat st;
	FILE *sum;

	if (fstat(f->fd, &st) || st.st_size != (off_t)(f->blocks * PAGE))
		return fail("size", i, f->blocks, st.st_size);
	snprintf(command, sizeof(command), "sha256sum >/tmp/stress.%d", i);
	sum = popen(command, "w");
	if (!sum)
		return fail("popen", i, 0, -1);
	for (at = 0; at < f->blocks; at += n) {
		n = f->blocks - at < MOST ? f->blocks - at : MOST;
		if (pread(f->fd, buf, n * PAGE, (uint64_t)at * PAGE) != (long)(n * PAGE))
			return fail("pread at the end", i, at, -1);
		for (b = 0; b < n; b++)
			if (!block_right(buf + b * PAGE, at + b, f->seed[at + b]))
				return fail("at the end", i, at + b, f->seed[at + b]);
		for (b = 0; b < n; b++) {
			/* What was meant to be there, not what was read. */
			block_fill(buf, at + b, f->seed[at + b]);
			fwrite(buf, PAGE, 1, sum);
		}
	}
	if (pclose(sum))
		return fail("sha256sum", i, 0, -1);
	snprintf(command, sizeof(command), "cat /tmp/stress.%d; rm /tmp/stress.%d", i, i);
	shell(here, sizeof(here), command);
	host(fs, there, sizeof(there), "sha256sum %s", name_of(i, f->moved));
	return !*here || strcmp(hash(here), hash(there)) ? fail("SHA-256 on the host", i, 0, 0) : 0;
}

/* The limit is that of the program as a whole, see "settings". */
TEST_F_TIMEOUT(stress, all_ways, 1500)
{
	static const char *const wrong[] = { "unmap_unmapped", "slot_twice", "bad_requests", "escapes", "qemu_refused" };
	long seconds = atol(getenv("STRESS_SECONDS") ?: "6"), until = now_ms() + 1000 * seconds, all = 0;
	struct report *reports;
	int i, status;

	reports = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, reports);
	ASSERT_EQ(0, open_files(&self->fs, self->files, ROOM));
	for (i = 0; i < PROCS; i++) {
		if (fork())
			continue;
		state = atol(getenv("STRESS_SEED") ?: "1") * PROCS + i;
		work(&self->fs, self->files, self->max, i, until, &reports[i]);
	}
	for (i = 0; i < PROCS; i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	for (i = 0; i < PROCS; i++) {
		self->files[FILES - PROCS + i].blocks = reports[i].blocks;
		self->files[FILES - PROCS + i].moved = reports[i].moved;
		all += reports[i].steps;
	}
	TH_LOG("%ld operations, %ld reclaims and %ld reads or writes by request so far", all,
	       window_number(variant->tag, "reclaims"), window_number(variant->tag, "fallbacks"));
	EXPECT_LT(PROCS, all);
	EXPECT_EQ(0, ranges_unaccounted(variant->tag));
	EXPECT_EQ(0, window_number(variant->tag, "ranges_retired"));
	/* All anew: what was renamed is found by its name. */
	close_files(self->files, ROOM);
	ASSERT_EQ(0, open_files(&self->fs, self->files, ROOM));
	for (i = 0; i < FILES; i++)
		EXPECT_EQ(0, verify(&self->fs, &self->files[i], i));
	close_files(self->files, ROOM);
	ASSERT_EQ(0, fs_umount(&self->fs));
	for (i = 0; i < (int)(sizeof(wrong) / sizeof(*wrong)); i++)
		EXPECT_EQ(0, counter(&self->fs, wrong[i])) { TH_LOG("%s", wrong[i]); }
	EXPECT_EQ(0, counter(&self->fs, "live_maps"));
}

TEST_HARNESS_MAIN
