// SPDX-License-Identifier: GPL-2.0
/*
 * ioctls of 32-bit programs: they come by the 32-bit system call (int 0x80, which a 64-bit program can make as well), with
 * memory below 4 GiB. The server is told of what kind the caller is; flags of files and the device's own ioctls are the same
 * for both.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#define IOCTL_32 54
/* <linux/fs.h> does not go with <sys/mount.h>. */
#define GETFLAGS_32 _IOR('f', 1, int)
#define SETFLAGS_32 _IOW('f', 2, int)
#define GETFLAGS _IOR('f', 1, long)
#define SETFLAGS _IOW('f', 2, long)
#define NODUMP 0x40
#define CARRY(dir) _IOC(dir, 0xda, 0, 64)
#define BOTH (_IOC_READ | _IOC_WRITE)

FIXTURE(compat)
{
	struct server v;
	unsigned char *low;
};

FIXTURE_SETUP(compat)
{
	server_init(&self->v);
	ASSERT_EQ(0, server_start(&self->v, ""));
	self->low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, self->low);
}

FIXTURE_TEARDOWN(compat)
{
	server_end(&self->v);
}

/* What ioctl(2) of a 32-bit program returns: a result or a negative errno. */
static int ioctl_32(int fd, unsigned int cmd, unsigned long arg)
{
	int result;

	asm volatile("int $0x80" : "=a"(result) : "a"(IOCTL_32), "b"(fd), "c"(cmd), "d"((unsigned int)arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static bool inverted(const unsigned char *p, int from, int to, unsigned char value)
{
	for (int i = from; i < to; i++)
		if (p[i] != value)
			return false;
	return true;
}

TEST_F(compat, carries)
{
	struct shared *s = self->v.s;
	unsigned char *p = self->low;
	int fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	if (ioctl_32(fd, CARRY(_IOC_NONE), 0) == -ENOSYS)
		SKIP(return, "no 32-bit system calls");
	memset(p, 0x5a, 80);
	EXPECT_EQ(64, ioctl_32(fd, CARRY(BOTH), (unsigned long)p));
	EXPECT_TRUE(inverted(p, 0, 64, 0xa5));
	EXPECT_TRUE(inverted(p, 64, 80, 0x5a));
	EXPECT_EQ(FUSE_IOCTL_COMPAT | FUSE_IOCTL_32BIT, s->last_ioctl.flags);
	EXPECT_EQ((unsigned long)p, s->last_ioctl.arg);
	EXPECT_EQ(64, s->last_ioctl.in_size);
	EXPECT_EQ(64, s->last_ioctl.out_size);
	/* A number instead of an address: its upper half is not there. */
	EXPECT_EQ(0, ioctl_32(fd, CARRY(_IOC_NONE), 0xfffffff0));
	EXPECT_EQ(0xfffffff0, s->last_ioctl.arg);
	EXPECT_EQ(-EFAULT, ioctl_32(fd, CARRY(BOTH), 8));
	/* The same by a program of the kernel's own kind. */
	EXPECT_EQ(64, ioctl(fd, CARRY(BOTH), p));
	EXPECT_TRUE(inverted(p, 0, 64, 0x5a));
	EXPECT_EQ(0, s->last_ioctl.flags);
	close(fd);
}

TEST_F(compat, directory)
{
	unsigned char *p = self->low;
	int fd = open(under(&self->v, "d1"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	memset(p, 0, 64);
	if (ioctl_32(fd, CARRY(BOTH), (unsigned long)p) == -ENOSYS)
		SKIP(return, "no 32-bit system calls");
	EXPECT_TRUE(inverted(p, 0, 64, 0xff));
	EXPECT_EQ(FUSE_IOCTL_COMPAT | FUSE_IOCTL_32BIT | FUSE_IOCTL_DIR, self->v.s->last_ioctl.flags);
	close(fd);
}

/* The kernel asks for them itself, in its own way. */
TEST_F(compat, file_flags)
{
	struct shared *s = self->v.s;
	int *flags = (int *)self->low, r;
	int fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	s->file_flags = NODUMP;
	flags[1] = 7;
	r = ioctl_32(fd, GETFLAGS_32, (unsigned long)flags);
	if (r == -ENOSYS)
		SKIP(return, "no 32-bit system calls");
	EXPECT_EQ(0, r);
	EXPECT_EQ(NODUMP, flags[0]);
	EXPECT_EQ(7, flags[1]);
	EXPECT_EQ(GETFLAGS, s->last_ioctl.cmd);
	EXPECT_EQ(0, s->last_ioctl.flags);
	flags[0] = 0;
	EXPECT_EQ(0, ioctl_32(fd, SETFLAGS_32, (unsigned long)flags));
	EXPECT_EQ(SETFLAGS, s->last_ioctl.cmd);
	EXPECT_EQ(0, s->last_ioctl.flags);
	EXPECT_EQ(0, s->file_flags);
	close(fd);
}

/* A server that is a 32-bit program: the ioctls of the device itself. */
TEST_F(compat, device)
{
	struct server other;
	unsigned int *fd = (unsigned int *)self->low;
	int clone = open("/dev/fuse", O_RDWR | O_CLOEXEC), r;

	ASSERT_LE(0, clone);
	server_init(&other);
	ASSERT_EQ(0, server_mount(&other, ""));
	*fd = other.fd;
	r = ioctl_32(clone, FUSE_DEV_IOC_CLONE, (unsigned long)fd);
	if (r != -ENOSYS) {
		EXPECT_EQ(0, r);
		/* It serves one already. */
		EXPECT_EQ(-EINVAL, ioctl_32(clone, FUSE_DEV_IOC_CLONE, (unsigned long)fd));
		EXPECT_EQ(-EFAULT, ioctl_32(clone, FUSE_DEV_IOC_CLONE, 8));
		EXPECT_EQ(-ENOTTY, ioctl_32(clone, CARRY(BOTH), (unsigned long)fd));
	}
	close(clone);
	server_end(&other);
}

TEST_HARNESS_MAIN
