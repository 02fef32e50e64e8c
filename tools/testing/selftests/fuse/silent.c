// SPDX-License-Identifier: GPL-2.0
/*
 * A server that never answers READ or WRITE: whoever needs the page dies of SIGKILL, who does not need it is not held up, and
 * neither is who frees memory. The page is the server's business until the session ends.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#define PAGE 4096

FIXTURE(silent)
{
	struct server v;
};

FIXTURE_VARIANT(silent)
{
	uint64_t flags;
};

FIXTURE_VARIANT_ADD(silent, through)
{
	.flags = FUSE_ASYNC_READ,
};

FIXTURE_VARIANT_ADD(silent, back)
{
	.flags = FUSE_ASYNC_READ | FUSE_WRITEBACK_CACHE,
};

FIXTURE_SETUP(silent)
{
	if (module_is_c())
		SKIP(return, "known difference: with the C module who needs such a page, or ends its inode, cannot be killed");
	server_init(&self->v);
	self->v.s->init_flags = variant->flags;
	ASSERT_EQ(0, server_start(&self->v, ""));
}

FIXTURE_TEARDOWN(silent)
{
	if (module_is_c())
		return;
	server_kill(&self->v);
	server_end(&self->v);
}

/* Another process; what it returns is its exit code. */
static pid_t other(int (*what)(const struct server *v), const struct server *v)
{
	pid_t pid = fork();

	if (!pid)
		_exit(what(v));
	return pid;
}

/* Waits for the end of a process; says where it is if that does not come. */
static bool gone(pid_t pid, int *status)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	/* A process that ends by itself gets no signal any more, and waits for 10 seconds. */
	if (soon(waitpid(pid, status, WNOHANG) == pid))
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0)
		printf("# %.*s\n", (int)n, text);
	return false;
}

/* Whether a process ends by itself, and well. */
static bool ends(pid_t pid)
{
	int status = -1;

	return gone(pid, &status) && status == 0;
}

/* Whether a process waits, and dies when it is killed. */
static bool dies(pid_t pid)
{
	bool did_wait = waits(pid);

	kill(pid, SIGKILL);
	return gone(pid, NULL) && did_wait;
}

static int file(const struct server *v, int flags)
{
	return open(under(v, "file"), flags | O_CLOEXEC);
}

static int drop(const struct server *v)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	(void)v;
	return write(fd, "3", 1) != 1;
}

static int read_ahead(const struct server *v)
{
	int fd = file(v, O_RDONLY);

	return posix_fadvise(fd, 0, 8 * PAGE, POSIX_FADV_WILLNEED) || close(fd);
}

static int read_page(const struct server *v)
{
	char c;

	return pread(file(v, O_RDONLY), &c, 1, 0) != 1;
}

static int map_page(const struct server *v)
{
	volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file(v, O_RDONLY), 0);

	return p == MAP_FAILED || p[0] == 1;
}

static int cut(const struct server *v)
{
	return truncate(under(v, "file"), 100);
}

static int open_cut(const struct server *v)
{
	return file(v, O_RDWR | O_TRUNC) < 0;
}

static int open_close(const struct server *v)
{
	int fd = file(v, O_RDONLY);

	return fd < 0 || close(fd);
}

static int unmount(const struct server *v)
{
	return umount2(v->dir, 0);
}

static int write_page(const struct server *v)
{
	static char page[PAGE];

	return pwrite(file(v, O_WRONLY), page, PAGE, 0) != PAGE;
}

static int write_part(const struct server *v)
{
	return pwrite(file(v, O_WRONLY), "x", 1, 5) != 1;
}

static int write_sync(const struct server *v)
{
	int fd = file(v, O_WRONLY);

	return pwrite(fd, "x", 1, 5) != 1 || fsync(fd);
}

/* A page that is changed in memory, for as long as the process lives. */
static char *change(const struct server *v, int *fd)
{
	char *p;

	*fd = file(v, O_RDWR);
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p != MAP_FAILED)
		p[0] = 1;
	return p;
}

static int change_exit(const struct server *v)
{
	int fd;

	return change(v, &fd) == MAP_FAILED;
}

static int change_unmap(const struct server *v)
{
	int fd;
	char *p = change(v, &fd);

	return munmap(p, PAGE);
}

static int change_sync(const struct server *v)
{
	int fd;
	char *p = change(v, &fd);

	return msync(p, PAGE, MS_SYNC);
}

/* While it is written it is changed again, and that is to be written as well. */
static int change_twice(const struct server *v)
{
	int fd;
	char *p = change(v, &fd);

	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	p[0] = 2;
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return fdatasync(fd);
}

/* What is read ahead keeps nobody: not the close, not who frees memory. Who wants the page waits, and can be killed. */
TEST_F(silent, read_ahead)
{
	self->v.s->hang = FUSE_READ;
	ASSERT_TRUE(ends(other(read_ahead, &self->v)));
	ASSERT_TRUE(soon(self->v.s->count[FUSE_READ] > 0));
	EXPECT_TRUE(ends(other(drop, &self->v)));
	EXPECT_TRUE(dies(other(read_page, &self->v)));
	EXPECT_TRUE(dies(other(map_page, &self->v)));
	EXPECT_TRUE(dies(other(write_part, &self->v)));
	EXPECT_TRUE(dies(other(cut, &self->v)));
	EXPECT_TRUE(dies(other(open_cut, &self->v)));
	EXPECT_TRUE(dies(other(open_close, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
}

/* The request of a reader that was killed has the page, and keeps the inode. */
TEST_F(silent, read)
{
	self->v.s->hang = FUSE_READ;
	EXPECT_TRUE(dies(other(read_page, &self->v)));
	EXPECT_TRUE(dies(other(map_page, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
	EXPECT_TRUE(dies(other(cut, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
	/* When it is answered the file is as good as new. */
	self->v.s->hang = 0;
	server_kill(&self->v);
}

TEST_F(silent, write)
{
	bool back = variant->flags & FUSE_WRITEBACK_CACHE;
	pid_t pid;

	self->v.s->hang = FUSE_WRITE;
	pid = other(write_page, &self->v);
	EXPECT_TRUE(soon(self->v.s->count[FUSE_WRITE] > 0));
	/* It is closed when the process ends, which is waited for. */
	EXPECT_TRUE(dies(pid));
	EXPECT_TRUE(dies(other(write_sync, &self->v)));
	EXPECT_TRUE(dies(other(write_part, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
	if (back)
		EXPECT_TRUE(dies(other(cut, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
}

TEST_F(silent, mapped_write)
{
	pid_t pid;

	self->v.s->hang = FUSE_WRITE;
	pid = other(change_exit, &self->v);
	EXPECT_TRUE(soon(self->v.s->count[FUSE_WRITE] > 0));
	EXPECT_TRUE(dies(pid));
	EXPECT_TRUE(dies(other(change_unmap, &self->v)));
	EXPECT_TRUE(dies(other(change_sync, &self->v)));
	EXPECT_TRUE(dies(other(change_twice, &self->v)));
	EXPECT_TRUE(ends(other(drop, &self->v)));
	EXPECT_TRUE(dies(other(cut, &self->v)));
}

/* An unmount waits for what is under way. Once it is killed it gives the server some time, and then ends the session. */
TEST_F(silent, unmount)
{
	pid_t pid;
	int status;

	self->v.s->hang = FUSE_READ;
	ASSERT_TRUE(ends(other(read_ahead, &self->v)));
	ASSERT_TRUE(soon(self->v.s->count[FUSE_READ] > 0));
	pid = other(unmount, &self->v);
	EXPECT_TRUE(waits(pid));
	kill(pid, SIGKILL);
	EXPECT_TRUE(gone(pid, NULL));
	/* The server is told that it is over. */
	EXPECT_TRUE(soon(waitpid(self->v.pid, &status, WNOHANG) == self->v.pid));
	self->v.pid = 0;
}

#define SLOW 5

/* A server that is slow is not given up, as long as it answers something. */
TEST_F(silent, unmount_waits_for_the_slow)
{
	struct fuse_in_header h[SLOW] = { { 0 } };
	struct server v;
	char page[PAGE];
	pid_t pid;
	int fd;

	if (variant->flags & FUSE_WRITEBACK_CACHE)
		SKIP(return, "the same");
	server_init(&v);
	v.s->init_flags = variant->flags;
	v.s->hang = FUSE_READ;
	ASSERT_EQ(0, server_start_kept(&v, ",max_read=4096"));
	fd = file(&v, O_RDONLY);
	for (int i = 0; i < SLOW; i++) {
		v.s->hung = 0;
		EXPECT_EQ(0, posix_fadvise(fd, i * 16 * PAGE, PAGE, POSIX_FADV_WILLNEED));
		ASSERT_TRUE(soon(v.s->hung));
		h[i].unique = v.s->hung;
	}
	close(fd);
	pid = other(unmount, &v);
	EXPECT_TRUE(waits(pid));
	kill(pid, SIGKILL);
	memset(page, 0, sizeof(page));
	/* Together that is longer than a server has that answers nothing. */
	for (int i = 0; i < SLOW; i++) {
		sleep(3);
		EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
		EXPECT_LT(0, answer(v.fd, &h[i], 0, page, PAGE));
	}
	EXPECT_TRUE(gone(pid, NULL));
	server_end(&v);
}

/* What is dirty at an unmount is written, as much of it as there is. */
TEST_F(silent, unmount_writes)
{
	pid_t pid;

	self->v.s->hold = FUSE_WRITE;
	pid = other(change_exit, &self->v);
	ASSERT_TRUE(soon(self->v.s->held));
	ASSERT_TRUE(dies(pid));
	pid = other(unmount, &self->v);
	EXPECT_TRUE(waits(pid));
	self->v.s->hold = 0;
	EXPECT_TRUE(ends(pid));
	EXPECT_EQ(1, self->v.s->data[0]);
}

TEST_HARNESS_MAIN
