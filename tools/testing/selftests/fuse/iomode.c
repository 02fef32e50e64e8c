// SPDX-License-Identifier: GPL-2.0
/*
 * Io modes without passthrough: files for the page cache, direct files, direct writes that run together, mappings of direct
 * files. What one does is seen by the requests that the server has under way, and by the mode that the kernel shows.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include "stacked.h"

FIXTURE(iomode) {
	struct server v;
	struct shared *s;
	char *buf;
};

FIXTURE_SETUP(iomode)
{
	server_init(&self->v);
	self->s = self->v.s;
	self->buf = mmap(NULL, 4 * BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_EQ(0, stacked_start(&self->v, FUSE_DIRECT_IO_ALLOW_MMAP, ""));
}

FIXTURE_TEARDOWN(iomode)
{
	self->s->hold = 0;
	server_end(&self->v);
}

static pid_t writer(int fd, char *buf, off_t pos)
{
	return child(pwrite(fd, buf, PAGE, pos) == PAGE);
}

/* Starts writers and has the server not answer; gives how many are under way together, once as many as expected are. */
static int together(struct shared *s, int fd, char *buf, pid_t *pid, int n, int expected)
{
	s->hold = FUSE_WRITE;
	for (int i = 0; i < n; i++)
		pid[i] = writer(fd, buf, i * PAGE);
	soon(s->held >= expected);
	usleep(300000);
	return s->held;
}

static int let_go(struct shared *s, pid_t *pid, int n)
{
	int failed = 0;

	s->hold = 0;
	for (int i = 0; i < n; i++)
		failed |= end_of(pid[i]);
	return failed;
}

TEST_F(iomode, counts)
{
	struct server *v = &self->v;
	int a, b, c;

	EXPECT_MODE("", v);
	a = open_as(v, 0, 0, O_RDWR);
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	b = open_as(v, FOPEN_KEEP_CACHE, 0, O_RDONLY);
	EXPECT_MODE("cached users=2 writers=0 waiting=0", v);
	c = open_as(v, DIRECT, 0, O_RDWR);
	EXPECT_LE(0, c);
	EXPECT_MODE("cached users=2 writers=0 waiting=0", v);
	close(a);
	close(b);
	EXPECT_MODE("", v);
	EXPECT_EQ(4, pwrite(c, "abcd", 4, 0));
	EXPECT_MODE("", v);
	close(c);
	/* Created, and never opened by OPEN. */
	self->s->open_flags = 0;
	a = open(under(v, "n7"), O_CREAT | O_RDWR, 0600);
	EXPECT_LE(0, a);
	close(a);
}

/* Which direct writes run together. */
TEST_F(iomode, parallel)
{
	static const struct {
		uint32_t flags;
		int how, together;
	} table[] = {
		{ PARALLEL, 0, 3 }, { DIRECT, 0, 1 }, { PARALLEL, O_APPEND, 1 },
		/* Without DIRECT_IO the flag says nothing, whatever the client wants. */
		{ FOPEN_PARALLEL_DIRECT_WRITES, O_DIRECT, 1 }, { FOPEN_PARALLEL_DIRECT_WRITES, 0, 1 },
	};
	struct server *v = &self->v;
	pid_t pid[3];

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int fd = open_as(v, table[i].flags, 0, O_RDWR | table[i].how);

		ASSERT_LE(0, fd);
		EXPECT_EQ(table[i].together, together(self->s, fd, self->buf, pid, 3, table[i].together)) TH_LOG("row %zu", i);
		if (!i) {
			EXPECT_MODE("parallel users=0 writers=3 waiting=0", v);
		}
		EXPECT_EQ(0, let_go(self->s, pid, 3)) TH_LOG("row %zu", i);
		close(fd);
		EXPECT_MODE("", v);
	}
}

/* Writes that make the file longer run alone, also when that shows only after the wait for the lock. */
TEST_F(iomode, beyond_the_end)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR);
	pid_t pid[2], other;

	ASSERT_EQ(0, ftruncate(fd, PAGE));
	EXPECT_EQ(1, together(self->s, fd, self->buf, pid, 2, 1));
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	EXPECT_EQ(2 * PAGE, self->s->size);
	/* A truncation holds the lock; when it is done the write is behind the end. */
	self->s->hold = FUSE_SETATTR;
	other = child(!ftruncate(fd, 0));
	ASSERT_TRUE(soon(self->s->held == 1));
	pid[0] = writer(fd, self->buf, 0);
	pid[1] = writer(fd, self->buf, PAGE);
	EXPECT_TRUE(waits(pid[0]));
	EXPECT_EQ(0, self->s->count[FUSE_WRITE] - 2);
	self->s->hold = FUSE_WRITE;
	EXPECT_EQ(0, end_of(other));
	EXPECT_TRUE(soon(self->s->held > 0));
	usleep(300000);
	EXPECT_EQ(1, self->s->held);
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	EXPECT_EQ(2 * PAGE, self->s->size);
	close(fd);
}

/* In caching mode writes run alone: whoever else has the file open for the page cache, by whatever flags of his own. */
TEST_F(iomode, caching_excludes)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR), other = open_as(v, 0, 0, O_RDWR | O_DIRECT);
	pid_t pid[2];

	EXPECT_EQ(1, together(self->s, fd, self->buf, pid, 2, 1));
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	/* O_DIRECT comes and goes and decides nothing. */
	ASSERT_EQ(0, fcntl(other, F_SETFL, 0));
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	ASSERT_EQ(0, fcntl(other, F_SETFL, O_DIRECT));
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	close(other);
	EXPECT_EQ(2, together(self->s, fd, self->buf, pid, 2, 2));
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	ASSERT_EQ(0, fcntl(fd, F_SETFL, O_DIRECT));
	EXPECT_MODE("", v);
	close(fd);
}

/* Who opens a file for the page cache waits for direct writes, and keeps others from joining them. */
TEST_F(iomode, open_waits)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR);
	pid_t pid[2], late, opener;

	EXPECT_EQ(2, together(self->s, fd, self->buf, pid, 2, 2));
	self->s->open_flags = 0;
	opener = child(open(under(v, "file"), O_RDWR) >= 0);
	EXPECT_TRUE(waits(opener));
	EXPECT_MODE_SOON("parallel users=0 writers=2 waiting=1", v);
	late = writer(fd, self->buf, 5 * PAGE);
	EXPECT_TRUE(waits(late));
	EXPECT_EQ(2, self->s->held);
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	EXPECT_EQ(0, end_of(opener));
	EXPECT_EQ(0, end_of(late));
	EXPECT_MODE("", v);
	close(fd);
}

TEST_F(iomode, waiter_killed)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR), releases;
	pid_t pid[2], more, waiter;

	if (module_is_c())
		SKIP(return, "known difference: the C client waits where no signal helps (U-18)");
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(2, together(self->s, fd, self->buf, pid, 2, 2));
		releases = self->s->count[FUSE_RELEASE];
		self->s->open_flags = 0;
		waiter = i ? child(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED)
			   : child(open(under(v, "file"), O_RDWR) >= 0);
		EXPECT_MODE_SOON("parallel users=0 writers=2 waiting=1", v);
		EXPECT_EQ(1000 + SIGKILL, killed(waiter));
		/* Nothing is left of it: the handle is given back, and writers join again. */
		EXPECT_TRUE(soon(i || self->s->count[FUSE_RELEASE] == releases + 1));
		EXPECT_MODE("parallel users=0 writers=2 waiting=0", v);
		more = writer(fd, self->buf, 5 * PAGE);
		EXPECT_TRUE(soon(self->s->held == 3));
		EXPECT_EQ(0, let_go(self->s, pid, 2));
		EXPECT_EQ(0, end_of(more));
	}
	close(fd);
}

/* A shared mapping of a direct file uses the page cache: from the first to the last of its parts. */
TEST_F(iomode, mapping)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR), to_child[2];
	pid_t pid[2], heir;
	char *p, *q, c;

	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, self->s->data, 4 * PAGE));
	EXPECT_MODE("", v);
	munmap(p, 4 * PAGE);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, self->s->data, 4 * PAGE));
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	EXPECT_EQ(1, together(self->s, fd, self->buf, pid, 2, 1));
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	/* What is stored gets to the server; what is written is seen. */
	strcpy(p + PAGE, "stored");
	ASSERT_EQ(0, msync(p, 4 * PAGE, MS_SYNC));
	EXPECT_STREQ("stored", self->s->data + PAGE);
	ASSERT_EQ(5, pwrite(fd, "write", 5, 3 * PAGE));
	EXPECT_EQ(0, memcmp(p + 3 * PAGE, "write", 5));
	/* In three parts, one of which moves, and inherited. */
	ASSERT_EQ(0, pipe(to_child));
	heir = fork();
	if (!heir) {
		close(to_child[1]);
		_exit(read(to_child[0], &c, 1) || memcmp(p + PAGE, "stored", 6));
	}
	ASSERT_EQ(0, munmap(p + PAGE, PAGE));
	q = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, q);
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	munmap(q, 2 * PAGE);
	munmap(p + 2 * PAGE, 2 * PAGE);
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	close(to_child[1]);
	EXPECT_EQ(0, end_of(heir));
	/* U-19: with the last part the inode leaves caching mode, and not with the file. */
	EXPECT_MODE("", v);
	EXPECT_EQ(module_is_c() ? 1 : 2, together(self->s, fd, self->buf, pid, 2, module_is_c() ? 1 : 2));
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	/* The mapping outlives its descriptor. */
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	EXPECT_MODE("cached users=1 writers=0 waiting=0", v);
	munmap(p, PAGE);
	EXPECT_MODE("", v);
}

TEST_F(iomode, mapping_waits)
{
	struct server *v = &self->v;
	int fd = open_as(v, PARALLEL, 0, O_RDWR);
	pid_t pid[2], mapper;

	EXPECT_EQ(2, together(self->s, fd, self->buf, pid, 2, 2));
	mapper = child(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	EXPECT_TRUE(waits(mapper));
	EXPECT_MODE_SOON("parallel users=0 writers=2 waiting=1", v);
	EXPECT_EQ(0, let_go(self->s, pid, 2));
	EXPECT_EQ(0, end_of(mapper));
	EXPECT_MODE("", v);
	close(fd);
}

static void *write_much(void *fd)
{
	/* Memory that was never touched: the kernel has to make it, for each request anew. */
	char *m = mmap(NULL, BUF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (void *)(long)pwrite(*(int *)fd, m, BUF / 2, 0);
}

/* A thread waits to map, with the memory of the process locked; another one writes, and needs more of that memory. */
TEST_F(iomode, mapping_and_memory)
{
	struct server v;
	pid_t pid;

	server_init(&v);
	/* Requests are small, so that the write has many. */
	v.s->max_write = 4 * PAGE;
	ASSERT_EQ(0, stacked_start(&v, FUSE_DIRECT_IO_ALLOW_MMAP, ""));
	v.s->hold = FUSE_WRITE;
	pid = fork();
	if (!pid) {
		int fd = open_as(&v, PARALLEL, 0, O_RDWR);
		pthread_t t;
		void *r;

		pthread_create(&t, NULL, write_much, &fd);
		while (!v.s->held)
			usleep(1000);
		if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
			_exit(1);
		pthread_join(t, &r);
		_exit(r != (void *)(BUF / 2));
	}
	ASSERT_TRUE(soon(v.s->held == 1));
	EXPECT_TRUE(waits(pid));
	v.s->hold = 0;
	if (module_is_c()) {
		/* Known difference: there the write counts as running while it waits for memory, and both wait for each other. */
		EXPECT_TRUE(waits(pid));
		EXPECT_EQ(1000 + SIGKILL, killed(pid));
	} else {
		EXPECT_EQ(0, end_of(pid));
	}
	server_end(&v);
}

/* Without the server's leave a direct file has no shared mappings. */
TEST_F(iomode, mapping_not_allowed)
{
	struct server v;
	char *p;
	int fd;

	server_init(&v);
	ASSERT_EQ(0, stacked_start(&v, 0, ""));
	fd = open_as(&v, DIRECT, 0, O_RDWR);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, v.s->data, PAGE));
	EXPECT_MODE("", &v);
	munmap(p, PAGE);
	close(fd);
	fd = open_as(&v, 0, 0, O_RDWR);
	EXPECT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
	server_end(&v);
}

/* A server without OPEN has no modes. */
TEST_F(iomode, no_open)
{
	struct server *v = &self->v;
	char got[16];
	int a, b;

	self->s->error = ENOSYS;
	self->s->fail = FUSE_OPEN;
	a = open_as(v, THROUGH, 0, O_RDWR);
	b = open_as(v, PARALLEL, 0, O_RDWR);
	ASSERT_LE(0, a);
	ASSERT_LE(0, b);
	EXPECT_EQ(16, pread(a, got, 16, 0));
	EXPECT_EQ(16, pwrite(b, got, 16, 64));
	EXPECT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, a, 0));
	EXPECT_MODE("", v);
	EXPECT_EQ(1, self->s->count[FUSE_OPEN]);
	close(a);
	close(b);
	EXPECT_EQ(0, self->s->count[FUSE_RELEASE]);
}

TEST_HARNESS_MAIN
