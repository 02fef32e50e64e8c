// SPDX-License-Identifier: GPL-2.0
/*
 * The numbers by which the device is told who asks: those of the pid namespace of who mounted, 0 for those who are not in it.
 * What the device says of processes is understood in the same way.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

FIXTURE(pids)
{
	struct fs fs;
};

FIXTURE_SETUP(pids)
{
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no device that tells who asks");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "nodax");
	device(&self->fs, NULL, 0, "defaults");
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "echo hello >who"));
}

FIXTURE_TEARDOWN(pids)
{
	host(&self->fs, NULL, 0, "rm -f who");
}

/* The number that the server is told for this thread: an ioctl for tests returns it (tools/daxfsd/src/fs/ioctl.rs). */
static int told(const char *name)
{
	int fd = open(name, O_RDWR | O_CLOEXEC), pid;

	if (fd < 0)
		return -1;
	pid = ioctl(fd, _IO(0xda, 7), 0);
	close(fd);
	return pid;
}

static void *thread_told(void *name)
{
	return (void *)(long)(told(name) == syscall(SYS_gettid));
}

static int ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* In a namespace below that of the mount: known by the number that fork(2) gave the parent. */
static int below(const char *name)
{
	int go[2];
	pid_t pid, known;

	if (unshare(CLONE_NEWPID) || pipe(go))
		return 120;
	pid = fork();
	if (!pid) {
		if (read(go[0], &known, sizeof(known)) != sizeof(known) || getpid() != 1)
			_exit(121);
		_exit(known == told(name) ? 0 : 122);
	}
	return write(go[1], &pid, sizeof(pid)) == sizeof(pid) ? ended(pid) : 123;
}

/* The first process of a new namespace mounts, and holds a lock until those outside have seen it. */
static int inside(struct fs *fs, int socket)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	const char *name = at(fs, "who");
	pthread_t t;
	void *good;
	char byte;
	pid_t pid;
	int fd, e;

	if (getpid() != 1 || mount("nodax", fs->dir, "virtiofs", 0, NULL))
		return 101;
	if (told(name) != 1)
		return 102;
	if (pthread_create(&t, NULL, thread_told, (void *)name) || pthread_join(t, &good) || !good)
		return 103;
	pid = fork();
	if (!pid)
		_exit(below(name));
	if ((e = ended(pid)))
		return e;
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_SETLK, &l))
		return 104;
	/* Who holds it, as seen by another one in the namespace. */
	pid = fork();
	if (!pid)
		_exit(fcntl(fd, F_GETLK, &l) || l.l_type != F_WRLCK || l.l_pid != 1);
	if (ended(pid))
		return 105;
	return write(socket, "", 1) == 1 && read(socket, &byte, 1) == 1 ? 0 : 106;
}

TEST_F(pids, of_who_mounted)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct fs *fs = &self->fs;
	int pair[2], number[2], fd;
	pid_t outer, first = 0;
	char byte;

	snprintf(fs->dir, sizeof(fs->dir), "/tmp/pids.%d", getpid());
	mkdir(fs->dir, 0755);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ASSERT_EQ(0, pipe(number));
	outer = fork();
	if (!outer) {
		close(pair[0]);
		if (unshare(CLONE_NEWPID))
			_exit(99);
		first = fork();
		if (!first)
			_exit(inside(fs, pair[1]));
		close(pair[1]);
		_exit(write(number[1], &first, sizeof(first)) == sizeof(first) ? ended(first) : 98);
	}
	close(pair[1]);
	ASSERT_EQ(sizeof(first), read(number[0], &first, sizeof(first)));
	if (read(pair[0], &byte, 1) == 1) {
		/* This process is not in that namespace, and knows the first one of it by another number. */
		EXPECT_EQ(0, told(at(fs, "who")));
		fd = open(at(fs, "who"), O_RDWR | O_CLOEXEC);
		EXPECT_LE(0, fd);
		EXPECT_EQ(0, fcntl(fd, F_GETLK, &l));
		EXPECT_EQ(F_WRLCK, l.l_type);
		EXPECT_EQ(first, l.l_pid);
		close(fd);
		EXPECT_EQ(1, write(pair[0], "", 1));
	}
	EXPECT_EQ(0, ended(outer));
	close(pair[0]);
	EXPECT_EQ(0, umount(fs->dir));
	/* Mounted from here there are the numbers of here again. */
	EXPECT_EQ(0, fs_mount(fs, "nodax", NULL));
	EXPECT_EQ(getpid(), told(at(fs, "who")));
	EXPECT_EQ(0, fs_umount(fs));
}

TEST_HARNESS_MAIN
