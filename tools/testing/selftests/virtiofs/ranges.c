// SPDX-License-Identifier: GPL-2.0
/*
 * How ranges of the window are given, shared and taken back: what is asked of the device, who waits for whom, and what
 * happens when the window is full.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

FIXTURE(ranges)
{
	struct fs fs;
};

FIXTURE_SETUP(ranges)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf r; mkdir r; truncate -s %lu r/f", 4 * RANGE));
}

FIXTURE_TEARDOWN(ranges)
{
	if (self->fs.mounted) {
		device(&self->fs, NULL, 0, "faults clear");
		device(&self->fs, NULL, 0, "release-hung");
	}
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What is open for writing is mapped for writing: the write after a read asks nothing. */
TEST_F(ranges, writable_at_once)
{
	char buf[8];
	int fd = open(at(&self->fs, "r/f"), O_RDWR);

	ASSERT_GE(fd, 0);
	reset_counters(&self->fs);
	ASSERT_EQ(8, pread(fd, buf, 8, 0));
	ASSERT_EQ(8, pwrite(fd, buf, 8, PAGE));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	close(fd);
	OURS(counter(&self->fs, "SETUPMAPPING") == 1, "the first access decides, the write asks again (W-5)");
}

/* A file that gets shorter gives back what lies behind its end, and keeps the rest. */
TEST_F(ranges, truncate_gives_back)
{
	char buf[8];
	int fd = open(at(&self->fs, "r/f"), O_RDWR), i;

	ASSERT_GE(fd, 0);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(8, pread(fd, buf, 8, i * RANGE));
	ASSERT_EQ(4, mappings_of(&self->fs, "r/f", ""));
	ASSERT_EQ(0, ftruncate(fd, RANGE + 100));
	/* It is done in the background; by the C client never. */
	if (module_is_c())
		pause_ms(1500);
	else
		soon(mappings_of(&self->fs, "r/f", "") == 2);
	close(fd);
	OURS(mappings_of(&self->fs, "r/f", "") == 2, "ranges behind the end stay taken (W-19)");
	EXPECT_EQ(0, ranges_unaccounted("dax"));
}

enum way { READ, LOAD, WRITE };

/* One access of 8 bytes; 0 when it succeeded. */
static int go(int fd, char *p, enum way way, size_t pos)
{
	char buf[8] = "8 bytes";

	switch (way) {
	case READ:
		return pread(fd, buf, 8, pos) != 8;
	case LOAD:
		touch_all(p + pos, PAGE);
		return 0;
	default:
		return pwrite(fd, buf, 8, pos) != 8;
	}
}

/*
 * Whether a hit of the first range ends while another process waits for the second, which the device does not give: 0 if so, 1 where
 * the hit waits, -1 for a failure.
 */
static int hit_during_miss(struct fs *fs, enum way miss, enum way hit)
{
	int fd = open(at(fs, "r/f"), O_RDWR), missed, status, waits = -1;
	pid_t one, other;
	char *p;

	p = mmap(NULL, 2 * RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || p == MAP_FAILED || go(fd, p, WRITE, 0) || device(fs, NULL, 0, "fault SETUPMAPPING 1 hang"))
		return -1;
	one = fork();
	if (!one)
		_exit(go(fd, p, miss, RANGE));
	if (!soon(hanging(fs) == 1))
		return -1;
	other = fork();
	/* A page that was not touched yet: the fault has to find the range. */
	if (!other)
		_exit(go(fd, p, hit, 7 * PAGE));
	status = ended_by(other, now_ms() + (module_is_c() ? 1500 : SOON_MS));
	if (status == 0 && waitpid(one, &missed, WNOHANG) == 0 && hanging(fs) == 1)
		waits = 0;
	else if (status == -1)
		waits = 1;
	device(fs, NULL, 0, "release-hung");
	if (status == -1)
		waitpid(other, &status, 0);
	waitpid(one, &missed, 0);
	munmap(p, 2 * RANGE);
	close(fd);
	return status || missed ? -1 : waits;
}

#define HIT_TEST(name, miss, hit)                                                                                      \
	TEST_F(ranges, name)                                                                                           \
	{                                                                                                              \
		int waits = hit_during_miss(&self->fs, miss, hit);                                                     \
                                                                                                                       \
		EXPECT_LE(0, waits);                                                                                   \
		OURS(waits == 0, "a miss keeps everybody away from the file's mappings (U-4, W-3)");                    \
	}

HIT_TEST(read_hits_while_read_misses, READ, READ)
HIT_TEST(fault_hits_while_read_misses, READ, LOAD)
HIT_TEST(fault_hits_while_write_misses, WRITE, LOAD)
HIT_TEST(read_hits_while_fault_misses, LOAD, READ)
HIT_TEST(write_hits_while_fault_misses, LOAD, WRITE)
/* Also among writers, who would wait for each other if they held the inode lock for writing. */
HIT_TEST(write_hits_while_write_misses, WRITE, WRITE)

#define WINDOW (8 * RANGE)
#define BIG (8 * WINDOW)

FIXTURE(full)
{
	struct fs fs;
	int fd;
};

/* The window is full of the first parts of a file that is eight times as large. */
FIXTURE_SETUP(full)
{
	char buf[8];
	int i;

	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return, "no device with a window of 16 MiB");
	ASSERT_EQ(0, fs_mount(&self->fs, "second", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -f big; truncate -s %lu big", BIG));
	self->fd = open(at(&self->fs, "big"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(8, pread(self->fd, buf, 8, i * RANGE));
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(full)
{
	if (self->fs.mounted)
		device(&self->fs, NULL, 0, "delay all 0");
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What is read again and again gets a range, also when none is free. */
TEST_F(full, hot_part_gets_a_range)
{
	long before = window_number("second", "reclaims"), reads;
	char buf[8];
	int i;

	for (i = 0; i < 100; i++)
		/* Here and there: a sequential pass would get one at once. */
		ASSERT_EQ(8, pread(self->fd, buf, 8, 20 * RANGE + i * 7 % 100 * PAGE));
	reads = counter(&self->fs, "READ");
	TH_LOG("100 reads of one part: %ld by request", reads);
	EXPECT_LT(reads, 50);
	EXPECT_GT(counter(&self->fs, "SETUPMAPPING"), 0);
	if (!module_is_c()) {
		EXPECT_GT(window_number("second", "reclaims"), before);
		EXPECT_EQ(0, ranges_unaccounted("second"));
	}
}

/* Random reads of eight times the window cost what they would without one, and do not drive out what is there. */
TEST_F(full, uniform_reads_fall_back)
{
	long before = window_number("second", "fallbacks"), reads, maps;
	uint64_t x = 7;
	char buf[8];
	int i;

	for (i = 0; i < 400; i++) {
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		ASSERT_EQ(8, pread(self->fd, buf, 8, (x >> 33) % (BIG / PAGE) * PAGE));
	}
	reads = counter(&self->fs, "READ");
	maps = counter(&self->fs, "SETUPMAPPING");
	TH_LOG("400 random reads: %ld by request, %ld mappings", reads, maps);
	OURS(reads > 250 && maps < 50, "every miss takes a range from something else (W-7, W-8)");
	EXPECT_EQ(reads, window_number("second", "fallbacks") - before);
	EXPECT_EQ(0, ranges_unaccounted("second"));
}

/* Waits for a range so far. */
static long waits_of(const char *tag)
{
	static const char *const names[] = { "waits_below_1ms", "waits_below_10ms", "waits_below_100ms", "waits_below_1000ms", "waits_longer" };
	long n = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		n += window_number(tag, names[i]);
	return n;
}

#define MANY 16
#define EACH 40

/*
 * Stores to parts of a file of its own, never to the same one twice in a row, from when all are ready. The first to be done notes how
 * far the last is.
 */
static void many_faults(const struct fs *fs, int who, long *done, long *ready)
{
	uint64_t x = who + 1;
	char name[32], *p;
	int fd, i, part = 0;
	long least = EACH;

	snprintf(name, sizeof(name), "many/%d", who);
	fd = open(at(fs, name), O_RDWR);
	p = map_at(fd, 4 * RANGE, PROT_READ | PROT_WRITE, false);
	if (fd < 0 || p == MAP_FAILED)
		_exit(1);
	__atomic_add_fetch(ready, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(ready, __ATOMIC_RELAXED) < MANY)
		pause_ms(1);
	for (i = 0; i < EACH; i++) {
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		part = (part + 1 + (x >> 33) % 3) % 4;
		p[part * RANGE + (x >> 40) % (RANGE / PAGE) * PAGE] = 'm';
		__atomic_add_fetch(&done[who], 1, __ATOMIC_RELAXED);
	}
	for (i = 0; i < MANY; i++)
		least = done[i] < least ? done[i] : least;
	/* Of the first one only. */
	__atomic_compare_exchange_n(&done[MANY], &(long){ -1 }, least, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	_exit(0);
}

/*
 * Twice as many processes fault as there are ranges: a fault waits for its mapping, but hardly ever in line as well, as who
 * comes may take what is idle. Still those in line have their turn. The device is much slower than the guest, also where that has
 * other things to do: what was mapped is idle nearly at once.
 */
TEST_F_TIMEOUT(full, faults_sleep_once, 120)
{
	long *done = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), maps, waits;
	int i, status;

	ASSERT_NE(MAP_FAILED, (void *)done);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf many; mkdir many; for i in $(seq 0 %d); do truncate -s %lu many/$i; done", MANY - 1,
			  4 * RANGE));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay SETUPMAPPING 60"));
	done[MANY] = -1;
	maps = counter(&self->fs, "SETUPMAPPING");
	waits = waits_of("second");
	for (i = 0; i < MANY; i++)
		if (!fork())
			many_faults(&self->fs, i, done, &done[MANY + 1]);
	for (i = 0; i < MANY; i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	maps = counter(&self->fs, "SETUPMAPPING") - maps;
	waits = waits_of("second") - waits;
	EXPECT_EQ(0, device(&self->fs, NULL, 0, "delay all 0"));
	TH_LOG("%d faults: %ld mappings, %ld waits in line; when the first was done, the last had %ld of %d", MANY * EACH, maps, waits,
	       done[MANY], EACH);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	OURS(done[MANY] >= EACH / 5, "who has a range takes it again all the time (W-21)");
	if (!module_is_c()) {
		/* Where nobody may overtake it is one for each mapping. */
		EXPECT_LT(3 * waits, 2 * maps);
		EXPECT_EQ(0, ranges_unaccounted("second"));
	}
	munmap(done, PAGE);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf many"));
}

TEST_HARNESS_MAIN
