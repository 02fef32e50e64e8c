// SPDX-License-Identifier: GPL-2.0
/*
 * Space in files: allocating, punching, zeroing, finding holes, and copies that the server makes. Sizes and contents are
 * compared with the host's; the device's counters show that it was asked and that no data went through the guest.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include <linux/falloc.h>
#include <sys/resource.h>

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define SIZE (16 * PAGE)

FIXTURE(space)
{
	struct fs fs;
	bool dax;
	int fd;
};

FIXTURE_VARIANT(space)
{
	const char *tag;
	const char *options;
};

FIXTURE_VARIANT_ADD(space, nodax) { .tag = "nodax", .options = NULL };
FIXTURE_VARIANT_ADD(space, dax) { .tag = "dax", .options = "dax=always" };

FIXTURE_SETUP(space)
{
	char buf[SIZE];

	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!has_tag(variant->tag))
		SKIP(return, "no device with the tag %s", variant->tag);
	self->dax = variant->options;
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf s; mkdir s"));
	self->fd = open(at(&self->fs, "s/f"), O_RDWR | O_CREAT, 0644);
	ASSERT_GE(self->fd, 0);
	fill(buf, 0, SIZE, 1);
	ASSERT_EQ(SIZE, pwrite(self->fd, buf, SIZE, 0));
	if (server_is_daxfsd())
		reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(space)
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

/* A shared mapping of a file. */
static char *map(const struct fs *fs, const char *name, size_t size)
{
	int fd = open(at(fs, name), O_RDWR);
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

/* Offset of the first byte of buf that is not 0, or -1. */
static long not_zero(const void *buf, size_t size)
{
	const char *b = buf;
	size_t i;

	for (i = 0; i < size; i++)
		if (b[i])
			return i;
	return -1;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/* How many times these were asked of the device; -2 where nobody counts. */
static long asked(const struct fs *fs, const char *name)
{
	return server_is_daxfsd() ? counter(fs, name) : -2;
}

static bool used(long count)
{
	return count == -2 || count > 0;
}

static bool unused(long count)
{
	return count == -2 || count == 0;
}

/* The pattern without [from, to), which must be zeros; size is that of the file. On the host. */
static int host_hole(const struct fs *fs, size_t from, size_t to, size_t size)
{
	return host(fs, NULL, 0,
		    "python3 -c \"import struct,sys;d=bytearray(b\\\"\\\".join(struct.pack(\\\"<Q\\\",o^(1<<48)) for o in range(0,%lu,8)));"
		    "d+=bytes(max(0,%zu-len(d)));d[%zu:%zu]=bytes(%zu);sys.exit(open(\\\"s/f\\\",\\\"rb\\\").read()!=d[:%zu])\"",
		    SIZE, size, from, to, to - from, size);
}

/* The same for what read(2) or a mapping shows. */
static bool has_hole(const char *buf, size_t from, size_t to)
{
	return differs(buf, 0, from, 1) == -1 && not_zero(buf + from, to - from) == -1 &&
	       (to >= SIZE || differs(buf + to, to, SIZE - to, 1) == -1);
}

TEST_F(space, allocate)
{
	char buf[2 * PAGE], out[64];
	struct stat st;

	ASSERT_EQ(0, fallocate(self->fd, 0, SIZE - PAGE, 3 * PAGE + 100));
	EXPECT_TRUE(used(asked(&self->fs, "FALLOCATE")));
	EXPECT_EQ(SIZE + 2 * PAGE + 100, size_of(self->fd));
	EXPECT_EQ(0, host_hole(&self->fs, SIZE, SIZE + 2 * PAGE + 100, SIZE + 2 * PAGE + 100));
	memset(buf, 1, sizeof(buf));
	EXPECT_EQ(sizeof(buf), pread(self->fd, buf, sizeof(buf), SIZE));
	EXPECT_EQ(-1, not_zero(buf, sizeof(buf)));
	EXPECT_EQ(100, pread(self->fd, buf, sizeof(buf), SIZE + 2 * PAGE));
	/* Below the end nothing changes; and without a change of the size there is more space. */
	EXPECT_EQ(0, fallocate(self->fd, 0, PAGE, PAGE));
	EXPECT_EQ(SIZE + 2 * PAGE + 100, size_of(self->fd));
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_KEEP_SIZE, SIZE, 64 * PAGE));
	EXPECT_EQ(SIZE + 2 * PAGE + 100, size_of(self->fd));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_GE(st.st_blocks * 512, 80 * PAGE);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s s/f"));
	EXPECT_STREQ("73828", out);
	EXPECT_EQ(0, posix_fallocate(self->fd, 0, 20 * PAGE));
	EXPECT_EQ(20 * PAGE, size_of(self->fd));
}

/* Seen through a mapping, by read and on the host, aligned to pages and not. */
TEST_F(space, punch)
{
	static const size_t holes[][2] = { { 4 * PAGE, 8 * PAGE }, { PAGE + 100, PAGE + 200 }, { 5000, 4 * PAGE + 1 },
					   { SIZE - PAGE, SIZE } };
	char buf[SIZE], *p;
	size_t i, from, to;

	NOT_WITH_DAX_OF_C();
	p = map(&self->fs, "s/f", SIZE);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		from = holes[i][0];
		to = holes[i][1];
		fill(buf, 0, SIZE, 1);
		ASSERT_EQ(SIZE, pwrite(self->fd, buf, SIZE, 0));
		EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, from, to - from));
		EXPECT_TRUE(has_hole(p, from, to));
		memset(buf, 1, SIZE);
		EXPECT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
		EXPECT_TRUE(has_hole(buf, from, to));
		EXPECT_EQ(0, host_hole(&self->fs, from, to, SIZE));
		EXPECT_EQ(SIZE, size_of(self->fd));
	}
	EXPECT_TRUE(used(asked(&self->fs, "FALLOCATE")));
	/* Stores into the hole work. */
	store(p, self->dax, SIZE - PAGE, PAGE, 1);
	ASSERT_EQ(0, fallocate(self->fd, PUNCH, 5000, 4 * PAGE + 1 - 5000));
	EXPECT_EQ(0, host_hole(&self->fs, 5000, 4 * PAGE + 1, SIZE));
	munmap(p, SIZE);
	/* Behind the end there is nothing to punch. */
	EXPECT_EQ(0, fallocate(self->fd, PUNCH, SIZE + PAGE, PAGE));
	EXPECT_EQ(SIZE, size_of(self->fd));
}

TEST_F(space, zero_range)
{
	char buf[SIZE], *p;

	NOT_WITH_DAX_OF_C();
	p = map(&self->fs, "s/f", SIZE + PAGE);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	if (fallocate(self->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 3 * PAGE - 7, 2 * PAGE)) {
		ASSERT_EQ(EOPNOTSUPP, errno);
		munmap(p, SIZE + PAGE);
		SKIP(return, "the file system of the host has no ZERO_RANGE");
	}
	EXPECT_TRUE(has_hole(p, 3 * PAGE - 7, 5 * PAGE - 7));
	EXPECT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
	EXPECT_TRUE(has_hole(buf, 3 * PAGE - 7, 5 * PAGE - 7));
	EXPECT_EQ(0, host_hole(&self->fs, 3 * PAGE - 7, 5 * PAGE - 7, SIZE));
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, SIZE - 10, 2 * PAGE));
	EXPECT_EQ(SIZE, size_of(self->fd));
	/* Without KEEP_SIZE the file grows. */
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_ZERO_RANGE, 3 * PAGE - 7, SIZE + PAGE - 3 * PAGE + 7));
	EXPECT_EQ(SIZE + PAGE, size_of(self->fd));
	EXPECT_EQ(-1, not_zero(p + 3 * PAGE - 7, SIZE + PAGE - 3 * PAGE + 7));
	EXPECT_EQ(0, host_hole(&self->fs, 3 * PAGE - 7, SIZE + PAGE, SIZE + PAGE));
	munmap(p, SIZE + PAGE);
}

TEST_F(space, allocate_errors)
{
	int ro = open(at(&self->fs, "s/f"), O_RDONLY), pipes[2];
	struct rlimit limit = { 1 << 20, RLIM_INFINITY };

	ASSERT_GE(ro, 0);
	EXPECT_EQ(EBADF, error_of(fallocate(ro, 0, 0, PAGE)));
	EXPECT_EQ(EINVAL, error_of(fallocate(self->fd, 0, 0, 0)));
	EXPECT_EQ(EINVAL, error_of(fallocate(self->fd, 0, -1, PAGE)));
	EXPECT_EQ(EINVAL, error_of(fallocate(self->fd, 0, 0, -1)));
	EXPECT_EQ(EFBIG, error_of(fallocate(self->fd, 0, INT64_MAX - PAGE, 2 * PAGE)));
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE)));
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE)));
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, FALLOC_FL_INSERT_RANGE, 0, PAGE)));
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, FALLOC_FL_UNSHARE_RANGE, 0, PAGE)));
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(ESPIPE, error_of(fallocate(pipes[1], 0, 0, PAGE)));
	EXPECT_TRUE(unused(asked(&self->fs, "FALLOCATE")));
	/* The caller's own limit, for what would make the file longer. */
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(EFBIG, error_of(fallocate(self->fd, 0, 0, (1 << 20) + 1)));
	EXPECT_EQ(SIZE, size_of(self->fd));
	EXPECT_EQ(0, fallocate(self->fd, FALLOC_FL_KEEP_SIZE, 0, (1 << 20) + 1));
	close(ro);
}

/* What the server says goes through, and nothing has changed then. */
TEST_F(space, allocate_fails)
{
	char buf[SIZE];

	if (!server_is_daxfsd())
		SKIP(return, "needs faults");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FALLOCATE 2 errno:-28"));
	EXPECT_EQ(ENOSPC, error_of(fallocate(self->fd, 0, 0, 100 * PAGE)));
	EXPECT_EQ(ENOSPC, error_of(fallocate(self->fd, PUNCH, 0, SIZE)));
	EXPECT_EQ(SIZE, size_of(self->fd));
	EXPECT_EQ(SIZE, pread(self->fd, buf, SIZE, 0));
	EXPECT_EQ(-1, differs(buf, 0, SIZE, 1));
	/* One that cannot at all is not asked again. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FALLOCATE 1 errno:-38"));
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, 0, 0, PAGE)));
	reset_counters(&self->fs);
	EXPECT_EQ(EOPNOTSUPP, error_of(fallocate(self->fd, 0, 0, PAGE)));
	EXPECT_EQ(0, counter(&self->fs, "FALLOCATE"));
}

TEST_F(space, seek)
{
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s 1M s/sparse; printf x | dd of=s/sparse bs=1 seek=262144 conv=notrunc status=none"));
	fd = open(at(&self->fs, "s/sparse"), O_RDWR);
	ASSERT_GE(fd, 0);
	if (lseek(fd, 0, SEEK_DATA) == 0) {
		close(fd);
		SKIP(return, "the file system of the host has no holes");
	}
	EXPECT_TRUE(used(asked(&self->fs, "LSEEK")));
	EXPECT_EQ(262144, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(262144, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(262150, lseek(fd, 262150, SEEK_DATA));
	EXPECT_EQ(0, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(262144 + PAGE, lseek(fd, 262144, SEEK_HOLE));
	EXPECT_EQ(ENXIO, error_of(lseek(fd, 262144 + PAGE, SEEK_DATA)));
	EXPECT_EQ(ENXIO, error_of(lseek(fd, 1 << 20, SEEK_HOLE)));
	EXPECT_EQ(ENXIO, error_of(lseek(fd, 1 << 20, SEEK_DATA)));
	EXPECT_EQ(ENXIO, error_of(lseek(fd, -1, SEEK_DATA)));
	EXPECT_EQ(EINVAL, error_of(lseek(fd, 0, 17)));
	/* What we write is data at once, what we punch is a hole at once. */
	ASSERT_EQ(1, pwrite(fd, "y", 1, 65536));
	EXPECT_EQ(65536, lseek(fd, 0, SEEK_DATA));
	ASSERT_EQ(0, fallocate(fd, PUNCH, 65536, PAGE));
	EXPECT_EQ(262144, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(1 << 20, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(100, lseek(fd, 100, SEEK_SET));
	/* A server that cannot: all is data up to the end. */
	if (server_is_daxfsd()) {
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault LSEEK 1 errno:-38"));
		EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
		EXPECT_EQ(1 << 20, lseek(fd, 0, SEEK_HOLE));
		EXPECT_EQ(ENXIO, error_of(lseek(fd, 1 << 20, SEEK_DATA)));
	}
	close(fd);
}

TEST_F(space, copy)
{
	char buf[SIZE], *p;
	off_t from = 100, to = 50;
	int fd;

	NOT_WITH_DAX_OF_C();
	fd = open(at(&self->fs, "s/to"), O_RDWR | O_CREAT, 0644);
	ASSERT_GE(fd, 0);
	p = map(&self->fs, "s/to", SIZE);
	ASSERT_NE(MAP_FAILED, p);
	reset_counters(&self->fs);
	ASSERT_EQ(SIZE, copy_file_range(self->fd, NULL, fd, NULL, SIZE, 0));
	EXPECT_TRUE(used(asked(&self->fs, "COPY_FILE_RANGE_64")));
	EXPECT_TRUE(unused(asked(&self->fs, "READ")));
	EXPECT_TRUE(unused(asked(&self->fs, "WRITE")));
	EXPECT_EQ(SIZE, size_of(fd));
	EXPECT_EQ(SIZE, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(0, host_has(&self->fs, "s/to", SIZE, 1));
	EXPECT_EQ(SIZE, pread(fd, buf, SIZE, 0));
	EXPECT_EQ(-1, differs(buf, 0, SIZE, 1));
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	/* Over what is mapped and was read, at offsets that fit no page. */
	EXPECT_EQ(5000, copy_file_range(self->fd, &from, fd, &to, 5000, 0));
	EXPECT_EQ(5100, from);
	EXPECT_EQ(5050, to);
	EXPECT_EQ(SIZE, pread(fd, buf, SIZE, 0));
	EXPECT_EQ(0, memcmp(buf, p, SIZE));
	ASSERT_EQ(5000, pread(self->fd, buf, 5000, 100));
	EXPECT_EQ(0, memcmp(buf, p + 50, 5000));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "cmp -n 5000 s/f s/to 100 50 && cmp s/f s/to 5050 5050"));
	/* The source ends: what there is, then nothing. The target grows. */
	from = SIZE - 10;
	to = SIZE + PAGE;
	EXPECT_EQ(10, copy_file_range(self->fd, &from, fd, &to, 1000, 0));
	EXPECT_EQ(0, copy_file_range(self->fd, &from, fd, &to, 1000, 0));
	EXPECT_EQ(SIZE + PAGE + 10, size_of(fd));
	munmap(p, SIZE);
	close(fd);
}

/* Within one file; and what was just stored through a mapping or written is what is copied. */
TEST_F(space, copy_within)
{
	off_t from = PAGE, to = 8 * PAGE + 3;
	char buf[2 * PAGE], *p;

	NOT_WITH_DAX_OF_C();
	p = map(&self->fs, "s/f", SIZE);
	ASSERT_NE(MAP_FAILED, p);
	store(p, self->dax, PAGE, PAGE, 2);
	fill(buf, 2 * PAGE, PAGE, 3);
	ASSERT_EQ(PAGE, pwrite(self->fd, buf, PAGE, 2 * PAGE));
	EXPECT_EQ(2 * PAGE, copy_file_range(self->fd, &from, self->fd, &to, 2 * PAGE, 0));
	EXPECT_EQ(0, memcmp(p + PAGE, p + 8 * PAGE + 3, 2 * PAGE));
	EXPECT_EQ(2 * PAGE, pread(self->fd, buf, 2 * PAGE, 8 * PAGE + 3));
	EXPECT_EQ(-1, differs(buf, PAGE, PAGE, 2));
	EXPECT_EQ(-1, differs(buf + PAGE, 2 * PAGE, PAGE, 3));
	EXPECT_EQ(-1, differs(p + 10 * PAGE + 8, 10 * PAGE + 8, SIZE - 10 * PAGE - 8, 1));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "cmp -n 8192 s/f s/f 4096 32771"));
	EXPECT_TRUE(used(asked(&self->fs, "COPY_FILE_RANGE_64")));
	/* Source and target must not overlap. */
	from = 0;
	to = PAGE;
	EXPECT_EQ(EINVAL, error_of(copy_file_range(self->fd, &from, self->fd, &to, PAGE + 1, 0)));
	munmap(p, SIZE);
}

TEST_F(space, copy_errors)
{
	struct rlimit limit = { SIZE + 100, RLIM_INFINITY };
	int ro, wo, dir, append;
	off_t from = 0, to = SIZE;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, ": >s/to"));
	ro = open(at(&self->fs, "s/to"), O_RDONLY);
	wo = open(at(&self->fs, "s/to"), O_WRONLY);
	append = open(at(&self->fs, "s/to"), O_RDWR | O_APPEND);
	dir = open(at(&self->fs, "s"), O_RDONLY);
	ASSERT_TRUE(ro >= 0 && wo >= 0 && append >= 0 && dir >= 0);
	EXPECT_EQ(EBADF, error_of(copy_file_range(self->fd, &from, ro, &to, PAGE, 0)));
	EXPECT_EQ(EBADF, error_of(copy_file_range(wo, &from, self->fd, &to, PAGE, 0)));
	EXPECT_EQ(EBADF, error_of(copy_file_range(self->fd, &from, append, &to, PAGE, 0)));
	EXPECT_EQ(EISDIR, error_of(copy_file_range(dir, &from, self->fd, &to, PAGE, 0)));
	EXPECT_EQ(EINVAL, error_of(copy_file_range(self->fd, &from, wo, &to, PAGE, 1)));
	EXPECT_EQ(0, copy_file_range(self->fd, &from, wo, &to, 0, 0));
	EXPECT_EQ(0, size_of(ro));
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(100, copy_file_range(self->fd, &from, wo, &to, PAGE, 0));
	EXPECT_EQ(EFBIG, error_of(copy_file_range(self->fd, &from, wo, &to, PAGE, 0)));
	EXPECT_EQ(SIZE + 100, size_of(ro));
	close(ro);
	close(wo);
	close(append);
	close(dir);
}

/* Servers without the new request, and without either. */
TEST_F(space, copy_missing)
{
	off_t from = 0, to = 0;
	int fd;

	if (!server_is_daxfsd())
		SKIP(return, "needs faults");
	fd = open(at(&self->fs, "s/to"), O_RDWR | O_CREAT, 0644);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault COPY_FILE_RANGE_64 1 errno:-38"));
	EXPECT_EQ(SIZE, copy_file_range(self->fd, &from, fd, &to, SIZE, 0));
	EXPECT_EQ(1, counter(&self->fs, "COPY_FILE_RANGE"));
	EXPECT_EQ(0, host_has(&self->fs, "s/to", SIZE, 1));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "head -c 65536 /dev/zero >s/to"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault COPY_FILE_RANGE 1 errno:-38"));
	from = to = 0;
	EXPECT_EQ(SIZE, copy_file_range(self->fd, &from, fd, &to, SIZE, 0));
	EXPECT_EQ(0, host_has(&self->fs, "s/to", SIZE, 1));
	reset_counters(&self->fs);
	from = to = 0;
	EXPECT_EQ(PAGE, copy_file_range(self->fd, &from, fd, &to, PAGE, 0));
	EXPECT_EQ(0, counter(&self->fs, "COPY_FILE_RANGE"));
	EXPECT_EQ(0, counter(&self->fs, "COPY_FILE_RANGE_64"));
	close(fd);
}

/* A page is punched and written again while another process looks: it sees the one or the other, and no signal. */
TEST_F(space, punch_while_mapped)
{
	/* The second byte of a page is its number, shifted. */
	const size_t here = 4 * PAGE + 1;
	volatile unsigned char *p;
	char buf[PAGE];
	int i, status;
	pid_t child;

	NOT_WITH_DAX_OF_C();
	p = (void *)map(&self->fs, "s/f", SIZE);
	ASSERT_NE(MAP_FAILED, (void *)p);
	child = fork();
	if (!child) {
		while (p[0] != 1) {
			if (p[here] & ~0x40)
				_exit(1);
			if (p[here - PAGE] != 0x30 || p[here + PAGE] != 0x50)
				_exit(2);
		}
		_exit(0);
	}
	fill(buf, 4 * PAGE, PAGE, 1);
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, fallocate(self->fd, PUNCH, 4 * PAGE, PAGE));
		EXPECT_EQ(0, p[here]);
		ASSERT_EQ(PAGE, pwrite(self->fd, buf, PAGE, 4 * PAGE));
		EXPECT_EQ(0x40, p[here]);
	}
	ASSERT_EQ(1, pwrite(self->fd, "\1", 1, 0));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	munmap((void *)p, SIZE);
}

TEST_HARNESS_MAIN
