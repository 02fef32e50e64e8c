// SPDX-License-Identifier: GPL-2.0
/*
 * Which files are reached by DAX where the server decides for each: by which requests data comes tells, and statx must say the
 * same. What a file is stays as it is while anybody uses it, and is settled anew when it is opened afterwards.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/fs.h>
#include <sys/ioctl.h>

FIXTURE(inode_dax)
{
	struct fs fs;
};

FIXTURE_VARIANT(inode_dax)
{
	const char *options;
};

FIXTURE_VARIANT_ADD(inode_dax, by_default) { .options = NULL };
FIXTURE_VARIANT_ADD(inode_dax, inode) { .options = "dax=inode" };

static void rule(const struct fs *fs, const char *which)
{
	char line[64];

	snprintf(line, sizeof(line), "dax-files %s", which);
	device(fs, NULL, 0, line);
}

FIXTURE_SETUP(inode_dax)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("dax") || !server_is_daxfsd())
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", variant->options));
	ASSERT_EQ(0, host_make(&self->fs, "plain", 8192, 1));
	ASSERT_EQ(0, host_make(&self->fs, "mapped.dax", 8192, 2));
	rule(&self->fs, "*.dax");
}

FIXTURE_TEARDOWN(inode_dax)
{
	rule(&self->fs, "all");
	EXPECT_EQ(0, fs_umount(&self->fs));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "rm -f plain mapped.dax"));
}

enum how { BY_READ = 1, BY_DAX = 2 };

/* Reads the first page (which must be as filled) and says by which requests it came; 0 if by none. */
static int reads(const struct fs *fs, int fd, uint64_t seed)
{
	char buf[4096];
	int how = 0;

	reset_counters(fs);
	if (pread(fd, buf, sizeof(buf), 0) != sizeof(buf) || differs(buf, 0, sizeof(buf), seed) >= 0)
		return -1;
	if (counter(fs, "READ") > 0)
		how |= BY_READ;
	if (counter(fs, "SETUPMAPPING") > 0)
		how |= BY_DAX;
	return how;
}

/* What statx says of it: 1 by DAX, 0 not, -1 where it does not say. */
static int says_dax(int fd, int flags)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | flags, STATX_BASIC_STATS, &st) || !(st.stx_attributes_mask & STATX_ATTR_DAX))
		return -1;
	return !!(st.stx_attributes & STATX_ATTR_DAX);
}

/* As reads() and says_dax(), of a file that is opened for it. */
static int opened(struct __test_metadata *_metadata, const struct fs *fs, const char *name, uint64_t seed)
{
	int fd = open(at(fs, name), O_RDONLY), how;

	EXPECT_GE(fd, 0);
	how = reads(fs, fd, seed);
	/* What is mapped still is read without any request. */
	EXPECT_EQ(how != BY_READ, says_dax(fd, 0));
	close(fd);
	return how;
}

TEST_F(inode_dax, each_by_its_mark)
{
	EXPECT_EQ(BY_READ, opened(_metadata, &self->fs, "plain", 1));
	EXPECT_EQ(BY_DAX, opened(_metadata, &self->fs, "mapped.dax", 2));
}

/* The mark of a file that is open changes: to the end of its use it is what it was. */
static void flips(struct __test_metadata *_metadata, const struct fs *fs, bool to_dax)
{
	int before = to_dax ? BY_READ : BY_DAX, after = to_dax ? BY_DAX : BY_READ;
	/* The C client warns where a file is opened that is mapped. */
	bool map = !module_is_c();
	int fd, other;
	char *p = NULL;

	rule(fs, to_dax ? "none" : "all");
	fd = open(at(fs, "plain"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(before, reads(fs, fd, 1));
	rule(fs, to_dax ? "all" : "none");
	/* Now the client knows. */
	EXPECT_EQ(!to_dax, says_dax(fd, AT_STATX_FORCE_SYNC));
	if (map) {
		p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(-1, differs(p, 0, 4096, 1));
	}
	other = open(at(fs, "plain"), O_RDONLY);
	ASSERT_GE(other, 0);
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(!to_dax, says_dax(other, AT_STATX_FORCE_SYNC));
	EXPECT_EQ(0, reads(fs, other, 1) & after);
	if (map)
		EXPECT_EQ(-1, differs(p, 0, 4096, 1));
	close(other);
	if (map)
		munmap(p, 4096);
	EXPECT_EQ(after, opened(_metadata, fs, "plain", 1));
	EXPECT_EQ(to_dax ? 0 : BY_READ, opened(_metadata, fs, "plain", 1));
}

TEST_F(inode_dax, flips_on)
{
	flips(_metadata, &self->fs, true);
}

TEST_F(inode_dax, flips_off)
{
	flips(_metadata, &self->fs, false);
}

/* A mark that stays lets the inode stay, and what is mapped of it, however often the attributes are asked for. */
TEST_F(inode_dax, stays)
{
	int fd = open(at(&self->fs, "mapped.dax"), O_RDONLY), i;

	ASSERT_GE(fd, 0);
	EXPECT_EQ(BY_DAX, reads(&self->fs, fd, 2));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(1, says_dax(fd, AT_STATX_FORCE_SYNC));
	close(fd);
	/* It is mapped still, so nothing is asked for but the open file. */
	fd = open(at(&self->fs, "mapped.dax"), O_RDONLY);
	EXPECT_EQ(0, reads(&self->fs, fd, 2));
	close(fd);
}

static int set_xflag(int fd, bool on)
{
	struct fsxattr x;

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x))
		return -1;
	x.fsx_xflags = on ? x.fsx_xflags | FS_XFLAG_DAX : x.fsx_xflags & ~FS_XFLAG_DAX;
	return ioctl(fd, FS_IOC_FSSETXATTR, &x);
}

static int xflag(int fd)
{
	struct fsxattr x;

	return ioctl(fd, FS_IOC_FSGETXATTR, &x) ? -1 : !!(x.fsx_xflags & FS_XFLAG_DAX);
}

/* Marked from the guest, as with xfs_io -c 'chattr +x'. */
TEST_F(inode_dax, marked_by_the_guest)
{
	struct fsxattr x;
	struct statx st;
	int on, fd, flags;

	for (on = 1; on >= 0; on--) {
		fd = open(at(&self->fs, "plain"), O_RDWR);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(!on, xflag(fd));
		EXPECT_EQ(on ? BY_READ : BY_DAX, reads(&self->fs, fd, 1) | (on ? 0 : BY_DAX));
		if (set_xflag(fd, on) && errno == EOPNOTSUPP)
			SKIP(return, "the host's file system has no user.* attributes");
		EXPECT_EQ(on, xflag(fd));
		ASSERT_EQ(0, ioctl(fd, FS_IOC_GETFLAGS, &flags));
		EXPECT_EQ(on ? FS_DAX_FL : 0, flags & FS_DAX_FL);
		/* Nothing changes for who has it open. */
		EXPECT_EQ(!on, says_dax(fd, 0));
		close(fd);
		/* The C client goes by attributes that it believes still: have it ask. */
		if (module_is_c())
			statx(AT_FDCWD, at(&self->fs, "plain"), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
		EXPECT_EQ(on ? BY_DAX : BY_READ, opened(_metadata, &self->fs, "plain", 1));
	}
	/* A mark against DAX, where the rule says otherwise. */
	fd = open(at(&self->fs, "mapped.dax"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, set_xflag(fd, false));
	close(fd);
	if (module_is_c())
		statx(AT_FDCWD, at(&self->fs, "mapped.dax"), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
	EXPECT_EQ(BY_READ, opened(_metadata, &self->fs, "mapped.dax", 2));
	/* A folder has no mark of its own. */
	fd = open(self->fs.dir, O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, ioctl(fd, FS_IOC_FSGETXATTR, &x));
	EXPECT_EQ(0, x.fsx_xflags & FS_XFLAG_DAX);
	close(fd);
}

/* Files that are made get the mark that the server gives them. */
TEST_F(inode_dax, new_files)
{
	char buf[4096];
	int fd, i;

	fill(buf, 0, sizeof(buf), 3);
	for (i = 0; i < 2; i++) {
		fd = open(at(&self->fs, i ? "new.dax" : "new"), O_RDWR | O_CREAT | O_TRUNC, 0644);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(sizeof(buf), pwrite(fd, buf, sizeof(buf), 0));
		EXPECT_EQ(i ? BY_DAX : BY_READ, reads(&self->fs, fd, 3));
		EXPECT_EQ(i, says_dax(fd, 0));
		close(fd);
		EXPECT_EQ(0, unlink(at(&self->fs, i ? "new.dax" : "new")));
	}
}

/* Whether the client offers HAS_INODE_DAX: a server may have to look up a flag for each file because of it. */
static int offers(const char *tag, const char *options)
{
	struct fs fs = {};
	char out[4096];
	int r;

	if (fs_mount(&fs, tag, options) || !initialized(&fs))
		return -1;
	r = device(&fs, out, sizeof(out), "init | grep ^offered") ? -1 : !!strstr(out, "HAS_INODE_DAX");
	if (fs_umount(&fs))
		return -1;
	return r;
}

TEST(offered_where_it_matters)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("dax") || !has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no devices with and without a window");
	EXPECT_EQ(1, offers("dax", NULL));
	EXPECT_EQ(1, offers("dax", "dax=inode"));
	EXPECT_EQ(0, offers("dax", "dax=always"));
	EXPECT_EQ(0, offers("dax", "dax=never"));
	OURS(offers("nodax", NULL) == 0, "the C client offers HAS_INODE_DAX without a window");
	OURS(offers("nodax", "dax=inode") == 0, "the C client offers HAS_INODE_DAX without a window");
}

/* Where the mount decides, marks are nothing. */
TEST(mount_decides)
{
	static const char *const options[] = { "dax=always", "dax=never" };
	struct fs fs = {};
	int i, fd;

	kmsg("ksft-case", _metadata->name);
	if (!has_tag("dax") || !server_is_daxfsd())
		SKIP(return, "no device with a window");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, fs_mount(&fs, "dax", options[i]));
		ASSERT_EQ(0, host_make(&fs, "plain", 8192, 1));
		rule(&fs, i ? "all" : "none");
		EXPECT_EQ(i ? BY_READ : BY_DAX, opened(_metadata, &fs, "plain", 1));
		fd = open(at(&fs, "plain"), O_RDWR);
		EXPECT_EQ(!i, says_dax(fd, AT_STATX_FORCE_SYNC));
		close(fd);
		rule(&fs, "all");
		EXPECT_EQ(0, host(&fs, NULL, 0, "rm -f plain"));
		EXPECT_EQ(0, fs_umount(&fs));
	}
}

TEST_HARNESS_MAIN
