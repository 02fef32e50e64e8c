// SPDX-License-Identifier: GPL-2.0
/*
 * A queue that is full: more requests than it holds, by processes that are killed. Those that the device has not seen yet
 * are taken back, and nobody does them; the others are sent in their order. Also what INIT is refused for, and what sysfs says of queues.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <sys/syscall.h>

#define TAG "small"
#define RING 64
#define MANY (RING + 24)

FIXTURE(queue)
{
	struct fs fs;
};

FIXTURE_SETUP(queue)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag(TAG))
		SKIP(return, "no share with a short queue");
	if (module_is_c())
		SKIP(return, "known difference: the C driver refuses a device with such a window");
	ASSERT_EQ(0, fs_mount(&self->fs, TAG, NULL));
}

FIXTURE_TEARDOWN(queue)
{
	if (!self->fs.mounted)
		return;
	device(&self->fs, NULL, 0, "faults clear");
	device(&self->fs, NULL, 0, "release-hung");
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

TEST_F(queue, killed)
{
	struct fs fs = self->fs;
	int i, status, dead = 0;
	pid_t pids[MANY];
	struct stat st;
	char name[16];

	reset_counters(&fs);
	ASSERT_EQ(0, device(&fs, NULL, 0, "fault LOOKUP 200 hang"));
	for (i = 0; i < MANY; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			snprintf(name, sizeof(name), "none%d", i);
			_exit(stat(at(&fs, name), &st) && errno == ENOENT);
		}
	}
	/* The ring is full, and the rest waits behind it. */
	EXPECT_TRUE(soon(counter(&fs, "LOOKUP") >= RING));
	for (i = 0; i < MANY; i++)
		EXPECT_TRUE(soon(sleeps_in(pids[i]) >= 0));
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
}

#define WAITING 20

/* The nodes of the GETATTRs that the device got, in their order, without the root, which every walk may ask for. */
static int getattrs(const struct fs *fs, unsigned long *nodes, int max)
{
	static char text[16384];
	char *line, *save;
	int n = 0;

	if (device(fs, text, sizeof(text), "recent"))
		return -1;
	for (line = strtok_r(text, "\n", &save); line && n < max; line = strtok_r(NULL, "\n", &save))
		n += sscanf(line, "GETATTR %lu", nodes + n) == 1 && nodes[n] != 1;
	return n;
}

static int ask_for(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &stx);
}

/* Who waits behind a full queue is served in the order in which they came. */
TEST_F(queue, in_order)
{
	unsigned long before[WAITING], after[WAITING];
	int i, status, fds[WAITING], good = 0;
	struct fs fs = self->fs;
	pid_t pids[RING + WAITING];
	struct stat st;
	char name[16];

	/* Every process closes what it has inherited, and must not wait for the queue then. */
	ASSERT_EQ(0, device(&fs, NULL, 0, "fopen NOFLUSH"));
	ASSERT_EQ(0, host(&fs, NULL, 0, "mkdir -p o && touch $(seq -f o/%%g 0 %d)", WAITING - 1));
	for (i = 0; i < WAITING; i++) {
		snprintf(name, sizeof(name), "o/%d", i);
		fds[i] = open(at(&fs, name), O_RDONLY);
		ASSERT_LE(0, fds[i]);
	}
	reset_counters(&fs);
	for (i = 0; i < WAITING; i++)
		ASSERT_EQ(0, ask_for(fds[i]));
	ASSERT_EQ(WAITING, getattrs(&fs, before, WAITING));
	ASSERT_EQ(0, device(&fs, NULL, 0, "fault LOOKUP 64 hang"));
	reset_counters(&fs);
	for (i = 0; i < RING; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			snprintf(name, sizeof(name), "none%d", i);
			_exit(!stat(at(&fs, name), &st) || errno != ENOENT);
		}
	}
	EXPECT_TRUE(soon(counter(&fs, "LOOKUP") >= RING));
	ASSERT_EQ(RING, counter(&fs, "LOOKUP"));
	for (; i < RING + WAITING; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(ask_for(fds[i - RING]) != 0);
		/* It is in the line when it sleeps in its call. */
		ASSERT_TRUE(soon(sleeps_in(pids[i]) == SYS_statx));
	}
	EXPECT_EQ(0, getattrs(&fs, after, WAITING));
	ASSERT_EQ(0, device(&fs, NULL, 0, "release-hung"));
	for (i = 0; i < RING + WAITING; i++)
		good += waitpid(pids[i], &status, 0) == pids[i] && !status;
	EXPECT_EQ(RING + WAITING, good);
	ASSERT_EQ(WAITING, getattrs(&fs, after, WAITING));
	for (i = 0; i < WAITING; i++) {
		EXPECT_EQ(before[i], after[i]) {
			TH_LOG("request %d", i);
		}
		close(fds[i]);
	}
}

/* A server that maps at larger multiples than a range of the window cannot be used with DAX; without it can. */
TEST(map_alignment)
{
	struct fs fs = { .tag = "dax" };
	int e;

	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no share with a window");
	ASSERT_EQ(0, device(&fs, NULL, 0, "map-alignment 22"));
	e = fs_mount(&fs, "dax", "dax=always");
	if (module_is_c()) {
		/* It mounts before it has read the answer, and refuses every use then. */
		ASSERT_EQ(0, e);
		EXPECT_NE(0, access(at(&fs, "any"), F_OK));
		fs_umount(&fs);
	} else {
		EXPECT_EQ(-EPROTO, e);
	}
	ASSERT_EQ(0, device(&fs, NULL, 0, "map-alignment 21"));
	EXPECT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	EXPECT_EQ(0, fs_umount(&fs));
	device(&fs, NULL, 0, "defaults");
}

/* The first line of a file, empty where there is none. */
static const char *line_of(const char *format, ...)
{
	static char line[256];
	char path[256];
	va_list args;
	FILE *f;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	line[0] = 0;
	f = fopen(path, "r");
	if (f) {
		if (fgets(line, sizeof(line), f))
			line[strcspn(line, "\n")] = 0;
		fclose(f);
	}
	return line;
}

/* Every device shows its queues, and each CPU has one of them for requests. */
TEST(queues_in_sysfs)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF), cpu;
	int device, queue, served, devices = 0;
	char wanted[32];

	for (device = 0; device < 64; device++) {
		if (!*line_of("/sys/fs/virtiofs/%d/tag", device))
			continue;
		devices++;
		EXPECT_STREQ("hiprio", line_of("/sys/fs/virtiofs/%d/mqs/0/name", device));
		for (cpu = 0; cpu < cpus; cpu++) {
			served = 0;
			for (queue = 1; *line_of("/sys/fs/virtiofs/%d/mqs/%d/name", device, queue); queue++) {
				const char *list;

				snprintf(wanted, sizeof(wanted), "requests.%d", queue - 1);
				EXPECT_STREQ(wanted, line_of("/sys/fs/virtiofs/%d/mqs/%d/name", device, queue));
				list = line_of("/sys/fs/virtiofs/%d/mqs/%d/cpu_list", device, queue);
				snprintf(wanted, sizeof(wanted), "%ld", cpu);
				for (char *save, *word = strtok_r((char *)list, ", ", &save); word;
				     word = strtok_r(NULL, ", ", &save))
					served += !strcmp(word, wanted);
			}
			EXPECT_EQ(1, served);
		}
	}
	EXPECT_LT(0, devices);
}

TEST_HARNESS_MAIN
