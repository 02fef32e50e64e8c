// SPDX-License-Identifier: GPL-2.0
/*
 * Many who want the only range of a window, and are killed: each dies in time wherever it waits, no range is lost or
 * counted twice, and the mount goes on.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (4 * RANGE)
#define MANY 8

FIXTURE(kill)
{
	struct fs fs;
	int fd;
};

FIXTURE_VARIANT(kill)
{
	/* What the device is told: to take its time for a mapping, or never to answer. */
	const char *command;
	/* Requests that hang then. */
	long hung;
};

FIXTURE_VARIANT_ADD(kill, busy)
{
	.command = "delay SETUPMAPPING 50",
};

FIXTURE_VARIANT_ADD(kill, waiting_for_the_device)
{
	.command = "fault SETUPMAPPING 1000 hang",
	.hung = 1,
};

FIXTURE_SETUP(kill)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("tiny"))
		SKIP(return, "no device with a window of 2 MiB");
	if (c_is_spared())
		SKIP(return, "known difference: spins or waits for good, and cannot be killed (G-6, G-7, G-8)");
	ASSERT_EQ(0, fs_mount(&self->fs, "tiny", "dax=always"));
	ASSERT_EQ(0, host_make(&self->fs, "k", SIZE, 1));
	self->fd = open(at(&self->fs, "k"), O_RDWR);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(kill)
{
	if (self->fs.mounted) {
		device(&self->fs, NULL, 0, "delay all 0");
		unhang(&self->fs);
	}
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Never ends: reads, writes, loads, stores, and reads into a mapping, each in a part of its own. */
static void want(int fd, int who)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	size_t pos = who % 4 * RANGE + who * PAGE;
	char buf[PAGE];

	fill(buf, pos, PAGE, 1);
	for (;; pos = (pos + RANGE) % SIZE) {
		fill(buf, pos, PAGE, 1);
		switch (who % 5) {
		case 0:
			touch_all(p + pos, PAGE);
			break;
		case 1:
			if (pread(fd, p + pos, PAGE, pos) < 0)
				return;
			break;
		case 2:
			if (pwrite(fd, buf, PAGE, pos) < 0)
				return;
			break;
		case 3:
			memcpy(p + pos, buf, PAGE);
			break;
		default:
			if (pread(fd, buf, PAGE, pos) < 0)
				return;
		}
	}
}

TEST_F(kill, all_die)
{
	char buf[PAGE], *p;
	pid_t pids[MANY];
	int i, status, alive = 0, killed = 0;
	long start;

	ASSERT_EQ(PAGE, pread(self->fd, buf, PAGE, 0));
	ASSERT_EQ(1, window_number("tiny", "ranges_total"));
	ASSERT_EQ(0, ranges_unaccounted("tiny"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, variant->command));
	for (i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			want(self->fd, i);
			_exit(1);
		}
	}
	EXPECT_TRUE(soon(hanging(&self->fs) >= variant->hung));
	/* The others come to wait behind it, or take the range from each other. */
	pause_ms(1000);
	for (i = 0; i < MANY; i++)
		kill(pids[i], SIGKILL);
	start = now_ms();
	for (i = 0; i < MANY; i++) {
		/* Nothing but the signal can end those who wait for a device that does not answer. */
		status = ended_by(pids[i], start + SOON_MS);
		alive += status < 0;
		killed += status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	TH_LOG("all were gone after %ld ms", now_ms() - start);
	EXPECT_EQ(0, alive);
	EXPECT_EQ(MANY, killed);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay all 0"));
	unhang(&self->fs);

	/* What was on its way is answered. No range is lost or counted twice, and nobody is left who would hold one. */
	EXPECT_TRUE(soon(!window_number("tiny", "ranges_on_their_way")));
	EXPECT_EQ(0, window_number("tiny", "ranges_retired"));
	EXPECT_EQ(0, ranges_unaccounted("tiny"));

	/* The mount works, also for faults, which need the range. */
	EXPECT_EQ(PAGE, pread(self->fd, buf, PAGE, 3 * RANGE));
	EXPECT_EQ(-1, differs(buf, 3 * RANGE, PAGE, 1));
	fill(buf, RANGE, PAGE, 2);
	EXPECT_EQ(PAGE, pwrite(self->fd, buf, PAGE, RANGE));
	EXPECT_EQ(0, ranges_unaccounted("tiny"));

	p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, RANGE, 1));
	EXPECT_EQ(-1, differs(p + RANGE, RANGE, PAGE, 2));
	EXPECT_EQ(-1, differs(p + RANGE + PAGE, RANGE + PAGE, SIZE - RANGE - PAGE, 1));
	munmap(p, SIZE);
	EXPECT_EQ(1, window_number("tiny", "ranges_mapped"));
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fs_umount(&self->fs));
	EXPECT_EQ(0, counter(&self->fs, "live_maps"));
}

TEST_HARNESS_MAIN
