// SPDX-License-Identifier: GPL-2.0
/*
 * Data in a backing file: read, written, spliced, mapped and by libaio, on tmpfs and on a disk file system, without one READ or
 * WRITE at the server; and what users see of size and times. The server says of attributes what the backing file has.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <linux/aio_abi.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include "server.h"
#include "stacked.h"

#define SIZE (64 * PAGE)

FIXTURE(passthrough) {
	struct server v;
	char place[64];
	int data, id, fd;
	char *buf, *want;
	aio_context_t aio;
};

FIXTURE_VARIANT(passthrough) {
	bool disk;
};

FIXTURE_VARIANT_ADD(passthrough, tmpfs) {};
FIXTURE_VARIANT_ADD(passthrough, disk) { .disk = true };

static void fill(char *p, size_t n, int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = i * 31 + (i >> 12) * 7 + seed;
}

FIXTURE_SETUP(passthrough)
{
	struct server *v = &self->v;
	char path[128];

	server_init(v);
	v->s->max_stack_depth = 1;
	snprintf(self->place, sizeof(self->place), "%s.place", v->dir);
	ASSERT_TRUE(place_make(self->place, variant->disk));
	snprintf(path, sizeof(path), "%s/data", self->place);
	self->data = v->data = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_LE(0, self->data);
	self->buf = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->want = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fill(self->want, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->data, self->want, SIZE, 0));
	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ",allow_other"));
	/* Attributes are believed until something here changes them. */
	v->s->ttl = 3600;
	self->id = backing_open(v, self->data);
	ASSERT_LT(0, self->id);
	self->fd = open_as(v, THROUGH, self->id, O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, syscall(SYS_io_setup, 16, &self->aio));
}

FIXTURE_TEARDOWN(passthrough)
{
	syscall(SYS_io_destroy, self->aio);
	close(self->fd);
	server_end(&self->v);
	close(self->data);
	EXPECT_EQ(0, place_end(self->place));
}

#define EXPECT_NO_DATA_REQUESTS() do {				\
	EXPECT_EQ(0, self->v.s->count[FUSE_READ]);		\
	EXPECT_EQ(0, self->v.s->count[FUSE_WRITE]);		\
} while (0)

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

static bool same_attributes(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_size == y.st_size && x.st_mode == y.st_mode &&
	       x.st_mtim.tv_sec == y.st_mtim.tv_sec && x.st_mtim.tv_nsec == y.st_mtim.tv_nsec &&
	       x.st_ctim.tv_sec == y.st_ctim.tv_sec && x.st_ctim.tv_nsec == y.st_ctim.tv_nsec;
}

TEST_F(passthrough, calls)
{
	struct iovec io[2];

	ASSERT_EQ(SIZE, read(self->fd, self->buf, SIZE));
	EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
	EXPECT_EQ(0, read(self->fd, self->buf, SIZE));
	EXPECT_EQ(0, pread(self->fd, self->buf, 0, 0));
	EXPECT_EQ(SIZE - 5, pread(self->fd, self->buf, SIZE, 5));
	EXPECT_EQ(0, memcmp(self->buf, self->want + 5, SIZE - 5));
	fill(self->want + 100, 5000, 2);
	ASSERT_EQ(5000, pwrite(self->fd, self->want + 100, 5000, 100));
	io[0] = (struct iovec){ self->buf, 100 };
	io[1] = (struct iovec){ self->buf + 100, SIZE - 100 };
	ASSERT_EQ(SIZE, preadv(self->data, io, 2, 0));
	EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
	EXPECT_TRUE(same_attributes(self->fd, self->data));
	/* Behind the end. */
	ASSERT_EQ(3, pwrite(self->fd, "end", 3, SIZE + 10));
	EXPECT_EQ(SIZE + 13, size_of(self->fd));
	EXPECT_EQ(SIZE + 13, lseek(self->fd, 0, SEEK_END));
	EXPECT_EQ(-1, pread(self->fd, (char *)16, 100, 0));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, ftruncate(self->fd, 50));
	EXPECT_EQ(50, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(50, size_of(self->data));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(1, self->v.s->count[FUSE_FSYNC]);
	EXPECT_NO_DATA_REQUESTS();
}

TEST_F(passthrough, append)
{
	int fd = open_as(&self->v, THROUGH, self->id, O_WRONLY | O_APPEND);

	ASSERT_EQ(3, write(fd, "one", 3));
	/* The end is that of the backing file, which others make longer. */
	ASSERT_EQ(2, pwrite(self->data, "by", 2, SIZE + 3));
	ASSERT_EQ(3, write(fd, "two", 3));
	EXPECT_EQ(SIZE + 8, size_of(fd));
	ASSERT_EQ(8, pread(self->fd, self->buf, SIZE, SIZE));
	EXPECT_EQ(0, memcmp(self->buf, "onebytwo", 8));
	/* The flag can be taken away and given later. */
	ASSERT_EQ(0, fcntl(fd, F_SETFL, 0));
	ASSERT_EQ(1, pwrite(fd, "O", 1, SIZE));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_APPEND));
	ASSERT_EQ(1, write(self->fd, "!", 1));
	ASSERT_EQ(9, pread(self->data, self->buf, 9, SIZE));
	/* Known difference: in C the backing file keeps the flags that it was opened with. */
	if (module_is_c()) {
		EXPECT_NE(0, memcmp(self->buf, "Onebytwo!", 9));
	} else {
		EXPECT_EQ(0, memcmp(self->buf, "Onebytwo!", 9));
	}
	close(fd);
	EXPECT_NO_DATA_REQUESTS();
}

TEST_F(passthrough, spliced)
{
	loff_t pos = 0;
	int p[2], out;

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(8 * PAGE, splice(self->fd, &pos, p[1], NULL, 8 * PAGE, 0));
	EXPECT_EQ(8 * PAGE, pos);
	pos = SIZE;
	ASSERT_EQ(8 * PAGE, splice(p[0], NULL, self->fd, &pos, 8 * PAGE, 0));
	EXPECT_EQ(SIZE + 8 * PAGE, pos);
	EXPECT_EQ(SIZE + 8 * PAGE, size_of(self->fd));
	ASSERT_EQ(8 * PAGE, pread(self->data, self->buf, SIZE, SIZE));
	EXPECT_EQ(0, memcmp(self->buf, self->want, 8 * PAGE));
	EXPECT_TRUE(same_attributes(self->fd, self->data));
	out = memfd_create("out", 0);
	ASSERT_EQ(SIZE, sendfile(out, self->fd, &(off_t){ 0 }, SIZE));
	ASSERT_EQ(SIZE, pread(out, self->buf, SIZE, 0));
	EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
	close(out);
	close(p[0]);
	close(p[1]);
	EXPECT_NO_DATA_REQUESTS();
}

TEST_F(passthrough, mapped)
{
	char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	char *private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->fd, 0);

	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);
	EXPECT_EQ(0, memcmp(shared, self->want, SIZE));
	/* One page cache: what one stores the other reads, without msync. */
	strcpy(shared + PAGE, "stored");
	EXPECT_EQ(7, pread(self->data, self->buf, 7, PAGE));
	EXPECT_STREQ("stored", self->buf);
	EXPECT_EQ(7, pread(self->fd, self->buf, 7, PAGE));
	EXPECT_STREQ("stored", self->buf);
	ASSERT_EQ(7, pwrite(self->fd, "called", 7, 5 * PAGE));
	EXPECT_STREQ("called", shared + 5 * PAGE);
	strcpy(private + 7 * PAGE, "mine");
	EXPECT_EQ(0, memcmp(shared + 7 * PAGE, self->want + 7 * PAGE, 4));
	EXPECT_EQ(0, msync(shared, SIZE, MS_SYNC));
	/* The mapping outlives the file, also the last one. */
	close(self->fd);
	self->fd = -1;
	strcpy(shared + 9 * PAGE, "later");
	EXPECT_EQ(6, pread(self->data, self->buf, 6, 9 * PAGE));
	EXPECT_STREQ("later", self->buf);
	EXPECT_MODE("", &self->v);
	munmap(shared, SIZE);
	munmap(private, SIZE);
	EXPECT_NO_DATA_REQUESTS();
}

static long aio(aio_context_t ctx, int fd, int op, void *buf, size_t n, off_t pos)
{
	struct iocb cb = { .aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = n, .aio_offset = pos };
	struct iocb *list = &cb;
	struct io_event event;

	if (syscall(SYS_io_submit, ctx, 1, &list) != 1)
		return -errno;
	return syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL) == 1 ? event.res : -EIO;
}

/* Calls that end later: what they change is known when they have ended. */
TEST_F(passthrough, asynchronous)
{
	int direct = open_as(&self->v, THROUGH, self->id, O_RDWR | O_DIRECT);

	for (int round = 0; round < 2; round++) {
		int fd = round ? direct : self->fd;

		if (fd < 0) {
			/* A tmpfs may not have O_DIRECT. */
			EXPECT_FALSE(variant->disk);
			continue;
		}
		memset(self->buf, 0, SIZE);
		ASSERT_EQ(SIZE, aio(self->aio, fd, IOCB_CMD_PREAD, self->buf, SIZE, 0));
		EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
		fill(self->want, SIZE, 10 + round);
		ASSERT_EQ(SIZE, aio(self->aio, fd, IOCB_CMD_PWRITE, self->want, SIZE, 0));
		EXPECT_TRUE(same_attributes(fd, self->data));
		for (int i = 0; i < 20; i++) {
			off_t end = SIZE + (round * 20 + i) * PAGE;

			ASSERT_EQ(PAGE, aio(self->aio, fd, IOCB_CMD_PWRITE, self->want, PAGE, end));
			ASSERT_EQ(end + PAGE, size_of(fd));
			ASSERT_TRUE(same_attributes(fd, self->data));
		}
		ASSERT_EQ(SIZE, pread(self->data, self->buf, SIZE, 0));
		EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
		EXPECT_EQ(0, aio(self->aio, fd, IOCB_CMD_PREAD, self->buf, PAGE, SIZE + 40 * PAGE));
	}
	if (direct >= 0) {
		EXPECT_EQ(variant->disk ? -EINVAL : PAGE + 1, aio(self->aio, direct, IOCB_CMD_PWRITE, self->want + 1, PAGE + 1, 0));
		close(direct);
	}
	EXPECT_NO_DATA_REQUESTS();
}

/* A server that wants it direct as well serves calls itself; mappings are the backing file's. */
TEST_F(passthrough, and_direct)
{
	int fd = open_as(&self->v, THROUGH | DIRECT, self->id, O_RDWR), p[2];
	loff_t pos = 0;
	char *map;

	ASSERT_LE(0, fd);
	ASSERT_EQ(SIZE, pread(fd, self->buf, SIZE, 0));
	EXPECT_EQ(0, memcmp(self->buf, self->want, SIZE));
	EXPECT_EQ(1, self->v.s->count[FUSE_READ]);
	ASSERT_EQ(PAGE, pwrite(fd, self->want + PAGE, PAGE, 0));
	EXPECT_EQ(1, self->v.s->count[FUSE_WRITE]);
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, memcmp(map, self->want + PAGE, PAGE));
	EXPECT_MODE("passthrough users=2 writers=0 waiting=0", &self->v);
	strcpy(map + PAGE, "stored");
	ASSERT_EQ(7, pread(fd, self->buf, 7, PAGE));
	EXPECT_STREQ("stored", self->buf);
	EXPECT_EQ(2, self->v.s->count[FUSE_READ]);
	ASSERT_EQ(7, pread(self->fd, self->buf, 7, PAGE));
	EXPECT_STREQ("stored", self->buf);
	EXPECT_EQ(2, self->v.s->count[FUSE_READ]);
	ASSERT_EQ(0, pipe(p));
	if (!module_is_c()) {
		/* The C client splices from its page cache there. */
		EXPECT_EQ(PAGE, splice(fd, &pos, p[1], NULL, PAGE, 0));
		EXPECT_EQ(3, self->v.s->count[FUSE_READ]);
	}
	munmap(map, SIZE);
	close(fd);
	close(p[0]);
	close(p[1]);
}

/* Stores into a mapping change times as well: of the file, of one whose last file is closed, and for the server's own changes. */
TEST_F(passthrough, mapped_times)
{
	struct shared *s = self->v.s;
	struct stat st, now;
	char *map;
	int asked;

	if (module_is_c())
		SKIP(return, "known difference: the C client learns of it when attributes are no longer valid (U-21)");
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	for (int round = 0; round < 3; round++) {
		ASSERT_EQ(0, stat(under(&self->v, "file"), &st));
		usleep(20000);
		if (round == 1) {
			close(self->fd);
			self->fd = -1;
		}
		/* Pages are made clean between, so that each store is noticed there. */
		map[round * PAGE] = 1;
		ASSERT_EQ(0, fstat(self->data, &now));
		ASSERT_EQ(0, stat(under(&self->v, "file"), &st));
		EXPECT_EQ(now.st_mtim.tv_nsec, st.st_mtim.tv_nsec) TH_LOG("round %d", round);
		EXPECT_EQ(now.st_mtim.tv_sec, st.st_mtim.tv_sec);
		asked = s->count[FUSE_GETATTR];
		ASSERT_EQ(0, stat(under(&self->v, "file"), &st));
		EXPECT_EQ(asked, s->count[FUSE_GETATTR]);
	}
	munmap(map, SIZE);
	/* Nothing is watched any more, and so nothing of the backing file is kept. */
	ASSERT_EQ(0, stat(under(&self->v, "file"), &st));
	ASSERT_EQ(2, pwrite(self->data, "ss", 2, 2 * SIZE));
	ASSERT_EQ(0, stat(under(&self->v, "file"), &st));
	EXPECT_EQ(SIZE, st.st_size);
	self->fd = open_as(&self->v, THROUGH, self->id, O_RDWR);
	ASSERT_EQ(2, pwrite(self->data, "ss", 2, 3 * SIZE));
	EXPECT_EQ(3 * SIZE + 2, size_of(self->fd));
	EXPECT_NO_DATA_REQUESTS();
}

/* Attributes are asked for again after each change, and only then. */
TEST_F(passthrough, attributes)
{
	struct shared *s = self->v.s;
	int asked;

	EXPECT_TRUE(same_attributes(self->fd, self->data));
	asked = s->count[FUSE_GETATTR];
	EXPECT_EQ(SIZE, size_of(self->fd));
	EXPECT_EQ(asked, s->count[FUSE_GETATTR]);
	ASSERT_EQ(1, pwrite(self->fd, "x", 1, 0));
	EXPECT_TRUE(same_attributes(self->fd, self->data));
	EXPECT_EQ(asked + 1, s->count[FUSE_GETATTR]);
	EXPECT_TRUE(same_attributes(self->fd, self->data));
	EXPECT_EQ(asked + 1, s->count[FUSE_GETATTR]);
	/* The size grows here at once, whatever the server says later. */
	ASSERT_EQ(1, pwrite(self->fd, "x", 1, SIZE));
	EXPECT_EQ(SIZE + 1, size_of(self->fd));
	EXPECT_NO_DATA_REQUESTS();
}

static int write_as_other(int fd)
{
	return setgid(1000) || setuid(1000) ? 99 : pwrite(fd, "x", 1, 0) != 1;
}

/* A write takes set-user-id away, as it would without passthrough: the rights are the server's, the deed is the caller's. */
TEST_F(passthrough, set_user_id)
{
	struct stat st;

	ASSERT_EQ(0, fchmod(self->fd, 06755));
	ASSERT_EQ(0, end_of(child(!write_as_other(self->fd))));
	ASSERT_EQ(0, fstat(self->data, &st));
	EXPECT_EQ(0755, st.st_mode & 07777);
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(0755, st.st_mode & 07777);
	EXPECT_NO_DATA_REQUESTS();
}

/* What the backing file refuses is refused; one that is gone there is still a file. */
TEST_F(passthrough, refused)
{
	char path[128], other[128];
	int fd, id;

	/* The same place, read-only. */
	snprintf(other, sizeof(other), "%s.ro", self->place);
	mkdir(other, 0755);
	ASSERT_EQ(0, mount(self->place, other, NULL, MS_BIND, NULL));
	ASSERT_EQ(0, mount(NULL, other, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	snprintf(path, sizeof(path), "%s/data", other);
	fd = open(path, O_RDONLY);
	id = backing_open(&self->v, fd);
	ASSERT_LT(0, id);
	close(fd);
	close(self->fd);
	EXPECT_EQ(EIO, try_as(&self->v, THROUGH, id));
	self->fd = open_as(&self->v, THROUGH, id, O_RDONLY);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	close(self->fd);
	EXPECT_EQ(0, backing_close(&self->v, id));
	EXPECT_TRUE(soon(!umount(other)));
	rmdir(other);
	snprintf(path, sizeof(path), "%s/data", self->place);
	ASSERT_EQ(0, unlink(path));
	self->fd = open_as(&self->v, THROUGH, self->id, O_RDWR);
	EXPECT_EQ(2, pwrite(self->fd, "ok", 2, 0));
	EXPECT_EQ(2, pread(self->data, self->buf, 2, 0));
	EXPECT_EQ(0, memcmp(self->buf, "ok", 2));
	EXPECT_NO_DATA_REQUESTS();
}

TEST_HARNESS_MAIN
