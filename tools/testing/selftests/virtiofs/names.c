// SPDX-License-Identifier: GPL-2.0
/*
 * Names: renaming with and without flags, hard links, symbolic links; what becomes of files that are open meanwhile.
 * Every change must be on the host when the system call returns.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <dirent.h>
#include <sys/inotify.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#endif

FIXTURE(names)
{
	struct fs fs;
};

FIXTURE_VARIANT(names)
{
	const char *tag;
	const char *options;
};

FIXTURE_VARIANT_ADD(names, nodax) { .tag = "nodax", .options = NULL };
FIXTURE_VARIANT_ADD(names, dax) { .tag = "dax", .options = "dax=always" };

FIXTURE_SETUP(names)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag(variant->tag))
		SKIP(return, "no device with the tag %s", variant->tag);
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf n; mkdir n n/d n/full; printf AAAA >n/a; printf BBBBBB >n/b; touch n/full/f"));
}

FIXTURE_TEARDOWN(names)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What has nothing to do with the data of files runs once. */
FIXTURE(tree)
{
	struct fs fs;
};

FIXTURE_SETUP(tree)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf n; mkdir n n/d n/full; printf AAAA >n/a; printf BBBBBB >n/b; touch n/full/f"));
}

FIXTURE_TEARDOWN(tree)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int rename2(const struct fs *fs, const char *from, const char *to, unsigned int flags)
{
	return renameat2(AT_FDCWD, at(fs, from), AT_FDCWD, at(fs, to), flags) ? errno : 0;
}

static int error_of(int returned)
{
	return returned ? errno : 0;
}

static int lookup(const struct fs *fs, const char *name)
{
	struct stat st;

	return error_of(lstat(at(fs, name), &st));
}

/* What the file holds, read by its name. */
static const char *content(const struct fs *fs, const char *name)
{
	static char buf[64];
	int fd = open(at(fs, name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return strerrorname_np(errno);
	buf[n] = 0;
	return buf;
}

TEST_F(names, rename)
{
	struct stat before, after;
	char out[64];

	ASSERT_EQ(0, stat(at(&self->fs, "n/a"), &before));
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/d/c"));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/d/c", 0));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat n/d/c; test -e n/a || echo gone"));
	EXPECT_STREQ("AAAAgone", out);
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/a"));
	ASSERT_EQ(0, stat(at(&self->fs, "n/d/c"), &after));
	EXPECT_EQ(before.st_ino, after.st_ino);
	EXPECT_EQ(1, after.st_nlink);
	EXPECT_STREQ("AAAA", content(&self->fs, "n/d/c"));
	/* And back, where the client knows of a name that is gone. */
	EXPECT_EQ(0, rename2(&self->fs, "n/d/c", "n/a", 0));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/a"));
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/d/c"));
}

/* The file whose name is taken over lives on for who has it open. */
TEST_F(names, rename_over_open)
{
	struct stat st;
	char out[64], buf[8] = "";
	int fd = open(at(&self->fs, "n/b"), O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, rename2(&self->fs, "n/a", "n/b", 0));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat n/b; ls n"));
	EXPECT_STREQ("AAAAb\nd\nfull", out);
	EXPECT_STREQ("AAAA", content(&self->fs, "n/b"));
	EXPECT_EQ(6, pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("BBBBBB", buf);
	EXPECT_EQ(2, pwrite(fd, "cc", 2, 0));
	EXPECT_EQ(6, pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("ccBBBB", buf);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(6, st.st_size);
	close(fd);
	EXPECT_STREQ("AAAA", content(&self->fs, "n/b"));
}

/* Who watches a file or a folder is told when it is gone: removed, or replaced by another one. */
static int told_of_end(struct fs *fs, const char *path, int (*end)(struct fs *fs))
{
	struct inotify_event e;
	int watch = inotify_init1(IN_NONBLOCK), told = 0;

	if (watch < 0 || inotify_add_watch(watch, at(fs, path), IN_DELETE_SELF) < 0)
		return -1;
	if (end(fs))
		told = -2;
	else if (read(watch, &e, sizeof(e)) == sizeof(e))
		told = e.mask == IN_DELETE_SELF;
	close(watch);
	return told;
}

static int end_folder(struct fs *fs) { return rmdir(at(fs, "n/d")); }
static int end_file(struct fs *fs) { return unlink(at(fs, "n/b")); }
static int end_replaced(struct fs *fs) { return rename2(fs, "n/a", "n/full/f", 0); }
static int end_replaced_folder(struct fs *fs) { return rename2(fs, "n/full", "n/e", 0); }

TEST_F(names, watched)
{
	EXPECT_EQ(1, told_of_end(&self->fs, "n/d", end_folder));
	EXPECT_EQ(1, told_of_end(&self->fs, "n/b", end_file));
	EXPECT_EQ(1, told_of_end(&self->fs, "n/full/f", end_replaced));
	ASSERT_EQ(0, mkdir(at(&self->fs, "n/e"), 0700));
	EXPECT_EQ(1, told_of_end(&self->fs, "n/e", end_replaced_folder));
}

/* An open file moves and stays open. */
TEST_F(names, rename_open)
{
	char out[64], buf[8] = "";
	int fd = open(at(&self->fs, "n/a"), O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, rename2(&self->fs, "n/a", "n/d/moved", 0));
	EXPECT_EQ(2, pwrite(fd, "xy", 2, 1));
	EXPECT_EQ(2, pwrite(fd, "zz", 2, 4));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat n/d/moved"));
	EXPECT_STREQ("AxyAzz", out);
	EXPECT_EQ(6, pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("AxyAzz", buf);
	close(fd);
}

TEST_F(tree, rename_noreplace)
{
	if (server_is_daxfsd())
		reset_counters(&self->fs);
	EXPECT_EQ(EEXIST, rename2(&self->fs, "n/a", "n/b", RENAME_NOREPLACE));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/a"));
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/b"));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/new", RENAME_NOREPLACE));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test $(cat n/new) = AAAA -a ! -e n/a"));
	if (server_is_daxfsd()) {
		EXPECT_GE(counter(&self->fs, "RENAME2"), 1);
		EXPECT_EQ(0, counter(&self->fs, "RENAME"));
	}
	/* Made by the host just now, where the client knows that there was no such name. */
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/hosts"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf HH >n/hosts"));
	EXPECT_EQ(EEXIST, rename2(&self->fs, "n/new", "n/hosts", RENAME_NOREPLACE));
	EXPECT_STREQ("HH", content(&self->fs, "n/hosts"));
}

TEST_F(names, rename_exchange)
{
	struct stat a, b, st;
	char out[64];

	ASSERT_EQ(0, stat(at(&self->fs, "n/a"), &a));
	ASSERT_EQ(0, stat(at(&self->fs, "n/b"), &b));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/b", RENAME_EXCHANGE));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat n/a; echo; cat n/b"));
	EXPECT_STREQ("BBBBBB\nAAAA", out);
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/a"));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/b"));
	ASSERT_EQ(0, stat(at(&self->fs, "n/a"), &st));
	EXPECT_EQ(b.st_ino, st.st_ino);
	EXPECT_EQ(1, st.st_nlink);
	ASSERT_EQ(0, stat(at(&self->fs, "n/b"), &st));
	EXPECT_EQ(a.st_ino, st.st_ino);
	EXPECT_EQ(1, st.st_nlink);
	/* A file and a folder that is not empty. */
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/full", RENAME_EXCHANGE));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test -f n/full -a -f n/a/f"));
	EXPECT_EQ(0, lookup(&self->fs, "n/a/f"));
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/full"));
	EXPECT_EQ(ENOENT, rename2(&self->fs, "n/b", "n/none", RENAME_EXCHANGE));
	EXPECT_EQ(EINVAL, rename2(&self->fs, "n/a", "n/b", RENAME_EXCHANGE | RENAME_NOREPLACE));
}

TEST_F(tree, rename_errors)
{
	EXPECT_EQ(ENOENT, rename2(&self->fs, "n/none", "n/x", 0));
	EXPECT_EQ(ENOENT, rename2(&self->fs, "n/a", "n/none/x", 0));
	EXPECT_EQ(ENOTDIR, rename2(&self->fs, "n/a", "n/b/x", 0));
	EXPECT_EQ(EISDIR, rename2(&self->fs, "n/a", "n/d", 0));
	EXPECT_EQ(ENOTDIR, rename2(&self->fs, "n/d", "n/a", 0));
	EXPECT_EQ(ENOTEMPTY, rename2(&self->fs, "n/d", "n/full", 0));
	EXPECT_EQ(EINVAL, rename2(&self->fs, "n/d", "n/d/x", 0));
	EXPECT_EQ(EXDEV, error_of(rename(at(&self->fs, "n/a"), "/tmp/elsewhere")));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/a", 0));
	/* Onto an empty folder, and another name of the same file, which leaves both. */
	EXPECT_EQ(0, rename2(&self->fs, "n/full", "n/d", 0));
	EXPECT_EQ(0, link(at(&self->fs, "n/a"), at(&self->fs, "n/a2")));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/a2", 0));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test -e n/a -a -e n/a2 -a -e n/d/f -a ! -e n/full"));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/a"));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/a2"));
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/full"));
}

/* A server of before RENAME2: flags are refused, plain renames go on. */
TEST_F(tree, rename2_missing)
{
	if (!server_is_daxfsd())
		SKIP(return, "needs faults");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault RENAME2 1 errno:-38"));
	EXPECT_EQ(EINVAL, rename2(&self->fs, "n/a", "n/b", RENAME_EXCHANGE));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/a"));
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/b"));
	EXPECT_EQ(0, rename2(&self->fs, "n/a", "n/b", 0));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/b"));
}

/* 1000 files go along, open ones and the one we stand in included. */
TEST_F(tree, rename_big_directory)
{
	struct dirent *e;
	struct stat st, parent;
	char out[64], here[256], buf[8] = "";
	int n = 0, fd;
	DIR *d;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mkdir n/big n/big/sub; cd n/big; for i in $(seq 0 999); do echo $i >entry-$i; done"));
	d = opendir(at(&self->fs, "n/big"));
	ASSERT_NE(NULL, d);
	while (readdir(d))
		n++;
	EXPECT_EQ(1003, n);
	fd = open(at(&self->fs, "n/big/entry-7"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, chdir(at(&self->fs, "n/big/sub")));
	ASSERT_EQ(0, rename2(&self->fs, "n/big", "n/d/huge", 0));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "ls n/d/huge | wc -l; test -e n/big || echo gone"));
	EXPECT_STREQ("1001\ngone", out);
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/big"));
	EXPECT_EQ(ENOENT, lookup(&self->fs, "n/big/entry-7"));
	EXPECT_STREQ("999\n", content(&self->fs, "n/d/huge/entry-999"));
	EXPECT_EQ(2, pread(fd, buf, sizeof(buf), 0));
	EXPECT_STREQ("7\n", buf);
	ASSERT_NE(NULL, getcwd(here, sizeof(here)));
	EXPECT_STREQ(at(&self->fs, "n/d/huge/sub"), here);
	ASSERT_EQ(0, stat("../..", &parent));
	ASSERT_EQ(0, stat(at(&self->fs, "n/d"), &st));
	EXPECT_EQ(st.st_ino, parent.st_ino);
	/* The folder that is open reads on by its new name as by its old. */
	rewinddir(d);
	for (n = 0; (e = readdir(d)); n++)
		;
	EXPECT_EQ(1003, n);
	closedir(d);
	close(fd);
	ASSERT_EQ(0, chdir("/"));
}

TEST_F(names, link)
{
	struct stat st, other;
	char out[64];
	int fd;

	fd = open(at(&self->fs, "n/a"), O_RDWR);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, link(at(&self->fs, "n/a"), at(&self->fs, "n/d/l")));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%h n/a; test n/a -ef n/d/l && echo same"));
	EXPECT_STREQ("2\nsame", out);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(2, st.st_nlink);
	ASSERT_EQ(0, stat(at(&self->fs, "n/d/l"), &other));
	EXPECT_EQ(st.st_ino, other.st_ino);
	EXPECT_EQ(2, other.st_nlink);
	/* One file: what is written by one name is there by the other. */
	ASSERT_EQ(6, pwrite(fd, "linked", 6, 0));
	EXPECT_STREQ("linked", content(&self->fs, "n/d/l"));
	EXPECT_EQ(EEXIST, error_of(link(at(&self->fs, "n/a"), at(&self->fs, "n/b"))));
	EXPECT_EQ(EPERM, error_of(link(at(&self->fs, "n/d"), at(&self->fs, "n/e"))));
	EXPECT_EQ(ENOENT, error_of(link(at(&self->fs, "n/none"), at(&self->fs, "n/e"))));
	EXPECT_EQ(EXDEV, error_of(link(at(&self->fs, "n/a"), "/tmp/elsewhere")));
	ASSERT_EQ(0, unlink(at(&self->fs, "n/a")));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_STREQ("linked", content(&self->fs, "n/d/l"));
	ASSERT_EQ(0, unlink(at(&self->fs, "n/d/l")));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(6, st.st_size);
	close(fd);
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test ! -e n/a -a ! -e n/d/l"));
}

/* Link counts of folders go with the folders in them. */
TEST_F(tree, directory_links)
{
	struct stat st;
	char theirs[16], mine[16];

	ASSERT_EQ(0, stat(at(&self->fs, "n"), &st));
	EXPECT_EQ(4, st.st_nlink);
	ASSERT_EQ(0, mkdir(at(&self->fs, "n/more"), 0755));
	ASSERT_EQ(0, stat(at(&self->fs, "n"), &st));
	EXPECT_EQ(5, st.st_nlink);
	ASSERT_EQ(0, rename2(&self->fs, "n/more", "n/d/more", 0));
	ASSERT_EQ(0, stat(at(&self->fs, "n"), &st));
	EXPECT_EQ(4, st.st_nlink);
	ASSERT_EQ(0, stat(at(&self->fs, "n/d"), &st));
	EXPECT_EQ(3, st.st_nlink);
	ASSERT_EQ(0, rmdir(at(&self->fs, "n/d/more")));
	ASSERT_EQ(0, stat(at(&self->fs, "n/d"), &st));
	snprintf(mine, sizeof(mine), "%ld", (long)st.st_nlink);
	EXPECT_EQ(0, host(&self->fs, theirs, sizeof(theirs), "stat -c %%h n/d"));
	EXPECT_STREQ(theirs, mine);
}

TEST_F(tree, symlink)
{
	static const int sizes[] = { 1, 2, 255, 4094, 4095 };
	char target[4097], got[4200], theirs[4200], name[16];
	struct stat st;
	size_t i;
	int n;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		n = sizes[i];
		memset(target, 'x', n);
		target[n / 2] = n > 1 ? '/' : 'x';
		target[n - 1] = 'E';
		target[n] = 0;
		snprintf(name, sizeof(name), "n/s%d", n);
		ASSERT_EQ(0, symlink(target, at(&self->fs, name)));
		ASSERT_EQ(0, lstat(at(&self->fs, name), &st));
		EXPECT_TRUE(S_ISLNK(st.st_mode));
		EXPECT_EQ(n, st.st_size);
		memset(got, 'y', sizeof(got));
		ASSERT_EQ(n, readlink(at(&self->fs, name), got, sizeof(got)));
		EXPECT_EQ(0, memcmp(got, target, n));
		EXPECT_EQ('y', got[n]);
		EXPECT_EQ(0, host(&self->fs, theirs, sizeof(theirs), "readlink %s", name));
		EXPECT_STREQ(target, theirs);
	}
	/* Less room than there is text. */
	memset(got, 'y', sizeof(got));
	EXPECT_EQ(100, readlink(at(&self->fs, "n/s4095"), got, 100));
	EXPECT_EQ('x', got[99]);
	EXPECT_EQ('y', got[100]);
	memset(target, 'x', 4096);
	target[4096] = 0;
	EXPECT_EQ(ENAMETOOLONG, error_of(symlink(target, at(&self->fs, "n/s4096"))));
	EXPECT_EQ(ENOENT, error_of(symlink("", at(&self->fs, "n/s0"))));
}

TEST_F(tree, symlink_followed)
{
	char out[64], buf[8];
	int fd;

	ASSERT_EQ(0, symlink("../a", at(&self->fs, "n/d/up")));
	ASSERT_EQ(0, symlink("d", at(&self->fs, "n/folder")));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/d/up"));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/folder/up"));
	fd = open(at(&self->fs, "n/folder/made"), O_WRONLY | O_CREAT, 0644);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(3, write(fd, "new", 3));
	close(fd);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat n/d/made; cat n/d/up"));
	EXPECT_STREQ("newAAAA", out);
	EXPECT_EQ(EEXIST, error_of(symlink("x", at(&self->fs, "n/folder"))));
	EXPECT_EQ(EINVAL, error_of(readlink(at(&self->fs, "n/a"), buf, sizeof(buf)) < 0));
	EXPECT_EQ(ELOOP, error_of(open(at(&self->fs, "n/d/up"), O_RDONLY | O_NOFOLLOW) < 0));
	ASSERT_EQ(0, symlink("nowhere", at(&self->fs, "n/dangling")));
	EXPECT_STREQ("ENOENT", content(&self->fs, "n/dangling"));
	ASSERT_EQ(0, symlink("loop", at(&self->fs, "n/loop")));
	EXPECT_STREQ("ELOOP", content(&self->fs, "n/loop"));
	/* Links are removed and renamed themselves, not what they point to. */
	EXPECT_EQ(0, rename2(&self->fs, "n/folder", "n/renamed", 0));
	EXPECT_EQ(0, unlink(at(&self->fs, "n/d/up")));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test -L n/renamed -a -d n/d -a -e n/a -a ! -L n/d/up"));
}

/* What the host renames, links and points elsewhere is seen when the second of belief is over. */
TEST_F(tree, host_changes)
{
	char got[16] = "";
	struct stat st;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "ln -s a n/s"));
	EXPECT_STREQ("AAAA", content(&self->fs, "n/s"));
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/b"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "ln n/a n/l; mv n/b n/c; ln -sfn c n/s; mv n/full n/d"));
	/* Names that were not asked for are there at once. */
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/c"));
	EXPECT_EQ(0, lookup(&self->fs, "n/d/full/f"));
	/* On a machine that has much to do the guest's clock ticks late. */
	EXPECT_TRUE(soon(lookup(&self->fs, "n/b") == ENOENT));
	EXPECT_TRUE(soon(lookup(&self->fs, "n/full/f") == ENOENT));
	EXPECT_TRUE(soon(readlink(at(&self->fs, "n/s"), got, sizeof(got)) == 1 && got[0] == 'c'));
	EXPECT_STREQ("BBBBBB", content(&self->fs, "n/s"));
	EXPECT_TRUE(soon(!stat(at(&self->fs, "n/a"), &st) && st.st_nlink == 2));
}

TEST_HARNESS_MAIN
