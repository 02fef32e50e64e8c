// SPDX-License-Identifier: GPL-2.0
/* /dev/fuse: who may use a mount, and what the server is asked and told of that. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <sys/prctl.h>
#include "server.h"

FIXTURE(dev_access) {
	struct server v;
};

FIXTURE_SETUP(dev_access)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(dev_access)
{
	server_end(&self->v);
}

static int as_user(const struct server *v, uid_t uid, int (*what)(const struct server *v))
{
	pid_t pid = fork();

	if (!pid) {
		if (uid && (setgid(uid) || setuid(uid)))
			_exit(255);
		_exit(what(v));
	}
	return end_of(pid);
}

static int do_stat(const struct server *v)
{
	struct stat st;

	return stat(under(v, "file"), &st) ? errno : 0;
}

static int do_open(const struct server *v)
{
	return open(under(v, "file"), O_RDWR) < 0 ? errno : 0;
}

TEST_F(dev_access, others)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, chmod(v->dir, 0755));
	ASSERT_EQ(0, server_start(v, ""));
	EXPECT_EQ(0, as_user(v, 0, do_stat));
	EXPECT_EQ(EACCES, as_user(v, 1000, do_stat));
	EXPECT_EQ(EACCES, as_user(v, 1000, do_open));
}

TEST_F(dev_access, allow_other)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, server_start(v, ",allow_other"));
	EXPECT_EQ(0, as_user(v, 1000, do_stat));
	/* The server decides. */
	EXPECT_EQ(0, as_user(v, 1000, do_open));
	EXPECT_EQ(1000, v->s->last_uid);
}

TEST_F(dev_access, default_permissions)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, server_start(v, ",allow_other,default_permissions"));
	EXPECT_EQ(0, as_user(v, 1000, do_stat));
	EXPECT_EQ(EACCES, as_user(v, 1000, do_open));
	EXPECT_EQ(0, as_user(v, 0, do_open));
}

TEST_F(dev_access, asks_for_access)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, server_start(v, ""));
	EXPECT_EQ(0, access(under(v, "file"), R_OK));
	EXPECT_EQ(1, v->s->count[FUSE_ACCESS]);
	v->s->fail = FUSE_ACCESS;
	v->s->error = EACCES;
	EXPECT_EQ(-1, access(under(v, "file"), R_OK));
	EXPECT_EQ(EACCES, errno);
	v->s->error = ENOSYS;
	EXPECT_EQ(0, access(under(v, "file"), R_OK));
	EXPECT_EQ(0, access(under(v, "file"), R_OK));
	EXPECT_EQ(3, v->s->count[FUSE_ACCESS]);
}

TEST_F(dev_access, user_namespace)
{
	struct server *v = &self->v;
	pid_t pid;

	/* As udev leaves it. */
	ASSERT_EQ(0, chmod("/dev/fuse", 0666));
	ASSERT_EQ(0, chmod(v->dir, 0777));
	pid = fork();
	if (!pid) {
		char map[32];
		int fd;

		if (setgid(1000) || setuid(1000) || prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWNS))
			_exit(101);
		fd = open("/proc/self/setgroups", O_WRONLY);
		if (write(fd, "deny", 4) != 4)
			_exit(102);
		close(fd);
		fd = open("/proc/self/uid_map", O_WRONLY);
		snprintf(map, sizeof(map), "0 1000 1");
		if (write(fd, map, strlen(map)) < 0)
			_exit(103);
		close(fd);
		fd = open("/proc/self/gid_map", O_WRONLY);
		if (write(fd, map, strlen(map)) < 0)
			_exit(104);
		close(fd);
		if (server_start(v, ""))
			_exit(105);
		if (do_stat(v))
			_exit(106);
		/* Ids are those of the namespace. */
		if (v->s->last_uid != 0)
			_exit(107);
		umount(v->dir);
		server_kill(v);
		_exit(0);
	}
	EXPECT_EQ(0, end_of(pid));
}

TEST_HARNESS_MAIN
