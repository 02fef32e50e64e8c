// SPDX-License-Identifier: GPL-2.0
/*
 * FORGET and requests on their way: an inode is not forgotten while a request that names it is not answered, and nothing else
 * waits for that. Who sent the request is killed, as nobody gives an inode up that he uses.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <sys/syscall.h>
#include "server.h"

FIXTURE(dev_forget) {
	struct server v;
	struct shared *s;
};

FIXTURE_SETUP(dev_forget)
{
	server_init(&self->v);
	self->s = self->v.s;
	if (module_is_c())
		SKIP(return, "who waits for an answer cannot be killed there, so no inode is given up that a request names");
	self->s->ttl = 0;
	self->s->watched = NODE_DIRS + 1;
}

FIXTURE_TEARDOWN(dev_forget)
{
	server_end(&self->v);
}

/* Runs something that the server does not answer, and kills it. */
static bool left(struct server *v, uint32_t opcode, void (*what)(struct server *))
{
	pid_t pid;
	bool hung;

	v->s->hang = opcode;
	v->s->hung = 0;
	pid = fork();
	if (!pid) {
		close(v->fd);
		what(v);
		_exit(0);
	}
	hung = soon(v->s->hung);
	v->s->hang = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return hung;
}

static void answer_at_last(struct server *v)
{
	struct fuse_in_header h = { .unique = v->s->hung };

	answer(v->fd, &h, -EIO, NULL, 0);
}

static void do_chmod(struct server *v)
{
	chmod(under(v, "d1"), 0700);
}

static void do_rename(struct server *v)
{
	rename(under(v, "n1"), under(v, "d1/n2"));
}

static void do_link(struct server *v)
{
	link(under(v, "n1"), under(v, "d2/x3"));
}

/* What is left unanswered names the watched inode. */
static void holds(struct __test_metadata *_metadata, struct server *v, uint32_t opcode, void (*what)(struct server *))
{
	struct shared *s = v->s;
	struct stat st;
	int others;

	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_TRUE(left(v, opcode, what));
	/* Others are forgotten meanwhile, also those that such inodes shared a place with once. */
	others = s->forgotten;
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", NODE_DIRS + 1 + 1024 * i - NODE_NAMES);
		if (i)
			EXPECT_EQ(0, stat(under(v, name), &st));
	}
	EXPECT_TRUE(soon(s->forgotten - others >= 2));
	usleep(200000);
	EXPECT_EQ(0, s->watched_forgotten);
	answer_at_last(v);
	EXPECT_TRUE(soon(s->watched_forgotten > 0));
}

TEST_F(dev_forget, named)
{
	holds(_metadata, &self->v, FUSE_SETATTR, do_chmod);
}

TEST_F(dev_forget, new_directory)
{
	holds(_metadata, &self->v, FUSE_RENAME, do_rename);
}

TEST_F(dev_forget, linked)
{
	self->s->watched = NODE_NAMES + 1;
	holds(_metadata, &self->v, FUSE_LINK, do_link);
}

/* The session may end with FORGETs that still wait. */
TEST_F(dev_forget, end_of_session)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_TRUE(left(v, FUSE_SETATTR, do_chmod));
	EXPECT_EQ(0, umount(v->dir));
	EXPECT_EQ(0, self->s->watched_forgotten);
}

TEST_HARNESS_MAIN
