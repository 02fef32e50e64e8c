// SPDX-License-Identifier: GPL-2.0
/*
 * The page cache of files whose server is a process: WRITEBACK_CACHE, writers that are held back and killed, and the limits of
 * a server without an administrator's rights.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#define PAGE 4096

FIXTURE(cached)
{
	struct server v;
	char *buf;
};

FIXTURE_SETUP(cached)
{
	server_init(&self->v);
	self->buf = malloc(BUF);
	ASSERT_NE(NULL, self->buf);
	memset(self->buf, 7, BUF);
}

FIXTURE_TEARDOWN(cached)
{
	server_end(&self->v);
	free(self->buf);
}

#define COUNT(opcode) (self->v.s->count[opcode])

/* Small writes are one WRITE; the times follow. */
TEST_F(cached, many_writes)
{
	struct stat st;
	int fd, i;

	self->v.s->init_flags = FUSE_WRITEBACK_CACHE;
	self->v.s->size = 0;
	ASSERT_EQ(0, server_start(&self->v, ""));
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	for (i = 0; i < 1000; i++)
		ASSERT_EQ(100, write(fd, self->buf, 100));
	EXPECT_EQ(0, COUNT(FUSE_WRITE));
	ASSERT_EQ(0, fsync(fd));
	EXPECT_EQ(1, COUNT(FUSE_WRITE));
	EXPECT_EQ(100000, self->v.s->last_write.size);
	EXPECT_TRUE(self->v.s->last_write.write_flags & FUSE_WRITE_CACHE);
	EXPECT_EQ(1, COUNT(FUSE_SETATTR));
	EXPECT_EQ(FATTR_MTIME | FATTR_CTIME | FATTR_FH, self->v.s->last_setattr.valid);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(100000, st.st_size);
	EXPECT_EQ(0, memcmp(self->buf, self->v.s->data, 100000));
	close(fd);
}

/* Who writes faster than the server takes it is held back, and can be killed. */
TEST_F(cached, held_back)
{
	pid_t pid;

	self->v.s->init_flags = FUSE_WRITEBACK_CACHE;
	self->v.s->hang = FUSE_WRITE;
	ASSERT_EQ(0, server_start(&self->v, ""));
	pid = fork();
	if (!pid) {
		int fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC), i;

		for (i = 0; i < 500; i++)
			if (pwrite(fd, self->buf, BUF, (off_t)i * BUF) != BUF)
				_exit(1);
		_exit(0);
	}
	ASSERT_TRUE(soon(COUNT(FUSE_WRITE) > 0));
	sleep(2);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	/* A sync of everything does not wait for such a server. */
	sync();
	kill(pid, SIGKILL);
	if (!module_is_c())
		EXPECT_TRUE(soon(waitpid(pid, NULL, WNOHANG) == pid));
	server_kill(&self->v);
	waitpid(pid, NULL, 0);
}

/* Requests that nobody waits for: what INIT says counts, unless a server without rights says too much. */
TEST_F(cached, limits)
{
	int fd, i, admin;

	ASSERT_EQ(0, tune("max_user_bgreq", "3"));
	ASSERT_EQ(0, tune("max_user_congthresh", "1000"));
	for (admin = 0; admin < 2; admin++) {
		self->v.s->init_flags = FUSE_ASYNC_READ;
		self->v.s->max_background = 6;
		self->v.s->congestion = 500;
		self->v.s->hang = FUSE_READ;
		self->v.s->size = BUF;
		self->v.s->count[FUSE_READ] = 0;
		ASSERT_EQ(0, server_mount(&self->v, ""));
		self->v.pid = fork();
		if (!self->v.pid) {
			if (!admin && setuid(1000))
				_exit(1);
			serve(self->v.fd, self->v.s);
			_exit(0);
		}
		close(self->v.fd);
		self->v.fd = -1;
		fd = open(under(&self->v, "file"), O_RDONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		if (!fork()) {
			for (i = 0; i < 16; i++)
				posix_fadvise(fd, i * 16 * PAGE, PAGE, POSIX_FADV_WILLNEED);
			_exit(0);
		}
		EXPECT_TRUE(soon(COUNT(FUSE_READ) >= (admin ? 6 : 3)));
		usleep(300000);
		EXPECT_EQ(admin ? 6 : 3, COUNT(FUSE_READ));
		server_kill(&self->v);
		close(fd);
		umount2(self->v.dir, MNT_DETACH);
	}
}

TEST_HARNESS_MAIN
