// SPDX-License-Identifier: GPL-2.0
/*
 * What stays behind of a process that was killed while the server has its requests: memory that nobody needs any more goes at once,
 * and a server that answers nothing keeps the rest of a limited number only. With the C client such a process cannot be killed.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#include <linux/aio_abi.h>
#include <sys/syscall.h>

#define CONNECTIONS "/sys/fs/fuse/connections"
/* Requests of the dead that are kept. */
#define LEFT 1024
#define THREADS 1200
#define STACK 16384
#define SHARED (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

FIXTURE(left) {
	struct server v;
};

FIXTURE_SETUP(left)
{
	if (module_is_c())
		SKIP(return, "known difference: who waits for an answer cannot be killed (U-12)");
	server_init(&self->v);
	self->v.s->init_flags = FUSE_PARALLEL_DIROPS;
	ASSERT_EQ(0, server_start_kept(&self->v, ""));
}

FIXTURE_TEARDOWN(left)
{
	if (!module_is_c())
		server_end(&self->v);
}

static const struct server *srv;

static int look_up(void *n)
{
	struct stat st;
	char name[128];

	snprintf(name, sizeof(name), "%s/n%ld", srv->dir, (long)n);
	stat(name, &st);
	return 0;
}

/* The first looks up, and the others when they are told. They share what threads have of their own, which is much here. */
static pid_t crowd(struct server *v, volatile bool *more)
{
	pid_t pid = fork();

	if (!pid) {
		char *stacks = mmap(NULL, THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		srv = v;
		for (long n = 0; n < THREADS; n++) {
			while (n && !*more)
				usleep(1000);
			if (clone(look_up, stacks + (n + 1) * STACK, SHARED, (void *)n) < 0)
				_exit(100);
		}
		for (;;)
			pause();
	}
	return pid;
}

/* An answer by hand; 0 or an errno. */
static int late(const struct server *v, uint64_t unique, const void *body, size_t len)
{
	struct fuse_in_header h = { .unique = unique };

	return answer(v->fd, &h, 0, body, len) < 0 ? errno : 0;
}

/* Requests that the server has not answered; -1 where that is not known. st is the mount's. */
static int waiting(const struct stat *st)
{
	char path[64], text[32] = "";
	int fd;

	if (mount("none", CONNECTIONS, "fusectl", 0, NULL))
		return -1;
	snprintf(path, sizeof(path), CONNECTIONS "/%u/waiting", (unsigned int)st->st_dev);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		strcpy(text, "-1");
	close(fd);
	umount(CONNECTIONS);
	return atoi(text);
}

/* Those that would have to be undone stay, but not any number of them. */
TEST_F_TIMEOUT(left, number, 120)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct fuse_entry_out out = { .nodeid = NODE_NAMES + 1 };
	volatile bool *more = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t first, last;
	struct stat st;
	pid_t pid;

	ASSERT_EQ(0, stat(v->dir, &st));
	s->hang = FUSE_LOOKUP;
	pid = crowd(v, more);
	ASSERT_TRUE(soon(s->hung));
	first = s->hung;
	*more = true;
	while (s->count[FUSE_LOOKUP] < THREADS) {
		ASSERT_EQ(0, waitpid(pid, NULL, WNOHANG));
		usleep(10000);
	}
	last = s->hung;
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(LEFT, waiting(&st));
	/* The oldest is not known any more; what the server did for one that is known is undone. */
	EXPECT_EQ(ENOENT, late(v, first, &out, sizeof(out)));
	s->watched = NODE_NAMES + 1;
	EXPECT_EQ(0, late(v, last, &out, sizeof(out)));
	EXPECT_TRUE(soon(s->watched_forgotten == 1));
	s->hang = 0;
	EXPECT_EQ(0, stat(under(v, "n1"), &st));
}

/* So it is with calls that a process which lives on has given up. */
TEST_F(left, given_up)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct iocb *cb = calloc(THREADS, sizeof(*cb)), *one;
	aio_context_t ctx = 0;
	struct stat st;
	char *mem;
	int fd;

	server_kill(v);
	umount(v->dir);
	close(v->fd);
	s->init_flags = FUSE_ASYNC_DIO;
	s->max_background = 2 * THREADS;
	s->congestion = 2 * THREADS;
	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_EQ(0, stat(v->dir, &st));
	fd = open(under(v, "file"), O_RDONLY | O_DIRECT);
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(fd >= 0 && mem != MAP_FAILED && cb);
	ASSERT_EQ(0, syscall(SYS_io_setup, THREADS, &ctx));
	s->hang = FUSE_READ;
	for (int i = 0; i < THREADS; i++) {
		one = &cb[i];
		*one = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_nbytes = 4096, .aio_buf = (uintptr_t)mem };
		ASSERT_EQ(1, syscall(SYS_io_submit, ctx, 1, &one));
	}
	ASSERT_TRUE(soon(s->count[FUSE_READ] == THREADS));
	EXPECT_EQ(THREADS, waiting(&st));
	EXPECT_EQ(0, syscall(SYS_io_destroy, ctx));
	EXPECT_EQ(LEFT, waiting(&st));
	EXPECT_EQ(0, late(v, s->hung, s->data, 4096));
	close(fd);
	free(cb);
}

/* Memory that the answer was to fill. */
TEST_F(left, memory)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	int mem = memfd_create("left", MFD_ALLOW_SEALING);
	char byte = 1;
	pid_t pid;

	ASSERT_EQ(0, ftruncate(mem, 65536));
	s->hang = FUSE_READ;
	pid = fork();
	if (!pid) {
		void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
		int fd = open(under(v, "file"), O_RDONLY | O_DIRECT);

		_exit(read(fd, p, 65536) < 0 ? errno : 0);
	}
	ASSERT_TRUE(soon(s->hung));
	kill(pid, SIGKILL);
	ASSERT_EQ(1000 + SIGKILL, end_of(pid));
	/* Pages that somebody holds cannot be sealed. */
	EXPECT_EQ(0, fcntl(mem, F_ADD_SEALS, F_SEAL_WRITE));
	EXPECT_EQ(0, late(v, s->hung, s->data, 65536));
	EXPECT_EQ(1, pread(mem, &byte, 1, 300));
	EXPECT_EQ(0, byte);
	close(mem);
}

/* A part of a page of the page cache stays locked: the server may not have it yet, and who reads must not get what was there before. */
TEST_F(left, written)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct fuse_write_out out = { .size = 10 };
	pid_t writer, reader;
	char *got = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	s->hang = FUSE_WRITE;
	writer = fork();
	if (!writer)
		_exit(pwrite(open(under(v, "file"), O_RDWR), "0123456789", 10, 0) < 0 ? errno : 0);
	ASSERT_TRUE(soon(s->hung));
	kill(writer, SIGKILL);
	ASSERT_EQ(1000 + SIGKILL, end_of(writer));
	reader = fork();
	if (!reader)
		_exit(pread(open(under(v, "file"), O_RDONLY), got, 10, 0) == 10 ? 0 : 1);
	EXPECT_TRUE(soon(s->count[FUSE_OPEN] == 2));
	usleep(500000);
	EXPECT_EQ(0, waitpid(reader, NULL, WNOHANG));
	EXPECT_EQ(0, s->count[FUSE_READ]);
	memcpy(s->data, "0123456789", 10);
	EXPECT_EQ(0, late(v, s->hung, &out, sizeof(out)));
	EXPECT_EQ(0, end_of(reader));
	EXPECT_EQ(0, memcmp(got, "0123456789", 10));
}

/* A server that asks for it gets again what ends something at it, and nothing that only the dead has asked for. */
TEST_F(left, sent_again)
{
	static const uint32_t op[] = { FUSE_READ, FUSE_FLUSH };
	struct server *v = &self->v;
	struct shared *s = v->s;
	pid_t pid;

	for (int i = 0; i < 2; i++) {
		s->hung = 0;
		s->hang = op[i];
		pid = fork();
		if (!pid) {
			char byte;
			int fd = open(under(v, "file"), O_RDONLY | O_DIRECT);

			if (op[i] == FUSE_READ)
				_exit(read(fd, &byte, 1) < 0 ? errno : 0);
			_exit(close(fd) ? errno : 0);
		}
		ASSERT_TRUE(soon(s->hung));
		kill(pid, SIGKILL);
		ASSERT_EQ(1000 + SIGKILL, end_of(pid));
		/* Of the first one when its file is closed. */
		ASSERT_TRUE(soon(s->count[FUSE_FLUSH] == i + 1));
	}
	EXPECT_EQ(1, s->count[FUSE_READ]);
	s->hang = 0;
	ASSERT_EQ(0, notify(v, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0));
	EXPECT_TRUE(soon(s->count[FUSE_FLUSH] == 3));
	EXPECT_EQ(1, s->count[FUSE_READ]);
}

TEST_HARNESS_MAIN
