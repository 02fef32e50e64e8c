// SPDX-License-Identifier: GPL-2.0
/*
 * File systems of the host below the shared folder, which the server announces: each becomes a mount of its own with a device
 * number of its own, and they share one server.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include <dirent.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#define KNOWN_DIFFERENCE(reason)		\
	if (module_is_c())			\
		SKIP(return, "known difference: " reason)

FIXTURE(submounts)
{
	struct fs fs;
	char elsewhere[64];
};

FIXTURE_SETUP(submounts)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "nodax");
	snprintf(self->elsewhere, sizeof(self->elsewhere), "/tmp/elsewhere.%d", getpid());
	ASSERT_EQ(0, mkdir(self->elsewhere, 0755));
	if (server_is_daxfsd())
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable SUBMOUNTS"));
	/* First what a case has left that was ended from outside. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0,
			  "busybox umount -l s/two s/one s/in 2>/dev/null; busybox umount -l s/in 2>/dev/null; rm -rf s; mkdir -p s/in s/plain s/one s/two && busybox mount -t tmpfs -o size=1m none s/in && mkdir s/in/d &&"
			  "echo inside >s/in/f && echo plain >s/plain/f && busybox mount -o bind s/plain s/one && busybox mount -o bind s/plain s/two"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
}

FIXTURE_TEARDOWN(submounts)
{
	while (!umount2(self->elsewhere, MNT_DETACH))
		;
	EXPECT_EQ(0, rmdir(self->elsewhere));
	if (server_is_daxfsd())
		device(&self->fs, NULL, 0, "faults clear");
	EXPECT_EQ(0, fs_umount(&self->fs));
	if (server_is_daxfsd()) {
		EXPECT_EQ(0, counter(&self->fs, "bad_forgets"));
		device(&self->fs, NULL, 0, "defaults");
	}
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "busybox umount -l s/two s/one s/in 2>/dev/null; busybox umount -l s/in 2>/dev/null; rm -rf s"));
}

static dev_t dev_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_dev;
}

static int has(const char *path, const char *text)
{
	char buf[32] = "";
	int fd = open(path, O_RDONLY), n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	return n < 0 ? -errno : !strcmp(buf, text);
}

/* Mounts below the fixture's. */
static int mounts_below(const struct fs *fs)
{
	char line[512], where[256];
	FILE *f = fopen("/proc/self/mounts", "r");
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += sscanf(line, "%*s %255s", where) == 1 && !strncmp(where, fs->dir, strlen(fs->dir)) && where[strlen(fs->dir)] == '/';
	if (f)
		fclose(f);
	return n;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd >= 0 && write(fd, "3", 1) != 1)
		perror("drop_caches");
	close(fd);
}

TEST_F(submounts, own_device_number)
{
	struct statfs st;

	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	EXPECT_NE(dev_of(at(&self->fs, "s")), dev_of(at(&self->fs, "s/in/f")));
	EXPECT_EQ(dev_of(at(&self->fs, "s/in")), dev_of(at(&self->fs, "s/in/d")));
	EXPECT_EQ(1, mounts_below(&self->fs));
	ASSERT_EQ(0, statfs(at(&self->fs, "s/in"), &st));
	EXPECT_EQ(1 << 20, st.f_blocks * st.f_bsize);
	/* Nothing is renamed or linked from one into the other. */
	EXPECT_EQ(-1, rename(at(&self->fs, "s/in/f"), at(&self->fs, "s/f")));
	EXPECT_EQ(EXDEV, errno);
	EXPECT_EQ(-1, rmdir(at(&self->fs, "s/in")));
	EXPECT_EQ(EBUSY, errno);
}

TEST_F(submounts, not_announced)
{
	if (!server_is_daxfsd())
		SKIP(return, "virtiofsd always announces");
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "disable SUBMOUNTS"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	EXPECT_EQ(dev_of(at(&self->fs, "s")), dev_of(at(&self->fs, "s/in/f")));
	EXPECT_EQ(0, mounts_below(&self->fs));
}

TEST_F(submounts, only_when_walked_into)
{
	struct statx stx;
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	/* Listing a folder, with attributes or without, mounts nothing. */
	dir = opendir(at(&self->fs, "s"));
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir)))
		n += entry->d_type == DT_DIR;
	closedir(dir);
	EXPECT_EQ(6, n);
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/in"), AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stx));
	EXPECT_EQ(STATX_ATTR_AUTOMOUNT, stx.stx_attributes & STATX_ATTR_AUTOMOUNT);
	EXPECT_EQ(dev_of(at(&self->fs, "s")), makedev(stx.stx_dev_major, stx.stx_dev_minor));
	EXPECT_EQ(0, mounts_below(&self->fs));
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	EXPECT_EQ(1, mounts_below(&self->fs));
}

TEST_F(submounts, go_with_the_whole)
{
	int fd = open(at(&self->fs, "s/in/f"), O_RDONLY);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-1, umount(self->fs.dir));
	EXPECT_EQ(EBUSY, errno);
	close(fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Both names are one folder at the host, and have one node id. */
TEST_F(submounts, same_folder_twice)
{
	int i, fd;

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, has(at(&self->fs, "s/one/f"), "plain\n"));
		EXPECT_EQ(1, has(at(&self->fs, "s/plain/f"), "plain\n"));
		EXPECT_EQ(1, has(at(&self->fs, "s/two/f"), "plain\n"));
	}
	EXPECT_EQ(2, mounts_below(&self->fs));
	EXPECT_NE(dev_of(at(&self->fs, "s/plain")), dev_of(at(&self->fs, "s/one")));
	fd = open(at(&self->fs, "s/one/new"), O_CREAT | O_WRONLY, 0644);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(4, write(fd, "new\n", 4));
	close(fd);
	EXPECT_EQ(1, has(at(&self->fs, "s/two/new"), "new\n"));
	EXPECT_EQ(1, has(at(&self->fs, "s/plain/new"), "new\n"));
	drop_caches();
	EXPECT_EQ(1, has(at(&self->fs, "s/one/f"), "plain\n"));
	EXPECT_EQ(1, has(at(&self->fs, "s/plain/f"), "plain\n"));
}

/* The name that it was mounted at goes, and with it the inode there: what is still used must not be forgotten at the server. */
TEST_F(submounts, outlives_its_name)
{
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	ASSERT_EQ(0, mount(at(&self->fs, "s/in"), self->elsewhere, NULL, MS_BIND, NULL));
	ASSERT_EQ(0, umount2(at(&self->fs, "s/in"), MNT_DETACH));
	drop_caches();
	drop_caches();
	ASSERT_EQ(0, chdir(self->elsewhere));
	EXPECT_EQ(1, has("f", "inside\n"));
	EXPECT_EQ(0, mkdir("more", 0755));
	EXPECT_EQ(0, access("d", F_OK));
	ASSERT_EQ(0, chdir("/"));
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
}

TEST_F(submounts, one_for_all_who_see_it)
{
	char path[128];

	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	ASSERT_EQ(0, mount(self->fs.dir, self->elsewhere, NULL, MS_BIND, NULL));
	snprintf(path, sizeof(path), "%s/s/in/f", self->elsewhere);
	EXPECT_EQ(1, has(path, "inside\n"));
	KNOWN_DIFFERENCE("each bind mount gets super blocks of its own");
	EXPECT_EQ(dev_of(at(&self->fs, "s/in/f")), dev_of(path));
}

TEST_F(submounts, tag_mounted_again)
{
	char path[128];

	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	ASSERT_EQ(0, mount("nodax", self->elsewhere, "virtiofs", 0, NULL));
	snprintf(path, sizeof(path), "%s/s", self->elsewhere);
	KNOWN_DIFFERENCE("mounts what was mounted last, which may be a part");
	EXPECT_EQ(dev_of(self->fs.dir), dev_of(path));
	strcat(path, "/in/f");
	EXPECT_EQ(1, has(path, "inside\n"));
}

/* The session lasts as long as a part of it is mounted; another one would have the server forget all its nodes. */
TEST_F(submounts, outlives_the_whole)
{
	char path[128];

	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	ASSERT_EQ(0, mount(at(&self->fs, "s/in"), self->elsewhere, NULL, MS_BIND, NULL));
	ASSERT_EQ(0, umount2(self->fs.dir, MNT_DETACH));
	snprintf(path, sizeof(path), "%s/f", self->elsewhere);
	EXPECT_EQ(1, has(path, "inside\n"));
	if (!module_is_c()) {
		EXPECT_EQ(-1, mount("nodax", self->fs.dir, "virtiofs", 0, NULL));
		EXPECT_EQ(EBUSY, errno);
	}
	snprintf(path, sizeof(path), "%s/d/new", self->elsewhere);
	EXPECT_EQ(0, mkdir(path, 0755));
	ASSERT_EQ(0, umount(self->elsewhere));
	EXPECT_EQ(0, mount("nodax", self->fs.dir, "virtiofs", 0, NULL));
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
}

/* A file is closed, and the server does not answer until the super block is gone. */
TEST_F(submounts, closed_meanwhile)
{
	int fd, i;

	if (!server_is_daxfsd())
		SKIP(return, "needs delays of daxfsd");
	for (i = 0; i < 3; i++) {
		fd = open(at(&self->fs, "s/in/f"), O_RDWR);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(6, write(fd, "inside", 6));
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay RELEASE 300"));
		close(fd);
		EXPECT_EQ(0, umount(at(&self->fs, "s/in")));
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay RELEASE 0"));
	}
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
}

/* The host mounts something else there. */
TEST_F(submounts, replaced_by_the_host)
{
	int i;

	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
	ASSERT_EQ(0, umount(at(&self->fs, "s/in")));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "busybox umount -l s/in && busybox mount -t tmpfs none s/in && echo other >s/in/f"));
	for (i = 0; i < 100 && has(at(&self->fs, "s/in/f"), "other\n") != 1; i++)
		usleep(100000);
	EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "other\n"));
	ASSERT_EQ(0, umount(at(&self->fs, "s/in")));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "busybox umount -l s/in"));
	for (i = 0; i < 100 && has(at(&self->fs, "s/in/f"), "x") != -ENOENT; i++)
		usleep(100000);
	EXPECT_EQ(-ENOENT, has(at(&self->fs, "s/in/f"), "x"));
	EXPECT_EQ(dev_of(at(&self->fs, "s")), dev_of(at(&self->fs, "s/in")));
}

/* What is unmounted leaves nothing behind at the server. */
TEST_F(submounts, forgets_all)
{
	char out[128];
	int i;

	if (!server_is_daxfsd())
		SKIP(return, "needs counts of daxfsd");
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(1, has(at(&self->fs, "s/in/f"), "inside\n"));
		EXPECT_EQ(1, has(at(&self->fs, "s/one/f"), "plain\n"));
		EXPECT_EQ(0, umount(at(&self->fs, "s/in")));
		EXPECT_EQ(0, umount(at(&self->fs, "s/one")));
		drop_caches();
	}
	for (i = 0; i < 100; i++) {
		drop_caches();
		ASSERT_EQ(0, device(&self->fs, out, sizeof(out), "nofiles"));
		if (strstr(out, "inodes 0"))
			break;
		usleep(50000);
	}
	EXPECT_NE(NULL, strstr(out, "inodes 0"));
}

TEST_HARNESS_MAIN
