// SPDX-License-Identifier: GPL-2.0
/*
 * What stays behind of a process that was killed while the server has its requests: memory that nobody needs any more goes at once,
 * and a server that answers nothing keeps the rest of a limited number only. With the C client such a process cannot be killed.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

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

/* Those that would have to be undone stay, but not any number of them. */
TEST_F_TIMEOUT(left, number, 120)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct fuse_entry_out out = { .nodeid = NODE_NAMES + 1 };
	volatile bool *more = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t first, last;
	char path[64], text[32] = "";
	struct stat st;
	pid_t pid;
	int fd;

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
	ASSERT_TRUE(!mount("none", CONNECTIONS, "fusectl", 0, NULL) || errno == EBUSY);
	snprintf(path, sizeof(path), CONNECTIONS "/%u/waiting", (unsigned int)st.st_dev);
	fd = open(path, O_RDONLY);
	EXPECT_LT(0, read(fd, text, sizeof(text) - 1));
	EXPECT_EQ(LEFT, atoi(text));
	close(fd);
	umount(CONNECTIONS);
	/* The oldest is not known any more; what the server did for one that is known is undone. */
	EXPECT_EQ(ENOENT, late(v, first, &out, sizeof(out)));
	s->watched = NODE_NAMES + 1;
	EXPECT_EQ(0, late(v, last, &out, sizeof(out)));
	EXPECT_TRUE(soon(s->watched_forgotten == 1));
	s->hang = 0;
	EXPECT_EQ(0, stat(under(v, "n1"), &st));
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
