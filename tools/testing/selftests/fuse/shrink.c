// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a file leave while others read them all the time: whoever has them leave waits for those that are being read, but not
 * for the readers to stop.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include <linux/falloc.h>

#define READERS 12
#define ROUNDS 5
#define HALF (BUF / 2)

FIXTURE(shrink)
{
	struct server v;
	pid_t readers[READERS];
};

FIXTURE_VARIANT(shrink)
{
	uint32_t opcode;
};

FIXTURE_VARIANT_ADD(shrink, cut)
{
	.opcode = FUSE_SETATTR,
};

FIXTURE_VARIANT_ADD(shrink, punch)
{
	.opcode = FUSE_FALLOCATE,
};

FIXTURE_SETUP(shrink)
{
	server_init(&self->v);
	self->v.threads = READERS;
	self->v.s->size = BUF;
	self->v.s->read_takes = 20000;
	self->v.s->init_flags = FUSE_ASYNC_READ;
	ASSERT_EQ(0, server_start(&self->v, ""));
}

FIXTURE_TEARDOWN(shrink)
{
	for (int i = 0; i < READERS; i++) {
		if (self->readers[i] <= 0)
			continue;
		kill(self->readers[i], SIGKILL);
		waitpid(self->readers[i], NULL, 0);
	}
	server_end(&self->v);
}

/* Reads the second half again and again, from the server each time. */
static pid_t reader(const struct server *v, int n)
{
	static char buf[HALF / READERS & ~4095];
	off_t at = HALF + n * (off_t)sizeof(buf);
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = open(under(v, "file"), O_RDONLY);
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	while (pread(fd, buf, sizeof(buf), at) >= 0)
		posix_fadvise(fd, at, sizeof(buf), POSIX_FADV_DONTNEED);
	_exit(1);
}

static int leave(int fd, uint32_t opcode)
{
	if (opcode == FUSE_SETATTR)
		return ftruncate(fd, HALF) || ftruncate(fd, BUF);
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HALF, HALF);
}

TEST_F_TIMEOUT(shrink, while_read, 120)
{
	int status = -1, i, fd, before;
	pid_t pid;

	if (module_is_c() && variant->opcode == FUSE_FALLOCATE)
		SKIP(return, "known difference: the C client waits until the readers stop");
	for (i = 0; i < READERS; i++)
		self->readers[i] = reader(&self->v, i);
	ASSERT_TRUE(soon(self->v.s->count[FUSE_READ] > 2 * READERS));
	before = self->v.s->count[FUSE_READ];
	pid = fork();
	if (!pid) {
		fd = open(under(&self->v, "file"), O_RDWR);
		for (i = 0; i < ROUNDS; i++)
			if (leave(fd, variant->opcode))
				_exit(errno);
		_exit(0);
	}
	soon(waitpid(pid, &status, WNOHANG) == pid);
	EXPECT_EQ(0, status) {
		TH_LOG("%d of it, %d READs meanwhile", self->v.s->count[variant->opcode], self->v.s->count[FUSE_READ] - before);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, waitpid(self->readers[i], NULL, WNOHANG));
}

/* 512-byte blocks of the file as far as they are known, without asking. */
static long long known_blocks(const struct server *v)
{
	struct statx stx;

	return statx(AT_FDCWD, under(v, "file"), AT_STATX_DONT_SYNC, STATX_BLOCKS, &stx) ? -1 : (long long)stx.stx_blocks;
}

/* Who cuts a file and is killed while a page behind the cut is read leaves it to the next one to ask where the file ends. */
TEST_F(shrink, killed_behind)
{
	struct server *v = &self->v;
	pid_t cutter, reader;
	struct stat st;
	char got[16];
	int fd, asked;

	if (variant->opcode != FUSE_SETATTR)
		SKIP(return, "a punch leaves the size");
	if (module_is_c())
		SKIP(return, "known difference: the C client waits where nothing ends it");
	fd = open(under(v, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
	v->s->hold = FUSE_READ;
	reader = fork();
	if (!reader)
		_exit(pread(fd, got, sizeof(got), HALF) < 0 ? errno : 0);
	EXPECT_TRUE(soon(v->s->held));
	cutter = fork();
	if (!cutter)
		_exit(ftruncate(fd, HALF) ? errno : 0);
	/* The answer has come. */
	EXPECT_TRUE(soon(known_blocks(v) == HALF / 512));
	EXPECT_EQ(0, waitpid(cutter, NULL, WNOHANG));
	kill(cutter, SIGKILL);
	EXPECT_TRUE(soon(waitpid(cutter, NULL, WNOHANG) == cutter));
	asked = v->s->count[FUSE_GETATTR];
	v->s->hold = 0;
	EXPECT_EQ(0, stat(under(v, "file"), &st));
	EXPECT_EQ(HALF, st.st_size);
	EXPECT_LT(asked, v->s->count[FUSE_GETATTR]);
	waitpid(reader, NULL, 0);
	close(fd);
}

TEST_HARNESS_MAIN
