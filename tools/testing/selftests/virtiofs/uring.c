// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring: it first asks for what need not wait, of files that can be polled as well, and comes again where that fails. Each read
 * and write is done, whatever the file is reached by.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/io_uring.h>
#include <sys/syscall.h>

#define SIZE (4 * PAGE)

FIXTURE(uring)
{
	struct fs fs;
	struct io_uring_params params;
	struct io_uring_sqe *sqe;
	char *ring;
	int fd, file;
};

FIXTURE_VARIANT(uring)
{
	const char *tag, *options;
};

FIXTURE_VARIANT_ADD(uring, dax)
{
	.tag = "dax",
	.options = "dax=always",
};

FIXTURE_VARIANT_ADD(uring, never)
{
	.tag = "dax",
	.options = "dax=never",
};

FIXTURE_VARIANT_ADD(uring, nodax)
{
	.tag = "nodax",
};

FIXTURE_SETUP(uring)
{
	size_t size;

	kmsg("ksft-case", _metadata->name);
	if (!has_tag(variant->tag))
		SKIP(return, "no such device");
	self->fd = syscall(SYS_io_uring_setup, 4, &self->params);
	ASSERT_GE(self->fd, 0);
	ASSERT_TRUE(self->params.features & IORING_FEAT_SINGLE_MMAP);
	size = self->params.cq_off.cqes + self->params.cq_entries * sizeof(struct io_uring_cqe);
	self->ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, IORING_OFF_SQ_RING);
	self->sqe = mmap(NULL, 4 * sizeof(*self->sqe), PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, IORING_OFF_SQES);
	ASSERT_TRUE(self->ring != MAP_FAILED && (void *)self->sqe != MAP_FAILED);
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	self->file = open(at(&self->fs, "uring-data"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	EXPECT_GE(self->file, 0);
}

FIXTURE_TEARDOWN(uring)
{
	if (!self->fs.mounted)
		return;
	close(self->file);
	close(self->fd);
	EXPECT_EQ(0, unlink(at(&self->fs, "uring-data")));
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* One call; what it returns, or a negative errno. */
static int call(FIXTURE_DATA(uring) *self, int op, void *buf, size_t len, off_t pos)
{
	unsigned int *tail = (void *)(self->ring + self->params.sq_off.tail), *array = (void *)(self->ring + self->params.sq_off.array);
	unsigned int *head = (void *)(self->ring + self->params.cq_off.head);
	struct io_uring_cqe *cqes = (void *)(self->ring + self->params.cq_off.cqes);
	unsigned int at = *tail & (self->params.sq_entries - 1);
	int res;

	self->sqe[at] = (struct io_uring_sqe){ .opcode = op, .fd = self->file, .addr = (uintptr_t)buf, .len = len, .off = pos };
	array[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, self->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return -errno;
	res = cqes[*head & (self->params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

TEST_F(uring, reads_and_writes)
{
	char out[SIZE], in[SIZE];
	int i;

	memset(out, 'a', SIZE);
	/* Longer, then over what is there. */
	for (i = 0; i < 2; i++) {
		out[PAGE] = 'b' + i;
		ASSERT_EQ(SIZE, call(self, IORING_OP_WRITE, out, SIZE, 0));
		memset(in, 0, SIZE);
		ASSERT_EQ(SIZE, call(self, IORING_OP_READ, in, SIZE, 0));
		EXPECT_EQ(0, memcmp(in, out, SIZE));
	}
	EXPECT_EQ(0, call(self, IORING_OP_READ, in, SIZE, SIZE));
}

TEST_HARNESS_MAIN
