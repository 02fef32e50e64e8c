// SPDX-License-Identifier: GPL-2.0
/* Servers that do not answer in time, and what administrators set for all connections. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#define SYSCTL "/proc/sys/fs/fuse/"

FIXTURE(dev_late) {
	struct server v;
};

FIXTURE_SETUP(dev_late)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(dev_late)
{
	server_end(&self->v);
}

static int set(const char *name, const char *text)
{
	char path[64];
	int fd, e;

	snprintf(path, sizeof(path), SYSCTL "%s", name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	e = write(fd, text, strlen(text)) < 0 ? errno : 0;
	close(fd);
	return e;
}

TEST_F(dev_late, sysctls)
{
	EXPECT_EQ(EINVAL, set("max_pages_limit", "0"));
	EXPECT_EQ(EINVAL, set("max_pages_limit", "65536"));
	EXPECT_EQ(0, set("max_pages_limit", "256"));
	EXPECT_EQ(EINVAL, set("default_request_timeout", "65536"));
	EXPECT_EQ(EINVAL, set("max_request_timeout", "65536"));
	EXPECT_EQ(0, set("default_request_timeout", "0"));
	EXPECT_EQ(0, set("max_request_timeout", "0"));
}

/* The session of a server that is late ends, with all who wait. One that answers goes on. */
TEST_F_TIMEOUT(dev_late, server_says, 120)
{
	struct server *v = &self->v;
	struct statfs sf;
	time_t begin;

	v->s->init_flags = FUSE_REQUEST_TIMEOUT;
	v->s->timeout = 15;
	ASSERT_EQ(0, server_start(v, ""));
	ASSERT_EQ(0, statfs(v->dir, &sf));
	sleep(25);
	ASSERT_EQ(0, statfs(v->dir, &sf));
	v->s->hang = FUSE_STATFS;
	begin = time(NULL);
	EXPECT_EQ(-1, statfs(v->dir, &sf));
	EXPECT_EQ(ECONNABORTED, errno);
	EXPECT_LE(14, time(NULL) - begin);
	EXPECT_EQ(-1, statfs(v->dir, &sf));
	EXPECT_EQ(ENOTCONN, errno);
}

TEST_F_TIMEOUT(dev_late, administrator_says, 60)
{
	struct server *v = &self->v;
	struct statfs sf;
	int e;

	ASSERT_EQ(0, set("max_request_timeout", "1"));
	e = server_start(v, "");
	if (!e)
		e = statfs(v->dir, &sf) ? errno : 0;
	v->s->hang = FUSE_STATFS;
	if (!e)
		e = statfs(v->dir, &sf) ? errno : 0;
	set("max_request_timeout", "0");
	EXPECT_EQ(ECONNABORTED, e);
}

TEST_HARNESS_MAIN
