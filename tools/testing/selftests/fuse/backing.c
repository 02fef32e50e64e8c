// SPDX-License-Identifier: GPL-2.0
/* Backing files: the ioctls that name them, and which files can be open together, by all that a server may say of them. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include "stacked.h"

FIXTURE(backing) {
	struct server v;
	char place[64];
	int a, b;
};

FIXTURE_SETUP(backing)
{
	server_init(&self->v);
	self->v.s->max_stack_depth = 1;
	snprintf(self->place, sizeof(self->place), "%s.place", self->v.dir);
	ASSERT_TRUE(place_make(self->place, false));
	ASSERT_EQ(0, chdir(self->place));
	self->a = open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	self->b = open("b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(5, write(self->a, "file a", 5));
	ASSERT_EQ(0, chdir("/"));
}

FIXTURE_TEARDOWN(backing)
{
	self->v.s->hold = 0;
	server_end(&self->v);
	close(self->a);
	close(self->b);
	EXPECT_EQ(0, place_end(self->place));
}

static int raw_open(const struct server *v, struct fuse_backing_map map)
{
	return ioctl(v->fd, FUSE_DEV_IOC_BACKING_OPEN, &map) < 0 ? errno : 0;
}

TEST_F(backing, errors)
{
	struct server *v = &self->v;
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC), dir = open(self->place, O_RDONLY | O_CLOEXEC), path, null, fds[2];
	uint32_t id = 1;
	char name[128];
	int first, second;

	/* Before a mount. */
	v->fd = dev;
	EXPECT_EQ(EPERM, raw_open(v, (struct fuse_backing_map){ .fd = self->a }));
	EXPECT_EQ(EPERM, backing_close(v, 1));
	close(dev);
	/* Before INIT. */
	v->s->init_flags = FUSE_PASSTHROUGH;
	ASSERT_EQ(0, server_mount(v, ""));
	EXPECT_EQ(EPERM, raw_open(v, (struct fuse_backing_map){ .fd = self->a }));
	v->threads = 4;
	server_fork(v);
	EXPECT_EQ(0, try_as(v, 0, 0));

	EXPECT_EQ(EINVAL, raw_open(v, (struct fuse_backing_map){ .fd = self->a, .flags = 1 }));
	EXPECT_EQ(EINVAL, raw_open(v, (struct fuse_backing_map){ .fd = self->a, .padding = 1 }));
	EXPECT_EQ(EBADF, raw_open(v, (struct fuse_backing_map){ .fd = 999 }));
	EXPECT_EQ(EBADF, raw_open(v, (struct fuse_backing_map){ .fd = -1 }));
	EXPECT_EQ(EISDIR, raw_open(v, (struct fuse_backing_map){ .fd = dir }));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(EINVAL, raw_open(v, (struct fuse_backing_map){ .fd = null }));
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(EINVAL, raw_open(v, (struct fuse_backing_map){ .fd = fds[0] }));
	EXPECT_EQ(EINVAL, raw_open(v, (struct fuse_backing_map){ .fd = v->fd }));
	EXPECT_EQ(-1, ioctl(v->fd, FUSE_DEV_IOC_BACKING_OPEN, (void *)16));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(v->fd, FUSE_DEV_IOC_BACKING_CLOSE, (void *)16));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(EPERM, end_of(child(!setgid(1000) && !setuid(1000) && backing_open(v, self->a) >= 0 ? 1 : (errno = EPERM, 0))));

	first = backing_open(v, self->a);
	second = backing_open(v, self->a);
	EXPECT_EQ(1, first);
	EXPECT_EQ(2, second);
	snprintf(name, sizeof(name), "%s/b", self->place);
	path = open(name, O_PATH | O_CLOEXEC);
	EXPECT_EQ(3, backing_open(v, path));
	EXPECT_EQ(0, try_as(v, THROUGH, 3));
	EXPECT_EQ(0, backing_close(v, first));
	EXPECT_EQ(ENOENT, backing_close(v, first));
	/* Ids do not come back at once. */
	EXPECT_EQ(4, backing_open(v, self->a));
	EXPECT_EQ(EINVAL, backing_close(v, 0));
	EXPECT_EQ(EINVAL, backing_close(v, -1));
	EXPECT_EQ(ENOENT, backing_close(v, 99));
	EXPECT_EQ(-1, ioctl(v->fd, _IOW(229, 9, id), &id));
	EXPECT_EQ(ENOTTY, errno);
	close(path);
	close(null);
	close(dir);
	close(fds[0]);
	close(fds[1]);
}

/* What INIT has to say for it. */
TEST_F(backing, agreement)
{
	static const struct { uint64_t flags; uint32_t depth; int works; } table[] = {
		{ 0, 1, 0 }, { FUSE_PASSTHROUGH, 0, 0 }, { FUSE_PASSTHROUGH, 1, 1 }, { FUSE_PASSTHROUGH, 2, 1 },
		{ FUSE_PASSTHROUGH, 3, 0 }, { FUSE_PASSTHROUGH | FUSE_WRITEBACK_CACHE, 1, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct server v;
		int id;

		server_init(&v);
		v.s->max_stack_depth = table[i].depth;
		ASSERT_EQ(0, stacked_start(&v, table[i].flags, ""));
		id = backing_open(&v, self->a);
		EXPECT_EQ(table[i].works ? 1 : -EPERM, id) TH_LOG("row %zu", i);
		EXPECT_EQ(table[i].works ? 0 : EIO, try_as(&v, THROUGH, 1)) TH_LOG("row %zu", i);
		EXPECT_EQ(0, try_as(&v, 0, 0));
		server_end(&v);
	}
}

TEST_F(backing, stacking)
{
	struct server *v = &self->v, deep;
	char cmd[512];
	int fd, over;

	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ""));
	server_init(&deep);
	deep.s->max_stack_depth = 2;
	ASSERT_EQ(0, stacked_start(&deep, FUSE_PASSTHROUGH, ""));
	/* Opened now, so that no server has inherited it. */
	fd = open_as(v, 0, 0, O_RDWR);
	EXPECT_EQ(-ELOOP, backing_open(v, fd));
	EXPECT_EQ(1, backing_open(&deep, fd));
	close(fd);
	/* That keeps the file open, for the page cache. */
	EXPECT_EQ(EIO, try_as(v, THROUGH, backing_open(v, self->a)));
	EXPECT_EQ(0, backing_close(&deep, 1));
	fd = open_as(&deep, 0, 0, O_RDWR);
	EXPECT_EQ(-ELOOP, backing_open(&deep, fd));
	close(fd);
	/* Two file systems of the kind, one on the other: data goes through both, and to no server. */
	v->s->open_flags = THROUGH;
	v->s->backing_id = backing_open(v, self->a);
	fd = open(under(v, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	deep.s->backing_id = backing_open(&deep, fd);
	close(fd);
	deep.s->open_flags = THROUGH;
	fd = open(under(&deep, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(2, pread(fd, cmd, 2, 3));
	EXPECT_EQ(0, memcmp(cmd, "e ", 2));
	EXPECT_EQ(0, v->s->count[FUSE_READ] + deep.s->count[FUSE_READ]);
	close(fd);
	/* An overlay is a layer as well. */
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir u w m && mount -t overlay o -o lowerdir=/etc,upperdir=u,workdir=w m && echo x >m/x", self->place);
	ASSERT_EQ(0, system(cmd));
	snprintf(cmd, sizeof(cmd), "%s/m/x", self->place);
	over = open(cmd, O_RDWR);
	ASSERT_LE(0, over);
	EXPECT_EQ(-ELOOP, backing_open(v, over));
	EXPECT_LT(0, backing_open(&deep, over));
	close(over);
	server_end(&deep);
	snprintf(cmd, sizeof(cmd), "umount %s/m", self->place);
	EXPECT_EQ(0, system(cmd));
}

/* What does not go with passthrough. */
TEST_F(backing, flags)
{
	static const struct { uint32_t flags; int works; } table[] = {
		{ THROUGH, 1 }, { THROUGH | FOPEN_NOFLUSH, 1 }, { THROUGH | DIRECT, 1 }, { THROUGH | PARALLEL, 1 },
		{ THROUGH | FOPEN_PARALLEL_DIRECT_WRITES, 1 }, { THROUGH | FOPEN_KEEP_CACHE, 0 }, { THROUGH | FOPEN_STREAM, 0 },
		{ THROUGH | FOPEN_NONSEEKABLE, 0 }, { THROUGH | FOPEN_CACHE_DIR, 0 }, { THROUGH | 1u << 20, 0 },
	};
	struct server *v = &self->v;
	int id, opened = 0;

	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ""));
	id = backing_open(v, self->a);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		EXPECT_EQ(table[i].works ? 0 : EIO, try_as(v, table[i].flags, id)) TH_LOG("row %zu", i);
		opened++;
	}
	/* Ids that nobody has. */
	EXPECT_EQ(EIO, try_as(v, THROUGH, 0));
	EXPECT_EQ(EIO, try_as(v, THROUGH, -1));
	EXPECT_EQ(EIO, try_as(v, THROUGH, id + 1));
	/* Whether it worked or not, the server gets its handle back. */
	EXPECT_TRUE(soon(v->s->count[FUSE_RELEASE] == opened + 3));
	EXPECT_MODE("", v);
}

/* Which files are open together: the first, the second, and what becomes of the second. */
TEST_F(backing, together)
{
	static const struct { uint32_t first, second; int other, errno_; } table[] = {
		{ THROUGH, THROUGH, 0, 0 }, { THROUGH, THROUGH | DIRECT, 0, 0 }, { THROUGH | DIRECT, THROUGH, 0, 0 },
		{ THROUGH, THROUGH, 1, EIO }, { THROUGH, 0, 0, EIO }, { THROUGH, FOPEN_KEEP_CACHE, 0, EIO },
		{ THROUGH, DIRECT, 0, EIO }, { THROUGH, PARALLEL, 0, EIO }, { THROUGH | DIRECT, DIRECT, 0, EIO },
		{ 0, THROUGH, 0, EIO }, { 0, THROUGH | DIRECT, 0, EIO }, { DIRECT, THROUGH, 0, 0 }, { PARALLEL, THROUGH, 0, 0 },
		{ 0, DIRECT, 0, 0 }, { DIRECT, 0, 0, 0 },
	};
	struct server *v = &self->v;
	int id, same;

	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ""));
	id = backing_open(v, self->a);
	/* The same file by another id is another backing file. */
	same = backing_open(v, self->a);
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int fd = open_as(v, table[i].first, id, O_RDWR);

		ASSERT_LE(0, fd);
		EXPECT_EQ(table[i].errno_, try_as(v, table[i].second, table[i].other ? same : id)) TH_LOG("row %zu", i);
		if (!i) {
			EXPECT_MODE("passthrough users=1 writers=0 waiting=0", v);
		}
		close(fd);
		EXPECT_MODE("", v);
		EXPECT_EQ(0, try_as(v, table[i].second, same)) TH_LOG("row %zu, alone", i);
	}
}

/* An id ends; what was opened with it goes on, and keeps the inode's mode. The mount ends; so do all ids. */
TEST_F(backing, lifetime)
{
	struct server *v = &self->v;
	char got[8] = "";
	int id, other, fd;

	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ""));
	id = backing_open(v, self->a);
	other = backing_open(v, self->b);
	fd = open_as(v, THROUGH, id, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, backing_close(v, id));
	EXPECT_EQ(5, pread(fd, got, 8, 0));
	EXPECT_STREQ("file ", got);
	EXPECT_EQ(EIO, try_as(v, THROUGH, id));
	EXPECT_EQ(EIO, try_as(v, THROUGH, other));
	close(fd);
	EXPECT_EQ(0, try_as(v, THROUGH, other));
	/* Created files as well. */
	v->s->open_flags = THROUGH;
	v->s->backing_id = other;
	fd = open(under(v, "n3"), O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, fd);
	EXPECT_EQ(3, write(fd, "new", 3));
	EXPECT_EQ(3, pread(self->b, got, 8, 0));
	EXPECT_EQ(0, memcmp(got, "new", 3));
	close(fd);
	v->s->backing_id = 77;
	EXPECT_EQ(-1, open(under(v, "n4"), O_RDWR | O_CREAT, 0600));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(0, v->s->count[FUSE_WRITE]);
	ASSERT_EQ(0, umount(v->dir));
	/* The C client keeps what is named open for as long as the server has the device. */
	if (!module_is_c()) {
		EXPECT_EQ(-EPERM, backing_open(v, self->a));
	}
}

/* Passthrough comes while somebody waits for the page cache: that is in vain now. */
TEST_F(backing, overtakes)
{
	struct server *v = &self->v;
	char buf[PAGE] = "", *p;
	pid_t writer, waiter;
	int id, fd, direct;

	if (module_is_c())
		SKIP(return, "known difference: nobody wakes who waits, before passthrough ends");
	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH | FUSE_DIRECT_IO_ALLOW_MMAP, ""));
	id = backing_open(v, self->a);
	direct = open_as(v, PARALLEL, 0, O_RDWR);
	v->s->hold = FUSE_WRITE;
	writer = child(pwrite(direct, buf, PAGE, 0) == PAGE);
	ASSERT_TRUE(soon(v->s->held == 1));
	waiter = child(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, direct, 0) != MAP_FAILED);
	EXPECT_MODE_SOON("parallel users=0 writers=1 waiting=1", v);
	fd = open_as(v, THROUGH, id, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(ETXTBSY, end_of(waiter));
	EXPECT_MODE("passthrough users=1 writers=1 waiting=0", v);
	/* A direct file cannot be mapped then. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, direct, 0));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
	EXPECT_MODE("parallel users=0 writers=1 waiting=0", v);
	v->s->hold = 0;
	EXPECT_EQ(0, end_of(writer));
	EXPECT_MODE("", v);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, direct, 0);
	EXPECT_NE(MAP_FAILED, p);
	munmap(p, PAGE);
	close(direct);
}

TEST_HARNESS_MAIN
