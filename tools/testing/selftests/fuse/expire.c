// SPDX-License-Identifier: GPL-2.0
/* Names that are not believed any more leave memory by themselves, where the administrator says so; the server may forget then. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#define NAMES 20

FIXTURE(expire) {
	struct server v;
};

FIXTURE_SETUP(expire)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(expire)
{
	server_end(&self->v);
}

/* The files of the server have numbers, whatever they are in. */
static void look_up(struct server *v, const char *dir, int first)
{
	char name[32];
	struct stat st;

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "%sn%d", dir, first + i);
		stat(under(v, name), &st);
		/* One that does not exist, and leaves nothing to forget. */
		snprintf(name, sizeof(name), "%sx%d", dir, i);
		stat(under(v, name), &st);
	}
}

TEST_F(expire, values)
{
	EXPECT_EQ(EINVAL, tune("inval_wq", "4"));
	EXPECT_EQ(EINVAL, tune("inval_wq", "65536"));
	EXPECT_EQ(EINVAL, tune("inval_wq", "many"));
	EXPECT_EQ(0, tune("inval_wq", "5"));
	EXPECT_EQ(0, tune("inval_wq", "0"));
}

TEST_F(expire, names)
{
	struct server *v = &self->v;
	struct stat st;
	double begin;
	int fd;

	ASSERT_EQ(0, tune("inval_wq", "5"));
	ASSERT_EQ(0, server_start(v, ""));
	ASSERT_EQ(0, stat(under(v, "d1"), &st));
	/* These stay: they are believed, and one is in use. */
	look_up(v, "d1/", 1000);
	v->s->ttl = 1;
	fd = open(under(v, "n100"), O_RDONLY);
	ASSERT_LE(0, fd);
	begin = clock_now();
	look_up(v, "", 0);
	EXPECT_TRUE(soon(v->s->forgotten >= NAMES));
	EXPECT_LE(1, clock_now() - begin);
	usleep(200000);
	EXPECT_EQ(NAMES, v->s->forgotten);
	EXPECT_EQ(0, fstat(fd, &st));
	close(fd);
	/* They are found again. */
	EXPECT_EQ(0, stat(under(v, "n3"), &st));
}

/* Without it they stay until memory is wanted. */
TEST_F(expire, not_by_default)
{
	struct server *v = &self->v;

	v->s->ttl = 1;
	ASSERT_EQ(0, server_start(v, ""));
	look_up(v, "", 0);
	sleep(8);
	EXPECT_EQ(0, v->s->forgotten);
}

TEST_HARNESS_MAIN
