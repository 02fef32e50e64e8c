// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a mount: a tag that is mounted again, with the same options and with others, mounted anew, bound elsewhere, taken
 * away by force and lazily, and what mountinfo says of it. INIT and DESTROY are counted at the server: there is one session.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/mount.h>
#include <sys/syscall.h>

FIXTURE(mounts)
{
	struct fs fs;
	char two[64];
	char buf[256];
};

FIXTURE_SETUP(mounts)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window of 64 MiB");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "dax");
	snprintf(self->two, sizeof(self->two), "/tmp/two.%d", getpid());
	ASSERT_EQ(0, mkdir(self->two, 0755));
	device(&self->fs, NULL, 0, "defaults");
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf m; mkdir -p m/d; echo hello >m/f; echo below >m/d/g"));
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(mounts)
{
	if (!self->two[0])
		return;
	while (!umount2(self->two, MNT_DETACH))
		;
	rmdir(self->two);
	EXPECT_EQ(0, fs_umount(&self->fs));
	host(&self->fs, NULL, 0, "rm -rf m");
	device(&self->fs, NULL, 0, "defaults");
}

static int again(const char *dir, const char *options)
{
	return mount("dax", dir, "virtiofs", 0, options) ? errno : 0;
}

/* What a file holds; an errno as text where it cannot be read. */
static const char *text_of(const char *path)
{
	static char text[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return strerrorname_np(errno);
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return strerrorname_np(errno);
	text[n] = 0;
	close(fd);
	return text;
}

static const char *in(const char *dir, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static dev_t dev_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_dev;
}

/* Two mounts, one session, which ends with the last. */
TEST_F(mounts, same_options)
{
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=inode"));
	ASSERT_EQ(0, again(self->two, "dax=inode"));
	EXPECT_EQ(dev_of(self->fs.dir), dev_of(self->two));
	EXPECT_EQ(1, counter(&self->fs, "INIT"));
	EXPECT_EQ(0, fs_umount(&self->fs));
	EXPECT_STREQ("below\n", text_of(in(self->two, "m/d/g")));
	EXPECT_EQ(0, counter(&self->fs, "DESTROY"));
	EXPECT_EQ(0, umount(self->two));
	EXPECT_EQ(1, counter(&self->fs, "DESTROY"));
	/* And the next begins another. */
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", ""));
	EXPECT_EQ(2, counter(&self->fs, "INIT"));
}

/* No options are those that there are; others are refused, and the mount that there is goes on. */
TEST_F(mounts, other_options)
{
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=never"));
	ASSERT_EQ(0, again(self->two, ""));
	EXPECT_EQ(0, umount(self->two));
	OURS(again(self->two, "dax=always") == EINVAL, "another dax= of a second mount is ignored (G-19)");
	EXPECT_EQ(EINVAL, again(self->two, "dax=inode"));
	EXPECT_EQ(EINVAL, again(self->two, "locks=local"));
	EXPECT_EQ(0, again(self->two, "dax=never"));
	EXPECT_STREQ("hello\n", text_of(in(self->two, "m/f")));
	EXPECT_STREQ("hello\n", text_of(at(&self->fs, "m/f")));
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(1, counter(&self->fs, "INIT"));
}

static int remount(const char *dir, unsigned long flags, const char *options)
{
	return mount(NULL, dir, NULL, MS_REMOUNT | flags, options) ? errno : 0;
}

/* Read-only and back, for all mounts or for one; nothing that is still to be written is lost. */
TEST_F(mounts, read_only)
{
	int fd;

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable WRITEBACK_CACHE"));
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=never"));
	ASSERT_EQ(0, again(self->two, ""));
	fd = open(at(&self->fs, "m/f"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	/* Somebody writes. */
	EXPECT_EQ(EBUSY, remount(self->fs.dir, MS_RDONLY, ""));
	/* One of the two mounts may be without. */
	EXPECT_EQ(EBUSY, remount(self->fs.dir, MS_BIND | MS_RDONLY, ""));
	EXPECT_EQ(0, remount(self->two, MS_BIND | MS_RDONLY, ""));
	EXPECT_EQ(-1, open(in(self->two, "m/f"), O_RDWR | O_CLOEXEC));
	EXPECT_EQ(EROFS, errno);
	ASSERT_EQ(6, write(fd, "HELLO\n", 6));
	close(fd);
	EXPECT_EQ(0, remount(self->fs.dir, MS_RDONLY, ""));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "grep -q HELLO m/f"));
	EXPECT_EQ(-1, mkdir(at(&self->fs, "m/new"), 0755));
	EXPECT_EQ(EROFS, errno);
	EXPECT_EQ(0, remount(self->fs.dir, 0, ""));
	EXPECT_EQ(0, mkdir(at(&self->fs, "m/new"), 0755));
	EXPECT_EQ(-1, mkdir(in(self->two, "m/newer"), 0755));
	EXPECT_EQ(EROFS, errno);
}

/* Options that cannot change are refused; those that there are may be said again, as mount(8) does. */
TEST_F(mounts, remounted)
{
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=inode"));
	EXPECT_EQ(0, remount(self->fs.dir, 0, "dax=inode"));
	EXPECT_EQ(EINVAL, remount(self->fs.dir, 0, "nosuchoption"));
	OURS(remount(self->fs.dir, 0, "dax=never") == EINVAL, "another dax= is ignored (G-19)");
	EXPECT_EQ(EINVAL, remount(self->fs.dir, 0, "locks=local"));
	EXPECT_STREQ("hello\n", text_of(at(&self->fs, "m/f")));
}

/* A folder and a file elsewhere keep the session when the mount they are of is gone, with what is mapped. */
TEST_F(mounts, bound)
{
	char *map;
	int fd;

	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, mount(at(&self->fs, "m/d"), self->two, NULL, MS_BIND, NULL));
	EXPECT_EQ(dev_of(self->fs.dir), dev_of(self->two));
	fd = open(in(self->two, "g"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	EXPECT_EQ(0, memcmp(map, "below", 5));
	EXPECT_EQ(0, fs_umount(&self->fs));
	memcpy(map, "BELOW", 5);
	EXPECT_STREQ("BELOW\n", text_of(in(self->two, "g")));
	EXPECT_EQ(0, counter(&self->fs, "DESTROY"));
	EXPECT_EQ(-1, umount(self->two));
	EXPECT_EQ(EBUSY, errno);
	munmap(map, PAGE);
	EXPECT_EQ(0, umount(self->two));
	EXPECT_EQ(1, counter(&self->fs, "DESTROY"));
	/* The C client leaves what is mapped to DESTROY. */
	if (!module_is_c())
		EXPECT_EQ(0, counter(&self->fs, "left_mapped"));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "grep -q BELOW m/d/g"));
}

/* By force: what is in use stays as it is. */
TEST_F(mounts, by_force)
{
	int fd;

	ASSERT_EQ(0, fs_mount(&self->fs, "dax", ""));
	fd = open(at(&self->fs, "m/f"), O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(-1, umount2(self->fs.dir, MNT_FORCE));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(5, pread(fd, self->buf, 5, 0));
	EXPECT_STREQ("below\n", text_of(at(&self->fs, "m/d/g")));
	close(fd);
	EXPECT_EQ(0, umount2(self->fs.dir, MNT_FORCE));
	self->fs.mounted = false;
	EXPECT_EQ(1, counter(&self->fs, "DESTROY"));
}

/* Lazily: who has a file open keeps the session, and the next mount has part in it. */
TEST_F(mounts, lazily)
{
	struct stat st;
	int fd;

	ASSERT_EQ(0, fs_mount(&self->fs, "dax", ""));
	fd = open(at(&self->fs, "m/f"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, umount2(self->fs.dir, MNT_DETACH));
	self->fs.mounted = false;
	EXPECT_EQ(5, pwrite(fd, "HELLO", 5, 0));
	ASSERT_EQ(0, again(self->two, ""));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(st.st_dev, dev_of(self->two));
	EXPECT_STREQ("HELLO\n", text_of(in(self->two, "m/f")));
	EXPECT_EQ(1, counter(&self->fs, "INIT"));
	EXPECT_EQ(0, umount(self->two));
	EXPECT_EQ(0, counter(&self->fs, "DESTROY"));
	close(fd);
	EXPECT_TRUE(soon(counter(&self->fs, "DESTROY") > 0));
	EXPECT_EQ(1, counter(&self->fs, "DESTROY"));
}

/* Type, source and options as mountinfo has them. */
TEST_F(mounts, mountinfo)
{
	char line[512], where[128], type[32], source[64], options[128];
	int found = 0;
	FILE *f;

	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=inode"));
	ASSERT_EQ(0, mount("dax", self->two, "virtiofs", MS_RDONLY | MS_NOSUID, ""));
	f = fopen("/proc/self/mountinfo", "r");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*s %*s %*s %*s %127s", where) != 1 ||
		    sscanf(rest, " - %31s %63s %127s", type, source, options) != 3 || strcmp(where, self->fs.dir))
			continue;
		found++;
		EXPECT_STREQ("virtiofs", type);
		EXPECT_STREQ("dax", source);
		EXPECT_STREQ("rw,dax=inode", options);
	}
	fclose(f);
	EXPECT_EQ(1, found);
}

/* By the calls of mount(8) of today, which have a log of their own for each mount. */
static void log_of(int fd, char *text, size_t size)
{
	ssize_t n;

	*text = 0;
	while (size > 1 && (n = read(fd, text, size - 1)) > 0) {
		text += n;
		size -= n;
		*text = 0;
	}
}

static int configure(const char *source, const char *key, const char *value, char *text, size_t size)
{
	int fd = syscall(SYS_fsopen, "virtiofs", FSOPEN_CLOEXEC), e = 0;

	if (fd < 0)
		return errno;
	if ((source && syscall(SYS_fsconfig, fd, FSCONFIG_SET_STRING, "source", source, 0)) ||
	    (key && syscall(SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0)) ||
	    syscall(SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		e = errno;
	log_of(fd, text, size);
	close(fd);
	return e;
}

TEST_F(mounts, said_to_who_mounts)
{
	char *text = self->buf;
	size_t size = sizeof(self->buf);

	EXPECT_EQ(0, configure("dax", "dax", "inode", text, size));
	EXPECT_STREQ("", text);
	EXPECT_EQ(EINVAL, configure("dax", "nosuch", "option", text, size));
	EXPECT_NE(NULL, strstr(text, "nosuch"));
	EXPECT_EQ(EINVAL, configure(NULL, NULL, NULL, text, size));
	EXPECT_NE(NULL, strcasestr(text, "source"));
	EXPECT_EQ(EINVAL, configure("dax", "dax", "sometimes", text, size));
	EXPECT_NE(NULL, strstr(text, "dax"));
	EXPECT_EQ(EINVAL, configure("nosuchtag", NULL, NULL, text, size));
	OURS(strstr(text, "nosuchtag") != NULL, "a tag that is not there goes to the kernel's log only");
	EXPECT_EQ(EINVAL, configure("nodax", "dax", "always", text, size));
	EXPECT_NE(NULL, strstr(text, "window"));
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=never"));
	EXPECT_EQ(EINVAL, configure("dax", "dax", "always", text, size));
	EXPECT_NE(NULL, strstr(text, "dax=never"));
}

TEST_HARNESS_MAIN
