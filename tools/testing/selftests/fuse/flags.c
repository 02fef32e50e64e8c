// SPDX-License-Identifier: GPL-2.0
/*
 * What the server says of files that it opens, what the client tells it in flags, and what it agrees to in INIT. The server
 * keeps the arguments of what it is asked.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include <sys/file.h>

#define PAGE 4096

FIXTURE(flags)
{
	struct server v;
	char *buf;
};

FIXTURE_SETUP(flags)
{
	server_init(&self->v);
	self->buf = malloc(BUF);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(flags)
{
	server_end(&self->v);
	free(self->buf);
}

#define COUNT(opcode) (self->v.s->count[opcode])

/* A file without positions, and one that is a stream. */
TEST_F(flags, positions)
{
	int fd;

	ASSERT_EQ(0, server_start(&self->v, ""));
	self->v.s->open_flags = FOPEN_NONSEEKABLE;
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_SET));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pread(fd, self->buf, 10, 5));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(-1, pwrite(fd, self->buf, 10, 5));
	EXPECT_EQ(ESPIPE, errno);
	/* The position still moves, and is sent. */
	ASSERT_EQ(10, read(fd, self->buf, 10));
	ASSERT_EQ(10, read(fd, self->buf, 10));
	EXPECT_EQ(0, memcmp(self->buf, self->v.s->data + 10, 10));
	close(fd);
	self->v.s->open_flags = FOPEN_STREAM | FOPEN_DIRECT_IO;
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(ESPIPE, errno);
	/* There is no position: each read begins at the beginning. */
	ASSERT_EQ(10, read(fd, self->buf, 10));
	ASSERT_EQ(10, read(fd, self->buf, 10));
	EXPECT_EQ(0, self->v.s->last_read.offset);
	close(fd);
	self->v.s->open_flags = 0;
	fd = open(under(&self->v, "file"), O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(5, lseek(fd, 5, SEEK_SET));
	close(fd);
}

/* A server without OPEN and OPENDIR is asked once; files work without, and nothing is released. */
TEST_F(flags, no_open)
{
	int fd, i;

	self->v.s->init_flags = FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
	self->v.s->fail = FUSE_OPEN;
	self->v.s->error = ENOSYS;
	ASSERT_EQ(0, server_start(&self->v, ""));
	for (i = 0; i < 3; i++) {
		fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd);
		ASSERT_EQ(100, pread(fd, self->buf, 100, 0));
		EXPECT_EQ(0, memcmp(self->buf, self->v.s->data, 100));
		ASSERT_EQ(100, pwrite(fd, self->buf, 100, 300 + i));
		EXPECT_EQ(0, fsync(fd));
		close(fd);
	}
	EXPECT_EQ(1, COUNT(FUSE_OPEN));
	usleep(50000);
	EXPECT_EQ(0, COUNT(FUSE_RELEASE));
	self->v.s->fail = FUSE_OPENDIR;
	for (i = 0; i < 3; i++) {
		DIR *d = opendir(self->v.dir);

		ASSERT_NE(NULL, d);
		ASSERT_NE(NULL, readdir(d));
		closedir(d);
	}
	EXPECT_EQ(1, COUNT(FUSE_OPENDIR));
	usleep(50000);
	EXPECT_EQ(0, COUNT(FUSE_RELEASEDIR));
}

/* O_TRUNC goes with OPEN where the server wants it so; then no SETATTR says it again. */
TEST_F(flags, truncating_open)
{
	struct stat st;
	int fd, old;

	self->v.s->init_flags = FUSE_ATOMIC_O_TRUNC;
	ASSERT_EQ(0, server_start(&self->v, ""));
	old = open(under(&self->v, "file"), O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(PAGE, pread(old, self->buf, PAGE, 0));
	fd = open(under(&self->v, "file"), O_RDWR | O_TRUNC | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(self->v.s->last_open.flags & O_TRUNC);
	EXPECT_EQ(0, COUNT(FUSE_SETATTR));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_size);
	/* What was cached is gone. */
	EXPECT_EQ(0, pread(old, self->buf, PAGE, 0));
	ASSERT_EQ(5, pwrite(fd, "hello", 5, 0));
	ASSERT_EQ(5, pread(old, self->buf, PAGE, 0));
	EXPECT_EQ(0, memcmp(self->buf, "hello", 5));
	close(fd);
	/* A server that fails has truncated nothing. */
	self->v.s->fail = FUSE_OPEN;
	self->v.s->error = EACCES;
	EXPECT_EQ(-1, open(under(&self->v, "file"), O_RDWR | O_TRUNC | O_CLOEXEC));
	EXPECT_EQ(EACCES, errno);
	self->v.s->fail = 0;
	ASSERT_EQ(0, fstat(old, &st));
	EXPECT_EQ(5, st.st_size);
	close(old);
}

/* Without it, SETATTR does it. */
TEST_F(flags, truncated_by_setattr)
{
	int fd;

	ASSERT_EQ(0, server_start(&self->v, ""));
	fd = open(under(&self->v, "file"), O_RDWR | O_TRUNC | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(self->v.s->last_open.flags & O_TRUNC);
	EXPECT_EQ(1, COUNT(FUSE_SETATTR));
	EXPECT_EQ(0, self->v.s->last_setattr.size);
	EXPECT_TRUE(self->v.s->last_setattr.valid & FATTR_SIZE);
	/* The server sets the time of a cut; some do not take both at once. */
	EXPECT_FALSE(self->v.s->last_setattr.valid & (FATTR_MTIME | FATTR_MTIME_NOW));
	ASSERT_EQ(0, ftruncate(fd, 100));
	EXPECT_EQ(100, self->v.s->last_setattr.size);
	EXPECT_FALSE(self->v.s->last_setattr.valid & (FATTR_MTIME | FATTR_MTIME_NOW));
	close(fd);
}

/* Who truncates or writes without CAP_FSETID has set-user-id bits cleared, and says so with OPEN and WRITE. */
TEST_F(flags, kill_suidgid)
{
	pid_t pid;
	int fd;

	self->v.s->init_flags = FUSE_ATOMIC_O_TRUNC | FUSE_HANDLE_KILLPRIV_V2;
	ASSERT_EQ(0, server_start(&self->v, ",allow_other"));
	fd = open(under(&self->v, "file"), O_RDWR | O_TRUNC | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(self->v.s->last_open.open_flags & FUSE_OPEN_KILL_SUIDGID);
	close(fd);
	pid = fork();
	if (!pid) {
		int e = setuid(1000);

		fd = open(under(&self->v, "file"), O_RDWR | O_TRUNC | O_CLOEXEC);
		e |= fd < 0 || pwrite(fd, "x", 1, 0) != 1;
		_exit(e);
	}
	EXPECT_EQ(0, end_of(pid));
	EXPECT_TRUE(self->v.s->last_open.open_flags & FUSE_OPEN_KILL_SUIDGID);
	EXPECT_TRUE(self->v.s->last_write.write_flags & FUSE_WRITE_KILL_SUIDGID);
}

/* What goes past the cache says who asks; what comes from the cache says that. */
TEST_F(flags, owners)
{
	char *p, *aligned;
	int fd;

	ASSERT_EQ(0, posix_memalign((void **)&aligned, PAGE, PAGE));
	self->v.s->init_flags = FUSE_DIRECT_IO_ALLOW_MMAP;
	ASSERT_EQ(0, server_start(&self->v, ""));
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(PAGE, pread(fd, self->buf, PAGE, 0));
	EXPECT_EQ(0, self->v.s->last_read.read_flags & FUSE_READ_LOCKOWNER);
	ASSERT_EQ(10, pwrite(fd, self->buf, 10, 0));
	EXPECT_EQ(0, self->v.s->last_write.write_flags & (FUSE_WRITE_LOCKOWNER | FUSE_WRITE_CACHE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	p[5] = 9;
	ASSERT_EQ(0, msync(p, PAGE, MS_SYNC));
	EXPECT_TRUE(self->v.s->last_write.write_flags & FUSE_WRITE_CACHE);
	EXPECT_EQ(0, self->v.s->last_write.write_flags & FUSE_WRITE_LOCKOWNER);
	munmap(p, PAGE);
	ASSERT_EQ(0, ftruncate(fd, 2 * PAGE));
	EXPECT_TRUE(self->v.s->last_setattr.valid & FATTR_LOCKOWNER);
	EXPECT_NE(0, self->v.s->last_setattr.lock_owner);
	close(fd);
	/* The owner is that of the locks which the close ends. */
	EXPECT_EQ(self->v.s->last_setattr.lock_owner, self->v.s->last_flush.lock_owner);
	fd = open(under(&self->v, "file"), O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_EQ(PAGE, pread(fd, aligned, PAGE, 0));
	EXPECT_TRUE(self->v.s->last_read.read_flags & FUSE_READ_LOCKOWNER);
	EXPECT_EQ(self->v.s->last_setattr.lock_owner, self->v.s->last_read.lock_owner);
	ASSERT_EQ(PAGE, pwrite(fd, aligned, PAGE, 0));
	EXPECT_TRUE(self->v.s->last_write.write_flags & FUSE_WRITE_LOCKOWNER);
	EXPECT_EQ(self->v.s->last_setattr.lock_owner, self->v.s->last_write.lock_owner);
	close(fd);
	free(aligned);
}

/* fdatasync says what it is; a lock of flock(2) ends with its file, and RELEASE says so. */
TEST_F(flags, fdatasync_and_flock)
{
	int fd;

	self->v.s->init_flags = FUSE_FLOCK_LOCKS;
	ASSERT_EQ(0, server_start(&self->v, ""));
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fdatasync(fd));
	EXPECT_EQ(FUSE_FSYNC_FDATASYNC, self->v.s->last_fsync.fsync_flags);
	ASSERT_EQ(0, fsync(fd));
	EXPECT_EQ(0, self->v.s->last_fsync.fsync_flags);
	close(fd);
	ASSERT_TRUE(soon(COUNT(FUSE_RELEASE) == 1));
	EXPECT_EQ(0, self->v.s->last_release.release_flags);
	fd = open(under(&self->v, "file"), O_RDWR | O_CLOEXEC);
	ASSERT_EQ(0, flock(fd, LOCK_EX));
	close(fd);
	ASSERT_TRUE(soon(COUNT(FUSE_RELEASE) == 2));
	EXPECT_EQ(FUSE_RELEASE_FLOCK_UNLOCK, self->v.s->last_release.release_flags);
	EXPECT_NE(0, self->v.s->last_release.lock_owner);
}

/* The mount bounds what is read at once. */
TEST_F(flags, max_read)
{
	int fd;

	ASSERT_EQ(0, server_start(&self->v, ",max_read=8192"));
	fd = open(under(&self->v, "file"), O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(BUF / 2, pread(fd, self->buf, BUF, 0));
	EXPECT_EQ(0, memcmp(self->buf, self->v.s->data, BUF / 2));
	EXPECT_EQ(8192, self->v.s->largest_read);
	EXPECT_EQ(BUF / 2 / 8192, COUNT(FUSE_READ));
	close(fd);
	fd = open(under(&self->v, "file"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_EQ(BUF / 2, pread(fd, self->buf, BUF, 0));
	EXPECT_EQ(8192, self->v.s->largest_read);
	close(fd);
}

/* A server that tells of changes itself: the size is believed, the data that is cached stays. */
TEST_F(flags, explicit_inval)
{
	struct stat st;
	int fd, keep;

	for (keep = 0; keep < 2; keep++) {
		self->v.s->ttl = 0;
		self->v.s->size = BUF / 2;
		self->v.s->init_flags = keep ? FUSE_EXPLICIT_INVAL_DATA : 0;
		ASSERT_EQ(0, server_start(&self->v, ""));
		fd = open(under(&self->v, "file"), O_RDONLY | O_CLOEXEC);
		ASSERT_EQ(PAGE, pread(fd, self->buf, PAGE, 0));
		self->v.s->data[0] ^= 0x55;
		self->v.s->size = BUF / 2 + 1;
		ASSERT_EQ(0, fstat(fd, &st));
		EXPECT_EQ(BUF / 2 + 1, st.st_size);
		ASSERT_EQ(PAGE, pread(fd, self->buf, PAGE, 0));
		EXPECT_EQ(!keep, self->buf[0] == self->v.s->data[0]);
		close(fd);
		umount2(self->v.dir, MNT_DETACH);
		server_kill(&self->v);
	}
}

/* Names are looked up together where the server agrees. */
TEST_F(flags, parallel_names)
{
	pid_t pid;
	struct stat st;

	self->v.s->init_flags = FUSE_PARALLEL_DIROPS;
	ASSERT_EQ(0, server_start(&self->v, ""));
	ASSERT_EQ(0, stat(self->v.dir, &st));
	self->v.s->hang = FUSE_LOOKUP;
	pid = fork();
	if (!pid)
		_exit(stat(under(&self->v, "n1"), &st));
	ASSERT_TRUE(soon(COUNT(FUSE_LOOKUP) == 1));
	self->v.s->hang = 0;
	EXPECT_EQ(0, stat(under(&self->v, "n2"), &st));
	EXPECT_EQ(2, COUNT(FUSE_LOOKUP));
	/* With the C client the request has to end first. */
	kill(pid, SIGKILL);
	server_kill(&self->v);
	waitpid(pid, NULL, 0);
}

/* A list brings a name whose lookup waits for the list to end. */
TEST_F(flags, list_and_lookup)
{
	pid_t pid[2];
	struct stat st;

	self->v.s->init_flags = FUSE_DO_READDIRPLUS;
	self->v.threads = 2;
	ASSERT_EQ(0, server_start(&self->v, ""));
	self->v.s->hold = FUSE_READDIRPLUS;
	pid[0] = fork();
	if (!pid[0]) {
		DIR *dir = opendir(self->v.dir);

		_exit(dir && readdir(dir) ? 0 : 1);
	}
	ASSERT_TRUE(soon(self->v.s->held));
	pid[1] = fork();
	if (!pid[1])
		_exit(stat(under(&self->v, "n1"), &st) ? errno : 0);
	usleep(300000);
	EXPECT_EQ(0, COUNT(FUSE_LOOKUP));
	self->v.s->hold = 0;
	for (int i = 0; i < 2; i++) {
		int status = -1;

		EXPECT_TRUE(soon(waitpid(pid[i], &status, WNOHANG) == pid[i]));
		EXPECT_EQ(0, status);
		kill(pid[i], SIGKILL);
	}
	EXPECT_EQ(1, COUNT(FUSE_READDIRPLUS));
}

/* Else they come one after the other in one directory, but not in different ones; and who waits for his turn can be killed. */
TEST_F(flags, names_in_turn)
{
	struct fuse_in_header h = { 0 };
	struct fuse_entry_out none = { 0 };
	pid_t pid[3];
	struct stat st;

	ASSERT_EQ(0, server_start_kept(&self->v, ""));
	ASSERT_EQ(0, stat(under(&self->v, "d1"), &st));
	self->v.s->hang = FUSE_LOOKUP;
	pid[0] = fork();
	if (!pid[0])
		_exit(stat(under(&self->v, "n1"), &st) ? errno : 0);
	ASSERT_TRUE(soon(self->v.s->hung));
	self->v.s->hang = 0;
	for (int i = 1; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			struct dirent *d;
			DIR *dir;

			if (i == 1)
				_exit(stat(under(&self->v, "n2"), &st) ? errno : 0);
			dir = opendir(self->v.dir);
			d = dir ? readdir(dir) : NULL;
			_exit(d ? 0 : errno);
		}
	}
	usleep(300000);
	EXPECT_EQ(2, COUNT(FUSE_LOOKUP));
	EXPECT_EQ(0, COUNT(FUSE_READDIR));
	EXPECT_EQ(0, stat(under(&self->v, "d1/n3"), &st));
	EXPECT_EQ(3, COUNT(FUSE_LOOKUP));
	if (!module_is_c()) {
		kill(pid[2], SIGKILL);
		EXPECT_TRUE(soon(waitpid(pid[2], NULL, WNOHANG) == pid[2]));
	}
	/* The name does not exist, at last. */
	h.unique = self->v.s->hung;
	EXPECT_LT(0, answer(self->v.fd, &h, 0, &none, sizeof(none)));
	for (int i = 0; i < (module_is_c() ? 3 : 2); i++) {
		int status = -1;

		EXPECT_TRUE(soon(waitpid(pid[i], &status, WNOHANG) == pid[i]));
		EXPECT_EQ(i ? 0 : ENOENT, WEXITSTATUS(status));
	}
	EXPECT_EQ(module_is_c(), COUNT(FUSE_READDIR) > 0);
}

TEST_HARNESS_MAIN
