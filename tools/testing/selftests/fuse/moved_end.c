// SPDX-License-Identifier: GPL-2.0
/*
 * The session is aborted, or who waits is killed, before, while and after the pages of an answer move into the page cache: whoever
 * reads ends, what he has read is right, and no page is lost, as a group of processes sees by what is charged to it.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "moved.h"

#define CONNECTIONS "/sys/fs/fuse/connections"
#define CGROUP "/sys/fs/cgroup"
#define ROUNDS 36
/* Bytes that stay charged to an empty group, for what others use as well: less than a page for each answer that is refused. */
#define REST (ROUNDS / 6 * PAGE)

/* What is charged to a group that gives back all that it can, also what its processors hold in store for it. */
static long charged(const char *group)
{
	char path[96], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/memory.high", group);
	say(path, "0");
	snprintf(path, sizeof(path), "%s/memory.current", group);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	(void)!read(fd, text, sizeof(text) - 1);
	close(fd);
	return atol(text);
}

/* Reads page by page: 0 when all is right, or what read(2) says. */
static pid_t reader(const struct server *v)
{
	pid_t pid = fork();

	if (!pid) {
		int fd = open(under(v, "file"), O_RDONLY);

		errno = 0;
		for (size_t i = 0; i < LEN; i += PAGE)
			if (pread(fd, own, PAGE, i) != PAGE || memcmp(own, v->s->data + i, PAGE))
				_exit(errno ?: 250);
		_exit(0);
	}
	return pid;
}

/* In one round: who waits is cut off before the answer is sent, after it, or so long after it began. */
enum when { BEFORE, AFTER, MEANWHILE };

static void cut_off(struct __test_metadata *_metadata, FIXTURE_DATA(moved) *self, bool killed, enum when when, double after)
{
	struct what *w = self->w;
	struct server *v = &self->v;
	char path[64];
	struct stat st;
	double begin;
	int control, end;
	pid_t pid;

	memset(w, 0, sizeof(*w));
	w->waits = when == BEFORE;
	/* So that what is lost in one round is not found again in the next. */
	ASSERT_TRUE(new_pages(self->path, v->s->data));
	ASSERT_EQ(0, start(self, MOVED));
	ASSERT_EQ(0, stat(v->dir, &st));
	snprintf(path, sizeof(path), CONNECTIONS "/%u/abort", (unsigned int)st.st_dev);
	control = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, control);
	pid = reader(v);
	/* Without sleeping: an answer takes less than that. */
	for (begin = clock_now(); !(when == AFTER ? w->sent : w->about) && clock_now() < begin + PATIENCE; )
		;
	EXPECT_TRUE(w->about);
	for (begin = clock_now(); clock_now() < begin + after; )
		;
	if (killed)
		kill(pid, SIGKILL);
	else
		EXPECT_EQ(1, write(control, "1", 1));
	/* He does not wait for the server, which has the page still. */
	end = end_of(pid);
	w->waits = false;
	/* With the C module a page that could not be read ahead is an EIO. */
	EXPECT_TRUE((killed ? end == 1000 + SIGKILL : end == ECONNABORTED || end == ENOTCONN || (module_is_c() && end == EIO)) ||
		    (when != BEFORE && end == 0)) {
		TH_LOG("%d: %d", when, end);
	}
	EXPECT_TRUE(soon(w->sent));
	if (!killed && when == BEFORE)
		EXPECT_EQ(ENOENT, w->error);
	if (when == AFTER)
		EXPECT_EQ(0, w->error);
	/* Who comes later finds all in order. */
	if (killed)
		EXPECT_EQ(0, end_of(reader(v)));
	close(control);
	server_kill(v);
	EXPECT_EQ(0, unmount_soon(v->dir));
}

static void cut_off_all(struct __test_metadata *_metadata, FIXTURE_DATA(moved) *self, bool killed)
{
	char group[64], path[96];
	double took = 0;
	pid_t pid;

	if (mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY)
		SKIP(return, "no cgroup2");
	ASSERT_EQ(0, mount("none", CONNECTIONS, "fusectl", 0, NULL));
	ASSERT_EQ(0, say(CGROUP "/cgroup.subtree_control", "+memory"));
	snprintf(group, sizeof(group), CGROUP "/moved.%d", getpid());
	ASSERT_EQ(0, mkdir(group, 0755));
	pid = fork();
	if (!pid) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", group);
		EXPECT_EQ(0, say(path, "0"));
		for (int round = 0; round < ROUNDS; round++) {
			enum when when = round % 3;

			cut_off(_metadata, self, killed, when, when == MEANWHILE ? 1.5 * took * round / ROUNDS : 0);
			if (when == AFTER)
				took = self->w->took;
		}
		_exit(0);
	}
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_TRUE(soon(charged(group) <= REST)) TH_LOG("%ld bytes stay charged", charged(group));
	EXPECT_TRUE(soon(!rmdir(group)));
	umount(CONNECTIONS);
}

/* The session ends while pages of an answer are on their way: no page is lost. */
TEST_F(moved, aborted)
{
	cut_off_all(_metadata, self, false);
}

TEST_F(moved, reader_killed)
{
	if (module_is_c())
		SKIP(return, "the C client waits for the answer to what was read");
	cut_off_all(_metadata, self, true);
}

TEST_HARNESS_MAIN
