// SPDX-License-Identifier: GPL-2.0
/*
 * A queue that is full: more requests than it holds, by processes that are killed. Those that the device has not seen yet
 * are taken back, and nobody does them.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define TAG "small"
#define RING 64
#define MANY (RING + 24)

TEST(killed_in_the_queue)
{
	struct fs fs = { .tag = TAG };
	int i, status, dead = 0;
	pid_t pids[MANY];
	struct stat st;
	char name[16];
	long end;

	if (!server_is_daxfsd() || !has_tag(TAG))
		SKIP(return, "no share with a short queue");
	if (module_is_c())
		SKIP(return, "known difference: the C client cannot be killed once the request is on its queue");
	ASSERT_EQ(0, fs_mount(&fs, TAG, NULL));
	reset_counters(&fs);
	ASSERT_EQ(0, device(&fs, NULL, 0, "fault LOOKUP 200 hang"));
	for (i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			snprintf(name, sizeof(name), "none%d", i);
			_exit(stat(at(&fs, name), &st) && errno == ENOENT);
		}
	}
	/* The ring is full; give the rest the time to wait behind it. */
	for (end = now_ms() + 20000; counter(&fs, "LOOKUP") < RING && now_ms() < end;)
		pause_ms(20);
	pause_ms(1000);
	ASSERT_EQ(RING, counter(&fs, "LOOKUP"));
	for (i = 0; i < MANY; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < MANY; i++)
		dead += waitpid(pids[i], &status, 0) == pids[i] && WIFSIGNALED(status);
	EXPECT_EQ(MANY, dead);
	ASSERT_EQ(0, device(&fs, NULL, 0, "faults clear"));
	ASSERT_EQ(0, device(&fs, NULL, 0, "release-hung"));
	/* The queue works on, and what was taken back does not come. */
	EXPECT_EQ(-1, stat(at(&fs, "after"), &st));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(RING + 1, counter(&fs, "LOOKUP"));
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
