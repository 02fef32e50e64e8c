// SPDX-License-Identifier: GPL-2.0
/*
 * How names lead to inodes: files without names, masks, links that are remembered, names that are not believed, inodes that
 * became stale, handles that outlive the stay in memory, leases.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include <dirent.h>

FIXTURE(entries)
{
	struct fs fs;
};

FIXTURE_SETUP(entries)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf e; mkdir -p e/d/sub; printf AAAA >e/a; printf BBBB >e/d/b; ln -s a e/s"));
}

FIXTURE_TEARDOWN(entries)
{
	if (server_is_daxfsd())
		unhang(&self->fs);
	EXPECT_EQ(0, fs_umount(&self->fs));
	if (server_is_daxfsd())
		device(&self->fs, NULL, 0, "defaults");
}

/* Mounts anew after a word to the device. */
static int again(struct fs *fs, const char *request)
{
	return fs_umount(fs) || device(fs, NULL, 0, request) || fs_mount(fs, "nodax", NULL);
}

#define NEEDS_DAXFSD(what)				\
	if (!server_is_daxfsd())			\
		SKIP(return, "needs " what " of daxfsd")

TEST_F(entries, tmpfile)
{
	char path[64], out[64], buf[8] = "";
	struct stat st;
	int fd;

	fd = open(at(&self->fs, "e"), O_TMPFILE | O_RDWR, 0640);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(4, write(fd, "temp", 4));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	EXPECT_EQ(0640, st.st_mode & 07777);
	EXPECT_EQ(4, st.st_size);
	EXPECT_EQ(4, pread(fd, buf, 4, 0));
	EXPECT_STREQ("temp", buf);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "ls e"));
	EXPECT_STREQ("a\nd\ns", out);
	/* A name for it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, path, AT_FDCWD, at(&self->fs, "e/named"), AT_SYMLINK_FOLLOW));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat e/named"));
	EXPECT_STREQ("temp", out);
	EXPECT_EQ(4, pwrite(fd, "more", 4, 4));
	close(fd);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat e/named; stat -c %%h:%%a e/named"));
	EXPECT_STREQ("tempmore1:640", out);
	/* One that must not get a name. */
	fd = open(at(&self->fs, "e"), O_TMPFILE | O_RDWR | O_EXCL, 0600);
	ASSERT_GE(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(-1, linkat(AT_FDCWD, path, AT_FDCWD, at(&self->fs, "e/no"), AT_SYMLINK_FOLLOW));
	EXPECT_EQ(ENOENT, errno);
	close(fd);
	EXPECT_EQ(-1, open(at(&self->fs, "e/a"), O_TMPFILE | O_RDWR, 0600));
	EXPECT_EQ(ENOTDIR, errno);
}

TEST_F(entries, tmpfile_missing)
{
	NEEDS_DAXFSD("faults");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault TMPFILE 1 errno:-38"));
	reset_counters(&self->fs);
	EXPECT_EQ(-1, open(at(&self->fs, "e"), O_TMPFILE | O_RDWR, 0600));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, open(at(&self->fs, "e"), O_TMPFILE | O_RDWR, 0600));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(1, counter(&self->fs, "TMPFILE"));
	/* An answer that names a folder. */
	ASSERT_EQ(0, again(&self->fs, "fault TMPFILE 1 poke:100:16877"));
	EXPECT_EQ(-1, open(at(&self->fs, "e"), O_TMPFILE | O_RDWR, 0600));
	EXPECT_EQ(EIO, errno);
}

static unsigned int mode_of(const struct fs *fs, const char *name)
{
	char out[16] = "";

	host(fs, out, sizeof(out), "stat -c %%a %s", name);
	return strtoul(out, NULL, 8);
}

/* The caller's mask counts once, whoever applies it. */
TEST_F(entries, umask)
{
	mode_t old = umask(027);
	int round;

	for (round = 0; round < 2; round++) {
		if (round) {
			if (!server_is_daxfsd())
				break;
			ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -r e/f e/m e/p e/t"));
			ASSERT_EQ(0, again(&self->fs, "enable DONT_MASK"));
		}
		close(open(at(&self->fs, "e/f"), O_CREAT | O_WRONLY, 0666));
		ASSERT_EQ(0, mkdir(at(&self->fs, "e/m"), 0777));
		ASSERT_EQ(0, mknod(at(&self->fs, "e/p"), S_IFIFO | 0662, 0));
		EXPECT_EQ(0640, mode_of(&self->fs, "e/f"));
		EXPECT_EQ(0750, mode_of(&self->fs, "e/m"));
		EXPECT_EQ(0640, mode_of(&self->fs, "e/p"));
		umask(077);
		close(open(at(&self->fs, "e/t"), O_CREAT | O_WRONLY, 0666));
		EXPECT_EQ(0600, mode_of(&self->fs, "e/t"));
		umask(027);
	}
	umask(old);
}

static int reads(const struct fs *fs, const char *name, char *to)
{
	int n = readlink(at(fs, name), to, 63);

	to[n < 0 ? 0 : n] = 0;
	return n;
}

TEST_F(entries, links_remembered)
{
	char to[64];
	int i;

	NEEDS_DAXFSD("counters");
	/* Asked each time. */
	reset_counters(&self->fs);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(1, reads(&self->fs, "e/s", to));
	EXPECT_EQ(5, counter(&self->fs, "READLINK"));
	/* Asked once. */
	ASSERT_EQ(0, again(&self->fs, "cache always"));
	reset_counters(&self->fs);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(1, reads(&self->fs, "e/s", to));
		EXPECT_STREQ("a", to);
		EXPECT_EQ(0, access(at(&self->fs, "e/s"), R_OK));
	}
	EXPECT_EQ(1, counter(&self->fs, "READLINK"));
	/* Another link by that name is another inode. */
	ASSERT_EQ(0, unlink(at(&self->fs, "e/s")));
	ASSERT_EQ(0, symlink("d/b", at(&self->fs, "e/s")));
	EXPECT_EQ(3, reads(&self->fs, "e/s", to));
	EXPECT_STREQ("d/b", to);
	EXPECT_EQ(3, reads(&self->fs, "e/s", to));
	EXPECT_EQ(2, counter(&self->fs, "READLINK"));
	/* What cannot be said is not remembered. */
	ASSERT_EQ(0, symlink("xyz", at(&self->fs, "e/t")));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READLINK 1 errno:-5"));
	EXPECT_EQ(-1, readlink(at(&self->fs, "e/t"), to, sizeof(to)));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(3, reads(&self->fs, "e/t", to));
}

/* Names that are believed for no time leave the cache, and the inode with them: the host may let go of the file. */
TEST_F(entries, not_believed)
{
	struct stat st;

	NEEDS_DAXFSD("the cache mode");
	ASSERT_EQ(0, again(&self->fs, "cache never"));
	ASSERT_EQ(0, stat(at(&self->fs, "e/a"), &st));
	ASSERT_EQ(0, stat(at(&self->fs, "e/d/b"), &st));
	EXPECT_TRUE(soon(census(&self->fs, "inodes") == 0));
	/* What the host changes is seen at once. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mv e/a e/c"));
	EXPECT_EQ(-1, stat(at(&self->fs, "e/a"), &st));
	EXPECT_EQ(0, stat(at(&self->fs, "e/c"), &st));
}

/* What is created or taken over is looked up, however long it is believed not to exist. */
TEST_F(entries, created_elsewhere)
{
	struct stat st;

	NEEDS_DAXFSD("the cache mode");
	ASSERT_EQ(0, again(&self->fs, "cache always"));
	EXPECT_EQ(-1, open(at(&self->fs, "e/n"), O_RDONLY));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf HHHH >e/n"));
	EXPECT_EQ(-1, open(at(&self->fs, "e/n"), O_CREAT | O_EXCL | O_WRONLY, 0600));
	EXPECT_EQ(EEXIST, errno);
	ASSERT_EQ(0, stat(at(&self->fs, "e/a"), &st));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm e/a; mkdir e/a"));
	/* The name is confirmed: a folder is not taken over by a file. */
	EXPECT_EQ(-1, rename(at(&self->fs, "e/n"), at(&self->fs, "e/a")));
	EXPECT_EQ(EISDIR, errno);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm e/n"));
	EXPECT_EQ(-1, unlink(at(&self->fs, "e/n")));
	EXPECT_EQ(ENOENT, errno);
	close(open(at(&self->fs, "e/n"), O_CREAT | O_EXCL | O_WRONLY, 0600));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test -f e/n"));
}

/* The server forgot an inode: the way there is looked up anew. */
TEST_F(entries, stale)
{
	struct stat st;
	int fd;

	NEEDS_DAXFSD("faults");
	ASSERT_EQ(0, again(&self->fs, "cache always"));
	ASSERT_EQ(0, stat(at(&self->fs, "e/a"), &st));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault OPEN 1 errno:-116"));
	reset_counters(&self->fs);
	fd = open(at(&self->fs, "e/a"), O_RDONLY);
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_LE(1, counter(&self->fs, "LOOKUP"));
	EXPECT_EQ(2, counter(&self->fs, "OPEN"));
	/* Stale twice is stale. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault OPEN 2 errno:-116"));
	EXPECT_EQ(-1, open(at(&self->fs, "e/a"), O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
}

/* The same node id, another life or another kind of file: the old inode is good for nothing, the new one for all. */
TEST_F(entries, another_life)
{
	char buf[8] = "";
	struct stat st;
	int fd, i;

	NEEDS_DAXFSD("faults");
	for (i = 0; i < 2; i++) {
		/* Generation, and mode: a FIFO. */
		const char *bend = i ? "fault LOOKUP 2 poke:100:4516" : "fault LOOKUP 2 poke:8:7";

		ASSERT_EQ(0, again(&self->fs, "cache never"));
		fd = open(at(&self->fs, "e/a"), O_RDONLY);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(4, pread(fd, buf, 4, 0));
		ASSERT_EQ(0, chdir(at(&self->fs, "e")));
		ASSERT_EQ(0, device(&self->fs, NULL, 0, bend));
		/* The current folder is not looked up, so this is about the file. */
		EXPECT_EQ(i ? -1 : 0, stat("a", &st));
		/* The kind that LOOKUP says is not what GETATTR says. */
		if (i)
			EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, pread(fd, buf, 4, 0));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, fstat(fd, &st));
		close(fd);
		EXPECT_EQ(0, stat("a", &st));
		EXPECT_TRUE(S_ISREG(st.st_mode));
		ASSERT_EQ(0, chdir("/"));
	}
}

struct handle {
	struct file_handle h;
	unsigned char room[MAX_HANDLE_SZ];
	int mount;
};

static int handle_of(const struct fs *fs, const char *name, struct handle *h)
{
	h->h.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(AT_FDCWD, at(fs, name), &h->h, &h->mount, 0) ? errno : 0;
}

static int by_handle(const struct fs *fs, struct handle *h, int flags)
{
	int root = open(fs->dir, O_RDONLY | O_DIRECTORY);
	int fd = open_by_handle_at(root, &h->h, flags);
	int e = errno;

	close(root);
	errno = e;
	return fd;
}

TEST_F(entries, handles)
{
	struct handle file, folder, gone;
	char path[512], link[64], buf[8] = "";
	struct dirent *e;
	DIR *d;
	int fd, n;

	NEEDS_DAXFSD("EXPORT_SUPPORT");
	/* In memory they work with every server. */
	ASSERT_EQ(0, handle_of(&self->fs, "e/a", &file));
	fd = open(at(&self->fs, "e/a"), O_RDONLY);
	n = by_handle(&self->fs, &file, O_RDONLY);
	EXPECT_LE(0, n);
	close(n);
	close(fd);
	EXPECT_TRUE(forgets(&self->fs, 0));
	EXPECT_EQ(-1, by_handle(&self->fs, &file, O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
	/* And else with those that can look up dots. */
	ASSERT_EQ(0, again(&self->fs, "enable EXPORT_SUPPORT"));
	ASSERT_EQ(0, handle_of(&self->fs, "e/a", &file));
	ASSERT_EQ(0, handle_of(&self->fs, "e/d/sub", &folder));
	ASSERT_EQ(0, handle_of(&self->fs, "e/d/b", &gone));
	EXPECT_TRUE(forgets(&self->fs, 0));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mv e/a e/moved; rm e/d/b; touch e/d/sub/x"));
	reset_counters(&self->fs);
	fd = by_handle(&self->fs, &file, O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, counter(&self->fs, "LOOKUP"));
	EXPECT_EQ(4, read(fd, buf, 4));
	EXPECT_STREQ("AAAA", buf);
	close(fd);
	EXPECT_EQ(-1, by_handle(&self->fs, &gone, O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
	/* A folder finds its way up. */
	fd = by_handle(&self->fs, &folder, O_RDONLY | O_DIRECTORY);
	ASSERT_GE(fd, 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n < 0 ? 0 : n] = 0;
	EXPECT_STREQ(at(&self->fs, "e/d/sub"), path);
	d = fdopendir(fd);
	for (n = 0; (e = readdir(d)); n++)
		;
	EXPECT_EQ(3, n);
	closedir(d);
	/* Nonsense. */
	memset(file.h.f_handle, 0xff, file.h.handle_bytes);
	EXPECT_EQ(-1, by_handle(&self->fs, &file, O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
	memset(file.h.f_handle, 0, file.h.handle_bytes);
	EXPECT_EQ(-1, by_handle(&self->fs, &file, O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
	folder.h.handle_bytes = 8;
	EXPECT_EQ(-1, by_handle(&self->fs, &folder, O_RDONLY));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(0, counter(&self->fs, "escapes"));
}

TEST_F(entries, handles_refused)
{
	struct handle file;

	NEEDS_DAXFSD("NO_EXPORT_SUPPORT");
	ASSERT_EQ(0, again(&self->fs, "enable NO_EXPORT_SUPPORT"));
	EXPECT_EQ(EOPNOTSUPP, handle_of(&self->fs, "e/a", &file));
}

/* Leases hold in this guest: who opens the file for writing waits, or goes away with EWOULDBLOCK. */
TEST_F(entries, leases)
{
	int fd = open(at(&self->fs, "e/a"), O_RDONLY), dir = open(at(&self->fs, "e"), O_RDONLY);

	ASSERT_GE(fd, 0);
	signal(SIGIO, SIG_IGN);
	EXPECT_EQ(0, fcntl(fd, F_SETLEASE, F_RDLCK));
	EXPECT_EQ(F_RDLCK, fcntl(fd, F_GETLEASE));
	EXPECT_EQ(-1, open(at(&self->fs, "e/a"), O_WRONLY | O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	EXPECT_EQ(0, fcntl(fd, F_SETLEASE, F_UNLCK));
	EXPECT_EQ(-1, fcntl(dir, F_SETLEASE, F_RDLCK));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
	close(dir);
}

/* Two names in one folder are looked up at once. */
TEST_F(entries, lookups_run_together)
{
	const char *names[] = { "a", "d" };
	pid_t pid[2];
	int i, status, dir;

	NEEDS_DAXFSD("requests that hang");
	/* The folder itself is not looked up any more, however long this takes. */
	dir = open(at(&self->fs, "e"), O_PATH | O_DIRECTORY);
	ASSERT_LE(0, dir);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault LOOKUP 2 hang"));
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i])
			_exit(faccessat(dir, names[i], F_OK, 0) ? errno : 0);
	}
	EXPECT_TRUE(soon(hanging(&self->fs) == 2));
	unhang(&self->fs);
	for (i = 0; i < 2; i++) {
		waitpid(pid[i], &status, 0);
		EXPECT_EQ(0, status);
	}
	close(dir);
}

TEST_HARNESS_MAIN
