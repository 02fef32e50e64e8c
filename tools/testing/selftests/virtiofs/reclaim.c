// SPDX-License-Identifier: GPL-2.0
/*
 * What the device is asked for when ranges are mapped in runs, and when the window is full and one mapping takes the place
 * of another: with a device that maps over what is there, and with one that refuses to.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

FIXTURE(roomy)
{
	struct fs fs;
	int fd;
};

#define BIG (24 * RANGE)

FIXTURE_SETUP(roomy)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window of 64 MiB");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host_make(&self->fs, "big", BIG, 1));
	self->fd = open(at(&self->fs, "big"), O_RDONLY);
	ASSERT_GE(self->fd, 0);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(roomy)
{
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What one call reads is asked for together. */
TEST_F(roomy, one_call_one_request)
{
	char *buf = malloc(6 * RANGE);

	ASSERT_EQ(6 * RANGE, pread(self->fd, buf, 6 * RANGE, RANGE));
	EXPECT_EQ(-1, differs(buf, RANGE, 6 * RANGE, 1));
	free(buf);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	OURS(counter(&self->fs, "SETUPMAPPING") == 1, "each range is asked for by itself (W-16)");
	EXPECT_EQ(6, window_number("dax", "ranges_mapped"));
	EXPECT_EQ(0, ranges_unaccounted("dax"));
}

/* A sequential pass is mapped ahead, in ever longer runs, and what was mapped ahead is used. */
TEST_F(roomy, pass_is_mapped_ahead)
{
	long asked, used = 0;
	char buf[PAGE];
	size_t pos;

	for (pos = 0; pos < BIG; pos += PAGE * 64) {
		ASSERT_EQ(PAGE, pread(self->fd, buf, PAGE, pos));
		ASSERT_EQ(-1, differs(buf, pos, PAGE, 1));
	}
	asked = counter(&self->fs, "SETUPMAPPING");
	if (!module_is_c())
		used = window_number("dax", "maps_ahead_used");
	TH_LOG("%lu ranges by %ld requests", BIG / RANGE, asked);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	OURS(asked < (long)(BIG / RANGE / 2), "each range is asked for by itself when it is touched (W-2)");
	EXPECT_GT(used, (long)(BIG / RANGE / 2));
}

/* What nobody came for is counted when it is given up. */
TEST_F(roomy, wasted_ahead)
{
	char buf[8];

	if (module_is_c())
		SKIP(return, "known difference: nothing is mapped ahead");
	ASSERT_EQ(8, pread(self->fd, buf, 8, 0));
	ASSERT_EQ(8, pread(self->fd, buf, 8, RANGE));
	ASSERT_GT(window_number("dax", "maps_ahead"), 0);
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, unlink(at(&self->fs, "big")));
	EXPECT_TRUE(soon(window_number("dax", "ranges_free") == window_number("dax", "ranges_total")));
	EXPECT_EQ(0, window_number("dax", "maps_ahead_used"));
	EXPECT_GT(window_number("dax", "maps_ahead_wasted"), 0);
}

/* Ranges that are parked ahead of need are still their files'. */
TEST_F(roomy, parked_ranges_come_back)
{
	char buf[8], *p;
	long taken;
	size_t i;

	if (module_is_c())
		SKIP(return, "known difference: ranges are freed by a worker, or not at all");
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu long", 33 * RANGE));
	close(self->fd);
	self->fd = open(at(&self->fs, "long"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	p = mmap(NULL, 33 * RANGE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	/* Backwards, so that nothing is mapped ahead: 32 ranges are there, the last one has to be taken from another. */
	for (i = 33; i--;)
		touch_all(p + i * RANGE, PAGE);
	/* All that the reclaimer keeps ready: one of 16. It parks no more then. */
	EXPECT_TRUE(soon(window_number("dax", "ranges_parked") == 2));
	EXPECT_EQ(0, window_number("dax", "ranges_free"));
	EXPECT_EQ(0, ranges_unaccounted("dax"));
	taken = window_number("dax", "reclaims");
	EXPECT_EQ(0, counter(&self->fs, "REMOVEMAPPING"));
	reset_counters(&self->fs);
	/* Not from the start of a part on: that would be a sequential pass. */
	for (i = 0; i < 33; i++)
		ASSERT_EQ(8, pread(self->fd, buf, 8, i * RANGE + PAGE));
	/* One part of the file has no range, and is not worth one yet. */
	EXPECT_EQ(1, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(0, window_number("dax", "ranges_parked"));
	EXPECT_EQ(taken, window_number("dax", "reclaims"));
	EXPECT_EQ(0, ranges_unaccounted("dax"));
	munmap(p, 33 * RANGE);
}

FIXTURE(full)
{
	struct fs fs;
	int fd;
	char *p;
};

FIXTURE_VARIANT(full)
{
	const char *tag;
	/* Ranges of its window. */
	size_t ranges;
	/* It refuses to map over what is mapped. */
	bool strict;
};

FIXTURE_VARIANT_ADD(full, replacing)
{
	.tag = "second",
	.ranges = 8,
	.strict = false,
};

FIXTURE_VARIANT_ADD(full, strict)
{
	.tag = "strict",
	.ranges = 2,
	.strict = true,
};

#define SIZE (12 * RANGE)

FIXTURE_SETUP(full)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag(variant->tag))
		SKIP(return, "no such device");
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, "dax=always"));
	ASSERT_EQ(0, host_make(&self->fs, "f", SIZE, 3));
	self->fd = open(at(&self->fs, "f"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	self->p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, self->p);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(full)
{
	if (self->fs.mounted) {
		device(&self->fs, NULL, 0, "faults clear");
		device(&self->fs, NULL, 0, "release-hung");
	}
	if (self->fd >= 0) {
		munmap(self->p, SIZE);
		close(self->fd);
	}
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Loads and stores that each need a range of another part of the file. */
TEST_F(full, one_takes_the_place_of_another)
{
	long maps, removals, replaced;
	size_t i;

	for (i = 0; i < SIZE / RANGE; i++) {
		ASSERT_EQ(-1, differs(self->p + i * RANGE, i * RANGE, PAGE, 3));
		self->p[i * RANGE + PAGE] = 'x';
	}
	for (i = 0; i < SIZE / RANGE; i++)
		ASSERT_EQ('x', self->p[i * RANGE + PAGE]);
	maps = counter(&self->fs, "SETUPMAPPING");
	removals = counter(&self->fs, "REMOVEMAPPING");
	replaced = counter(&self->fs, "overlays");
	TH_LOG("%ld SETUPMAPPING, %ld REMOVEMAPPING, %ld replaced", maps, removals, replaced);
	if (variant->strict) {
		/* It was tried once: for who waits, and ahead of him at the same time. */
		EXPECT_GE(2, counter(&self->fs, "slot_twice"));
		EXPECT_EQ(0, replaced);
		EXPECT_GT(removals, 0);
	} else {
		OURS(removals == 0 && replaced > 0, "each range is unmapped before it is mapped anew (U-7, W-1)");
	}
	EXPECT_EQ(0, counter(&self->fs, "unmap_unmapped"));
	if (!module_is_c()) {
		EXPECT_EQ((long)variant->ranges, window_number(variant->tag, "ranges_total"));
		EXPECT_EQ(0, window_number(variant->tag, "ranges_retired"));
		EXPECT_EQ(0, ranges_unaccounted(variant->tag));
	}
	/* At the host everything is where it belongs. */
	for (i = 0; i < SIZE / RANGE; i++)
		ASSERT_EQ(0, host(&self->fs, NULL, 0, "test \"$(dd if=f bs=1 skip=%lu count=1 status=none)\" = x",
				  i * RANGE + PAGE));
}

/* Who waits for a range that is being given up dies at once, and the range is not lost. */
TEST_F(full, killed_while_a_range_is_given_up)
{
	int status;
	pid_t pid;
	size_t i;

	if (c_is_spared())
		SKIP(return, "known difference: waits for the device and cannot be killed (G-8)");
	for (i = 0; i < variant->ranges + 1; i++)
		touch_all(self->p + i * RANGE, PAGE);
	/* The device does not answer until it is told to, by when the process must be gone. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0,
			    variant->strict ? "fault REMOVEMAPPING 100 hang" : "fault SETUPMAPPING 100 hang"));
	pid = fork();
	if (!pid) {
		for (i = 0; i < SIZE / RANGE; i++)
			touch_all(self->p + i * RANGE, PAGE);
		_exit(0);
	}
	EXPECT_TRUE(soon(hanging(&self->fs) > 0 && sleeps_in(pid) == -1));
	kill(pid, SIGKILL);
	status = ended_by(pid, now_ms() + SOON_MS);
	EXPECT_TRUE(status > 0 && WIFSIGNALED(status));
	EXPECT_LT(0, hanging(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "faults clear"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "release-hung"));
	EXPECT_TRUE(soon(!window_number(variant->tag, "ranges_on_their_way")));
	EXPECT_EQ(0, window_number(variant->tag, "ranges_retired"));
	EXPECT_EQ(0, ranges_unaccounted(variant->tag));
	for (i = 0; i < SIZE / RANGE; i++)
		ASSERT_EQ(-1, differs(self->p + i * RANGE, i * RANGE, PAGE, 3));
}

/* A mapping that the device refuses leaves nothing behind that would be in the way. */
TEST_F(full, refused_mapping)
{
	size_t i;
	pid_t pid;
	int status;

	if (module_is_c())
		SKIP(return, "known difference: the range that was taken for it is lost for others until it is found again");
	/* Not from the start of a part on, so that nothing is mapped ahead. */
	for (i = 0; i < variant->ranges + 1; i++)
		touch_all(self->p + i * RANGE + PAGE, PAGE);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETUPMAPPING 1 errno:-5"));
	pid = fork();
	if (!pid) {
		touch_all(self->p + (variant->ranges + 2) * RANGE + PAGE, PAGE);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "faults clear"));
	for (i = 0; i < SIZE / RANGE; i++)
		ASSERT_EQ(-1, differs(self->p + i * RANGE, i * RANGE, PAGE, 3));
	EXPECT_EQ(0, window_number(variant->tag, "ranges_retired"));
	EXPECT_EQ(0, ranges_unaccounted(variant->tag));
}

/* Reads `fd` from one end to the other. */
static void pass_through(struct __test_metadata *_metadata, int fd)
{
	size_t step = 16 * PAGE, pos;
	char *buf = malloc(step);

	for (pos = 0; pos < SIZE; pos += step) {
		ASSERT_EQ((ssize_t)step, pread(fd, buf, step, pos));
		ASSERT_EQ(-1, differs(buf, pos, step, 3));
	}
	free(buf);
}

/* A pass through more than the window takes the place of what it has behind it: nobody else loses a range, nothing goes by
 * request, and several ranges are asked for together. */
TEST_F(full, pass_lives_on_what_it_has)
{
	size_t hot = variant->ranges / 4, i;
	char buf[8];
	int fd;

	if (module_is_c())
		SKIP(return, "known difference: first in, first out, one range at a time (W-2, W-7)");
	ASSERT_EQ(0, host_make(&self->fs, "hot", 4 * RANGE, 4));
	fd = open(at(&self->fs, "hot"), O_RDONLY);
	for (i = 0; i < hot; i++)
		ASSERT_EQ(8, pread(fd, buf, 8, i * RANGE + PAGE));
	reset_counters(&self->fs);
	pass_through(_metadata, self->fd);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	TH_LOG("%zu parts by %ld requests", SIZE / RANGE, counter(&self->fs, "SETUPMAPPING"));
	if (!variant->strict)
		EXPECT_GT(3 * (SIZE / RANGE) / 4, (size_t)counter(&self->fs, "SETUPMAPPING"));
	reset_counters(&self->fs);
	for (i = 0; i < hot; i++) {
		ASSERT_EQ(8, pread(fd, buf, 8, i * RANGE + 3 * PAGE));
		EXPECT_EQ(-1, differs(buf, i * RANGE + 3 * PAGE, 8, 4));
	}
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(0, ranges_unaccounted(variant->tag));
	close(fd);
}

/* Twice as many passes as there are ranges take turns, each for a part of its file: they do not take ranges from each other
 * all the time, nor go by request for long, where the machine is too slow for the patience they have. */
TEST_F(full, passes_take_turns)
{
	size_t passes = 2 * variant->ranges, parts = 3, step = 16 * PAGE, i, pos;
	long maps, reads;
	char name[16], *buf = malloc(step);
	int fd, status;

	for (i = 0; i < passes; i++)
		ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu turn%zu", parts * RANGE, i));
	reset_counters(&self->fs);
	for (i = 0; i < passes; i++) {
		if (fork())
			continue;
		snprintf(name, sizeof(name), "turn%zu", i);
		fd = open(at(&self->fs, name), O_RDONLY);
		for (pos = 0; pos < parts * RANGE; pos += step)
			if (pread(fd, buf, step, pos) != (ssize_t)step)
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < passes; i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	free(buf);
	maps = counter(&self->fs, "SETUPMAPPING");
	reads = counter(&self->fs, "READ");
	TH_LOG("%zu passes of %zu parts in %zu ranges: %ld SETUPMAPPING, %ld READ", passes, parts, variant->ranges, maps, reads);
	OURS(maps + reads < (long)(passes * parts * RANGE / step / 4), "passes take ranges from each other");
	if (!module_is_c())
		EXPECT_EQ(0, ranges_unaccounted(variant->tag));
}

/* Faults for the first two pages of what is touched. */
static long two_touches(const char *p)
{
	long before;

	touch_all(p, 0);
	faults();
	before = faults();
	touch_all(p, 2 * PAGE);
	return faults() - before;
}

/* In a full window, a first touch in the middle of a part gets its page only; one at the start, or one that comes back, all. */
TEST(passing_visits)
{
	size_t size = 16 * RANGE, i;
	struct fs fs = {};
	char *p;
	int fd;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return, "no device with a window of 16 MiB");
	if (module_is_c())
		SKIP(return, "known difference: maps 2 MiB for every touch, or never again (G-10)");
	ASSERT_EQ(0, fs_mount(&fs, "second", "dax=always"));
	ASSERT_EQ(0, host(&fs, NULL, 0, "truncate -s %lu v", size));
	fd = open(at(&fs, "v"), O_RDWR);
	p = map_at(fd, size, PROT_READ, true);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	/* While there is room every touch maps all of its part. */
	for (i = 0; i < 8; i++)
		EXPECT_EQ(1, two_touches(p + i * RANGE + 5 * PAGE));
	EXPECT_EQ(0, window_number("second", "ranges_free"));
	EXPECT_EQ(2, two_touches(p + 9 * RANGE + 5 * PAGE));
	EXPECT_EQ(1, two_touches(p + 11 * RANGE));
	munmap(p, size);
	close(fd);
	EXPECT_EQ(0, ranges_unaccounted("second"));
	EXPECT_EQ(0, unlink(at(&fs, "v")));
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
