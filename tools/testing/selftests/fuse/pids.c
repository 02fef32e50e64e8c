// SPDX-License-Identifier: GPL-2.0
/*
 * Processes are told to the server by their numbers in the pid namespace of who mounted: 0 for those who are not in it. What
 * the server says of processes is understood in the same way.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include <sys/socket.h>
#include <sys/syscall.h>

FIXTURE(pids)
{
	struct server v;
};

FIXTURE_SETUP(pids)
{
	server_init(&self->v);
	self->v.s->init_flags = FUSE_POSIX_LOCKS;
}

FIXTURE_TEARDOWN(pids)
{
	server_end(&self->v);
}

static int ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Opens a file of its own, so that the server is asked: the number that it was told, or a negative one. */
static long told(struct server *v, const char *name)
{
	int fd = open(under(v, name), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	close(fd);
	return v->s->last_pid;
}

static struct flock whole(int type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

static void *thread(void *v)
{
	return (void *)(long)(told(v, "n2") == syscall(SYS_gettid));
}

/* In a namespace below the one of the mount. The server knows it by the number that fork(2) gave its parent. */
static int below(struct server *v)
{
	int go[2];
	pid_t pid, known;

	if (unshare(CLONE_NEWPID) || pipe(go))
		return 120;
	pid = fork();
	if (!pid) {
		if (read(go[0], &known, sizeof(known)) != sizeof(known) || getpid() != 1)
			_exit(121);
		_exit(known == told(v, "n3") ? 0 : 122);
	}
	if (write(go[1], &pid, sizeof(pid)) != sizeof(pid))
		return 123;
	return ended(pid);
}

/* The first process of a new namespace mounts. */
static int inside(struct server *v, int socket)
{
	struct flock l = whole(F_WRLCK);
	pthread_t t;
	void *good;
	pid_t pid;
	char byte;
	int fd;

	if (getpid() != 1 || server_start(v, ""))
		return 101;
	if (told(v, "n1") != 1)
		return 102;
	if (pthread_create(&t, NULL, thread, v) || pthread_join(t, &good) || !good)
		return 103;
	pid = fork();
	if (!pid)
		_exit(below(v));
	if ((fd = ended(pid)))
		return fd;
	fd = open(under(v, "file"), O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETLK, &l) || v->s->last_lk.lk.pid != 1)
		return 104;
	v->s->lock_pid = 1;
	if (fcntl(fd, F_GETLK, &l) || l.l_type != F_WRLCK || l.l_pid != 1)
		return 105;
	/* Those outside are next. */
	if (write(socket, "", 1) != 1 || read(socket, &byte, 1) != 1)
		return 106;
	close(fd);
	umount2(v->dir, MNT_DETACH);
	server_kill(v);
	return 0;
}

TEST_F(pids, of_who_mounted)
{
	struct server *v = &self->v;
	struct flock l = whole(F_WRLCK);
	int pair[2], number[2], fd, status;
	pid_t outer, first = 0;
	char byte;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, pipe(number));
	outer = fork();
	if (!outer) {
		close(pair[0]);
		if (unshare(CLONE_NEWPID))
			_exit(99);
		first = fork();
		if (!first)
			_exit(inside(v, pair[1]));
		close(pair[1]);
		status = write(number[1], &first, sizeof(first)) == sizeof(first) ? ended(first) : 98;
		_exit(status);
	}
	close(pair[1]);
	ASSERT_EQ(sizeof(first), read(number[0], &first, sizeof(first)));
	status = read(pair[0], &byte, 1);
	if (status == 1) {
		/* This process is not in that namespace. */
		EXPECT_EQ(0, told(v, "n4"));
		fd = open(under(v, "file"), O_RDWR | O_CLOEXEC);
		EXPECT_LE(0, fd);
		EXPECT_EQ(0, fcntl(fd, F_SETLK, &l));
		EXPECT_EQ(0, v->s->last_lk.lk.pid);
		/* The first process there is another one here. */
		v->s->lock_pid = 1;
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &l));
		EXPECT_EQ(first, l.l_pid);
		/* Nobody. */
		v->s->lock_pid = 4000000;
		l = whole(F_WRLCK);
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &l));
		EXPECT_EQ(0, l.l_pid);
		close(fd);
		EXPECT_EQ(1, write(pair[0], "", 1));
	}
	EXPECT_EQ(0, ended(outer));
	close(pair[0]);
}

TEST_HARNESS_MAIN
