// SPDX-License-Identifier: GPL-2.0
/*
 * Answers to READ whose pages move from a pipe into the page cache (SPLICE_F_MOVE). The server takes them from a file on a
 * disk file system. That a page moved is seen by its number: in /proc/self/pagemap of the server, where it maps its file, and in that of
 * the test, where it maps the file that is served.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include "stacked.h"

#include <sys/uio.h>

#define PAGES 32UL
#define LEN (PAGES * PAGE)

/* How the server sends its pages. */
enum way {
	MOVED,		/* nobody else uses them */
	MAPPED,		/* it still has them mapped */
	SHIFTED,	/* from the middle of a page on */
	NO_MOVE,	/* without SPLICE_F_MOVE */
	GIVEN,		/* memory of its own, by vmsplice(2) with SPLICE_F_GIFT, into which it writes afterwards */
	TEED,		/* another pipe has them, too */
	SHORT,		/* half a page less than it was asked for, at the end of the file */
	WRITTEN,	/* copied to the pipe by write(2) */
	ALONE,		/* as MOVED, but each page is waited for alone */
	AGAIN,		/* as MOVED, but the first answer is an error */
};

struct what {
	volatile int way;
	volatile uint64_t number[PAGES];
	volatile int reads, failed;
	/* So many are refused first. */
	volatile int refused;
};

FIXTURE(moved) {
	struct server v;
	struct what *w;
	char place[64], path[80];
};

FIXTURE_SETUP(moved)
{
	int fd;

	server_init(&self->v);
	self->w = mmap(NULL, sizeof(*self->w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self->v.s->size = LEN;
	strcpy(self->place, "/tmp/movedXXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->place));
	ASSERT_TRUE(place_make(self->place, true));
	snprintf(self->path, sizeof(self->path), "%s/file", self->place);
	fd = open(self->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(LEN, write(fd, self->v.s->data, LEN));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	close(fd);
}

FIXTURE_TEARDOWN(moved)
{
	server_end(&self->v);
	EXPECT_EQ(0, place_end(self->place));
	munmap(self->w, sizeof(*self->w));
}

/* The number of the page that is mapped here; 0 when none is. */
static uint64_t number_of(const volatile char *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)at / PAGE * sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* What this processor has taken references to for the lists of pages is given up. */
static void settle(void)
{
	char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	m[0] = 1;
	madvise(m, PAGE, MADV_COLD);
	munmap(m, PAGE);
}

static void one_processor(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static char own[LEN] __attribute__((aligned(4096)));

/* Puts the pages of an answer into the pipe; false when something is wrong. */
static bool fill_pipe(const int p[2], const int other[2], int file, struct what *w, struct shared *s, uint64_t at, size_t len)
{
	loff_t off = at + (w->way == SHIFTED ? 100 : 0);
	char *map;

	if (w->way == GIVEN) {
		struct iovec v = { .iov_base = own, .iov_len = len };

		memcpy(own, s->data + at, len);
		for (size_t i = 0; i < len; i += PAGE)
			w->number[(at + i) / PAGE] = number_of(own + i);
		return vmsplice(p[1], &v, 1, SPLICE_F_GIFT) == (ssize_t)len;
	}
	if (w->way == WRITTEN)
		return write(p[1], s->data + at, len) == (ssize_t)len;
	/* One by one, so that each is a page of its own. */
	posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
	for (size_t i = 0; i < len + PAGE && at + i < LEN; i += PAGE)
		(void)!pread(file, own, 1, at + i);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, file, at);
	if (map == MAP_FAILED)
		return false;
	for (size_t i = 0; i < len; i += PAGE) {
		(void)*(volatile char *)(map + i);
		w->number[(at + i) / PAGE] = number_of(map + i);
	}
	if (w->way != MAPPED)
		munmap(map, len);
	for (size_t done = 0; done < len; ) {
		ssize_t n = splice(file, &off, p[1], NULL, len - done, 0);

		if (n <= 0)
			return false;
		done += n;
	}
	return w->way != TEED || tee(p[0], other[1], 16 + len, SPLICE_F_NONBLOCK) > 0;
}

static void serve_moved(int fd, struct shared *s, struct what *w, const char *path)
{
	static char in[MESSAGE], rest[MESSAGE];
	int p[2], other[2], file = open(path, O_RDONLY);
	struct {
		struct fuse_out_header h;
		union {
			struct fuse_init_out init;
			struct fuse_entry_out entry;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
		} o;
	} out;

	one_processor();
	if (file < 0 || pipe(p) || fcntl(p[1], F_SETPIPE_SZ, BUF) < 0 || pipe2(other, O_NONBLOCK) || fcntl(other[1], F_SETPIPE_SZ, BUF) < 0)
		_exit(1);
	while (read(fd, in, sizeof(in)) > 0) {
		struct fuse_in_header *h = (void *)in;
		struct fuse_read_in *r = (void *)(h + 1);
		size_t len = 0;

		s->count[h->opcode & 63]++;
		memset(&out, 0, sizeof(out));
		switch (h->opcode) {
		case FUSE_INIT:
			out.o.init = (struct fuse_init_out){ .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
				.max_write = LEN, .max_pages = PAGES, .max_readahead = LEN,
				.flags = FUSE_MAX_PAGES | FUSE_ASYNC_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE };
			len = sizeof(out.o.init);
			break;
		case FUSE_LOOKUP:
			out.o.entry = (struct fuse_entry_out){ .nodeid = NODE_FILE, .entry_valid = 60, .attr_valid = 60 };
			fill_attr(s, NODE_FILE, &out.o.entry.attr);
			len = sizeof(out.o.entry);
			break;
		case FUSE_GETATTR:
			fill_attr(s, h->nodeid, &out.o.attr.attr);
			out.o.attr.attr_valid = 60;
			len = sizeof(out.o.attr);
			break;
		case FUSE_OPEN:
			len = sizeof(out.o.open);
			break;
		case FUSE_READ:
			if (w->refused > 0) {
				w->refused--;
				out.h.error = -EIO;
				break;
			}
			len = r->offset + r->size > s->size ? s->size - r->offset : r->size;
			out.h = (struct fuse_out_header){ .len = sizeof(out.h) + len, .unique = h->unique };
			w->reads++;
			if (write(p[1], &out.h, sizeof(out.h)) != sizeof(out.h) || !fill_pipe(p, other, file, w, s, r->offset, len)) {
				w->failed++;
				_exit(2);
			}
			settle();
			if (splice(p[0], NULL, fd, NULL, out.h.len, w->way == NO_MOVE ? 0 : SPLICE_F_MOVE) != (ssize_t)out.h.len)
				w->failed++;
			/* What was given away is still mapped here. */
			memset(own, 0xee, sizeof(own));
			while (read(other[0], rest, sizeof(rest)) > 0)
				;
			continue;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
			continue;
		case FUSE_RELEASE:
		case FUSE_FLUSH:
			break;
		default:
			out.h.error = -ENOSYS;
		}
		out.h.len = sizeof(out.h) + len;
		out.h.unique = h->unique;
		if (write(fd, &out, out.h.len) != (ssize_t)out.h.len)
			w->failed++;
	}
	_exit(0);
}

/* Has the file read, in a mapping, and says how many of its pages are those that the server had. */
static int read_it(struct __test_metadata *_metadata, FIXTURE_DATA(moved) *self, enum way way)
{
	struct server *v = &self->v;
	size_t shift = way == SHIFTED ? 100 : 0, len = way == SHIFTED ? LEN - PAGE : LEN;
	const char *want = self->v.s->data + shift;
	int fd, same = 0;
	char *map;

	self->w->way = way;
	if (way == SHORT)
		self->v.s->size = LEN - PAGE / 2;
	if (way == SHIFTED)
		self->v.s->size = LEN - PAGE;
	if (way == SHORT)
		len = LEN - PAGE / 2;
	EXPECT_EQ(0, server_mount(v, ""));
	v->pid = fork();
	if (!v->pid)
		serve_moved(v->fd, v->s, self->w, self->path);
	close(v->fd);
	v->fd = -1;
	fd = open(under(v, "file"), O_RDONLY);
	EXPECT_LE(0, fd);
	map = mmap(NULL, LEN, PROT_READ, MAP_SHARED, fd, 0);
	EXPECT_NE(MAP_FAILED, map);
	if (way == AGAIN) {
		char page[PAGE];

		/* What could not be read ahead is there, and read by itself. Whether that is now or later depends. */
		self->w->refused = 1;
		(void)!pread(fd, page, PAGE, 0);
		for (size_t i = 0; i < LEN; i += PAGE) {
			EXPECT_EQ((ssize_t)PAGE, pread(fd, page, PAGE, i));
			EXPECT_EQ(0, memcmp(page, want + i, PAGE));
		}
	}
	if (way == ALONE)
		EXPECT_EQ(0, madvise(map, LEN, MADV_RANDOM));
	EXPECT_EQ(0, memcmp(map, want, len));
	for (size_t i = len; i % PAGE; i++)
		EXPECT_EQ(0, map[i]);
	for (size_t i = 0; i < len; i += PAGE) {
		uint64_t n = number_of(map + i);

		EXPECT_NE(0, n);
		same += n == self->w->number[i / PAGE];
	}
	EXPECT_EQ(0, self->w->failed);
	EXPECT_LT(0, self->w->reads);
	TH_LOG("%d of %zu pages in %d answers", same, (len + PAGE - 1) / PAGE, self->w->reads);
	/* They are still there, and right, when the server is gone. */
	server_kill(v);
	EXPECT_EQ(0, memcmp(map, want, len));
	munmap(map, LEN);
	close(fd);
	return same;
}

TEST_F(moved, moved)
{
	EXPECT_EQ(PAGES, read_it(_metadata, self, MOVED));
}

/* Nothing is read ahead: who waits for a page waits for that very one. */
TEST_F(moved, waited_for)
{
	EXPECT_EQ(0, read_it(_metadata, self, ALONE));
	EXPECT_EQ(PAGES, self->w->reads);
}

TEST_F(moved, after_an_error)
{
	/* The page that was asked for is in the file already, and stays. */
	EXPECT_GT(PAGES, read_it(_metadata, self, AGAIN));
}

TEST_F(moved, mapped_by_server)
{
	EXPECT_EQ(0, read_it(_metadata, self, MAPPED));
}

TEST_F(moved, shifted)
{
	EXPECT_EQ(0, read_it(_metadata, self, SHIFTED));
}

TEST_F(moved, not_asked_for)
{
	EXPECT_EQ(0, read_it(_metadata, self, NO_MOVE));
}

TEST_F(moved, given_memory)
{
	EXPECT_EQ(0, read_it(_metadata, self, GIVEN));
}

TEST_F(moved, in_another_pipe)
{
	EXPECT_EQ(0, read_it(_metadata, self, TEED));
}

/* The last page, of which half came, is copied. */
TEST_F(moved, end_of_file)
{
	EXPECT_EQ(PAGES - 1, read_it(_metadata, self, SHORT));
}

TEST_F(moved, written)
{
	read_it(_metadata, self, WRITTEN);
}

TEST_HARNESS_MAIN
