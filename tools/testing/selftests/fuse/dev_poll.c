// SPDX-License-Identifier: GPL-2.0
/* Waiting for a file that the server knows the state of. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <sys/epoll.h>
#include "server.h"

FIXTURE(dev_poll) {
	struct server v;
	struct shared *s;
	int fd;
};

FIXTURE_SETUP(dev_poll)
{
	server_init(&self->v);
	self->s = self->v.s;
	self->s->polls = true;
	ASSERT_EQ(0, server_start_kept(&self->v, ""));
	self->fd = open(under(&self->v, "file"), O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(dev_poll)
{
	close(self->fd);
	server_end(&self->v);
}

static int wake(const struct server *v, uint64_t kh)
{
	struct fuse_notify_poll_wakeup_out arg = { .kh = kh };

	return notify(v, FUSE_NOTIFY_POLL, &arg, sizeof(arg), NULL, 0);
}

static int state(int fd, int events, int timeout)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, timeout) < 0 ? -errno : p.revents;
}

TEST_F(dev_poll, asks)
{
	struct shared *s = self->s;

	s->revents = POLLIN;
	EXPECT_EQ(POLLIN, state(self->fd, POLLIN | POLLOUT, 0));
	EXPECT_EQ(POLLIN | POLLOUT, s->poll.events & (POLLIN | POLLOUT));
	EXPECT_EQ(NODE_FILE, s->poll.fh);
	/* Nobody will wait. */
	EXPECT_EQ(0, s->poll.flags);
	s->revents = 0;
	EXPECT_EQ(0, state(self->fd, POLLIN, 0));
	EXPECT_EQ(2, s->count[FUSE_POLL]);
	s->fail = FUSE_POLL;
	s->error = EACCES;
	EXPECT_EQ(POLLERR, state(self->fd, POLLIN, 0));
}

TEST_F(dev_poll, wakes)
{
	struct shared *s = self->s;
	pid_t pid;
	int status;

	pid = fork();
	if (!pid)
		_exit(state(self->fd, POLLIN, -1));
	ASSERT_TRUE(soon(s->count[FUSE_POLL] == 1));
	EXPECT_EQ(FUSE_POLL_SCHEDULE_NOTIFY, s->poll.flags);
	/* For nothing: it asks again and goes on waiting. */
	EXPECT_EQ(0, wake(&self->v, s->poll.kh));
	EXPECT_TRUE(soon(s->count[FUSE_POLL] == 2));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	EXPECT_EQ(0, wake(&self->v, s->poll.kh + 1));
	s->revents = POLLIN;
	EXPECT_EQ(0, wake(&self->v, s->poll.kh));
	EXPECT_TRUE(soon(waitpid(pid, &status, WNOHANG) == pid));
	EXPECT_EQ(POLLIN, WEXITSTATUS(status));
	EXPECT_EQ(3, s->count[FUSE_POLL]);
	EXPECT_EQ(EINVAL, notify(&self->v, FUSE_NOTIFY_POLL, "1234567", 7, NULL, 0));
}

TEST_F(dev_poll, by_epoll)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u32 = 5 };
	struct shared *s = self->s;
	int ep = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->fd, &e));
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	s->revents = POLLIN;
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	EXPECT_EQ(0, wake(&self->v, s->poll.kh));
	ASSERT_EQ(1, epoll_wait(ep, &e, 1, PATIENCE * 1000));
	EXPECT_EQ(EPOLLIN, e.events);
	/* A file that is closed is not known any more. */
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, wake(&self->v, s->poll.kh));
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	close(ep);
}

TEST_F(dev_poll, missing)
{
	self->s->polls = false;
	EXPECT_EQ(POLLIN | POLLOUT, state(self->fd, POLLIN | POLLOUT, 0));
	EXPECT_EQ(POLLIN, state(self->fd, POLLIN, -1));
	EXPECT_EQ(1, self->s->count[FUSE_POLL]);
}

TEST_F(dev_poll, ends_with_session)
{
	pid_t pid = fork();
	int status;

	/* Who has the device open keeps the session. */
	if (!pid && !close(self->v.fd))
		_exit(state(self->fd, POLLIN, -1));
	ASSERT_TRUE(soon(self->s->count[FUSE_POLL] == 1));
	close(self->v.fd);
	self->v.fd = -1;
	server_kill(&self->v);
	EXPECT_TRUE(soon(waitpid(pid, &status, WNOHANG) == pid));
	EXPECT_EQ(POLLERR, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
