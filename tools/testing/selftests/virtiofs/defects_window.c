// SPDX-License-Identifier: GPL-2.0
/*
 * Defects of the C client that need a small window, slow memory or another user, each as a case in which ours behaves; the
 * reasons carry their numbers. What would hang the C modules is not tried there.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static uint64_t state;

static uint32_t any(uint32_t below)
{
	state = state * 6364136223846793005UL + 1442695040888963407UL;
	return (state >> 33) % below;
}

#define PROCS 3
#define PART (4 * RANGE)
#define ROUNDS 120

/* Loads and reads at random, with a page in a pipe for some rounds. 0, or what was wrong. */
static int reclaim_and_pin(struct fs *fs, int who)
{
	char name[8], buf[PAGE], *p;
	size_t pinned = 0, pos;
	int fd, pages[2], i;
	struct iovec v;

	snprintf(name, sizeof(name), "%d", who);
	state = who + 1;
	fd = open(at(fs, name), O_RDWR);
	p = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || p == MAP_FAILED || pipe(pages))
		return 1;
	for (i = 0; i < ROUNDS; i++) {
		pos = any(PART / PAGE) * PAGE;
		if (differs(p + pos, pos, PAGE, who + 1) != -1)
			return 2;
		pos = any(PART / PAGE) * PAGE;
		if (pread(fd, buf, PAGE, pos) != PAGE || differs(buf, pos, PAGE, who + 1) != -1)
			return 3;
		fill(p + pos, pos, PAGE, who + 1);
		if (pinned && !any(4)) {
			if (read(pages[0], buf, PAGE) != PAGE || differs(buf, pinned, PAGE, who + 1) != -1)
				return 4;
			pinned = 0;
		} else if (!pinned) {
			pinned = pos ?: PAGE;
			v = (struct iovec){ p + pinned, PAGE };
			if (vmsplice(pages[1], &v, 1, 0) != PAGE)
				return 5;
		}
	}
	return 0;
}

/* A pinned page while its range is wanted by others: every range has one owner, who finds his own bytes. */
TEST(range_of_pinned_page_stays)
{
	static const char *const wrong[] = { "unmap_unmapped", "slot_twice", "bad_requests", "qemu_refused" };
	struct fs fs = {};
	int i, status;
	char name[8];

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return, "no device with a window of 16 MiB");
	if (c_is_spared())
		SKIP(return, "known difference: gives one range to two files (G-1), or spins for one (G-6)");
	ASSERT_EQ(0, fs_mount(&fs, "second", "dax=always"));
	for (i = 0; i < PROCS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ASSERT_EQ(0, host_make(&fs, name, PART, i + 1));
	}
	reset_counters(&fs);
	for (i = 0; i < PROCS; i++)
		if (!fork())
			_exit(reclaim_and_pin(&fs, i));
	for (i = 0; i < PROCS; i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
	for (i = 0; i < PROCS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		EXPECT_EQ(0, host_has(&fs, name, PART, i + 1));
	}
	EXPECT_EQ(0, ranges_unaccounted("second"));
	EXPECT_EQ(0, window_number("second", "ranges_retired"));
	EXPECT_EQ(0, fs_umount(&fs));
	for (i = 0; i < (int)ARRAY_SIZE(wrong); i++)
		EXPECT_EQ(0, counter(&fs, wrong[i])) { TH_LOG("%s", wrong[i]); }
}

/* Memory whose first touch never ends. */
static char *slow_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	reg.range.start = (uintptr_t)p;
	reg.range.len = PAGE;
	if (fd < 0 || p == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return NULL;
	return p;
}

/* Who reads into or writes from memory that is slow keeps no range meanwhile; and dies at once. */
TEST(slow_memory_keeps_no_range)
{
	struct fs fs = {};
	int fd, i, status;
	char *p, *slow;
	pid_t pid[2], other;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("tiny"))
		SKIP(return, "no device with a window of 2 MiB");
	if (c_is_spared())
		SKIP(return, "known difference: the range is kept, and others wait for it and cannot be killed (G-7, G-8)");
	if (!slow_page())
		SKIP(return, "no userfaultfd");
	ASSERT_EQ(0, fs_mount(&fs, "tiny", "dax=always"));
	ASSERT_EQ(0, host_make(&fs, "f", 4 * RANGE, 1));
	fd = open(at(&fs, "f"), O_RDWR);
	p = mmap(NULL, 4 * RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			slow = slow_page();
			_exit((i ? pwrite(fd, slow, PAGE, 0) : pread(fd, slow, PAGE, 0)) != PAGE);
		}
		pause_ms(100);
	}
	other = fork();
	if (!other)
		_exit(differs(p + RANGE, RANGE, 2 * RANGE, 1) != -1);
	EXPECT_EQ(0, ended_by(other, now_ms() + SOON_MS));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, waitpid(pid[i], &status, WNOHANG));
		kill(pid[i], SIGKILL);
		EXPECT_NE(-1, ended_by(pid[i], now_ms() + SOON_MS));
	}
	EXPECT_EQ(0, ranges_unaccounted("tiny"));
	EXPECT_EQ(0, host_has(&fs, "f", 4 * RANGE, 1));
	munmap(p, 4 * RANGE);
	close(fd);
	EXPECT_EQ(0, fs_umount(&fs));
}

/* Whether set-uid and set-gid are gone, here and on the host, after somebody else has written inside the file. */
static bool privileges_go(struct fs *fs)
{
	int status, fd;
	struct stat st;
	pid_t pid;

	if (host(fs, NULL, 0, "rm -f suid; head -c 8192 /dev/zero >suid; chmod 6777 suid") || stat(at(fs, "suid"), &st) ||
	    (st.st_mode & 07777) != 06777)
		return false;
	reset_counters(fs);
	pid = fork();
	if (!pid) {
		if (setgid(1000) || setuid(1000))
			_exit(1);
		fd = open(at(fs, "suid"), O_RDWR);
		_exit(fd < 0 || pwrite(fd, "new", 3, 4096) != 3);
	}
	if (waitpid(pid, &status, 0) != pid || status || stat(at(fs, "suid"), &st))
		return false;
	return (st.st_mode & 06000) == 0 && !host(fs, NULL, 0, "test $(stat -c %%a suid) = 777");
}

/* A write by DAX is one that the server does not see: the client takes set-uid away, whatever was agreed on. */
TEST(suid_goes_with_a_dax_write)
{
	struct fs fs = {};
	bool plain, agreed;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	plain = privileges_go(&fs);
	ASSERT_EQ(0, fs_umount(&fs));
	ASSERT_EQ(0, device(&fs, NULL, 0, "enable HANDLE_KILLPRIV_V2"));
	ASSERT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	agreed = privileges_go(&fs);
	EXPECT_EQ(0, fs_umount(&fs));
	EXPECT_EQ(0, device(&fs, NULL, 0, "enable none"));
	EXPECT_TRUE(plain);
	OURS(agreed, "set-uid stays where the server is to take it away (G-13)");
}

/* What makes no sense on virtiofs is not offered to the server. */
TEST(foreign_flags)
{
	char text[4096] = "", *line;
	struct fs fs = {};
	bool foreign;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	ASSERT_TRUE(initialized(&fs));
	ASSERT_EQ(0, device(&fs, text, sizeof(text), "init"));
	EXPECT_EQ(0, fs_umount(&fs));
	line = strstr(text, "offered ");
	ASSERT_NE(NULL, line);
	line[strcspn(line, "\n")] = 0;
	foreign = strstr(line, "PASSTHROUGH") || strstr(line, "OVER_IO_URING");
	OURS(!foreign, "passthrough is offered where there is no /dev/fuse (G-24)");
}

/* While a file is synced, which may take its time, others read and write what is in the window. */
TEST(fsync_keeps_nobody_out)
{
	struct fs fs = {};
	char buf[8];
	bool waited;
	pid_t pid, other;
	int fd;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&fs, "dax", "dax=always"));
	ASSERT_EQ(0, host_make(&fs, "f", 4 * PAGE, 1));
	fd = open(at(&fs, "f"), O_RDWR);
	ASSERT_EQ(8, pwrite(fd, "8 bytes", 8, 0));
	ASSERT_EQ(0, device(&fs, NULL, 0, "fault FSYNC 1 hang"));
	pid = fork();
	if (!pid)
		_exit(!!fsync(fd));
	EXPECT_TRUE(soon(hanging(&fs) == 1));
	other = fork();
	if (!other)
		_exit(pread(fd, buf, 8, 0) != 8 || pwrite(fd, buf, 8, PAGE) != 8);
	/* It has all the time that it needs: the other one does not end before it is let go. */
	waited = ended_by(other, now_ms() + (module_is_c() ? 3000 : SOON_MS)) != 0;
	unhang(&fs);
	EXPECT_EQ(0, ended_by(pid, now_ms() + SOON_MS));
	if (waited)
		waitpid(other, NULL, 0);
	close(fd);
	EXPECT_EQ(0, fs_umount(&fs));
	OURS(!waited, "reads and writes wait for the end of fsync() (W-28)");
}

/* Mounts, maps one range and has the device fail when it is to unmap it: `kind` says how. */
static bool fail_removal(struct __test_metadata *_metadata, struct fs *fs, const char *kind)
{
	char buf[8], fault[64];
	int fd;

	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return false, "no device with a small window");
	if (module_is_c())
		SKIP(return false, "known difference: a line in the log, and the range is given out as if nothing had been (U-8)");
	EXPECT_EQ(0, fs_mount(fs, "second", "dax=always"));
	EXPECT_EQ(0, host_make(fs, "f", 2 * RANGE, 1));
	EXPECT_EQ(0, host_make(fs, "g", window_number("second", "ranges_total") * RANGE, 2));
	fd = open(at(fs, "f"), O_RDONLY);
	EXPECT_EQ(8, pread(fd, buf, 8, 0));
	close(fd);
	snprintf(fault, sizeof(fault), "fault REMOVEMAPPING 1 %s", kind);
	EXPECT_EQ(0, device(fs, NULL, 0, fault));
	EXPECT_EQ(0, unlink(at(fs, "f")));
	return true;
}

/* Touches every part of a file that is as large as the window, and looks at the data. */
static void touch_parts(struct __test_metadata *_metadata, struct fs *fs)
{
	long n = window_number("second", "ranges_total");
	char buf[8], *map;
	int fd = open(at(fs, "g"), O_RDONLY);

	map = mmap(NULL, n * RANGE, PROT_READ, MAP_SHARED, fd, 0);
	for (long i = 0; i < n; i++) {
		EXPECT_EQ(-1, differs(map + i * RANGE + 64, i * RANGE + 64, 8, 2));
		EXPECT_EQ(8, pread(fd, buf, 8, i * RANGE));
		EXPECT_EQ(-1, differs(buf, i * RANGE, 8, 2));
	}
	munmap(map, n * RANGE);
	close(fd);
}

/* The device says that it did not give a range back: it is mapped over by the next who needs one. */
TEST(failed_removal_is_mapped_over)
{
	struct fs fs = {};
	long overlays;

	kmsg("ksft-case", _metadata->name);
	if (!fail_removal(_metadata, &fs, "errno:-5"))
		return;
	EXPECT_TRUE(soon(window_number("second", "ranges_parked") == 1));
	device(&fs, NULL, 0, "faults clear");
	EXPECT_EQ(0, window_number("second", "ranges_retired"));
	EXPECT_EQ(0, ranges_unaccounted("second"));
	overlays = window_number("second", "overlays");
	touch_parts(_metadata, &fs);
	EXPECT_EQ(overlays + 1, window_number("second", "overlays"));
	EXPECT_EQ(window_number("second", "ranges_total"), window_number("second", "ranges_mapped"));
	EXPECT_EQ(0, fs_umount(&fs));
	EXPECT_EQ(0, counter(&fs, "live_maps"));
}

/* Nobody knows whether the device has given a range back: it is out of use and counted, and the others go on. */
TEST(lost_removal_is_counted)
{
	struct fs fs = {};

	kmsg("ksft-case", _metadata->name);
	if (!fail_removal(_metadata, &fs, "short"))
		return;
	EXPECT_TRUE(soon(window_number("second", "ranges_retired") == 1));
	device(&fs, NULL, 0, "faults clear");
	EXPECT_EQ(0, ranges_unaccounted("second"));
	touch_parts(_metadata, &fs);
	EXPECT_EQ(0, ranges_unaccounted("second"));
	EXPECT_EQ(0, fs_umount(&fs));
	EXPECT_EQ(0, counter(&fs, "live_maps"));
	/* The next mount has all of them. */
	ASSERT_EQ(0, fs_mount(&fs, "second", "dax=always"));
	EXPECT_EQ(0, window_number("second", "ranges_retired"));
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
