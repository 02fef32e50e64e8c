// SPDX-License-Identifier: GPL-2.0
/*
 * Users that the server has no number for: a file of a mount that was made in a user namespace is handed to a process
 * outside of it.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include <sys/socket.h>

#define OVERFLOW_ID 65534

FIXTURE(ids)
{
	struct server v;
};

FIXTURE_SETUP(ids)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(ids)
{
	server_end(&self->v);
}

/* Sends a descriptor, or receives one when fd is negative. */
static int hand_over(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(fd))] = { };
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (fd < 0) {
		if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) != 1 || !(c = CMSG_FIRSTHDR(&m)))
			return -1;
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		return fd;
	}
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd)) };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(socket, &m, 0) == 1 ? 0 : -1;
}

/* Mounts as user 1000, the only one whom the namespace of the mount knows; hands "file" over, and waits. */
static int inside(struct server *v, int socket)
{
	char byte;
	int fd;

	if (setgid(1000) || setuid(1000) || prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return 101;
	if (say("/proc/self/setgroups", "deny") || say("/proc/self/uid_map", "0 1000 1") || say("/proc/self/gid_map", "0 1000 1"))
		return 102;
	if (server_start(v, ""))
		return 103;
	fd = open(under(v, "file"), O_RDWR | O_CLOEXEC);
	if (fd < 0 || hand_over(socket, fd))
		return 104;
	close(fd);
	if (read(socket, &byte, 1) != 1)
		return 105;
	umount(v->dir);
	server_kill(v);
	return 0;
}

/* What the server would have to judge is refused; closing is nothing that anybody may be refused. */
TEST_F(ids, flush_of_a_stranger)
{
	struct shared *s = self->v.s;
	int pair[2], fd, status;
	pid_t pid;

	ASSERT_EQ(0, chmod("/dev/fuse", 0666));
	ASSERT_EQ(0, chmod(self->v.dir, 0777));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	if (!pid) {
		close(pair[0]);
		_exit(inside(&self->v, pair[1]));
	}
	close(pair[1]);
	fd = hand_over(pair[0], -1);
	ASSERT_LE(0, fd);
	/* The one inside has closed it. */
	ASSERT_TRUE(soon(s->count[FUSE_FLUSH] == 1));
	EXPECT_EQ(0, s->last_uid);
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EOVERFLOW, errno);
	EXPECT_EQ(0, s->count[FUSE_FSYNC]);
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(2, s->count[FUSE_FLUSH]);
	EXPECT_EQ(OVERFLOW_ID, s->last_uid);
	EXPECT_TRUE(soon(s->count[FUSE_RELEASE] == 1));
	EXPECT_EQ(1, write(pair[0], "", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(pair[0]);
}

TEST_HARNESS_MAIN
