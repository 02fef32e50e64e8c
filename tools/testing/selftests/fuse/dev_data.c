// SPDX-License-Identifier: GPL-2.0
/* Notifications about data and attributes: INVAL_INODE, STORE, RETRIEVE. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

FIXTURE(dev_data) {
	struct server v;
	struct shared *s;
	int fd;
};

FIXTURE_SETUP(dev_data)
{
	server_init(&self->v);
	self->s = self->v.s;
	self->s->size = 65536;
	self->s->open_flags = FOPEN_KEEP_CACHE;
	strcpy(self->s->link, "first");
	/* What changes is not found out without being told. */
	self->s->init_flags = FUSE_CACHE_SYMLINKS;
	ASSERT_EQ(0, server_start_kept(&self->v, ""));
	self->fd = open(under(&self->v, "file"), O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(dev_data)
{
	close(self->fd);
	server_end(&self->v);
}

static int inval(const struct server *v, uint64_t node, int64_t off, int64_t len)
{
	struct fuse_notify_inval_inode_out arg = { .ino = node, .off = off, .len = len };

	return notify(v, FUSE_NOTIFY_INVAL_INODE, &arg, sizeof(arg), NULL, 0);
}

static int store(const struct server *v, uint64_t node, uint64_t off, const void *data, uint32_t len)
{
	struct fuse_notify_store_out arg = { .nodeid = node, .offset = off, .size = len };

	return notify(v, FUSE_NOTIFY_STORE, &arg, sizeof(arg), data, len);
}

static int retrieve(const struct server *v, uint64_t node, uint64_t off, uint32_t len, uint64_t unique)
{
	struct fuse_notify_retrieve_out arg = { .nodeid = node, .offset = off, .size = len, .notify_unique = unique };

	return notify(v, FUSE_NOTIFY_RETRIEVE, &arg, sizeof(arg), NULL, 0);
}

static char byte_at(int fd, off_t off)
{
	char c = 0;

	return pread(fd, &c, 1, off) == 1 ? c : -1;
}

TEST_F(dev_data, inval_inode)
{
	struct server *v = &self->v;
	struct shared *s = self->s;
	char all[65536], *map;
	struct stat st;
	int n;

	ASSERT_EQ(sizeof(all), pread(self->fd, all, sizeof(all), 0));
	map = mmap(NULL, sizeof(all), PROT_READ, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(all[40960], map[40960]);
	n = s->count[FUSE_READ];
	memset(s->data, 'x', sizeof(all));
	EXPECT_EQ(all[0], byte_at(self->fd, 0));
	EXPECT_EQ(n, s->count[FUSE_READ]);
	/* A part of it, also where it is mapped. */
	EXPECT_EQ(0, inval(v, NODE_FILE, 40960, 4096));
	EXPECT_EQ('x', byte_at(self->fd, 40960));
	EXPECT_EQ('x', map[40960]);
	EXPECT_EQ(all[32768], byte_at(self->fd, 32768));
	/* From there to the end. */
	EXPECT_EQ(0, inval(v, NODE_FILE, 49152, 0));
	EXPECT_EQ('x', byte_at(self->fd, 65535));
	EXPECT_EQ(all[32768], byte_at(self->fd, 32768));
	/* Attributes alone. */
	ASSERT_EQ(0, fstat(self->fd, &st));
	n = s->count[FUSE_GETATTR];
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(n, s->count[FUSE_GETATTR]);
	s->size = 70000;
	EXPECT_EQ(0, inval(v, NODE_FILE, -1, 0));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(n + 1, s->count[FUSE_GETATTR]);
	EXPECT_EQ(70000, st.st_size);
	munmap(map, sizeof(all));

	EXPECT_EQ(ENOENT, inval(v, 4711, 0, 0));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_INVAL_INODE, all, 16, NULL, 0));
}

TEST_F(dev_data, inval_link)
{
	struct server *v = &self->v;
	char to[16] = "";

	ASSERT_EQ(5, readlink(under(v, "l1"), to, sizeof(to)));
	strcpy(self->s->link, "second");
	ASSERT_EQ(5, readlink(under(v, "l1"), to, sizeof(to)));
	EXPECT_EQ(0, inval(v, NODE_LINKS + 1, 0, 0));
	ASSERT_EQ(6, readlink(under(v, "l1"), to, sizeof(to)));
	EXPECT_EQ(0, memcmp(to, "second", 6));
}

TEST_F(dev_data, store)
{
	struct server *v = &self->v;
	struct shared *s = self->s;
	static char data[200000], got[200000];
	struct stat st;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i * 5 + (i >> 9);
	/* Whole pages are there without the server. */
	EXPECT_EQ(0, store(v, NODE_FILE, 8192, data, 8192));
	ASSERT_EQ(8192, pread(self->fd, got, 8192, 8192));
	EXPECT_EQ(0, memcmp(got, data, 8192));
	EXPECT_EQ(0, s->count[FUSE_READ]);
	/* A part of a page that is there. */
	EXPECT_EQ(0, store(v, NODE_FILE, 9000, "here", 4));
	ASSERT_EQ(4, pread(self->fd, got, 4, 9000));
	EXPECT_EQ(0, memcmp(got, "here", 4));
	/* A part of one that is not is of no use. */
	EXPECT_EQ(0, store(v, NODE_FILE, 32768 + 100, "lost", 4));
	EXPECT_EQ(s->data[32768 + 100], byte_at(self->fd, 32768 + 100));
	EXPECT_LT(0, s->count[FUSE_READ]);
	/* The file becomes longer, its last page is partly filled. */
	s->size = 262144 + sizeof(data);
	memcpy(s->data + 262144, data, sizeof(data));
	EXPECT_EQ(0, store(v, NODE_FILE, 262144, data, sizeof(data)));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(262144 + sizeof(data), st.st_size);
	memset(s->data + 262144, 0, sizeof(data));
	ASSERT_EQ(sizeof(data), pread(self->fd, got, sizeof(got), 262144));
	EXPECT_EQ(0, memcmp(got, data, sizeof(data)));

	EXPECT_EQ(EINVAL, store(v, FUSE_ROOT_ID, 0, data, 10));
	EXPECT_EQ(EINVAL, store(v, NODE_FILE, INT64_MAX, data, 10));
	EXPECT_EQ(EINVAL, store(v, NODE_FILE, UINT64_MAX, data, 10));
	EXPECT_EQ(ENOENT, store(v, 4711, 0, data, 10));
	EXPECT_EQ(0, store(v, NODE_FILE, 0, data, 0));
	{
		struct fuse_notify_store_out arg = { .nodeid = NODE_FILE, .size = 20 };

		EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_STORE, &arg, sizeof(arg), data, 19));
		EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_STORE, &arg, 8, NULL, 0));
	}
}

TEST_F(dev_data, retrieve)
{
	struct server *v = &self->v;
	struct shared *s = self->s;
	char got[8192];

	ASSERT_EQ(0, posix_fadvise(self->fd, 0, 0, POSIX_FADV_RANDOM));
	ASSERT_EQ(8192, pread(self->fd, got, 8192, 4096));
	EXPECT_EQ(0, retrieve(v, NODE_FILE, 5000, 3000, 77));
	ASSERT_TRUE(soon(s->retrieve_unique == 77));
	EXPECT_EQ(5000, s->retrieve.offset);
	EXPECT_EQ(3000, s->retrieve.size);
	EXPECT_EQ(0, memcmp(s->retrieved, s->data + 5000, 3000));
	/* Up to the first page that is not there. */
	EXPECT_EQ(0, inval(v, NODE_FILE, 16384, 0));
	EXPECT_EQ(0, retrieve(v, NODE_FILE, 12000, 8192, 78));
	ASSERT_TRUE(soon(s->retrieve_unique == 78));
	EXPECT_LE(12288 - 12000, s->retrieve.size);
	EXPECT_GE(16384 - 12000, s->retrieve.size);
	/* An id that a request has as well. */
	s->hang = FUSE_STATFS;
	EXPECT_EQ(0, retrieve(v, NODE_FILE, 200000, 8192, 2));
	ASSERT_TRUE(soon(s->retrieve_unique == 2));
	EXPECT_EQ(0, s->retrieve.size);
	EXPECT_EQ(EINVAL, retrieve(v, FUSE_ROOT_ID, 0, 10, 80));
	EXPECT_EQ(EINVAL, retrieve(v, NODE_FILE, UINT64_MAX, 10, 80));
	EXPECT_EQ(ENOENT, retrieve(v, 4711, 0, 10, 80));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_RETRIEVE, got, 8, NULL, 0));
	EXPECT_EQ(-1, write(v->fd, &(struct fuse_out_header){ .len = 16, .unique = 77 }, 16));
	EXPECT_EQ(ENOENT, errno);
}

/* A server that tells of a page while somebody reads it, and is then killed, leaves nothing behind. */
TEST_F(dev_data, killed_while_reading)
{
	struct server *v = &self->v;
	char got[16];
	pid_t reader, teller;

	if (module_is_c())
		SKIP(return, "the C client waits where nothing ends it");
	self->s->hang = FUSE_READ;
	reader = fork();
	/* Who has the device open keeps the session. */
	if (!reader && !close(v->fd))
		_exit(pread(self->fd, got, sizeof(got), 0) < 0 ? errno : 0);
	ASSERT_TRUE(soon(self->s->hung));
	teller = fork();
	if (!teller)
		_exit(inval(v, NODE_FILE, 0, 0));
	EXPECT_TRUE(waits(teller));
	kill(teller, SIGKILL);
	EXPECT_TRUE(soon(waitpid(teller, NULL, WNOHANG) == teller));
	close(v->fd);
	v->fd = -1;
	server_kill(v);
	EXPECT_TRUE(soon(waitpid(reader, NULL, WNOHANG) == reader));
}

TEST_HARNESS_MAIN
