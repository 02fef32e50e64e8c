// SPDX-License-Identifier: GPL-2.0
/*
 * Files without DAX, through the page cache: shared mappings and what becomes of dirty pages, writes that fill the cache,
 * reading ahead. Requests are counted at the server; what arrived is looked at on the host.
 */
#define _GNU_SOURCE
#include <sys/sendfile.h>
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (4UL << 20)

FIXTURE(cached)
{
	struct fs fs;
	int fd;
	char *p, *buf;
};

FIXTURE_SETUP(cached)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	self->p = MAP_FAILED;
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no daxfsd without a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", ""));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf c; mkdir c"));
	ASSERT_EQ(0, host_make(&self->fs, "c/f", SIZE, 1));
	self->fd = open(at(&self->fs, "c/f"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->fd, 0);
	self->buf = malloc(SIZE);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(cached)
{
	if (self->fs.mounted) {
		unhang(&self->fs);
		device(&self->fs, NULL, 0, "delay all 0");
		device(&self->fs, NULL, 0, "fopen none");
	}
	if (self->p != MAP_FAILED)
		munmap(self->p, SIZE);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
	free(self->buf);
}

static char *map(int fd)
{
	return mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* What is stored in a shared mapping reaches the host by msync, in large requests. */
TEST_F(cached, mapped_msync)
{
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	EXPECT_EQ(-1, differs(self->p, 0, SIZE, 1));
	/* Before it is dirty: who asks the device closes the file, which writes back. */
	reset_counters(&self->fs);
	fill(self->p, 0, SIZE, 2);
	ASSERT_EQ(0, msync(self->p, SIZE, MS_SYNC));
	TH_LOG("%ld WRITEs", counter(&self->fs, "WRITE"));
	/* 1 MiB a request, if the flusher has not been there in between. */
	EXPECT_LE(counter(&self->fs, "WRITE"), 12);
	EXPECT_EQ(1, counter(&self->fs, "FSYNC"));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 2));
	/* Nothing is dirty any more. */
	reset_counters(&self->fs);
	ASSERT_EQ(0, msync(self->p, SIZE, MS_SYNC));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	/* One page is one request of one page. */
	fill(self->p + 5 * PAGE, 5 * PAGE, PAGE, 3);
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_EQ(1, counter(&self->fs, "WRITE"));
}

/* It reaches the host when the mapping ends, and when a process ends that has it. */
TEST_F(cached, mapped_munmap)
{
	int status;
	pid_t pid;

	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	fill(self->p, 0, SIZE, 2);
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, munmap(self->p, SIZE));
	self->p = MAP_FAILED;
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 2));
	pid = fork();
	if (!pid) {
		char *p = map(open(at(&self->fs, "c/f"), O_RDWR | O_CLOEXEC));

		fill(p, 0, SIZE, 3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 3));
}

/* An end that is no page's end stays where it is, and what is stored behind it goes nowhere. */
TEST_F(cached, mapped_end)
{
	struct stat st;

	ASSERT_EQ(0, ftruncate(self->fd, SIZE - 100));
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	fill(self->p, 0, SIZE, 2);
	ASSERT_EQ(0, msync(self->p, SIZE, MS_SYNC));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE - 100, 2));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(SIZE - 100, st.st_size);
	/* What comes to light when the file gets longer is zeros. */
	ASSERT_EQ(0, ftruncate(self->fd, SIZE));
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(0, self->p[SIZE - 100 + i]);
}

/* A mapping sees what is written by calls, and calls read what was stored. */
TEST_F(cached, mapped_and_calls)
{
	size_t off;

	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	for (off = 0; off + 3000 < SIZE; off += 50000) {
		/* Stores and a write in the same pages, neither losing the other. */
		fill(self->p + off, off, 3000, 2);
		fill(self->buf, off + 3000, 3000, 2);
		ASSERT_EQ(3000, pwrite(self->fd, self->buf, 3000, off + 3000));
		EXPECT_EQ(-1, differs(self->p + off, off, 6000, 2));
		ASSERT_EQ(6000, pread(self->fd, self->buf, 6000, off));
		EXPECT_EQ(-1, differs(self->buf, off, 6000, 2));
		EXPECT_EQ(-1, differs(self->p + off + 6000, off + 6000, 1000, 1));
	}
	memcpy(self->buf, self->p, SIZE);
	ASSERT_EQ(0, msync(self->p, SIZE, MS_SYNC));
	EXPECT_EQ(0, memcmp(self->buf, self->p, SIZE));
	for (off = 0; off + 7000 < SIZE; off += 50000)
		EXPECT_EQ(-1, differs(self->buf + off, off, 6000, 2));
	munmap(self->p, SIZE);
	/* And once more from the server. */
	close(self->fd);
	self->fd = open(at(&self->fs, "c/f"), O_RDWR | O_CLOEXEC);
	self->p = map(self->fd);
	EXPECT_EQ(0, memcmp(self->buf, self->p, SIZE));
}

/* Dirty pages behind a new end are gone, those before it are not, and the file does not get long again. */
TEST_F(cached, truncate_dirty)
{
	char out[64];
	int i;

	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	for (i = 0; i < 5; i++) {
		fill(self->p, 0, SIZE, 2 + i);
		ASSERT_EQ(0, ftruncate(self->fd, SIZE / 2 + 123));
		ASSERT_EQ(0, msync(self->p, SIZE / 2 + PAGE, MS_SYNC));
		ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s c/f"));
		EXPECT_EQ(SIZE / 2 + 123, strtoul(out, NULL, 10));
		EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE / 2 + 123, 2 + i));
		ASSERT_EQ(0, ftruncate(self->fd, SIZE));
		EXPECT_EQ(0, self->p[SIZE / 2 + 123]);
		EXPECT_EQ(0, self->p[SIZE - 1]);
	}
}

/* A change of the size that the server refuses loses nothing. */
TEST_F(cached, truncate_refused)
{
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	fill(self->p, 0, SIZE, 2);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETATTR 1 errno:-1"));
	EXPECT_EQ(-1, ftruncate(self->fd, PAGE));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, msync(self->p, SIZE, MS_SYNC));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 2));
}

/* An error of writing back is told once to each who can ask. */
TEST_F(cached, error_once)
{
	/* Every close writes back, also in the processes that ask the device: so the fault is set before the store. */
	int other = open(at(&self->fs, "c/f"), O_RDWR | O_CLOEXEC);

	ASSERT_GE(other, 0);
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 errno:-28"));
	self->p[0] = 1;
	EXPECT_EQ(-1, msync(self->p, PAGE, MS_SYNC));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, msync(self->p, PAGE, MS_SYNC));
	EXPECT_EQ(0, fsync(self->fd));
	EXPECT_EQ(-1, fsync(other));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(0, fsync(other));
	close(other);
	/* An answer that breaks the protocol. The C client takes it for success. */
	if (!module_is_c()) {
		ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 short"));
		self->p[0] = 2;
		EXPECT_EQ(-1, msync(self->p, PAGE, MS_SYNC));
		EXPECT_EQ(EIO, errno);
	}
	self->p[0] = 3;
	EXPECT_EQ(0, msync(self->p, PAGE, MS_SYNC));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 errno:-5"));
	self->p[0] = 4;
	close(dup(self->fd));
	/* Told by the close; here by the next one too, as fsync asks for itself. */
	EXPECT_EQ(-1, fsync(self->fd));
	EXPECT_EQ(EIO, errno);
}

/* Who waits for a server that does not answer can be killed, and what it wrote is not lost. */
TEST_F(cached, killed_writer)
{
	pid_t pid;

	if (module_is_c())
		SKIP(return, "known difference: waits for writing back that no signal ends");
	/* Every close of the file waits, also in the processes that ask the device. */
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 100 hang"));
	pid = fork();
	if (!pid) {
		char *p = map(open(at(&self->fs, "c/f"), O_RDWR));

		fill(p, 0, SIZE, 2);
		msync(p, SIZE, MS_SYNC);
		_exit(0);
	}
	EXPECT_TRUE(soon(hanging(&self->fs) >= 1));
	kill(pid, SIGKILL);
	EXPECT_NE(-1, ended_by(pid, now_ms() + SOON_MS));
	/* A change of the size waits for what is under way, and can be killed as well. */
	pid = fork();
	if (!pid)
		_exit(truncate(at(&self->fs, "c/f"), 100) ? 1 : 0);
	pause_ms(200);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kill(pid, SIGKILL);
	EXPECT_NE(-1, ended_by(pid, now_ms() + SOON_MS));
	unhang(&self->fs);
	EXPECT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", ""));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 2));
	/* The server counts a RELEASE before it forgets the handle. */
	EXPECT_TRUE(soon(census(&self->fs, "handles") == 0));
}

/* One who reads on and on has several READs under way, of 1 MiB each in the end. */
TEST_F(cached, read_ahead)
{
	size_t off;
	pid_t pid;
	int status;

	reset_counters(&self->fs);
	for (off = 0; off < SIZE; off += 65536)
		ASSERT_EQ(65536, pread(self->fd, self->buf + off, 65536, off));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
	TH_LOG("%ld READs", counter(&self->fs, "READ"));
	OURS(counter(&self->fs, "READ") <= 10, "reads 128 KiB ahead");
	close(self->fd);
	self->fd = open(at(&self->fs, "c/f"), O_RDWR | O_CLOEXEC);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 100 hang"));
	pid = fork();
	if (!pid) {
		for (off = 0; off < SIZE; off += SIZE / 4)
			posix_fadvise(self->fd, off, SIZE / 4, POSIX_FADV_WILLNEED);
		_exit(0);
	}
	/* It does not wait for what it starts. */
	EXPECT_EQ(0, ended_by(pid, now_ms() + SOON_MS));
	EXPECT_TRUE(soon(hanging(&self->fs) >= 4));
	/* Who needs it is killed, and leaves nothing locked. */
	pid = fork();
	if (!pid)
		_exit(pread(self->fd, self->buf, PAGE, 0) != PAGE);
	pause_ms(200);
	kill(pid, SIGKILL);
	EXPECT_NE(-1, ended_by(pid, now_ms() + SOON_MS));
	unhang(&self->fs);
	pid = fork();
	if (!pid)
		_exit(pread(self->fd, self->buf, SIZE, 0) != (ssize_t)SIZE || differs(self->buf, 0, SIZE, 1) != -1);
	status = ended_by(pid, now_ms() + SOON_MS);
	EXPECT_EQ(0, status);
}

/* The file is closed while READs are under way: the server is told of that when they are done. */
TEST_F(cached, closed_while_reading)
{
	close(self->fd);
	self->fd = open(at(&self->fs, "c/f"), O_RDONLY | O_CLOEXEC);
	reset_counters(&self->fs);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READ 100 hang"));
	ASSERT_EQ(0, posix_fadvise(self->fd, 0, SIZE, POSIX_FADV_WILLNEED));
	EXPECT_TRUE(soon(hanging(&self->fs) >= 1));
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(0, counter(&self->fs, "RELEASE"));
	unhang(&self->fs);
	EXPECT_TRUE(soon(counter(&self->fs, "RELEASE")));
	EXPECT_EQ(1, counter(&self->fs, "RELEASE"));
	/* The server counts a RELEASE before it forgets the handle. */
	EXPECT_TRUE(soon(census(&self->fs, "handles") == 0));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
}

/* A large write is a few large requests; what is no page is sent as it is. */
TEST_F(cached, write_requests)
{
	size_t off = 0;

	fill(self->buf, 0, SIZE, 2);
	reset_counters(&self->fs);
	ASSERT_EQ(SIZE, pwrite(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(SIZE >> 20, counter(&self->fs, "WRITE"));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 2));
	fill(self->buf, 0, SIZE, 3);
	reset_counters(&self->fs);
	/* Nothing has to be read for parts of pages. */
	for (; off < SIZE; off += 77777)
		ASSERT_LT(0, pwrite(self->fd, self->buf + off, SIZE - off < 77777 ? SIZE - off : 77777, off));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, host_has(&self->fs, "c/f", SIZE, 3));
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 3));
}

/* A write that fails leaves nothing in the cache that the server does not have. */
TEST_F(cached, write_fails)
{
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	fill(self->buf, 0, SIZE, 2);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 errno:-28"));
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, 100000, 5000));
	EXPECT_EQ(ENOSPC, errno);
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
	/* Behind the end too. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault WRITE 1 errno:-28"));
	EXPECT_EQ(-1, pwrite(self->fd, self->buf, 100000, SIZE + 5000));
	EXPECT_EQ(SIZE, lseek(self->fd, 0, SEEK_END));
	/* What the user gave is not there. */
	EXPECT_EQ(-1, pwrite(self->fd, (char *)PAGE, 100, 0));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	EXPECT_EQ(-1, differs(self->buf, 0, SIZE, 1));
}

/* What the cache holds goes with an open, unless the server says that it may stay. */
TEST_F(cached, keep_cache)
{
	int keep, i;

	for (keep = 0; keep < 2; keep++) {
		ASSERT_EQ(0, device(&self->fs, NULL, 0, keep ? "fopen KEEP_CACHE,NOFLUSH" : "fopen none"));
		for (i = 0; i < 2; i++) {
			close(self->fd);
			self->fd = open(at(&self->fs, "c/f"), O_RDONLY | O_CLOEXEC);
			ASSERT_GE(self->fd, 0);
			reset_counters(&self->fs);
			ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
		}
		EXPECT_EQ(!keep, counter(&self->fs, "READ") > 0);
		/* Nor is the server told of closes that do not matter to it. */
		reset_counters(&self->fs);
		close(dup(self->fd));
		EXPECT_EQ(!keep, counter(&self->fs, "FLUSH") > 0);
	}
}

/* Who has a file open sees what the host changes in place, when the second of belief is over, by a clock that may be late. */
TEST_F(cached, auto_inval)
{
	ASSERT_EQ(SIZE, pread(self->fd, self->buf, SIZE, 0));
	ASSERT_EQ(0, host_make(&self->fs, "c/f", SIZE, 9));
	EXPECT_TRUE(soon(pread(self->fd, self->buf, SIZE, 0) == (ssize_t)SIZE && differs(self->buf, 0, SIZE, 9) == -1));
}

/* splice(2) and sendfile(2), from the file and to it. */
TEST_F(cached, splice)
{
	int to = open(at(&self->fs, "c/to"), O_RDWR | O_CREAT | O_CLOEXEC, 0644), tube[2];
	loff_t pos = 12345;
	off_t from = 0;
	size_t n;

	ASSERT_GE(to, 0);
	for (n = 0; n < SIZE;) {
		ssize_t got = sendfile(to, self->fd, &from, SIZE - n);

		ASSERT_LT(0, got);
		n += got;
	}
	EXPECT_EQ(0, host_has(&self->fs, "c/to", SIZE, 1));
	ASSERT_EQ(0, pipe2(tube, O_CLOEXEC));
	ASSERT_EQ(30000, splice(self->fd, &pos, tube[1], NULL, 30000, 0));
	ASSERT_EQ(30000, read(tube[0], self->buf, 30000));
	EXPECT_EQ(-1, differs(self->buf, 12345, 30000, 1));
	fill(self->buf, 777, 30000, 2);
	ASSERT_EQ(30000, write(tube[1], self->buf, 30000));
	pos = 777;
	ASSERT_EQ(30000, splice(tube[0], NULL, to, &pos, 30000, 0));
	ASSERT_EQ(30000, pread(to, self->buf, 30000, 777));
	EXPECT_EQ(-1, differs(self->buf, 777, 30000, 2));
	close(to);
	close(tube[0]);
	close(tube[1]);
}

/* What is stored in a mapping is there for what the server does itself: copying, finding data, punching. */
TEST_F(cached, dirty_and_server)
{
	int to = open(at(&self->fs, "c/to"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	loff_t from = 0, into = 0;

	ASSERT_GE(to, 0);
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	fill(self->p, 0, SIZE, 2);
	ASSERT_EQ(SIZE, copy_file_range(self->fd, &from, to, &into, SIZE, 0));
	EXPECT_EQ(0, host_has(&self->fs, "c/to", SIZE, 2));
	fill(self->p, 0, SIZE, 3);
	/* The parts of pages around a hole stay. */
	ASSERT_EQ(0, fallocate(self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 2 * PAGE));
	EXPECT_EQ(-1, differs(self->p, 0, 100, 3));
	EXPECT_EQ(0, self->p[100]);
	EXPECT_EQ(0, self->p[2 * PAGE + 99]);
	EXPECT_EQ(-1, differs(self->p + 2 * PAGE + 100, 2 * PAGE + 100, SIZE - 2 * PAGE - 100, 3));
	close(to);
}

/* A write from a mapping of the same page of the same file. */
TEST_F(cached, write_from_itself)
{
	self->p = map(self->fd);
	ASSERT_NE(MAP_FAILED, self->p);
	EXPECT_EQ(SIZE / 2, pwrite(self->fd, self->p, SIZE / 2, SIZE / 2));
	ASSERT_EQ(0, madvise(self->p, SIZE, MADV_DONTNEED));
	EXPECT_EQ(PAGE, pwrite(self->fd, self->p + 8, PAGE, 0));
	EXPECT_EQ(-1, differs(self->p + SIZE / 2, 0, SIZE / 2, 1));
	EXPECT_EQ(8, *(uint64_t *)self->p & 0xffff);
}

TEST_HARNESS_MAIN
