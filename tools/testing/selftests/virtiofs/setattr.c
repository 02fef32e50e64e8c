// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of attributes: what chmod, chown and utimensat send must be on the host when the call returns, and nothing else of the
 * file may change with it.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

FIXTURE(setattr)
{
	struct fs fs;
	char f[128];
};

FIXTURE_SETUP(setattr)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0,
			  "rm -rf a; mkdir a; echo hello >a/f; chmod 640 a/f; touch -d @1000000000.5 a/f; ln -s f a/l"));
	snprintf(self->f, sizeof(self->f), "%s", at(&self->fs, "a/f"));
}

FIXTURE_TEARDOWN(setattr)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int error_of(int returned)
{
	return returned ? errno : 0;
}

/* What the host says of the file: mode, uid, gid, atime, mtime, size. */
static const char *on_host(const struct fs *fs)
{
	static char out[128];

	return host(fs, out, sizeof(out), "stat -c \"%%a %%u %%g %%X %%Y %%s\" a/f") ? "?" : out;
}

/* The same as this mount says it. */
static const char *here(const char *path)
{
	static char out[128];
	struct stat st;

	if (stat(path, &st))
		return strerrorname_np(errno);
	snprintf(out, sizeof(out), "%o %u %u %lld %lld %lld", st.st_mode & 07777, st.st_uid, st.st_gid,
		 (long long)st.st_atime, (long long)st.st_mtime, (long long)st.st_size);
	return out;
}

TEST_F(setattr, mode)
{
	int fd = open(self->f, O_RDONLY);
	char want[128];

	ASSERT_GE(fd, 0);
	snprintf(want, sizeof(want), "%s", on_host(&self->fs));
	ASSERT_EQ(0, strncmp(want, "640 ", 4));
	ASSERT_EQ(0, chmod(self->f, 0751));
	memcpy(want, "751", 3);
	EXPECT_STREQ(want, on_host(&self->fs));
	EXPECT_STREQ(want, here(self->f));
	ASSERT_EQ(0, fchmod(fd, 0604));
	memcpy(want, "604", 3);
	EXPECT_STREQ(want, on_host(&self->fs));
	EXPECT_STREQ(want, here(self->f));
	close(fd);
	/* The bits that are more than permissions. */
	ASSERT_EQ(0, chmod(self->f, 06755));
	EXPECT_EQ(0, strncmp(on_host(&self->fs), "6755 ", 5));
	ASSERT_EQ(0, chmod(at(&self->fs, "a"), 01777));
}

TEST_F(setattr, owner)
{
	char want[128], mtime[32];

	if (geteuid())
		SKIP(return, "needs root");
	ASSERT_EQ(0, host(&self->fs, mtime, sizeof(mtime), "stat -c %%Y a/f"));
	if (chown(self->f, 1000, -1)) {
		if (errno == EPERM)
			SKIP(return, "the device may not give files away");
		ASSERT_EQ(0, errno);
	}
	snprintf(want, sizeof(want), "640 1000 0 1000000000 1000000000 6");
	EXPECT_STREQ(want, on_host(&self->fs));
	EXPECT_STREQ(want, here(self->f));
	ASSERT_EQ(0, chown(self->f, -1, 1001));
	snprintf(want, sizeof(want), "640 1000 1001 1000000000 1000000000 6");
	EXPECT_STREQ(want, on_host(&self->fs));
	EXPECT_STREQ(want, here(self->f));
	/* The link itself. */
	ASSERT_EQ(0, lchown(at(&self->fs, "a/l"), 1002, 1003));
	ASSERT_EQ(0, host(&self->fs, mtime, sizeof(mtime), "stat -c \"%%u %%g\" a/l"));
	EXPECT_STREQ("1002 1003", mtime);
	EXPECT_STREQ(want, on_host(&self->fs));
	/* Who gives a file away takes its suid along, but not that of its execution by root. */
	ASSERT_EQ(0, chmod(self->f, 04755));
	ASSERT_EQ(0, chown(self->f, 0, 0));
	EXPECT_EQ(0, strncmp(on_host(&self->fs), "755 0 0 ", 8));
	EXPECT_EQ(0, strncmp(here(self->f), "755 0 0 ", 8));
}

TEST_F(setattr, times)
{
	struct timespec t[2] = { { 1100000000, 123456789 }, { 1200000000, 987654321 } };
	struct timespec old[2] = { { -5, 0 }, { 0, UTIME_OMIT } };
	struct stat st;
	char out[128];

	ASSERT_EQ(0, utimensat(AT_FDCWD, self->f, t, 0));
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c \"%%.9X %%.9Y\" a/f"));
	EXPECT_STREQ("1100000000.123456789 1200000000.987654321", out);
	ASSERT_EQ(0, stat(self->f, &st));
	EXPECT_EQ(123456789, st.st_atim.tv_nsec);
	EXPECT_EQ(1200000000, st.st_mtim.tv_sec);
	/* One of them. */
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_sec = 1300000000;
	ASSERT_EQ(0, utimensat(AT_FDCWD, self->f, t, 0));
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c \"%%.9X %%.9Y\" a/f"));
	EXPECT_STREQ("1100000000.123456789 1300000000.987654321", out);
	/* Before the epoch. */
	ASSERT_EQ(0, utimensat(AT_FDCWD, self->f, old, 0));
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c \"%%X %%Y\" a/f"));
	EXPECT_STREQ("-5 1300000000", out);
	ASSERT_EQ(0, stat(self->f, &st));
	EXPECT_EQ(-5, st.st_atim.tv_sec);
}

/* The present is the server's: it does not help that the guest's clock says something else. */
TEST_F(setattr, now)
{
	struct timespec t[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } }, clock, wrong;
	long atime, mtime, start;
	char out[128];

	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "date +%%s"));
	start = atol(out);
	ASSERT_EQ(0, clock_gettime(CLOCK_REALTIME, &clock));
	wrong = clock;
	wrong.tv_sec = 1500000000;
	if (clock_settime(CLOCK_REALTIME, &wrong))
		SKIP(return, "the clock cannot be set");
	EXPECT_EQ(0, utimensat(AT_FDCWD, self->f, t, 0));
	t[0].tv_nsec = UTIME_OMIT;
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c \"%%X %%Y\" a/f"));
	EXPECT_EQ(2, sscanf(out, "%ld %ld", &atime, &mtime));
	EXPECT_GE(atime, start);
	EXPECT_EQ(1000000000, mtime);
	t[1].tv_nsec = UTIME_NOW;
	EXPECT_EQ(0, utimensat(AT_FDCWD, self->f, t, 0));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%Y a/f"));
	EXPECT_GE(atol(out), start);
	EXPECT_EQ(0, clock_settime(CLOCK_REALTIME, &clock));
}

/* One request each, with the open file where there is one for writing. */
TEST_F(setattr, requests)
{
	struct timespec t[2] = { { 1100000000, 0 }, { 1200000000, 0 } };
	int fd = open(self->f, O_RDWR);

	ASSERT_GE(fd, 0);
	if (!server_is_daxfsd())
		SKIP(return, "the stock daemon does not count");
	reset_counters(&self->fs);
	ASSERT_EQ(0, chmod(self->f, 0600));
	ASSERT_EQ(0, futimens(fd, t));
	EXPECT_EQ(2, counter(&self->fs, "SETATTR"));
	EXPECT_EQ(0, counter(&self->fs, "by_handle"));
	ASSERT_EQ(0, ftruncate(fd, 3));
	EXPECT_EQ(3, counter(&self->fs, "SETATTR"));
	EXPECT_EQ(1, counter(&self->fs, "by_handle"));
	ASSERT_EQ(0, truncate(self->f, 2));
	EXPECT_EQ(1, counter(&self->fs, "by_handle"));
	close(fd);
	/* Emptied as it is opened: there is no open file to name yet. */
	fd = open(self->f, O_WRONLY | O_TRUNC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(1, counter(&self->fs, "by_handle"));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
	close(fd);
}

TEST_F(setattr, refused)
{
	char before[128];

	if (!server_is_daxfsd())
		SKIP(return, "the stock daemon plays no faults");
	/* The guest checks who may. */
	reset_counters(&self->fs);
	ASSERT_EQ(0, seteuid(1000));
	EXPECT_EQ(EPERM, error_of(chmod(self->f, 0777)));
	EXPECT_EQ(EPERM, error_of(chown(self->f, 1000, 1000)));
	ASSERT_EQ(0, seteuid(0));
	EXPECT_EQ(0, counter(&self->fs, "SETATTR"));
	/* A server that refuses, and one that answers with another type. */
	snprintf(before, sizeof(before), "%s", here(self->f));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETATTR 1 errno:-28"));
	EXPECT_EQ(ENOSPC, error_of(chmod(self->f, 0777)));
	EXPECT_STREQ(before, here(self->f));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETATTR 1 poke:76:16877"));
	EXPECT_EQ(EIO, error_of(chmod(self->f, 0777)));
	EXPECT_EQ(0, strncmp(here(self->f), "777 ", 4));
}

TEST_HARNESS_MAIN
