// SPDX-License-Identifier: GPL-2.0
/* Servers that do not answer in time, and what administrators set for all connections. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

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

TEST_F(dev_late, sysctls)
{
	EXPECT_EQ(EINVAL, tune("max_pages_limit", "0"));
	EXPECT_EQ(EINVAL, tune("max_pages_limit", "65536"));
	EXPECT_EQ(0, tune("max_pages_limit", "256"));
	EXPECT_EQ(EINVAL, tune("default_request_timeout", "65536"));
	EXPECT_EQ(EINVAL, tune("max_request_timeout", "65536"));
	EXPECT_EQ(0, tune("default_request_timeout", "0"));
	EXPECT_EQ(0, tune("max_request_timeout", "0"));
}

/* The session of a server that is late ends, with all who wait. One that answers goes on. */
TEST_F(dev_late, server_says)
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

TEST_F(dev_late, administrator_says)
{
	struct server *v = &self->v;
	struct statfs sf;
	int e;

	ASSERT_EQ(0, tune("max_request_timeout", "1"));
	e = server_start(v, "");
	if (!e)
		e = statfs(v->dir, &sf) ? errno : 0;
	v->s->hang = FUSE_STATFS;
	if (!e)
		e = statfs(v->dir, &sf) ? errno : 0;
	EXPECT_EQ(ECONNABORTED, e);
}

TEST_HARNESS_MAIN
