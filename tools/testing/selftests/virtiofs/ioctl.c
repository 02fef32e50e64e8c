// SPDX-License-Identifier: GPL-2.0
/*
 * ioctls: the bytes that their numbers speak of go to the server and come back, and no others; and the flags of files,
 * which travel as ioctls. The device answers ioctls of the type 0xda as tools/daxfsd/src/fs/ioctl.rs says.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#define TYPE 0xda
#define NUMBER(dir, nr, size) _IOC(dir, TYPE, nr, size)
#define BOTH (_IOC_READ | _IOC_WRITE)
/* FUSE_IOCTL_DIR */
#define DIR_FLAG (1 << 4)

FIXTURE(ioctl)
{
	struct fs fs;
	int fd;
};

FIXTURE_SETUP(ioctl)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	if (!server_is_daxfsd())
		SKIP(return, "the stock daemon answers no ioctl");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf i; mkdir i i/d; echo hello >i/f; mkfifo i/p"));
	self->fd = open(at(&self->fs, "i/f"), O_RDWR);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(ioctl)
{
	close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int error_of(int returned)
{
	return returned < 0 ? errno : 0;
}

/* Both ways, and only as far as the number says. */
TEST_F(ioctl, carries)
{
	unsigned char buf[80];
	int i;

	reset_counters(&self->fs);
	memset(buf, 0x5a, sizeof(buf));
	EXPECT_EQ(64, ioctl(self->fd, NUMBER(BOTH, 0, 64), buf));
	for (i = 0; i < 80; i++)
		ASSERT_EQ(i < 64 ? 0xa5 : 0x5a, buf[i]) { TH_LOG("byte %d", i); }
	/* In only. */
	EXPECT_EQ(16, ioctl(self->fd, NUMBER(_IOC_WRITE, 0, 16), buf));
	EXPECT_EQ(0xa5, buf[0]);
	/* Out only: nothing came, so there are zeroes. */
	EXPECT_EQ(0, ioctl(self->fd, NUMBER(_IOC_READ, 0, 16), buf));
	EXPECT_EQ(0, buf[0]);
	EXPECT_EQ(0, buf[15]);
	EXPECT_EQ(0xa5, buf[16]);
	EXPECT_EQ(0, ioctl(self->fd, NUMBER(_IOC_NONE, 0, 0), 42));
	EXPECT_EQ(4, counter(&self->fs, "IOCTL"));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
}

/* As much as a number can say: more than fits beside the arguments of a request. */
TEST_F(ioctl, large)
{
	enum { SIZE = _IOC_SIZEMASK };
	static unsigned char buf[SIZE + 1];
	int i;

	for (i = 0; i < SIZE; i++)
		buf[i] = i * 7;
	buf[SIZE] = 1;
	EXPECT_EQ(SIZE, ioctl(self->fd, NUMBER(BOTH, 0, SIZE), buf));
	for (i = 0; i < SIZE; i++)
		ASSERT_EQ((unsigned char)~(i * 7), buf[i]) { TH_LOG("byte %d", i); }
	EXPECT_EQ(1, buf[SIZE]);
}

TEST_F(ioctl, memory)
{
	char *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *none = (char *)8;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + PAGE, PAGE));
	reset_counters(&self->fs);
	/* What cannot be read is not sent. */
	EXPECT_EQ(EFAULT, error_of(ioctl(self->fd, NUMBER(BOTH, 0, 64), none)));
	EXPECT_EQ(EFAULT, error_of(ioctl(self->fd, NUMBER(_IOC_WRITE, 0, 64), p + PAGE - 32)));
	EXPECT_EQ(0, counter(&self->fs, "IOCTL"));
	EXPECT_EQ(EFAULT, error_of(ioctl(self->fd, NUMBER(_IOC_READ, 0, 64), p + PAGE - 32)));
	EXPECT_EQ(EFAULT, error_of(ioctl(self->fd, NUMBER(_IOC_READ, 0, 64), none)));
	EXPECT_EQ(2, counter(&self->fs, "IOCTL"));
	munmap(p, PAGE);
}

TEST_F(ioctl, errors)
{
	unsigned char buf[64];
	int value = 1;

	/* Neither the device nor its file knows these; the number of a terminal is one of them. */
	EXPECT_EQ(ENOTTY, error_of(ioctl(self->fd, NUMBER(BOTH, 99, 64), buf)));
	EXPECT_EQ(ENOTTY, error_of(ioctl(self->fd, 0x5401, buf)));
	EXPECT_EQ(ENOTTY, error_of(ioctl(self->fd, NUMBER(BOTH, 2, 64), buf)));
	/* An error with data, as drivers have it. */
	memset(buf, 0xff, sizeof(buf));
	EXPECT_EQ(EDOM, error_of(ioctl(self->fd, NUMBER(BOTH, 3, 64), buf)));
	EXPECT_EQ(0, buf[63]);
	/* Less than expected. */
	memset(buf, 0xff, sizeof(buf));
	EXPECT_EQ(0, ioctl(self->fd, NUMBER(BOTH, 4, 64), buf));
	EXPECT_EQ(0, buf[31]);
	EXPECT_EQ(0xff, buf[32]);
	/* What the VFS answers itself does not reach the server. */
	reset_counters(&self->fs);
	EXPECT_EQ(0, ioctl(self->fd, FIONBIO, &value));
	EXPECT_EQ(0, counter(&self->fs, "IOCTL"));
	/* A server without any. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault IOCTL 1 errno:-38"));
	EXPECT_EQ(ENOTTY, error_of(ioctl(self->fd, NUMBER(BOTH, 0, 64), buf)));
	EXPECT_EQ(64, ioctl(self->fd, NUMBER(BOTH, 0, 64), buf));
}

/* Answers that would reach other memory of the caller, or mean nothing. */
TEST_F(ioctl, hostile)
{
	unsigned char buf[64] = { 0 };

	EXPECT_EQ(EIO, error_of(ioctl(self->fd, NUMBER(BOTH, 1, 64), buf)));
	OURS(ioctl(self->fd, NUMBER(BOTH, 5, 64), buf) == -1 && errno == EIO,
	     "the C client hands any result of the server to the caller");
}

TEST_F(ioctl, directory)
{
	unsigned char buf[16] = { 0 };
	int fd = open(at(&self->fs, "i/d"), O_RDONLY | O_DIRECTORY);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, ioctl(self->fd, NUMBER(BOTH, 6, 16), buf));
	EXPECT_EQ(DIR_FLAG, ioctl(fd, NUMBER(BOTH, 6, 16), buf));
	EXPECT_EQ(16, ioctl(fd, NUMBER(BOTH, 0, 16), buf));
	close(fd);
}

/* The flags of a file as the host has them, in the form of ext4; -1 where its file system has none. */
static long host_flags(const struct fs *fs, const char *name)
{
	char out[64];

	if (host(fs, out, sizeof(out),
		 "python3 -c \"import fcntl,os;print(int.from_bytes(fcntl.ioctl(os.open(\\\"%s\\\",0),0x80086601,bytes(8))[:4],\\\"little\\\"))\"",
		 name))
		return -1;
	return atol(out);
}

static void flags_of(struct __test_metadata *_metadata, const struct fs *fs, int fd, const char *name)
{
	struct fsxattr x = { 0 };
	int flags = 0;
	bool dir = !strcmp(name, "i/d");

	reset_counters(fs);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_GETFLAGS, &flags));
	EXPECT_EQ(host_flags(fs, name), flags & ~FS_DAX_FL);
	EXPECT_EQ(1, counter(fs, "IOCTL"));
	EXPECT_EQ(1, counter(fs, dir ? "OPENDIR" : "OPEN"));
	/* Nobody waits for that one. */
	EXPECT_TRUE(soon(counter(fs, dir ? "RELEASEDIR" : "RELEASE") >= 1));
	EXPECT_EQ(1, counter(fs, dir ? "RELEASEDIR" : "RELEASE"));
	flags |= FS_NODUMP_FL;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_SETFLAGS, &flags));
	EXPECT_EQ(flags & ~FS_DAX_FL, host_flags(fs, name));
	ASSERT_EQ(0, ioctl(fd, FS_IOC_FSGETXATTR, &x));
	EXPECT_EQ(FS_XFLAG_NODUMP, x.fsx_xflags & FS_XFLAG_NODUMP);
	x.fsx_xflags ^= FS_XFLAG_NODUMP | FS_XFLAG_NOATIME;
	ASSERT_EQ(0, ioctl(fd, FS_IOC_FSSETXATTR, &x));
	EXPECT_EQ((flags ^ (FS_NODUMP_FL | FS_NOATIME_FL)) & ~FS_DAX_FL, host_flags(fs, name));
	ASSERT_EQ(0, ioctl(fd, FS_IOC_GETFLAGS, &flags));
	EXPECT_EQ(FS_NOATIME_FL, flags & (FS_NODUMP_FL | FS_NOATIME_FL));
	EXPECT_EQ(0, counter(fs, "bad_requests"));
}

TEST_F(ioctl, flags)
{
	if (host_flags(&self->fs, "i/f") < 0)
		SKIP(return, "the host's file system has no flags");
	flags_of(_metadata, &self->fs, self->fd, "i/f");
}

TEST_F(ioctl, flags_directory)
{
	int fd;

	if (host_flags(&self->fs, "i/d") < 0)
		SKIP(return, "the host's file system has no flags");
	fd = open(at(&self->fs, "i/d"), O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	flags_of(_metadata, &self->fs, fd, "i/d");
	close(fd);
}

/* What the flags of a file change shows at once, whatever is believed of its attributes. */
TEST_F(ioctl, flags_ctime)
{
	struct stat before, after;
	int flags;

	if (host_flags(&self->fs, "i/f") < 0)
		SKIP(return, "the host's file system has no flags");
	ASSERT_EQ(0, ioctl(self->fd, FS_IOC_GETFLAGS, &flags));
	ASSERT_EQ(0, stat(at(&self->fs, "i/f"), &before));
	flags ^= FS_NODUMP_FL;
	ASSERT_EQ(0, ioctl(self->fd, FS_IOC_SETFLAGS, &flags));
	ASSERT_EQ(0, stat(at(&self->fs, "i/f"), &after));
	OURS(memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)) != 0,
	     "the C client goes on believing the attributes");
}

TEST_F(ioctl, flags_errors)
{
	int flags = FS_NODUMP_FL, fd, status;
	pid_t pid;

	/* Only its owner changes a file, and a flag that needs a capability is refused here. */
	reset_counters(&self->fs);
	pid = fork();
	if (!pid) {
		if (setuid(1000))
			_exit(1);
		_exit(error_of(ioctl(self->fd, FS_IOC_SETFLAGS, &flags)) == EPERM ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, counter(&self->fs, "IOCTL"));
	/* A server without flags. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault IOCTL 1 errno:-38"));
	EXPECT_EQ(ENOTTY, error_of(ioctl(self->fd, FS_IOC_GETFLAGS, &flags)));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault IOCTL 1 errno:-1"));
	EXPECT_EQ(EPERM, error_of(ioctl(self->fd, FS_IOC_GETFLAGS, &flags)));
	/* A FIFO's own are not asked for. */
	fd = open(at(&self->fs, "i/p"), O_RDWR | O_NONBLOCK);
	ASSERT_GE(fd, 0) { TH_LOG("errno %d", errno); }
	reset_counters(&self->fs);
	EXPECT_EQ(ENOTTY, error_of(ioctl(fd, FS_IOC_GETFLAGS, &flags)));
	EXPECT_EQ(0, counter(&self->fs, "IOCTL"));
	close(fd);
}

/* Where data lies at the host is not told: tools that ask for it (filefrag, cp, swapon) do without, and ask nobody. */
TEST_F(ioctl, where_data_lies)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent[2];
	} ask = { .map = { .fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 2 } };
	int block = 0;

	reset_counters(&self->fs);
	EXPECT_EQ(EOPNOTSUPP, error_of(ioctl(self->fd, FS_IOC_FIEMAP, &ask)));
	EXPECT_EQ(0, ioctl(self->fd, FIBMAP, &block));
	EXPECT_EQ(0, block);
	EXPECT_EQ(0, counter(&self->fs, "IOCTL"));
	EXPECT_EQ(0, counter(&self->fs, "BMAP"));
}

TEST_HARNESS_MAIN
