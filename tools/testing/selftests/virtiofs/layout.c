// SPDX-License-Identifier: GPL-2.0
/*
 * What takes pages of a DAX file away, while another process has the file mapped and touched: truncation, holes, copies by
 * the server, changes by the host. Only the part concerned leaves its page tables, which are read in /proc/PID/pagemap.
 * And while a page is pinned, as it is in a pipe: who needs it gone waits, and can be killed; nobody else does.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/falloc.h>
#include <sys/uio.h>

#define SIZE (4 * RANGE)
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* What happens to the file, always about its third range but for sizes. */
enum event { DOWN, UP, TRUNC, HOLE, ZERO, COLLAPSE, COPY, CLONE, HOST_UP, HOST_DOWN };

/* So long is waited for a size that the host has changed to be taken over. */
static long patience = SOON_MS;

/* Done by this process; 0 or an errno. fd is the file, other a smaller one. */
static int happen(const struct fs *fs, enum event event, int fd, int other)
{
	loff_t from = 0, to = 2 * RANGE + 4 * PAGE;
	struct stat st;
	long end;

	switch (event) {
	case DOWN:
		return ftruncate(fd, 2 * RANGE + 4 * PAGE) ? errno : 0;
	case UP:
		return ftruncate(fd, SIZE + RANGE) ? errno : 0;
	case TRUNC:
		return close(open(at(fs, "l/f"), O_RDWR | O_TRUNC)) ? errno : 0;
	case HOLE:
		return fallocate(fd, PUNCH, to, 16 * PAGE) ? errno : 0;
	case ZERO:
		return fallocate(fd, FALLOC_FL_ZERO_RANGE, to, 16 * PAGE) ? errno : 0;
	case COLLAPSE:
		return fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, to, 16 * PAGE) ? errno : 0;
	case COPY:
		return copy_file_range(other, &from, fd, &to, 16 * PAGE, 0) == 16 * PAGE ? 0 : errno;
	case CLONE:
		return ioctl(fd, FICLONE, other) ? errno : 0;
	default:
		if (host(fs, NULL, 0, "truncate -s %lu l/f", event == HOST_UP ? SIZE + RANGE : 2 * RANGE))
			return EIO;
		/* Attributes are believed for a second, by a clock that may be late. Until then a touch would have the host die of it. */
		for (end = now_ms() + patience; now_ms() < end; pause_ms(200)) {
			if (fstat(fd, &st))
				return errno;
			if (st.st_size == (off_t)(event == HOST_UP ? SIZE + RANGE : 2 * RANGE))
				return 0;
		}
		return ERANGE;
	}
}

FIXTURE(layout)
{
	struct fs fs;
	int fd, other;
	char *p;
	/* Has the file mapped and touched, one page pinned if this is such a case, and waits for a byte in the first pipe. */
	pid_t holder;
	int to_holder, from_holder;
};

FIXTURE_VARIANT(layout)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(layout, pages) { .huge = false };
FIXTURE_VARIANT_ADD(layout, huge) { .huge = true };

FIXTURE_SETUP(layout)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf l; mkdir l"));
	ASSERT_EQ(0, host_make(&self->fs, "l/f", SIZE, 1));
	ASSERT_EQ(0, host_make(&self->fs, "l/other", 64 * PAGE, 2));
	self->fd = open(at(&self->fs, "l/f"), O_RDWR);
	self->other = open(at(&self->fs, "l/other"), O_RDWR);
	ASSERT_TRUE(self->fd >= 0 && self->other >= 0);
	self->p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_NE(MAP_FAILED, self->p);
}

FIXTURE_TEARDOWN(layout)
{
	if (self->holder > 0) {
		kill(self->holder, SIGKILL);
		waitpid(self->holder, NULL, 0);
	}
	if (self->fd >= 0) {
		munmap(self->p, SIZE);
		close(self->fd);
		close(self->other);
	}
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/*
 * Starts the holder: it touches all of its mapping, puts the page at pin into a pipe (-1: none), and when told to, takes
 * it out again, says whether it is still the pattern of the seed, and waits to be killed.
 */
static int hold(struct fs *fs, char *p, long pin, pid_t *pid, int *to, int *from)
{
	int down[2], up[2], pages[2];
	char buf[PAGE], said;
	struct iovec v = { p + pin, PAGE };

	if (pipe(down) || pipe(up) || pipe(pages))
		return -1;
	*pid = fork();
	if (!*pid) {
		touch_all(p, SIZE);
		if (pin >= 0 && vmsplice(pages[1], &v, 1, 0) != PAGE)
			_exit(1);
		if (write(up[1], "r", 1) != 1 || read(down[0], &said, 1) != 1)
			_exit(2);
		said = pin >= 0 && (read(pages[0], buf, PAGE) != PAGE || differs(buf, pin, PAGE, 1) != -1) ? 'x' : 'y';
		if (write(up[1], &said, 1) != 1)
			_exit(3);
		pause();
		_exit(0);
	}
	*to = down[1];
	*from = up[0];
	/* So that the page is the holder's alone, and goes with it. */
	close(pages[0]);
	close(pages[1]);
	close(up[1]);
	return read(up[0], &said, 1) == 1 ? 0 : -1;
}

#define HOLD(pin) ASSERT_EQ(0, hold(&self->fs, self->p, pin, &self->holder, &self->to_holder, &self->from_holder))

/* The holder lets the page go; whether it still was as it was. */
static bool let_go(int to, int from)
{
	char said;

	return write(to, "g", 1) == 1 && read(from, &said, 1) == 1 && said == 'y';
}

/* Pages of each range that a process still has, as in "512 512 496 512". */
static const char *left(pid_t pid, const char *p)
{
	static char text[64];

	snprintf(text, sizeof(text), "%ld %ld %ld %ld", present(pid, p, RANGE), present(pid, p + RANGE, RANGE),
		 present(pid, p + 2 * RANGE, RANGE), present(pid, p + 3 * RANGE, RANGE));
	return text;
}

#define ALL "512 512 512 512"

/* What is left after each event, and what it returns. Entries of 2 MiB that are concerned in part go as a whole. */
static const struct {
	const char *left, *left_huge;
	int error;
} expected[] = {
	[DOWN] = { "512 512 4 0", "512 512 0 0" },
	[UP] = { ALL, ALL },
	[TRUNC] = { "0 0 0 0", "0 0 0 0" },
	[HOLE] = { "512 512 496 512", "512 512 0 512" },
	[ZERO] = { "512 512 496 512", "512 512 0 512" },
	[COLLAPSE] = { ALL, ALL, EOPNOTSUPP },
	[COPY] = { "512 512 496 512", "512 512 0 512" },
	[CLONE] = { ALL, ALL, EOPNOTSUPP },
	[HOST_UP] = { ALL, ALL },
	[HOST_DOWN] = { "512 512 0 0", "512 512 0 0" },
};

/* Whether the mapping of this process shows what it should after the event. */
static bool right_after(char *p, enum event event)
{
	static const char zeros[16 * PAGE];
	char *c = p + 2 * RANGE + 4 * PAGE;

	if (event == TRUNC)
		return touch(p, false) == SIGBUS;
	if (differs(p, 0, 2 * RANGE, 1) != -1)
		return false;
	switch (event) {
	case HOLE:
	case ZERO:
		return !memcmp(c, zeros, 16 * PAGE) && differs(p + 3 * RANGE, 3 * RANGE, RANGE, 1) == -1;
	case COPY:
		return differs(c, 0, 16 * PAGE, 2) == -1 && differs(p + 3 * RANGE, 3 * RANGE, RANGE, 1) == -1;
	case DOWN:
		return touch(c, false) == SIGBUS && differs(p + 2 * RANGE, 2 * RANGE, 4 * PAGE, 1) == -1;
	case HOST_DOWN:
		return touch(p + 2 * RANGE, false) == SIGBUS;
	default:
		return differs(p + 2 * RANGE, 2 * RANGE, 2 * RANGE, 1) == -1;
	}
}

/* What the C client does about opening, copies and what the host says makes the kernel WARN; it waits for no pinned page then. */
static bool warns(enum event event)
{
	return module_is_c() && (event == TRUNC || event == COPY || event == HOST_UP || event == HOST_DOWN);
}

#define MAPPED(name, event)                                                                                             \
	TEST_F(layout, name)                                                                                            \
	{                                                                                                               \
		const char *want = variant->huge ? expected[event].left_huge : expected[event].left;                    \
		int error;                                                                                              \
                                                                                                                        \
		if (c_is_spared() && warns(event))                                                                      \
			SKIP(return, "known difference: drops all mappings, with a WARNING (G-2, G-3, G-4)");                \
		HOLD(-1);                                                                                               \
		ASSERT_STREQ(ALL, left(self->holder, self->p));                                                         \
		error = happen(&self->fs, event, self->fd, self->other);                                                \
		if (event == ZERO && error == EOPNOTSUPP)                                                               \
			SKIP(return, "the file system of the host has no ZERO_RANGE");                                  \
		ASSERT_EQ(expected[event].error, error);                                                                \
		OURS(!strcmp(want, left(self->holder, self->p)), "the whole file leaves all page tables (4.11)");       \
		EXPECT_STREQ(want, left(self->holder, self->p));                                                        \
		EXPECT_TRUE(right_after(self->p, event));                                                               \
	}

MAPPED(mapped_truncate_down, DOWN)
MAPPED(mapped_truncate_up, UP)
MAPPED(mapped_open_truncates, TRUNC)
MAPPED(mapped_punch, HOLE)
MAPPED(mapped_zero, ZERO)
MAPPED(mapped_collapse, COLLAPSE)
MAPPED(mapped_copy_into, COPY)
MAPPED(mapped_clone_into, CLONE)
MAPPED(mapped_host_makes_longer, HOST_UP)
MAPPED(mapped_host_makes_shorter, HOST_DOWN)

/* Starts a process in which the event happens. */
static pid_t start(struct fs *fs, enum event event, int fd, int other)
{
	pid_t pid = fork();

	if (!pid)
		_exit(happen(fs, event, fd, other));
	return pid;
}

/* What can be done meanwhile: with another file everything, with this one what takes nothing away. */
static bool others_go_on(struct fs *fs, char *p, int other)
{
	char buf[8];
	char *q = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	bool ok = q != MAP_FAILED && !touch(q, true) && pread(other, buf, 8, PAGE) == 8 && pwrite(other, buf, 8, PAGE) == 8 &&
		  !fallocate(other, PUNCH, 4 * PAGE, PAGE) && !ftruncate(other, 8 * PAGE) && touch(q + 8 * PAGE, false) == SIGBUS &&
		  !ftruncate(other, 64 * PAGE);

	munmap(q, 16 * PAGE);
	/* A fault on this file. */
	madvise(p, RANGE, MADV_DONTNEED);
	return ok && !touch(p, false) && !touch(p + PAGE, true) && differs(p + PAGE + 8, PAGE + 8, PAGE - 8, 1) == -1;
}

/*
 * A page that the event takes away is pinned: the event waits. It dies of SIGKILL at once and leaves everything as it was;
 * once the page is let go, it happens.
 */
#define PINNED(name, event)                                                                                             \
	TEST_F(layout, name)                                                                                            \
	{                                                                                                               \
		long pin = 2 * RANGE + 8 * PAGE;                                                                        \
		int status;                                                                                             \
		pid_t pid;                                                                                              \
                                                                                                                        \
		if (c_is_spared() && warns(event))                                                                      \
			SKIP(return, "known difference: drops all mappings, with a WARNING (G-2, G-3, G-4)");                \
		HOLD(pin);                                                                                              \
		pid = start(&self->fs, event, self->fd, self->other);                                                   \
		EXPECT_EQ(-1, ended_by(pid, now_ms() + 300));                                                           \
		EXPECT_TRUE(others_go_on(&self->fs, self->p, self->other));                                             \
		EXPECT_EQ(0, kill(pid, SIGKILL));                                                                       \
		status = ended_by(pid, now_ms() + SOON_MS);                                                             \
		ASSERT_NE(-1, status);                                                                                  \
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);                                        \
		fill(self->p + PAGE, PAGE, PAGE, 1);                                                                    \
		EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));                                                            \
		EXPECT_EQ(0, host_has(&self->fs, "l/f", SIZE, 1));                                                      \
		ASSERT_EQ(0, host_make(&self->fs, "l/other", 64 * PAGE, 2));                                            \
		pid = start(&self->fs, event, self->fd, self->other);                                                   \
		EXPECT_EQ(-1, ended_by(pid, now_ms() + 300));                                                           \
		EXPECT_TRUE(let_go(self->to_holder, self->from_holder));                                                \
		EXPECT_EQ(0, ended_by(pid, now_ms() + SOON_MS));                                                        \
		EXPECT_TRUE(right_after(self->p, event));                                                               \
	}

PINNED(pinned_truncate_down, DOWN)
PINNED(pinned_open_truncates, TRUNC)
PINNED(pinned_punch, HOLE)
PINNED(pinned_copy_into, COPY)

/* The pinned page is in another part of the file: nobody waits. */
TEST_F(layout, pinned_elsewhere)
{
	static const enum event events[] = { UP, HOLE, COPY, DOWN };
	size_t i;
	int status;
	pid_t pid;

	HOLD(RANGE);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		if (warns(events[i]))
			continue;
		pid = start(&self->fs, events[i], self->fd, self->other);
		status = ended_by(pid, now_ms() + (module_is_c() ? 3000 : SOON_MS));
		if (status == -1)
			kill(pid, SIGKILL);
		OURS(status == 0, "waits for pinned pages of the whole file (4.11)");
	}
	EXPECT_TRUE(let_go(self->to_holder, self->from_holder));
}

/* What the host says of a size is taken over later: nobody who only looks waits for a page. */
TEST_F(layout, pinned_host_makes_shorter)
{
	struct stat st;
	char said;

	if (c_is_spared())
		SKIP(return, "known difference: drops all mappings, with a WARNING (G-2, G-3, G-4)");
	HOLD(2 * RANGE + 8 * PAGE);
	/* Several times as long as attributes are believed. */
	patience = 4000;
	ASSERT_EQ(ERANGE << 8, ended_by(start(&self->fs, HOST_DOWN, self->fd, self->other), now_ms() + SOON_MS));
	EXPECT_EQ(0, stat(at(&self->fs, "l/f"), &st));
	/* The holder reads what is in the pipe: that must not reach behind the end of the host's file. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu l/f", SIZE));
	ASSERT_EQ(1, write(self->to_holder, "g", 1));
	ASSERT_EQ(1, read(self->from_holder, &said, 1));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu l/f", 2 * RANGE));
	EXPECT_TRUE(soon(!stat(at(&self->fs, "l/f"), &st) && st.st_size == 2 * RANGE));
	EXPECT_TRUE(right_after(self->p, HOST_DOWN));
}

/* The only range has a pinned page: it stays. Reads and writes of other files go by request, faults wait and can be killed. */
TEST(pinned_in_full_window)
{
	char buf[PAGE], *p, *q;
	struct iovec v;
	struct fs fs = {};
	int fd, other, pages[2], status;
	pid_t pid;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("tiny"))
		SKIP(return, "no device with a window of 2 MiB");
	if (c_is_spared())
		SKIP(return, "known difference: waits for good, and cannot be killed (G-6, G-8, W-22)");
	ASSERT_EQ(0, fs_mount(&fs, "tiny", "dax=always"));
	ASSERT_EQ(0, host_make(&fs, "f", 2 * RANGE, 1));
	ASSERT_EQ(0, host_make(&fs, "g", 2 * RANGE, 2));
	fd = open(at(&fs, "f"), O_RDWR);
	other = open(at(&fs, "g"), O_RDWR);
	p = mmap(NULL, RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	q = mmap(NULL, 2 * RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	ASSERT_TRUE(fd >= 0 && other >= 0 && p != MAP_FAILED && q != MAP_FAILED);
	ASSERT_EQ(0, pipe(pages));
	touch_all(p, 4 * PAGE);
	v = (struct iovec){ p + PAGE, PAGE };
	ASSERT_EQ(PAGE, vmsplice(pages[1], &v, 1, 0));
	/* The second part of the same file and of the other. */
	EXPECT_EQ(PAGE, pread(fd, buf, PAGE, RANGE));
	EXPECT_EQ(-1, differs(buf, RANGE, PAGE, 1));
	EXPECT_EQ(PAGE, pread(other, buf, PAGE, 0));
	EXPECT_EQ(-1, differs(buf, 0, PAGE, 2));
	fill(buf, RANGE, PAGE, 3);
	EXPECT_EQ(PAGE, pwrite(other, buf, PAGE, RANGE));
	pid = fork();
	if (!pid) {
		touch_all(q, PAGE);
		_exit(differs(q, 0, PAGE, 2) != -1);
	}
	EXPECT_EQ(-1, ended_by(pid, now_ms() + 500));
	kill(pid, SIGKILL);
	EXPECT_NE(-1, ended_by(pid, now_ms() + SOON_MS));
	/* The page is in use all the while, and still the file's. */
	EXPECT_EQ(-1, differs(p, 0, 4 * PAGE, 1));
	pid = fork();
	if (!pid) {
		touch_all(q + RANGE, PAGE);
		_exit(differs(q + RANGE, RANGE, PAGE, 3) != -1);
	}
	EXPECT_EQ(-1, ended_by(pid, now_ms() + 300));
	EXPECT_EQ(PAGE, read(pages[0], buf, PAGE));
	EXPECT_EQ(-1, differs(buf, PAGE, PAGE, 1));
	status = ended_by(pid, now_ms() + SOON_MS);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, ranges_unaccounted("tiny"));
	munmap(p, RANGE);
	munmap(q, 2 * RANGE);
	close(fd);
	close(other);
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
