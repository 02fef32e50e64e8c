// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes that change: by truncate, by open with O_TRUNC, by the host, with mappings alive. What is cut off never comes
 * back, a mapping gives SIGBUS behind the end and nowhere else, and the window gives its ranges back.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (2 * RANGE + 5 * PAGE + 100)

FIXTURE(resize)
{
	struct fs fs;
	bool dax;
	int fd;
};

FIXTURE_VARIANT(resize)
{
	const char *tag;
	const char *options;
};

FIXTURE_VARIANT_ADD(resize, nodax) { .tag = "nodax", .options = NULL };
FIXTURE_VARIANT_ADD(resize, dax) { .tag = "dax", .options = "dax=always" };

FIXTURE_SETUP(resize)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!has_tag(variant->tag))
		SKIP(return, "no device with the tag %s", variant->tag);
	self->dax = variant->options;
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf r; mkdir r"));
	self->fd = open(at(&self->fs, "r/f"), O_RDWR | O_CREAT, 0644);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(resize)
{
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* The C client invalidates what is mapped when it learns of a new size or time, and the kernel complains of that. */
#define NOT_WITH_DAX_OF_C()                                                                                             \
	do {                                                                                                            \
		if (self->dax && c_is_spared())                                                                         \
			SKIP(return, "known difference: the C client drops mapped pages of DAX files (G-2, G-3, G-4)"); \
	} while (0)

static int error_of(ssize_t returned)
{
	return returned < 0 ? errno : 0;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/* As cksum(1) counts. */
static uint32_t cksum(const unsigned char *b, size_t size)
{
	uint32_t table[256];
	uint32_t crc = 0, i, bit;
	size_t n;

	for (i = 0; i < 256; i++) {
		for (crc = i << 24, bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7 : 0);
		table[i] = crc;
	}
	crc = 0;
	for (n = 0; n < size; n++)
		crc = crc << 8 ^ table[crc >> 24 ^ b[n]];
	for (n = size; n; n >>= 8)
		crc = crc << 8 ^ table[crc >> 24 ^ (n & 255)];
	return ~crc;
}

/* Whether the host has these bytes as r/f. */
static bool host_agrees(const struct fs *fs, const void *want, size_t size)
{
	char mine[64], theirs[64];

	if (host(fs, theirs, sizeof(theirs), "cksum <r/f"))
		return false;
	snprintf(mine, sizeof(mine), "%u %zu", cksum(want, size), size);
	if (!strcmp(mine, theirs))
		return true;
	printf("# the host has \"%s\", expected \"%s\"\n", theirs, mine);
	return false;
}

/* A shared mapping of a file. */
static char *map(const struct fs *fs, size_t size)
{
	int fd = open(at(fs, "r/f"), O_RDWR);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	return p;
}

/* Fills [offset, offset + size) with the pattern by stores; without DAX the host sees them after msync. */
static void store(char *p, bool dax, uint64_t offset, size_t size, uint64_t seed)
{
	fill(p + offset, offset, size, seed);
	if (!dax && msync(p + (offset & ~(PAGE - 1)), offset % PAGE + size, MS_SYNC))
		perror("# msync");
}

/* Down and up through every kind of place, with a mapping: read, mapping and host say the same after each step. */
TEST_F(resize, down_and_up)
{
	static const size_t ends[] = { SIZE - 50, 2 * RANGE + PAGE, 2 * RANGE, SIZE, RANGE + 777, 2 * RANGE + 1, PAGE,
				       3 * PAGE, 1, 0, SIZE };
	char *want = calloc(1, SIZE), *got = malloc(SIZE), *p;
	size_t i, end, old = SIZE;

	NOT_WITH_DAX_OF_C();
	fill(want, 0, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->fd, want, SIZE, 0));
	p = map(&self->fs, SIZE);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		end = ends[i];
		EXPECT_EQ(0, memcmp(p, want, old));
		ASSERT_EQ(0, ftruncate(self->fd, end));
		EXPECT_EQ(end, size_of(self->fd));
		memset(want + end, 0, SIZE - end);
		EXPECT_EQ(end, pread(self->fd, got, SIZE, 0));
		EXPECT_EQ(0, memcmp(got, want, end));
		EXPECT_TRUE(host_agrees(&self->fs, want, end));
		/* The rest of the last page is zeros, the page after it is not there. */
		if (end % PAGE)
			EXPECT_EQ(0, memcmp(p + end, want + end, PAGE - end % PAGE < SIZE - end ? PAGE - end % PAGE : SIZE - end));
		if ((end + PAGE - 1) / PAGE * PAGE < SIZE)
			EXPECT_EQ(SIGBUS, touch(p + (end + PAGE - 1) / PAGE * PAGE, self->dax && i % 2));
		if (end)
			EXPECT_EQ(0, touch(p + end - 1, false));
		old = end;
	}
	/* Stores through the mapping that outlived it all reach the file. */
	store(p, self->dax, 0, SIZE, 2);
	fill(want, 0, SIZE, 2);
	EXPECT_EQ(0, memcmp(p, want, SIZE));
	EXPECT_TRUE(host_agrees(&self->fs, want, SIZE));
	munmap(p, SIZE);
	free(want);
	free(got);
}

/* 60 steps of truncating, writing and storing at random, compared with a copy in memory. */
TEST_F(resize, model)
{
	size_t max = 40 * PAGE, size = 0, at, n, end;
	char *want = calloc(1, max), *got = malloc(max), *p;
	uint64_t x = 42;
	int step;

	NOT_WITH_DAX_OF_C();
	p = map(&self->fs, max);
	ASSERT_NE(MAP_FAILED, p);
	for (step = 0; step < 60; step++) {
		x = x * 6364136223846793005UL + 1442695040888963407UL;
		at = (x >> 33) % max;
		n = 1 + (x >> 20) % (max - at);
		switch ((x >> 60) % 3) {
		case 0:
			end = x >> 59 & 1 ? at : at / PAGE * PAGE;
			ASSERT_EQ(0, ftruncate(self->fd, end));
			memset(want + end, 0, max - end);
			size = end;
			break;
		case 1:
			fill(want + at, at, n, step);
			ASSERT_EQ(n, pwrite(self->fd, want + at, n, at));
			size = at + n > size ? at + n : size;
			break;
		default:
			if (at >= size)
				break;
			n = at + n > size ? size - at : n;
			fill(want + at, at, n, step);
			store(p, self->dax, at, n, step);
		}
		ASSERT_EQ(size, size_of(self->fd));
		ASSERT_EQ(size, pread(self->fd, got, max, 0));
		ASSERT_EQ(0, memcmp(got, want, size));
		ASSERT_EQ(0, memcmp(p, want, size));
		if (step % 6 == 5)
			ASSERT_TRUE(host_agrees(&self->fs, want, size));
	}
	munmap(p, max);
	free(want);
	free(got);
}

/* What lies behind the new end leaves the window, and what lies before it stays. */
TEST_F(resize, unmaps)
{
	char buf[8];
	int i;

	if (!self->dax || !server_is_daxfsd())
		SKIP(return, "without a window");
	if (module_is_c())
		SKIP(return, "known difference: the C client keeps ranges behind the end until the file is evicted (W-19)");
	ASSERT_EQ(0, ftruncate(self->fd, 4 * RANGE));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(8, pread(self->fd, buf, 8, i * RANGE));
	reset_counters(&self->fs);
	ASSERT_EQ(0, ftruncate(self->fd, RANGE + 1));
	/* In the background. */
	EXPECT_TRUE(soon(mappings_of(&self->fs, "r/f", "") == 2));
	EXPECT_GT(counter(&self->fs, "REMOVEMAPPING"), 0);
	EXPECT_TRUE(soon(!window_number("dax", "ranges_on_their_way") && !window_number("dax", "ranges_parked")));
	/* The ranges that stayed are used without being asked for; the others come back when there is something again. */
	reset_counters(&self->fs);
	ASSERT_EQ(8, pread(self->fd, buf, 8, 0));
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
	ASSERT_EQ(0, ftruncate(self->fd, 4 * RANGE));
	ASSERT_EQ(8, pread(self->fd, buf, 8, 3 * RANGE));
	EXPECT_EQ(1, counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(0, counter(&self->fs, "slot_twice"));
	EXPECT_EQ(0, counter(&self->fs, "unmap_unmapped"));
}

TEST_F(resize, open_truncates)
{
	char *p, *want = malloc(SIZE), out[64];
	int fd;

	NOT_WITH_DAX_OF_C();
	fill(want, 0, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->fd, want, SIZE, 0));
	p = map(&self->fs, SIZE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	fd = open(at(&self->fs, "r/f"), O_RDWR | O_TRUNC);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, size_of(fd));
	EXPECT_EQ(0, size_of(self->fd));
	EXPECT_EQ(SIGBUS, touch(p, false));
	EXPECT_EQ(SIGBUS, touch(p + RANGE, self->dax));
	EXPECT_EQ(0, pread(self->fd, want, 1, 0));
	ASSERT_EQ(3, pwrite(fd, "new", 3, 0));
	EXPECT_EQ(0, memcmp(p, "new", 4));
	EXPECT_EQ(SIGBUS, touch(p + PAGE, false));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "cat r/f"));
	EXPECT_STREQ("new", out);
	/* O_CREAT of what is there already does the same. */
	close(open(at(&self->fs, "r/f"), O_RDWR | O_TRUNC | O_CREAT, 0644));
	EXPECT_EQ(SIGBUS, touch(p, false));
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s r/f"));
	EXPECT_STREQ("0", out);
	munmap(p, SIZE);
	close(fd);
	free(want);
}

TEST_F(resize, errors)
{
	struct rlimit limit = { 1 << 20, RLIM_INFINITY };
	int ro = open(at(&self->fs, "r/f"), O_RDONLY);

	ASSERT_GE(ro, 0);
	ASSERT_EQ(4, pwrite(self->fd, "abcd", 4, 0));
	EXPECT_EQ(EINVAL, error_of(ftruncate(ro, 1)));
	EXPECT_EQ(EINVAL, error_of(ftruncate(self->fd, -1)));
	EXPECT_EQ(EISDIR, error_of(truncate(at(&self->fs, "r"), 0)));
	EXPECT_EQ(ENOENT, error_of(truncate(at(&self->fs, "r/none"), 0)));
	EXPECT_EQ(4, size_of(self->fd));
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(EFBIG, error_of(ftruncate(self->fd, (1 << 20) + 1)));
	EXPECT_EQ(4, size_of(self->fd));
	EXPECT_EQ(0, ftruncate(self->fd, 1 << 20));
	EXPECT_EQ(1 << 20, size_of(self->fd));
	EXPECT_EQ(EFBIG, error_of(pwrite(self->fd, "x", 1, 1 << 20)));
	close(ro);
}

/* The server refuses: the end is where it was, and so is the data, for those as well who have it mapped. */
TEST_F(resize, refused)
{
	char *p, *want = malloc(SIZE);

	NOT_WITH_DAX_OF_C();
	if (!server_is_daxfsd())
		SKIP(return, "needs faults");
	fill(want, 0, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->fd, want, SIZE, 0));
	p = map(&self->fs, SIZE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETATTR 2 errno:-28"));
	EXPECT_EQ(ENOSPC, error_of(ftruncate(self->fd, PAGE)));
	EXPECT_EQ(SIZE, size_of(self->fd));
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	EXPECT_EQ(0, touch(p + SIZE - 1, false));
	EXPECT_EQ(ENOSPC, error_of(ftruncate(self->fd, 2 * SIZE)));
	EXPECT_EQ(SIZE, size_of(self->fd));
	EXPECT_TRUE(host_agrees(&self->fs, want, SIZE));
	/* With nothing to refuse it works. */
	EXPECT_EQ(0, ftruncate(self->fd, PAGE));
	EXPECT_EQ(SIGBUS, touch(p + PAGE, false));
	EXPECT_TRUE(host_agrees(&self->fs, want, PAGE));
	munmap(p, SIZE);
	free(want);
}

/* Two processes store behind and before an end that goes up and down. */
TEST_F(resize, while_stored)
{
	size_t keep = 8 * PAGE, size = 2 * RANGE;
	char *want = calloc(1, size), *p;
	int i, n, status;
	pid_t child[2];

	NOT_WITH_DAX_OF_C();
	ASSERT_EQ(0, ftruncate(self->fd, size));
	p = map(&self->fs, size);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < 2; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		/* Ends when the first byte, which is never cut off, says so. */
		for (n = 0; *(volatile char *)p != 1; n++) {
			if (touch(p + (i ? size - PAGE * (1 + n % 100) : 1 + PAGE * (n % 8)), true) && !i)
				_exit(1);
		}
		_exit(0);
	}
	for (i = 0; i < 30; i++) {
		ASSERT_EQ(0, ftruncate(self->fd, keep + i * 100));
		ASSERT_EQ(keep + i * 100, size_of(self->fd));
		if (i % 3 == 0)
			EXPECT_EQ(SIGBUS, touch(p + size / 2, false));
		ASSERT_EQ(0, ftruncate(self->fd, size));
	}
	ASSERT_EQ(1, pwrite(self->fd, "\1", 1, 0));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(child[i], waitpid(child[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	ASSERT_EQ(0, ftruncate(self->fd, keep));
	ASSERT_EQ(0, ftruncate(self->fd, size));
	memcpy(want, p, keep);
	EXPECT_EQ(0, memcmp(want, p, size));
	if (!self->dax)
		EXPECT_EQ(0, msync(p, size, MS_SYNC));
	EXPECT_TRUE(host_agrees(&self->fs, want, size));
	munmap(p, size);
	free(want);
}

/* The host makes a file longer and shorter: seen when the second of belief is over. Nothing is mapped while it shrinks. */
TEST_F(resize, by_host)
{
	char *want = calloc(1, 2 * RANGE), *got = malloc(2 * RANGE);

	fill(want, 0, PAGE, 1);
	ASSERT_EQ(PAGE, pwrite(self->fd, want, PAGE, 0));
	ASSERT_EQ(PAGE, size_of(self->fd));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s 4M r/f; printf end | dd of=r/f bs=1 seek=4194301 conv=notrunc status=none"));
	/* On a machine that has much to do the guest's clock ticks late. */
	EXPECT_TRUE(soon(size_of(self->fd) == 2 * RANGE));
	memcpy(want + 2 * RANGE - 3, "end", 3);
	EXPECT_EQ(2 * RANGE, pread(self->fd, got, 2 * RANGE, 0));
	EXPECT_EQ(0, memcmp(got, want, 2 * RANGE));
	if (!self->dax) {
		ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s 100 r/f; truncate -s 200 r/f"));
		EXPECT_TRUE(soon(size_of(self->fd) == 200));
		memset(want + 100, 0, 100);
		EXPECT_EQ(200, pread(self->fd, got, PAGE, 0));
		EXPECT_EQ(0, memcmp(got, want, 200));
	}
	free(want);
	free(got);
}

TEST_HARNESS_MAIN
