// SPDX-License-Identifier: GPL-2.0
/*
 * A file of one mount as the backing file of another: what is written goes through both and takes the locks of both. That lockdep
 * has nothing to say about it is for the runner to see, which reads the kernel's log.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include "server.h"
#include "stacked.h"

#define SIZE (16 * PAGE)

FIXTURE(nested) {
	struct server lower, upper;
	char place[64];
	int data, fd;
	char *want, *got;
};

FIXTURE_VARIANT(nested) {
	bool through;	/* the lower mount has a backing file as well; else its server has the data */
};

FIXTURE_VARIANT_ADD(nested, on_passthrough) { .through = true };
FIXTURE_VARIANT_ADD(nested, on_a_server) {};

FIXTURE_SETUP(nested)
{
	struct server *lower = &self->lower, *upper = &self->upper;
	char path[128];
	int fd;

	if (module_is_c())
		SKIP(return, "the C client's locks are of one class in every mount: lockdep takes the second one for the first");
	server_init(lower);
	server_init(upper);
	lower->s->max_stack_depth = 1;
	upper->s->max_stack_depth = 2;
	snprintf(self->place, sizeof(self->place), "%s.place", lower->dir);
	ASSERT_TRUE(place_make(self->place, false));
	snprintf(path, sizeof(path), "%s/data", self->place);
	self->data = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_LE(0, self->data);
	lower->data = upper->data = self->data;
	self->want = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->got = self->want + SIZE;
	for (int i = 0; i < SIZE; i++)
		self->want[i] = i * 31 + (i >> 12) * 7;
	ASSERT_EQ(SIZE, pwrite(self->data, self->want, SIZE, 0));
	ASSERT_EQ(0, stacked_start(lower, FUSE_PASSTHROUGH, ""));
	fd = open_as(lower, variant->through ? THROUGH : 0, variant->through ? backing_open(lower, self->data) : 0, O_RDWR);
	ASSERT_LE(0, fd);
	/* Opened once more when the upper file is. */
	ASSERT_EQ(0, stacked_start(upper, FUSE_PASSTHROUGH, ""));
	self->fd = open_as(upper, THROUGH, backing_open(upper, fd), O_RDWR);
	ASSERT_LE(0, self->fd);
	close(fd);
}

FIXTURE_TEARDOWN(nested)
{
	if (module_is_c())
		return;
	close(self->fd);
	server_end(&self->upper);
	server_end(&self->lower);
	close(self->data);
	EXPECT_EQ(0, place_end(self->place));
}

#define EXPECT_SAME() do {							\
	EXPECT_EQ(SIZE, pread(self->data, self->got, SIZE, 0));			\
	EXPECT_EQ(0, memcmp(self->want, self->got, SIZE));			\
	EXPECT_EQ(0, self->upper.s->count[FUSE_READ] + self->upper.s->count[FUSE_WRITE]);	\
} while (0)

TEST_F(nested, calls)
{
	struct stat st;

	ASSERT_EQ(SIZE, pread(self->fd, self->got, SIZE, 0));
	EXPECT_EQ(0, memcmp(self->want, self->got, SIZE));
	memset(self->want + 100, 'w', 5000);
	ASSERT_EQ(5000, pwrite(self->fd, self->want + 100, 5000, 100));
	EXPECT_SAME();
	ASSERT_EQ(3, pwrite(self->fd, "end", 3, SIZE + 7));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE + 10, st.st_size);
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(0, ftruncate(self->fd, SIZE));
	EXPECT_SAME();
}

TEST_F(nested, asynchronous)
{
	aio_context_t ctx = 0;
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = self->fd, .aio_buf = (uintptr_t)self->want, .aio_nbytes = SIZE };
	struct iocb *list = &cb;
	struct io_event event;

	memset(self->want, 'a', SIZE);
	ASSERT_EQ(0, syscall(SYS_io_setup, 4, &ctx));
	ASSERT_EQ(1, syscall(SYS_io_submit, ctx, 1, &list));
	ASSERT_EQ(1, syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL));
	EXPECT_EQ(SIZE, event.res);
	EXPECT_SAME();
	syscall(SYS_io_destroy, ctx);
}

/* Only out of the file: see Documentation/iomode.md for why lockdep has something to say about splices into it. */
TEST_F(nested, spliced)
{
	loff_t pos = 0;
	int p[2];

	ASSERT_EQ(0, pipe(p));
	ASSERT_EQ(8 * PAGE, splice(self->fd, &pos, p[1], NULL, 8 * PAGE, 0));
	ASSERT_EQ(8 * PAGE, read(p[0], self->got, 8 * PAGE));
	EXPECT_EQ(0, memcmp(self->want, self->got, 8 * PAGE));
	EXPECT_SAME();
	close(p[0]);
	close(p[1]);
}

TEST_F(nested, mapped)
{
	char *m = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

	ASSERT_NE(MAP_FAILED, m);
	EXPECT_EQ(0, memcmp(self->want, m, SIZE));
	memset(m + PAGE, 'm', PAGE);
	memset(self->want + PAGE, 'm', PAGE);
	EXPECT_EQ(0, msync(m, SIZE, MS_SYNC));
	EXPECT_SAME();
	munmap(m, SIZE);
}

TEST_HARNESS_MAIN
