// SPDX-License-Identifier: GPL-2.0
/*
 * Files and folders by system calls: what the guest does the host sees at once, and the other way round.
 * Every case runs without a window, with one, and with one that is not used.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include <dirent.h>
#include <sys/mman.h>
#include <sys/statfs.h>

#define FUSE_SUPER_MAGIC 0x65735546

FIXTURE(io)
{
	struct fs fs;
};

FIXTURE_VARIANT(io)
{
	const char *tag;
	const char *options;
};

FIXTURE_VARIANT_ADD(io, nodax) { .tag = "nodax", .options = NULL };
FIXTURE_VARIANT_ADD(io, dax_always) { .tag = "dax", .options = "dax=always" };
FIXTURE_VARIANT_ADD(io, dax_never) { .tag = "dax", .options = "dax=never" };
FIXTURE_VARIANT_ADD(io, two_queues) { .tag = "second", .options = "dax=always" };

FIXTURE_SETUP(io)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag(variant->tag))
		SKIP(return, "no device with the tag %s", variant->tag);
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf io; mkdir io"));
}

FIXTURE_TEARDOWN(io)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

TEST_F(io, create_write_read)
{
	char out[64], buf[16] = "";
	int fd = open(at(&self->fs, "io/f"), O_RDWR | O_CREAT | O_EXCL, 0640);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s:%%a io/f"));
	EXPECT_STREQ("0:640", out);
	ASSERT_EQ(5, pwrite(fd, "hello", 5, 0));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat io/f"));
	EXPECT_STREQ("hello", out);
	EXPECT_EQ(5, pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(0, pread(fd, buf, sizeof(buf), 5));
	EXPECT_EQ(0, pread(fd, buf, sizeof(buf), 1 << 20));
	close(fd);
	EXPECT_EQ(-1, open(at(&self->fs, "io/f"), O_RDWR | O_CREAT | O_EXCL, 0640));
	EXPECT_EQ(EEXIST, errno);
}

TEST_F(io, append)
{
	char out[64];
	struct stat st;
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf one >io/f"));
	fd = open(at(&self->fs, "io/f"), O_WRONLY | O_APPEND);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(3, write(fd, "two", 3));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat io/f"));
	EXPECT_STREQ("onetwo", out);
	ASSERT_EQ(5, write(fd, "three", 5));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat io/f"));
	EXPECT_STREQ("onetwothree", out);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(11, st.st_size);
	close(fd);
}

/* A shared mapping for reading works on a descriptor that can write, and sees what the descriptor writes. */
TEST_F(io, mapped_for_reading)
{
	char *p;
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf one >io/f"));
	fd = open(at(&self->fs, "io/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, "one", 4));
	ASSERT_EQ(3, pwrite(fd, "two", 3, 0));
	EXPECT_EQ(0, memcmp(p, "two", 4));
	munmap(p, 4096);
	close(fd);
}

/* A write behind the end leaves a hole that reads as zeros on both sides. */
TEST_F(io, extend)
{
	char out[64], buf[16];
	struct stat st;
	int fd = open(at(&self->fs, "io/f"), O_RDWR | O_CREAT, 0644);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(2, pwrite(fd, "ab", 2, 0));
	ASSERT_EQ(3, pwrite(fd, "xyz", 3, 3 * PAGE + 17));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s io/f; tail -c 3 io/f; head -c 12000 io/f | tr -d \"\\000\""));
	EXPECT_STREQ("12308\nxyzab", out);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(3 * PAGE + 20, st.st_size);
	memset(buf, 1, sizeof(buf));
	EXPECT_EQ(16, pread(fd, buf, 16, PAGE));
	EXPECT_EQ(0, memcmp(buf, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16));
	EXPECT_EQ(4, pread(fd, buf, 16, 3 * PAGE + 16));
	EXPECT_EQ(0, memcmp(buf, "\0xyz", 4));
	close(fd);
}

/* Offsets and lengths that fit no page, over several ranges. */
TEST_F(io, unaligned)
{
	size_t size = 3 * RANGE / 2 + 1234, at_once, off;
	char *buf = malloc(size);
	int fd = open(at(&self->fs, "io/f"), O_RDWR | O_CREAT, 0644);

	ASSERT_GE(fd, 0);
	fill(buf, 0, size, 7);
	for (off = 0; off < size; off += at_once) {
		at_once = size - off < 77777 ? size - off : 77777;
		ASSERT_EQ(at_once, pwrite(fd, buf + off, at_once, off));
	}
	EXPECT_EQ(0, host_has(&self->fs, "io/f", size, 7));
	memset(buf, 0, size);
	for (off = 0; off < size; off += at_once) {
		at_once = size - off < 55555 ? size - off : 55555;
		ASSERT_EQ(at_once, pread(fd, buf + off, at_once, off));
	}
	EXPECT_EQ(-1, differs(buf, 0, size, 7));
	close(fd);
	free(buf);
}

TEST_F(io, unlink)
{
	struct stat st;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "echo x >io/f"));
	ASSERT_EQ(0, stat(at(&self->fs, "io/f"), &st));
	ASSERT_EQ(0, unlink(at(&self->fs, "io/f")));
	EXPECT_NE(0, host(&self->fs, NULL, 0, "test -e io/f"));
	EXPECT_EQ(-1, stat(at(&self->fs, "io/f"), &st));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, unlink(at(&self->fs, "io/f")));
	EXPECT_EQ(ENOENT, errno);
}

/* An open file lives on after its name is gone. */
TEST_F(io, unlink_open)
{
	char buf[8] = "";
	int fd = open(at(&self->fs, "io/f"), O_RDWR | O_CREAT, 0644);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(3, pwrite(fd, "abc", 3, 0));
	ASSERT_EQ(0, unlink(at(&self->fs, "io/f")));
	EXPECT_EQ(3, pread(fd, buf, 3, 0));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(3, pwrite(fd, "def", 3, 0));
	EXPECT_EQ(3, pread(fd, buf, 3, 0));
	EXPECT_STREQ("def", buf);
	close(fd);
}

TEST_F(io, mkdir_rmdir)
{
	ASSERT_EQ(0, mkdir(at(&self->fs, "io/d"), 0750));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test -d io/d && touch io/d/f"));
	EXPECT_EQ(-1, mkdir(at(&self->fs, "io/d"), 0750));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(-1, rmdir(at(&self->fs, "io/d")));
	EXPECT_EQ(ENOTEMPTY, errno);
	EXPECT_EQ(0, unlink(at(&self->fs, "io/d/f")));
	EXPECT_EQ(0, rmdir(at(&self->fs, "io/d")));
	EXPECT_NE(0, host(&self->fs, NULL, 0, "test -e io/d"));
}

TEST_F(io, readdir_1000)
{
	unsigned char seen[1000] = "";
	struct dirent *e;
	int n = 0, i, others = 0;
	DIR *d;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "cd io; for i in $(seq 0 999); do : >entry-$i; done; mkdir sub"));
	d = opendir(at(&self->fs, "io"));
	ASSERT_NE(NULL, d);
	errno = 0;
	while ((e = readdir(d))) {
		if (sscanf(e->d_name, "entry-%d", &i) == 1 && i >= 0 && i < 1000) {
			EXPECT_EQ(0, seen[i]);
			EXPECT_EQ(DT_REG, e->d_type);
			seen[i] = 1;
			n++;
		} else {
			EXPECT_EQ(DT_DIR, e->d_type);
			others++;
		}
	}
	EXPECT_EQ(0, errno);
	EXPECT_EQ(1000, n);
	/* ".", ".." and "sub". */
	EXPECT_EQ(3, others);
	rewinddir(d);
	for (n = 0; readdir(d); n++)
		;
	EXPECT_EQ(1003, n);
	closedir(d);
}

TEST_F(io, attributes)
{
	struct stat st;
	char mine[128], theirs[128];

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "head -c 70000 /dev/zero >io/f; chmod 4751 io/f; touch -d @1234567890.123456789 io/f; ln io/f io/g; sync io/f"));
	ASSERT_EQ(0, stat(at(&self->fs, "io/f"), &st));
	ASSERT_EQ(0, host(&self->fs, theirs, sizeof(theirs), "stat -c %%s:%%a:%%h:%%u:%%g:%%Y:%%b:%%i io/f"));
	snprintf(mine, sizeof(mine), "%ld:%o:%ld:%u:%u:%ld:%ld:%lu", st.st_size, st.st_mode & 07777, (long)st.st_nlink,
		 st.st_uid, st.st_gid, st.st_mtim.tv_sec, st.st_blocks, st.st_ino);
	EXPECT_STREQ(theirs, mine);
	EXPECT_EQ(123456789, st.st_mtim.tv_nsec);
	EXPECT_TRUE(S_ISREG(st.st_mode));
	ASSERT_EQ(0, stat(at(&self->fs, "io"), &st));
	EXPECT_TRUE(S_ISDIR(st.st_mode));
}

static bool host_statfs(const struct fs *fs, char *text, size_t size)
{
	return !host(fs, text, size, "stat -f -c %%S:%%b:%%c .");
}

TEST_F(io, statfs)
{
	struct statfs sf;
	char mine[64], theirs[64], before[64];

	/* On some file systems there are more inodes the more room there is, and others use that too. */
	ASSERT_TRUE(soon(host_statfs(&self->fs, before, sizeof(before)) && !statfs(self->fs.dir, &sf) &&
			  host_statfs(&self->fs, theirs, sizeof(theirs)) && !strcmp(before, theirs)));
	snprintf(mine, sizeof(mine), "%ld:%ld:%ld", (long)sf.f_frsize, (long)sf.f_blocks, (long)sf.f_files);
	EXPECT_STREQ(theirs, mine);
	EXPECT_EQ(FUSE_SUPER_MAGIC, sf.f_type);
	EXPECT_EQ(255, sf.f_namelen);
}

TEST_F(io, fsync)
{
	int fd = open(at(&self->fs, "io/f"), O_RDWR | O_CREAT, 0644);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	reset_counters(&self->fs);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fdatasync(fd));
	if (server_is_daxfsd())
		EXPECT_EQ(2, counter(&self->fs, "FSYNC"));
	close(fd);
}

TEST_F(io, errors)
{
	char name[400];
	struct stat st;

	EXPECT_EQ(-1, open(at(&self->fs, "io/none"), O_RDONLY));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(-1, open(at(&self->fs, "io"), O_WRONLY));
	EXPECT_EQ(EISDIR, errno);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "touch io/f"));
	EXPECT_EQ(-1, stat(at(&self->fs, "io/f/x"), &st));
	EXPECT_EQ(ENOTDIR, errno);
	EXPECT_EQ(-1, rmdir(at(&self->fs, "io/f")));
	EXPECT_EQ(ENOTDIR, errno);
	EXPECT_EQ(-1, unlink(at(&self->fs, "io")));
	EXPECT_EQ(EISDIR, errno);
	snprintf(name, sizeof(name), "%s/%0300d", self->fs.dir, 0);
	EXPECT_EQ(-1, stat(name, &st));
	EXPECT_EQ(ENAMETOOLONG, errno);
}

/* A name made by the host is there at once, a name that was not there before included. */
TEST_F(io, host_creates)
{
	struct stat st;
	char buf[8] = "";
	int fd;

	EXPECT_EQ(-1, stat(at(&self->fs, "io/new"), &st));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf new >io/new"));
	fd = open(at(&self->fs, "io/new"), O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(3, read(fd, buf, sizeof(buf)));
	EXPECT_STREQ("new", buf);
	close(fd);
}

/* Content that the host changes is seen by the next open (by the next read where DAX is used: see dax). */
TEST_F(io, host_changes)
{
	char buf[8] = "";
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf before >io/f"));
	fd = open(at(&self->fs, "io/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(6, read(fd, buf, 6));
	EXPECT_STREQ("before", buf);
	close(fd);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf after! | dd of=io/f conv=notrunc status=none"));
	fd = open(at(&self->fs, "io/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(6, read(fd, buf, 6));
	EXPECT_STREQ("after!", buf);
	close(fd);
}

TEST_HARNESS_MAIN
