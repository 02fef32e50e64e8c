// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes: which requests stat(2) and statx(2) make, how long and how far their answers are believed, and what a server
 * may not say. The device lets everything be believed for a day, if not said otherwise, so that requests can be counted.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define ALL (STATX_BASIC_STATS | STATX_BTIME)

FIXTURE(stat)
{
	struct fs fs;
};

static int mounted(struct fs *fs, const char *tag, const char *options, const char *cache)
{
	snprintf(fs->tag, sizeof(fs->tag), "%s", tag);
	if (device(fs, NULL, 0, cache))
		return -1;
	return fs_mount(fs, tag, options);
}

FIXTURE_SETUP(stat)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no daxfsd with the tag nodax");
	ASSERT_EQ(0, mounted(&self->fs, "nodax", NULL, "cache always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf s; mkdir s s/d; echo hello >s/f; echo hi >s/g; chmod 600 s/f"));
}

FIXTURE_TEARDOWN(stat)
{
	device(&self->fs, NULL, 0, "faults clear");
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

/* The requests about attributes since this was asked last: GETATTR + 100 * STATX. */
static long asked(const struct fs *fs)
{
	long n = counter(fs, "GETATTR") + 100 * counter(fs, "STATX");

	reset_counters(fs);
	return n;
}

TEST_F(stat, btime)
{
	struct statx st;
	char out[64], line[64];

	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c \"%%W %%s %%i %%a\" s/f"));
	if (atol(out) <= 0)
		SKIP(return, "the host's file system has no times of birth");
	/* What came with the name is enough for all but the time of birth. */
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), 0, STATX_BASIC_STATS, &st));
	EXPECT_EQ(0, st.stx_mask & STATX_BTIME);
	asked(&self->fs);
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_DONT_SYNC, ALL, &st));
	EXPECT_EQ(0, st.stx_mask & STATX_BTIME);
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), 0, ALL, &st));
	EXPECT_EQ(100, asked(&self->fs));
	EXPECT_EQ(ALL, st.stx_mask & ALL);
	snprintf(line, sizeof(line), "%lld %lld %lld %o", (long long)st.stx_btime.tv_sec, (long long)st.stx_size,
		 (long long)st.stx_ino, st.stx_mode & 07777);
	EXPECT_STREQ(out, line);
	/* It is known now. */
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), 0, ALL, &st));
	EXPECT_EQ(atol(out), st.stx_btime.tv_sec);
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, ALL, &st));
	EXPECT_EQ(100, asked(&self->fs));
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st));
	EXPECT_EQ(1, asked(&self->fs));
}

/* Where nothing is believed, only what is wanted makes a request. */
TEST_F(stat, masks)
{
	struct statx st;
	int fd;

	EXPECT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, mounted(&self->fs, "nodax", NULL, "cache never"));
	fd = open(at(&self->fs, "s/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	asked(&self->fs);
	ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, 0, &st));
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, ALL, &st));
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &st));
	EXPECT_EQ(1, asked(&self->fs));
	ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st));
	EXPECT_EQ(100, asked(&self->fs));
	/* What belongs to an open file is asked for through it. */
	EXPECT_EQ(0, counter(&self->fs, "by_handle"));
	EXPECT_EQ(6, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(1, counter(&self->fs, "by_handle"));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
	close(fd);
}

/* Who was given data from the server has changed the time of access, and nothing else. */
TEST_F(stat, read)
{
	static char buf[4096] __attribute__((aligned(4096)));
	struct statx st;
	int fd, way;

	for (way = 0; way < 2; way++) {
		fd = open(at(&self->fs, "s/f"), way ? O_RDONLY | O_DIRECT : O_RDONLY);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
		asked(&self->fs);
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
		EXPECT_EQ(0, asked(&self->fs));
		EXPECT_EQ(6, pread(fd, buf, sizeof(buf), 0));
		asked(&self->fs);
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS & ~STATX_ATIME, &st));
		EXPECT_EQ(0, asked(&self->fs));
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
		EXPECT_EQ(1, asked(&self->fs));
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
		EXPECT_EQ(0, asked(&self->fs));
		close(fd);
	}
}

/* A server without STATX is asked once. */
TEST_F(stat, statx_missing)
{
	struct statx st;
	int i;

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault STATX 1 errno:-38"));
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), 0, STATX_BASIC_STATS, &st));
	reset_counters(&self->fs);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, ALL, &st));
		EXPECT_EQ(0, st.stx_mask & STATX_BTIME);
		EXPECT_EQ(6, st.stx_size);
		EXPECT_EQ(i ? 1 : 101, asked(&self->fs));
	}
}

static int error_of(int returned)
{
	return returned ? errno : 0;
}

/* Offsets are those of struct fuse_statx_out and struct fuse_attr_out. */
TEST_F(stat, hostile)
{
	static const struct {
		const char *fault, *what;
		int mask;
	} lies[] = {
		{ "fault STATX 1 poke:60:16877", "STATX with another type", ALL },
		{ "fault STATX 1 poke:60:0", "STATX without a type", ALL },
		{ "fault STATX 1 poke:76:2147483648", "STATX with a negative size", ALL },
		{ "fault GETATTR 1 poke:76:16877", "GETATTR with another type", STATX_BASIC_STATS },
		{ "fault GETATTR 1 poke:28:2147483648", "GETATTR with a negative size", STATX_BASIC_STATS },
	};
	struct statx st;
	size_t i;

	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		ASSERT_EQ(0, device(&self->fs, NULL, 0, lies[i].fault));
		EXPECT_EQ(EIO, error_of(statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, lies[i].mask, &st))) {
			TH_LOG("%s", lies[i].what);
		}
		/* The inode is given up; its name finds it again. */
		EXPECT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, lies[i].mask, &st)) {
			TH_LOG("after %s", lies[i].what);
		}
		EXPECT_EQ(6, st.stx_size);
	}
}

/* An answer with a part of what was asked for is made whole. */
TEST_F(stat, partial)
{
	struct statx st;

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault STATX 1 poke:32:2560"));
	ASSERT_EQ(0, statx(AT_FDCWD, at(&self->fs, "s/f"), AT_STATX_FORCE_SYNC, ALL, &st));
	EXPECT_EQ(6, st.stx_size);
	OURS((st.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS && st.stx_mode & 0400,
	     "the C client hands a part of the attributes to the caller");
}

/* New entries make the folder's times stale, not who may use it. */
TEST_F(stat, entries)
{
	struct stat before, after;
	char name[32];
	int i, fd;

	ASSERT_EQ(0, stat(at(&self->fs, "s/d"), &before));
	asked(&self->fs);
	for (i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "s/d/%d", i);
		fd = open(at(&self->fs, name), O_WRONLY | O_CREAT, 0644);
		ASSERT_GE(fd, 0);
		close(fd);
	}
	ASSERT_EQ(0, mkdir(at(&self->fs, "s/d/d"), 0755));
	ASSERT_EQ(0, rename(at(&self->fs, "s/d/0"), at(&self->fs, "s/d/x")));
	ASSERT_EQ(0, unlink(at(&self->fs, "s/d/1")));
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, stat(at(&self->fs, "s/d"), &after));
	EXPECT_EQ(1, asked(&self->fs));
	EXPECT_NE(0, memcmp(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim)));
	EXPECT_EQ(before.st_nlink + 1, after.st_nlink);
}

/* Nobody is turned away for what is only remembered. */
TEST_F(stat, denied)
{
	int fd;

	ASSERT_EQ(0, seteuid(1000));
	fd = open(at(&self->fs, "s/f"), O_RDONLY);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(EACCES, errno);
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "chmod 644 s/f"));
	ASSERT_EQ(0, seteuid(1000));
	fd = open(at(&self->fs, "s/f"), O_RDONLY);
	EXPECT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(0, seteuid(0));
}

/* The rest is about DAX files, whose data changes without a request. */
FIXTURE(dax)
{
	struct fs fs;
};

FIXTURE_SETUP(dax)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("dax") || !server_is_daxfsd())
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, mounted(&self->fs, "dax", "dax=inode", "cache always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf s; mkdir s; head -c 8192 /dev/zero >s/f; touch -d 2001-01-01 s/f"));
}

FIXTURE_TEARDOWN(dax)
{
	device(&self->fs, NULL, 0, "faults clear");
	device(&self->fs, NULL, 0, "release-hung");
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

/* An overwrite makes times stale, and nothing else: reading goes on without asking. */
TEST_F(dax, overwrite)
{
	struct stat st;
	char c = 'x';
	int fd = open(at(&self->fs, "s/f"), O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, &c, 1, 0));
	asked(&self->fs);
	ASSERT_EQ(1, pread(fd, &c, 1, 8191));
	EXPECT_EQ(0, access(at(&self->fs, "s/f"), R_OK));
	EXPECT_EQ(0, asked(&self->fs));
	ASSERT_EQ(0, fstat(fd, &st));
	close(fd);
	OURS(asked(&self->fs) == 1 && st.st_mtime > 1000000000, "the C client goes on believing the times of a DAX file");
}

/* An answer that a later change overtakes is not lost: it is newer than what there was. */
TEST_F(dax, overtaken)
{
	int fd = open(at(&self->fs, "s/f"), O_RDWR), status;
	struct statx st;
	char c = 'x';
	pid_t pid;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, &c, 1, 0));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault GETATTR 1 hang"));
	pid = fork();
	if (!pid) {
		if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st))
			_exit(1);
		_exit(st.stx_mtime.tv_sec > 1000000000 ? 0 : 2);
	}
	ASSERT_TRUE(soon(hanging(&self->fs) == 1));
	ASSERT_EQ(1, pwrite(fd, &c, 1, 1));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "release-hung"));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
	close(fd);
}

/* STATX says nothing of how a file is to be reached: asking for the time of birth must not drop the inode. */
TEST_F(dax, statx_keeps)
{
	int fd = open(at(&self->fs, "s/f"), O_RDONLY), i;
	struct statx st;
	char c;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pread(fd, &c, 1, 0));
	reset_counters(&self->fs);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, ALL, &st));
		EXPECT_NE(0, st.stx_attributes & STATX_ATTR_DAX);
	}
	close(fd);
	EXPECT_EQ(2, counter(&self->fs, "STATX"));
	reset_counters(&self->fs);
	fd = open(at(&self->fs, "s/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pread(fd, &c, 1, 0));
	close(fd);
	OURS(counter(&self->fs, "LOOKUP") == 0 && counter(&self->fs, "SETUPMAPPING") == 0,
	     "the C client takes an answer to STATX for one that says: no DAX");
}

TEST_HARNESS_MAIN
