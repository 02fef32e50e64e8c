// SPDX-License-Identifier: GPL-2.0
/*
 * Defects of the C client, each as a case in which ours behaves; the reasons carry their numbers. With the C
 * modules they are known differences; what would hang them or make the kernel WARN is not tried there.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (2 * RANGE)

FIXTURE(mapped)
{
	struct fs fs;
};

FIXTURE_VARIANT(mapped)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(mapped, pages)
{
	.huge = false,
};

FIXTURE_VARIANT_ADD(mapped, huge)
{
	.huge = true,
};

FIXTURE_SETUP(mapped)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf x; mkdir x"));
}

FIXTURE_TEARDOWN(mapped)
{
	if (self->fs.mounted)
		device(&self->fs, NULL, 0, "delay all 0");
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* This process has the file mapped and touched; another does something to it. Page faults of this process after that. */
static long faults_after(struct fs *fs, bool huge, bool store, int (*other)(const char *path))
{
	int fd = open(at(fs, "x/f"), O_RDWR), status;
	char *p = map_at(fd, SIZE, PROT_READ | PROT_WRITE, huge);
	long before, first;
	pid_t pid;

	if (fd < 0 || p == MAP_FAILED)
		return -1;
	/* Once without the file, as the first call of a function may fault itself. */
	touch_all(p, PAGE);
	before = faults();
	touch_all(p, SIZE);
	first = faults() - before;
	/* One fault for each 2 MiB: else this is not the case that it says it is. */
	if (huge && first > (long)(SIZE / RANGE))
		return -2;
	if (store)
		p[0] = p[RANGE] = 1;
	pid = fork();
	if (!pid)
		_exit(other(at(fs, "x/f")));
	if (waitpid(pid, &status, 0) != pid || status)
		return -3;
	/* fork() has write-protected the stack; that is over before the count, for all of it that the count uses. */
	touch_all(p, PAGE);
	faults();
	before = faults();
	touch_all(p, SIZE);
	before = faults() - before;
	munmap(p, SIZE);
	close(fd);
	return before;
}

static int open_and_read(const char *path)
{
	int fd = open(path, O_RDONLY);
	char c;

	return fd < 0 || read(fd, &c, 1) != 1;
}

static int write_and_stat(const char *path)
{
	int fd = open(path, O_RDWR);
	struct statx stx;

	if (fd < 0 || pwrite(fd, "new", 3, PAGE) != 3)
		return 1;
	/* The attributes are asked for again, and are new. */
	return statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx) || stx.stx_size != SIZE;
}

TEST_F(mapped, open_keeps_mappings)
{
	if (c_is_spared())
		SKIP(return, "known difference: open() drops the mappings of every process, with a WARNING (G-2)");
	ASSERT_EQ(0, host_make(&self->fs, "x/f", SIZE, 1));
	EXPECT_EQ(0, faults_after(&self->fs, variant->huge, false, open_and_read));
	EXPECT_EQ(0, faults_after(&self->fs, variant->huge, true, open_and_read));
}

TEST_F(mapped, refresh_keeps_mappings)
{
	if (c_is_spared())
		SKIP(return, "known difference: new times drop the mappings of every process, with a WARNING (G-3)");
	ASSERT_EQ(0, host_make(&self->fs, "x/f", SIZE, 1));
	EXPECT_EQ(0, faults_after(&self->fs, variant->huge, false, write_and_stat));
}

/* What is stored by a mapping is for the flusher once at most; then it is stored without a fault, and fsync() is a request still. */
TEST_F(mapped, stored_is_not_dirty_for_ever)
{
	long before, left, again;
	int fd, i;
	char *p;

	ASSERT_EQ(0, host_make(&self->fs, "x/f", SIZE, 1));
	fd = open(at(&self->fs, "x/f"), O_RDWR);
	p = map_at(fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	ASSERT_EQ(0, syncfs(fd));
	before = inodes_to_flush(at(&self->fs, "x"));
	ASSERT_EQ(0, before);
	/* More than is looked at at a time. */
	for (i = 0; i < 200; i++)
		p[i * PAGE] = p[RANGE + i * PAGE] = 'a';
	EXPECT_EQ(1, inodes_to_flush(at(&self->fs, "x")));
	ASSERT_EQ(0, syncfs(fd));
	left = inodes_to_flush(at(&self->fs, "x"));
	faults();
	before = faults();
	for (i = 0; i < 200; i++)
		p[i * PAGE] = p[RANGE + i * PAGE] = 'b';
	again = faults() - before;
	if (!left)
		left = inodes_to_flush(at(&self->fs, "x"));
	reset_counters(&self->fs);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(1, counter(&self->fs, "FSYNC"));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "[ $(tr -dc b <x/f | wc -c) -ge 400 ]"));
	munmap(p, SIZE);
	close(fd);
	EXPECT_EQ(0, again);
	OURS(left == 0, "the flusher comes to the inode for ever (G-21)");
}

#define ROUNDS 16

/* Round by round for a reader that cannot write: the first touch of one more range. */
static void read_rounds(const char *p, volatile int *round, volatile int *done)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		while (*round <= i)
			;
		if (i == 1)
			pause_ms(10);
		touch_all(p + i * RANGE, PAGE);
		*done = i + 1;
	}
}

/*
 * The first touch of a range by a reader that cannot write and by a writer, at once or the one after the other, while the
 * device takes its time: what is stored has gone through a mapping that was asked for writing.
 */
TEST_F(mapped, store_never_through_read_only)
{
	volatile int *turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd, i, status, bad = 0;
	pid_t pid;
	char *p;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu x/f", ROUNDS * RANGE));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay SETUPMAPPING 20"));
	pid = fork();
	if (!pid) {
		fd = open(at(&self->fs, "x/f"), O_RDONLY);
		read_rounds(map_at(fd, ROUNDS * RANGE, PROT_READ, variant->huge), &turn[0], &turn[1]);
		_exit(0);
	}
	fd = open(at(&self->fs, "x/f"), O_RDWR);
	p = map_at(fd, ROUNDS * RANGE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	for (i = 0; i < ROUNDS && !bad; i++) {
		turn[0] = i + 1;
		if (i == 0)
			pause_ms(10);
		p[i * RANGE + 5 * PAGE] = 'w';
		bad = strcmp(mode_of(&self->fs, "x/f", i * RANGE), "rw");
		while (turn[1] <= i)
			pause_ms(1);
	}
	turn[0] = ROUNDS;
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	munmap(p, ROUNDS * RANGE);
	close(fd);
	OURS(!bad, "a store goes through a mapping that was asked for read-only (G-25)");
}

FIXTURE(data)
{
	struct fs fs;
};

FIXTURE_SETUP(data)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf x; mkdir x"));
}

FIXTURE_TEARDOWN(data)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* The guest's modification time is the host's, and later than before. */
static bool time_is_new(const struct fs *fs, const struct stat *before)
{
	char text[64] = "";
	struct stat st;

	if (stat(at(fs, "x/f"), &st))
		return false;
	if (host(fs, text, sizeof(text), "stat -c %%.9Y x/f"))
		return false;
	return atol(text) == st.st_mtim.tv_sec && atol(strchr(text, '.') + 1) == st.st_mtim.tv_nsec &&
	       (st.st_mtim.tv_sec > before->st_mtim.tv_sec ||
		(st.st_mtim.tv_sec == before->st_mtim.tv_sec && st.st_mtim.tv_nsec > before->st_mtim.tv_nsec));
}

TEST_F(data, times_after_overwrite)
{
	struct stat before;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "x/f", 4 * PAGE, 1));
	fd = open(at(&self->fs, "x/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	pause_ms(50);
	ASSERT_EQ(0, fstat(fd, &before));
	reset_counters(&self->fs);
	ASSERT_EQ(3, pwrite(fd, "new", 3, PAGE));
	ASSERT_EQ(0, counter(&self->fs, "WRITE"));
	close(fd);
	OURS(time_is_new(&self->fs, &before), "the old time is believed after a DAX write (U-3)");
}

TEST_F(data, times_after_store)
{
	struct stat before;
	char *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "x/f", 4 * PAGE, 1));
	fd = open(at(&self->fs, "x/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	pause_ms(50);
	ASSERT_EQ(0, fstat(fd, &before));
	p[2 * PAGE] = 'n';
	munmap(p, 4 * PAGE);
	close(fd);
	OURS(time_is_new(&self->fs, &before), "the old time is believed after a store (U-3)");
}

TEST_F(data, host_appends)
{
	char buf[16] = "";
	ssize_t n;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "x/f", 4000, 1));
	fd = open(at(&self->fs, "x/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(8, pread(fd, buf, 8, 0));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf appended >>x/f"));
	/* Attributes are believed for a second, by a clock that may be late. */
	(void)soon((n = pread(fd, buf, sizeof(buf), 4000)) != 0);
	close(fd);
	OURS(n == 8, "a DAX read at the end of the file does not ask where it is now (G-23)");
	EXPECT_EQ(0, memcmp(buf, "appended", 8));
}

/* With a server that wants every access (FOPEN_DIRECT_IO), the last page is dirty by a mapping when data is appended. */
TEST(append_behind_dirty_page)
{
	struct fs fs = {};
	char buf[300], *p;
	ssize_t n;
	int fd;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("direct"))
		SKIP(return, "no device with a window and --cache=never");
	ASSERT_EQ(0, fs_mount(&fs, "direct", "dax=always"));
	ASSERT_EQ(0, host_make(&fs, "f", PAGE + 100, 1));
	fd = open(at(&fs, "f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	fill(p + PAGE, PAGE, 100, 2);
	fill(buf, PAGE + 100, 300, 2);
	n = pwrite(fd, buf, 300, PAGE + 100);
	EXPECT_TRUE(n == 300 || errno == EBUSY);
	if (n == 300) {
		EXPECT_EQ(-1, differs(p + PAGE, PAGE, 400, 2));
		EXPECT_EQ(0, host(&fs, NULL, 0, "test $(stat -c %%s f) = %lu", PAGE + 400));
	}
	munmap(p, 2 * PAGE);
	close(fd);
	EXPECT_EQ(0, fs_umount(&fs));
	OURS(n == 300, "EBUSY, as a dirty page of a mapping cannot be dropped (G-5)");
}

/* Mounts the tag and tells whether INIT offered what it should, given whether a window is used. */
static int offered_right(const char *tag, const char *options, bool inode_dax, bool alignment)
{
	char text[4096] = "", *line;
	struct fs fs = {};
	int wrong = 0;

	if (fs_mount(&fs, tag, options) || !initialized(&fs) || device(&fs, text, sizeof(text), "init"))
		return -1;
	line = strstr(text, "offered ");
	if (line) {
		line[strcspn(line, "\n")] = 0;
		wrong |= !!strstr(line, "HAS_INODE_DAX") != inode_dax;
		wrong |= (!!strstr(line, "MAP_ALIGNMENT") != alignment) << 1;
	}
	return fs_umount(&fs) || !line ? -2 : wrong;
}

TEST(init_flags)
{
	int wrong;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	EXPECT_EQ(0, offered_right("dax", "", true, true));
	EXPECT_EQ(0, offered_right("dax", "dax=inode", true, true));
	EXPECT_EQ(0, offered_right("dax", "dax=always", false, true));
	EXPECT_EQ(0, offered_right("nodax", "dax=never", false, false));
	wrong = offered_right("dax", "dax=never", false, false) | offered_right("nodax", "", false, false) |
		offered_right("nodax", "dax=inode", false, false);
	OURS(wrong == 0, "DAX is advertised where there can be none (G-12)");
}

/* A mode of DAX that cannot be had is refused, not ignored. */
TEST(other_mode_is_refused)
{
	struct fs fs = {};
	int again, re;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	ASSERT_EQ(0, mkdir("/tmp/again", 0755));
	again = mount("dax", "/tmp/again", "virtiofs", 0, "dax=never") ? errno : 0;
	if (!again)
		umount("/tmp/again");
	re = mount("dax", fs.dir, "virtiofs", MS_REMOUNT, "dax=never") ? errno : 0;
	/* The one there is can be had again. */
	EXPECT_EQ(0, mount("dax", "/tmp/again", "virtiofs", 0, "dax=always"));
	EXPECT_EQ(0, umount("/tmp/again"));
	rmdir("/tmp/again");
	EXPECT_EQ(0, fs_umount(&fs));
	OURS(again == EINVAL && re == EINVAL, "another dax= option is accepted and ignored (G-19)");
}

TEST_HARNESS_MAIN
