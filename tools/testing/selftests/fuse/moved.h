/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A server whose answers to READ have pages that can move from a pipe into the page cache (SPLICE_F_MOVE). It takes them from a file
 * on a disk file system. Include after kselftest_harness.h.
 */
#ifndef MOVED_H
#define MOVED_H

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
	/* An answer is about to be sent, and is sent then; the server waits for a word between. */
	volatile bool about, waits, sent;
	volatile double took;
	volatile int error;
};

FIXTURE(moved) {
	struct server v;
	struct what *w;
	char place[64], path[80];
};

/* New pages for the server's file, which are on the disk and not in memory. */
static bool new_pages(const char *path, const char *data)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool made = write(fd, data, LEN) == LEN && !fsync(fd) && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);

	close(fd);
	return made;
}

FIXTURE_SETUP(moved)
{
	server_init(&self->v);
	self->w = mmap(NULL, sizeof(*self->w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self->v.s->size = LEN;
	strcpy(self->place, "/tmp/movedXXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->place));
	ASSERT_TRUE(place_make(self->place, true));
	snprintf(self->path, sizeof(self->path), "%s/file", self->place);
	ASSERT_TRUE(new_pages(self->path, self->v.s->data));
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

/* The server's: its pipes, the file that it takes pages from, and what it is told. */
static int pipe_to[2], other_pipe[2], source;
static struct what *what;
static struct shared *shared;

/* Puts the pages of an answer into the pipe; false when something is wrong. */
static bool fill_pipe(uint64_t at, size_t len)
{
	loff_t off = at + (what->way == SHIFTED ? 100 : 0);
	char *map;

	if (what->way == GIVEN) {
		struct iovec v = { .iov_base = own, .iov_len = len };

		memcpy(own, shared->data + at, len);
		for (size_t i = 0; i < len; i += PAGE)
			what->number[(at + i) / PAGE] = number_of(own + i);
		return vmsplice(pipe_to[1], &v, 1, SPLICE_F_GIFT) == (ssize_t)len;
	}
	if (what->way == WRITTEN)
		return write(pipe_to[1], shared->data + at, len) == (ssize_t)len;
	/* One by one, so that each is a page of its own. */
	posix_fadvise(source, 0, 0, POSIX_FADV_RANDOM);
	for (size_t i = 0; i < len + PAGE && at + i < LEN; i += PAGE)
		(void)!pread(source, own, 1, at + i);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, source, at);
	if (map == MAP_FAILED)
		return false;
	for (size_t i = 0; i < len; i += PAGE) {
		(void)*(volatile char *)(map + i);
		what->number[(at + i) / PAGE] = number_of(map + i);
	}
	if (what->way != MAPPED)
		munmap(map, len);
	for (size_t done = 0; done < len; ) {
		ssize_t n = splice(source, &off, pipe_to[1], NULL, len - done, 0);

		if (n <= 0)
			return false;
		done += n;
	}
	return what->way != TEED || tee(pipe_to[0], other_pipe[1], 16 + len, SPLICE_F_NONBLOCK) > 0;
}

static void answer_moved(int fd, const struct fuse_in_header *in, const struct fuse_read_in *r)
{
	static char rest[MESSAGE];
	size_t len = r->offset + r->size > shared->size ? shared->size - r->offset : r->size;
	struct fuse_out_header h = { .len = sizeof(h) + len, .unique = in->unique };

	if (what->refused > 0) {
		what->refused--;
		answer(fd, in, -EIO, NULL, 0);
		return;
	}
	what->reads++;
	if (write(pipe_to[1], &h, sizeof(h)) != sizeof(h) || !fill_pipe(r->offset, len)) {
		what->failed++;
		_exit(2);
	}
	settle();
	what->about = true;
	while (what->waits)
		usleep(1000);
	what->took = clock_now();
	if (splice(pipe_to[0], NULL, fd, NULL, h.len, what->way == NO_MOVE ? 0 : SPLICE_F_MOVE) != (ssize_t)h.len) {
		what->error = errno;
		what->failed++;
	}
	what->took = clock_now() - what->took;
	what->sent = true;
	/* What was given away is still mapped here. */
	memset(own, 0xee, sizeof(own));
	while (read(other_pipe[0], rest, sizeof(rest)) > 0)
		;
}

/* Mounts, and starts the server. */
static int start(FIXTURE_DATA(moved) *self, enum way way)
{
	struct server *v = &self->v;
	int e;

	v->s->max_write = LEN;
	v->s->max_pages = PAGES;
	v->s->init_flags = FUSE_ASYNC_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE;
	what = self->w;
	what->way = way;
	shared = v->s;
	e = server_mount(v, "");
	if (e)
		return e;
	v->pid = fork();
	if (!v->pid) {
		one_processor();
		source = open(self->path, O_RDONLY);
		if (source < 0 || pipe(pipe_to) || fcntl(pipe_to[1], F_SETPIPE_SZ, BUF) < 0 || pipe2(other_pipe, O_NONBLOCK) ||
		    fcntl(other_pipe[1], F_SETPIPE_SZ, BUF) < 0)
			_exit(1);
		answer_read = answer_moved;
		serve(v->fd, v->s);
	}
	close(v->fd);
	v->fd = -1;
	return 0;
}

#endif
