// SPDX-License-Identifier: GPL-2.0
/*
 * DAX in file systems below the shared folder, which are mounts of their own (submounts.c): all of them share one window, and
 * one file may have the same node id in two of them. What is taken from a file is taken from the right one.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/falloc.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

/* Ranges of the window, and of each file. */
#define WINDOW 8
#define PARTS 6
#define SIZE (PARTS * RANGE)
#define EDGE (3 * RANGE)

FIXTURE(below)
{
	struct fs fs;
	char elsewhere[64];
	/* In the whole, the same file in a mount below, and another in another mount below. */
	struct {
		const char *name;
		int fd;
		char *p;
		int seed;
	} file[3];
};

enum { WHOLE, SAME, OTHER };

FIXTURE_SETUP(below)
{
	int i;

	kmsg("ksft-case", _metadata->name);
	for (i = 0; i < 3; i++)
		self->file[i].fd = -1;
	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return, "no device with a window of 16 MiB");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "second");
	snprintf(self->elsewhere, sizeof(self->elsewhere), "/tmp/elsewhere.%d", getpid());
	ASSERT_EQ(0, mkdir(self->elsewhere, 0755));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable SUBMOUNTS"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0,
			  "rm -rf b; mkdir -p b/plain b/one b/in && busybox mount -t tmpfs -o size=32m none b/in && busybox mount -o bind b/plain b/one"));
	ASSERT_EQ(0, host_make(&self->fs, "b/plain/f", SIZE, 1));
	ASSERT_EQ(0, host_make(&self->fs, "b/in/f", SIZE, 2));
	ASSERT_EQ(0, fs_mount(&self->fs, "second", "dax=always"));
	self->file[WHOLE].name = "b/plain/f";
	self->file[SAME].name = "b/one/f";
	self->file[OTHER].name = "b/in/f";
	for (i = 0; i < 3; i++) {
		self->file[i].seed = 1 + (i == OTHER);
		self->file[i].fd = open(at(&self->fs, self->file[i].name), O_RDWR);
		ASSERT_GE(self->file[i].fd, 0);
		self->file[i].p = map_at(self->file[i].fd, SIZE, PROT_READ | PROT_WRITE, false);
		ASSERT_NE(MAP_FAILED, self->file[i].p);
	}
	reset_counters(&self->fs);
}

#define LET_GO(i)                                                                                                      \
	do {                                                                                                           \
		if (self->file[i].fd >= 0) {                                                                           \
			munmap(self->file[i].p, SIZE);                                                                 \
			close(self->file[i].fd);                                                                       \
			self->file[i].fd = -1;                                                                         \
		}                                                                                                      \
	} while (0)

FIXTURE_TEARDOWN(below)
{
	int i;

	for (i = 0; i < 3; i++)
		LET_GO(i);
	while (!umount2(self->elsewhere, MNT_DETACH))
		;
	rmdir(self->elsewhere);
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "busybox umount -l b/one b/in 2>/dev/null; rm -rf b"));
}

/* A page of each part, as the pattern says. */
static bool right(const char *p, int seed)
{
	size_t i;

	for (i = 0; i < PARTS; i++)
		if (differs(p + i * RANGE + 5 * PAGE, i * RANGE + 5 * PAGE, PAGE, seed) != -1)
			return false;
	return true;
}

/* Waits until the device maps nothing of the file. */
static bool unmapped(const struct fs *fs, const char *name)
{
	return soon(!mappings_of(fs, name, ""));
}

TEST_F(below, mapped_and_not_read)
{
	struct stat whole, st;
	struct statx stx;
	char buf[PAGE];
	int i;

	ASSERT_EQ(0, fstat(self->file[WHOLE].fd, &whole));
	for (i = SAME; i <= OTHER; i++) {
		ASSERT_EQ(0, fstat(self->file[i].fd, &st));
		EXPECT_NE(whole.st_dev, st.st_dev);
		ASSERT_EQ(0, statx(self->file[i].fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
		EXPECT_EQ(STATX_ATTR_DAX, stx.stx_attributes & STATX_ATTR_DAX);
		EXPECT_EQ(-1, differs(self->file[i].p, 0, PAGE, self->file[i].seed));
		ASSERT_EQ(PAGE, pread(self->file[i].fd, buf, PAGE, RANGE));
		EXPECT_EQ(-1, differs(buf, RANGE, PAGE, self->file[i].seed));
	}
	ASSERT_EQ(PAGE, pwrite(self->file[OTHER].fd, buf, PAGE, RANGE));
	self->file[OTHER].p[0] = 'x';
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test \"$(head -c 1 b/in/f)\" = x"));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	EXPECT_GE(counter(&self->fs, "SETUPMAPPING"), 3);
}

/* Both names are one file, with one node id, in two super blocks; the third is another in a third one. */
TEST_F(below, each_its_own)
{
	long present_now;
	int round, i;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < 3; i++) {
			EXPECT_TRUE(right(self->file[i].p, self->file[i].seed)) { TH_LOG("%s in round %d", self->file[i].name, round); }
			present_now = present(0, self->file[WHOLE].p, SIZE) + present(0, self->file[SAME].p, SIZE) +
				      present(0, self->file[OTHER].p, SIZE);
			/* What lost its range is in no page table. */
			EXPECT_LE(present_now, WINDOW * (long)(RANGE / PAGE));
		}
	}
	/* And where a store goes. */
	for (i = 0; i < 3; i++)
		memset(self->file[i].p + EDGE + i * PAGE, 'a' + i, PAGE);
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(right(self->file[i].p, self->file[i].seed));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ('a' + i, self->file[i].p[EDGE + i * PAGE]);
		EXPECT_EQ(0, host(&self->fs, NULL, 0, "test \"$(dd if=%s bs=1 skip=%lu count=1 status=none)\" = %c",
				  self->file[i].name, EDGE + i * PAGE, 'a' + i));
	}
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "unmap_unmapped"));
	if (!module_is_c()) {
		EXPECT_GE(window_number("second", "reclaims"), 2 * PARTS);
		EXPECT_EQ(0, window_number("second", "ranges_retired"));
		EXPECT_EQ(0, ranges_unaccounted("second"));
	}
}

/* Nodes that SETUPMAPPINGs were about lately. */
static int nodes_mapped(const struct fs *fs)
{
	char text[16384], *line, *save, op[64];
	unsigned long node, seen[8];
	int n = 0, i;

	if (device(fs, text, sizeof(text), "recent"))
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%63s %lu", op, &node) != 2 || strcmp(op, "SETUPMAPPING"))
			continue;
		for (i = 0; i < n && seen[i] != node; i++)
			;
		if (i == n && n < 8)
			seen[n++] = node;
	}
	return n;
}

/* That the case before is about what it says: two super blocks, one node. */
TEST_F(below, one_node_in_two)
{
	touch_all(self->file[WHOLE].p, PAGE);
	touch_all(self->file[SAME].p, PAGE);
	EXPECT_EQ(2, counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(1, nodes_mapped(&self->fs));
	/* What one stores the other sees: it is the host's page. */
	self->file[WHOLE].p[0] = 'q';
	EXPECT_EQ('q', self->file[SAME].p[0]);
}

TEST_F(below, unmount_gives_back)
{
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	EXPECT_EQ(PARTS, mappings_of(&self->fs, "b/in/f", ""));
	LET_GO(OTHER);
	EXPECT_EQ(0, umount(at(&self->fs, "b/in")));
	EXPECT_TRUE(unmapped(&self->fs, "b/in/f"));
	if (!module_is_c()) {
		/* The device may be done with a range before the module has heard of it. */
		EXPECT_TRUE(soon(window_number("second", "ranges_free") + window_number("second", "ranges_mapped") == WINDOW));
		EXPECT_EQ(0, ranges_unaccounted("second"));
	}
	/* The whole has the window for itself. */
	reset_counters(&self->fs);
	EXPECT_TRUE(right(self->file[WHOLE].p, 1));
	EXPECT_TRUE(right(self->file[WHOLE].p, 1));
	EXPECT_LE(counter(&self->fs, "SETUPMAPPING"), PARTS);
}

TEST_F(below, detached_while_mapped)
{
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	ASSERT_EQ(0, umount2(at(&self->fs, "b/in"), MNT_DETACH));
	/* Its mapping goes on, also when its ranges are taken and come back. */
	EXPECT_TRUE(right(self->file[WHOLE].p, 1));
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	self->file[OTHER].p[EDGE] = 'd';
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test \"$(dd if=b/in/f bs=1 skip=%lu count=1 status=none)\" = d", EDGE));
	LET_GO(OTHER);
	EXPECT_TRUE(unmapped(&self->fs, "b/in/f"));
	EXPECT_TRUE(right(self->file[WHOLE].p, 1));
}

TEST_F(below, expired)
{
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	EXPECT_EQ(-1, umount2(at(&self->fs, "b/in"), MNT_EXPIRE));
	EXPECT_EQ(EBUSY, errno);
	LET_GO(OTHER);
	EXPECT_EQ(-1, umount2(at(&self->fs, "b/in"), MNT_EXPIRE));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0, umount2(at(&self->fs, "b/in"), MNT_EXPIRE));
	EXPECT_TRUE(unmapped(&self->fs, "b/in/f"));
}

/* The session goes on in the part, and with it the window. */
TEST_F(below, outlives_the_whole)
{
	char path[128], *p;
	int fd;

	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	LET_GO(WHOLE);
	LET_GO(SAME);
	ASSERT_EQ(0, mount(at(&self->fs, "b/in"), self->elsewhere, NULL, MS_BIND, NULL));
	ASSERT_EQ(0, umount2(self->fs.dir, MNT_DETACH));
	self->fs.mounted = false;
	ASSERT_EQ(0, host_make(&self->fs, "b/in/g", SIZE, 3));
	snprintf(path, sizeof(path), "%s/g", self->elsewhere);
	fd = open(path, O_RDWR);
	ASSERT_GE(fd, 0);
	p = map_at(fd, SIZE, PROT_READ, false);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(right(p, 3));
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	EXPECT_TRUE(right(p, 3));
	munmap(p, SIZE);
	close(fd);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	LET_GO(OTHER);
	ASSERT_EQ(0, umount(self->elsewhere));
	/* The C client leaves it to DESTROY, if its worker has not come so far. */
	if (!module_is_c()) {
		EXPECT_EQ(0, counter(&self->fs, "left_mapped"));
		EXPECT_EQ(0, window_number("second", "ranges_total"));
	}
	EXPECT_EQ(0, fs_mount(&self->fs, "second", "dax=always"));
}

TEST_F(below, layout_is_broken)
{
	char *p = self->file[OTHER].p;
	int fd = self->file[OTHER].fd;

	touch_all(p, SIZE);
	touch_all(self->file[WHOLE].p, PAGE);
	EXPECT_EQ((long)(SIZE / PAGE), present(0, p, SIZE));
	/* The whole's file, and the other parts, keep what they have. */
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, EDGE, 4 * PAGE));
	EXPECT_EQ(0, p[EDGE + PAGE]);
	EXPECT_EQ(1, present(0, self->file[WHOLE].p, PAGE));
	OURS(present(0, p, RANGE) == (long)(RANGE / PAGE), "the whole file leaves page tables (W-27)");
	ASSERT_EQ(0, ftruncate(fd, EDGE + PAGE));
	EXPECT_EQ(0, touch(p + EDGE, false));
	EXPECT_EQ(SIGBUS, touch(p + EDGE + PAGE, false));
	EXPECT_EQ(1, present(0, self->file[WHOLE].p, PAGE));
	EXPECT_EQ(-1, differs(p + RANGE, RANGE, PAGE, 2));
	ASSERT_EQ(0, ftruncate(fd, SIZE));
	EXPECT_EQ(0, touch(p + SIZE - PAGE, true));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test $(stat -c %%s b/in/f) = %lu", SIZE));
}

/* A page of a file below is in a pipe: its range stays, and the others go round. */
TEST_F(below, pinned_page_stays)
{
	struct iovec v = { self->file[OTHER].p + EDGE, PAGE };
	int pages[2], round;
	char buf[PAGE];

	if (c_is_spared())
		SKIP(return, "known difference: one range is given to two files (G-1)");
	ASSERT_EQ(0, pipe(pages));
	EXPECT_TRUE(right(self->file[OTHER].p, 2));
	ASSERT_EQ(PAGE, vmsplice(pages[1], &v, 1, 0));
	for (round = 0; round < 2; round++) {
		EXPECT_TRUE(right(self->file[WHOLE].p, 1));
		EXPECT_TRUE(right(self->file[SAME].p, 1));
	}
	ASSERT_EQ(PAGE, read(pages[0], buf, PAGE));
	EXPECT_EQ(-1, differs(buf, EDGE, PAGE, 2));
	close(pages[0]);
	close(pages[1]);
	if (!module_is_c())
		EXPECT_GT(window_number("second", "pinned"), 0);
}

/* A mount below comes and goes all the while another file's faults take its ranges. */
TEST_F(below, taken_while_unmounted)
{
	int i, part, fd, status;
	char buf[8];
	off_t pos;
	pid_t pid;

	if (c_is_spared())
		SKIP(return, "known difference: its worker holds inodes while their mount ends, and the kernel oopses (G-27)");
	LET_GO(SAME);
	LET_GO(OTHER);
	pid = fork();
	if (!pid) {
		for (;;)
			if (!right(self->file[WHOLE].p, 1))
				_exit(1);
	}
	for (i = 0; i < 25; i++) {
		fd = open(at(&self->fs, "b/in/f"), O_RDONLY);
		ASSERT_GE(fd, 0);
		/* Twice each, not in order: worth a range soon, and nothing is mapped ahead. */
		for (part = 0; part < 4 * PARTS; part++) {
			pos = part * 5 % PARTS * RANGE + 7 * PAGE;
			ASSERT_EQ(8, pread(fd, buf, 8, pos));
			ASSERT_EQ(-1, differs(buf, pos, 8, 2));
		}
		close(fd);
		ASSERT_EQ(0, umount(at(&self->fs, "b/in")));
	}
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_TRUE(unmapped(&self->fs, "b/in/f"));
	if (!module_is_c()) {
		EXPECT_EQ(0, window_number("second", "ranges_retired"));
		EXPECT_EQ(0, ranges_unaccounted("second"));
	}
}

/* Whether the page is as the seed says, or is gone, now or while it is looked at. */
static bool right_or_gone(const char *page, uint64_t offset, int seed)
{
	signal(SIGBUS, on_touch);
	return sigsetjmp(touched, 1) || differs(page, offset, PAGE, seed) == -1;
}

/* The server uses a node id for something else: what had it keeps its pages, or loses them, but never shows another's. */
TEST(node_id_used_again)
{
	struct fs fs = {};
	char *p, *q, *page;
	struct stat st;
	int fd, other, again;
	size_t i;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("second"))
		SKIP(return, "no device with a window of 16 MiB");
	ASSERT_EQ(0, fs_mount(&fs, "second", "dax=always"));
	ASSERT_EQ(0, host_make(&fs, "used", SIZE, 1));
	ASSERT_EQ(0, host_make(&fs, "other", 2 * SIZE, 2));
	fd = open(at(&fs, "used"), O_RDONLY);
	other = open(at(&fs, "other"), O_RDONLY);
	ASSERT_TRUE(fd >= 0 && other >= 0);
	p = map_at(fd, SIZE, PROT_READ, false);
	q = map_at(other, 2 * SIZE, PROT_READ, false);
	ASSERT_TRUE(p != MAP_FAILED && q != MAP_FAILED);
	EXPECT_TRUE(right(p, 1));
	/* Names are believed for a second. From then on the file is of another generation. */
	reset_counters(&fs);
	ASSERT_EQ(0, device(&fs, NULL, 0, "fault LOOKUP 100 poke:8:77"));
	EXPECT_TRUE(soon(!stat(at(&fs, "used"), &st) && counter(&fs, "faults") > 0));
	again = open(at(&fs, "used"), O_RDONLY);
	EXPECT_GE(again, 0);
	ASSERT_EQ(0, device(&fs, NULL, 0, "faults clear"));
	EXPECT_EQ(-1, pread(fd, &st, 8, 0));
	EXPECT_EQ(EIO, errno);
	/* Everything gets a range in turn, so what was there loses its own. */
	for (i = 0; i < 4 * PARTS; i++) {
		page = q + i % (2 * PARTS) * RANGE + 5 * PAGE;
		EXPECT_EQ(-1, differs(page, page - q, PAGE, 2));
	}
	for (i = 0; i < PARTS; i++) {
		page = p + i * RANGE + 5 * PAGE;
		EXPECT_TRUE(right_or_gone(page, page - p, 1));
	}
	munmap(p, SIZE);
	munmap(q, 2 * SIZE);
	close(fd);
	close(other);
	close(again);
	EXPECT_EQ(0, unlink(at(&fs, "used")));
	EXPECT_EQ(0, unlink(at(&fs, "other")));
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
