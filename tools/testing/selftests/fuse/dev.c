// SPDX-License-Identifier: GPL-2.0
/* /dev/fuse: the session of a server, from its mount to its end, in order and out of order. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

FIXTURE(dev) {
	struct server v;
};

FIXTURE_SETUP(dev)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(dev)
{
	server_end(&self->v);
}

TEST_F(dev, files)
{
	static char got[BUF], want[BUF];
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct statfs sf;
	struct dirent *d;
	struct stat st;
	int fd, seen = 0;
	DIR *dir;

	ASSERT_EQ(0, server_start(v, ""));
	ASSERT_EQ(0, stat(v->dir, &st));
	EXPECT_TRUE(S_ISDIR(st.st_mode));
	ASSERT_EQ(0, stat(under(v, "file"), &st));
	EXPECT_EQ(BUF / 2, st.st_size);
	EXPECT_EQ(-1, stat(under(v, "missing"), &st));
	EXPECT_EQ(ENOENT, errno);
	fd = open(under(v, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(BUF / 2, read(fd, got, BUF));
	EXPECT_EQ(0, memcmp(got, s->data, BUF / 2));
	for (int i = 0; i < BUF; i++)
		want[i] = i * 13 + (i >> 12);
	ASSERT_EQ(BUF, pwrite(fd, want, BUF, 0));
	EXPECT_EQ(0, memcmp(want, s->data, BUF));
	ASSERT_EQ(BUF, pread(fd, got, BUF, 0));
	EXPECT_EQ(0, memcmp(want, got, BUF));
	close(fd);
	dir = opendir(v->dir);
	ASSERT_NE(NULL, dir);
	while ((d = readdir(dir)))
		seen += !strcmp(d->d_name, "file");
	closedir(dir);
	EXPECT_EQ(1, seen);
	ASSERT_EQ(0, statfs(v->dir, &sf));
	EXPECT_EQ(1234, sf.f_blocks);
	EXPECT_EQ(1, s->count[FUSE_INIT]);
	EXPECT_TRUE(soon(s->count[FUSE_RELEASE] == 1 && s->count[FUSE_RELEASEDIR] == 1));
	EXPECT_EQ(0, umount(v->dir));
	EXPECT_EQ(0, s->count[FUSE_DESTROY]);
	/* The server learns of the end. */
	EXPECT_EQ(0, end_of(v->pid));
	v->pid = 0;
}

TEST_F(dev, old_protocol)
{
	struct server *v = &self->v;
	char got[16];
	int fd;

	v->s->minor = 12;
	ASSERT_EQ(0, server_start(v, ""));
	fd = open(under(v, "file"), O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(16, read(fd, got, 16));
	EXPECT_EQ(0, memcmp(got, v->s->data, 16));
	close(fd);
}

TEST_F(dev, options)
{
	struct server *v = &self->v;
	char line[512], options[128];
	FILE *f;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	snprintf(options, sizeof(options), "rootmode=40000,user_id=0,group_id=0");
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EINVAL, errno);
	snprintf(options, sizeof(options), "fd=%d,user_id=0,group_id=0", fd);
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EINVAL, errno);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", null);
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EINVAL, errno);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", 999);
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EBADF, errno);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,nonsense", fd);
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EINVAL, errno);
	/* A failed mount leaves the descriptor as it was. */
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,max_read=8192", fd);
	ASSERT_EQ(0, mount("t", v->dir, "fuse.kind", 0, options));
	/* The same descriptor is the same file system, which is there already. */
	EXPECT_EQ(-1, mount("t", v->dir, "fuse", 0, options));
	EXPECT_EQ(EBUSY, errno);
	f = fopen("/proc/mounts", "r");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, v->dir))
			break;
	fclose(f);
	EXPECT_NE(NULL, strstr(line, " fuse.kind "));
	EXPECT_NE(NULL, strstr(line, "user_id=0,group_id=0,default_permissions,max_read=8192"));
	EXPECT_EQ(NULL, strstr(line, "allow_other"));
	EXPECT_EQ(0, umount(v->dir));
	close(fd);
	close(null);
}

TEST_F(dev, device_file)
{
	static char room[MESSAGE];
	struct server *v = &self->v;
	struct fuse_out_header none = { .len = sizeof(none), .unique = 4242 };
	struct pollfd p = { .events = POLLIN | POLLOUT };
	char path[64], line[128];
	bool found = false;
	FILE *f;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	/* Before a mount. */
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, read(fd, room, sizeof(room)));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, write(fd, &none, sizeof(none)));
	EXPECT_EQ(EPERM, errno);
	p.fd = fd;
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLERR, p.revents);
	EXPECT_EQ(-1, ioctl(fd, 0x1234, 0));
	EXPECT_EQ(ENOTTY, errno);
	close(fd);

	ASSERT_EQ(0, server_mount(v, ""));
	p.fd = v->fd;
	/* INIT waits to be read. */
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLIN | POLLOUT, p.revents);
	EXPECT_EQ(-1, read(v->fd, room, 4096));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(v->fd, &none, 8));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(v->fd, &none, sizeof(none)));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_LT((ssize_t)sizeof(struct fuse_in_header), read(v->fd, room, sizeof(room)));
	EXPECT_EQ(FUSE_INIT, ((struct fuse_in_header *)room)->opcode);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLOUT, p.revents);
	fcntl(v->fd, F_SETFL, O_NONBLOCK);
	EXPECT_EQ(-1, read(v->fd, room, sizeof(room)));
	EXPECT_EQ(EAGAIN, errno);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", v->fd);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, "fuse_connection:", 16);
	fclose(f);
	EXPECT_TRUE(found);
	/* After the unmount. */
	EXPECT_EQ(0, umount(v->dir));
	EXPECT_EQ(-1, read(v->fd, room, sizeof(room)));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_EQ(POLLERR, p.revents);
}

TEST_F(dev, forgets)
{
	struct server *v = &self->v;
	struct shared *s = v->s;
	struct stat st;
	char name[16];
	int fd;

	ASSERT_EQ(0, server_start(v, ""));
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ASSERT_EQ(0, stat(under(v, name), &st));
	}
	EXPECT_EQ(500, s->count[FUSE_LOOKUP]);
	/* While they are not read they pile up, so that they go out together. */
	server_stop(v);
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	ASSERT_EQ(1, write(fd, "2", 1));
	close(fd);
	kill(v->pid, SIGCONT);
	EXPECT_TRUE(soon(s->forgotten == 500));
	EXPECT_LT(0, s->count[FUSE_BATCH_FORGET]);
	EXPECT_GT(50, s->count[FUSE_BATCH_FORGET] + s->count[FUSE_FORGET]);
}

/* Asks for something that nothing caches, in a process of its own, which exits with the errno. */
static pid_t caller(const struct server *v)
{
	pid_t pid = fork();

	if (!pid) {
		struct statfs sf;

		_exit(statfs(v->dir, &sf) ? errno : 0);
	}
	return pid;
}

TEST_F(dev, server_dies)
{
	struct server *v = &self->v;
	struct stat st;
	pid_t pid;

	ASSERT_EQ(0, server_start(v, ""));
	v->s->hang = FUSE_STATFS;
	pid = caller(v);
	ASSERT_TRUE(soon(v->s->count[FUSE_STATFS] > 0));
	server_kill(v);
	EXPECT_EQ(ECONNABORTED, end_of(pid));
	EXPECT_EQ(-1, stat(under(v, "n1"), &st));
	EXPECT_EQ(ENOTCONN, errno);
	EXPECT_EQ(0, umount(v->dir));
}

TEST_F(dev, server_never_came)
{
	struct server *v = &self->v;
	struct stat st;
	pid_t pid;

	ASSERT_EQ(0, server_mount(v, ""));
	pid = fork();
	if (!pid)
		_exit(stat(v->dir, &st) ? errno : 0);
	EXPECT_TRUE(waits(pid));
	kill(pid, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, end_of(pid));
	EXPECT_EQ(0, umount(v->dir));
}

TEST_F(dev, forced_unmount)
{
	struct server *v = &self->v;
	bool gone;
	pid_t pid;

	ASSERT_EQ(0, server_start(v, ""));
	v->s->hang = FUSE_STATFS;
	pid = caller(v);
	ASSERT_TRUE(soon(v->s->count[FUSE_STATFS] > 0));
	/* Busy, unless the caller has left already. */
	gone = !umount2(v->dir, MNT_FORCE);
	EXPECT_TRUE(gone || errno == EBUSY);
	EXPECT_EQ(ECONNABORTED, end_of(pid));
	EXPECT_EQ(gone ? -1 : 0, umount(v->dir));
}

TEST_F(dev, killed_caller)
{
	struct server *v = &self->v;
	pid_t pid;

	if (module_is_c())
		SKIP(return, "the C client waits for the answer to what was read");
	ASSERT_EQ(0, server_start(v, ""));
	v->s->hang = FUSE_STATFS;
	pid = caller(v);
	ASSERT_TRUE(soon(v->s->count[FUSE_STATFS] > 0));
	kill(pid, SIGKILL);
	EXPECT_EQ(1000 + SIGKILL, end_of(pid));
	/* Nothing is left of it; the mount goes on. */
	v->s->hang = 0;
	EXPECT_EQ(0, end_of(caller(v)));
}

TEST_F(dev, bent_answers)
{
	static const struct { int bend, refused, seen; } table[] = {
		{ UNKNOWN_ID, ENOENT, 0 }, { POSITIVE_ERROR, EINVAL, 0 }, { WRONG_LENGTH, EINVAL, 0 },
		{ TOO_LONG, EINVAL, EIO }, { TOO_SHORT, EINVAL, EIO }, { TWICE, ENOENT, 0 },
	};
	struct server *v = &self->v;
	struct statfs sf;

	ASSERT_EQ(0, server_start(v, ""));
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int seen;

		v->s->bend = table[i].bend;
		v->s->bend_op = FUSE_STATFS;
		v->s->bent_errno = -1;
		seen = statfs(v->dir, &sf) ? errno : 0;
		EXPECT_EQ(table[i].seen, seen) TH_LOG("bend %d", table[i].bend);
		EXPECT_TRUE(soon(v->s->bent_errno != -1));
		EXPECT_EQ(table[i].refused, v->s->bent_errno) TH_LOG("bend %d", table[i].bend);
	}
	v->s->bend_op = 0;
	v->s->fail = FUSE_STATFS;
	v->s->error = EXDEV;
	EXPECT_EQ(-1, statfs(v->dir, &sf));
	EXPECT_EQ(EXDEV, errno);
}

TEST_F(dev, cloned_queue)
{
	struct server *v = &self->v;
	struct stat st;
	uint32_t old;
	int fd;

	ASSERT_EQ(0, server_mount(v, ""));
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	old = 0;
	EXPECT_EQ(-1, ioctl(fd, FUSE_DEV_IOC_CLONE, &old));
	EXPECT_EQ(EINVAL, errno);
	old = v->fd;
	ASSERT_EQ(0, ioctl(fd, FUSE_DEV_IOC_CLONE, &old));
	EXPECT_EQ(-1, ioctl(fd, FUSE_DEV_IOC_CLONE, &old));
	/* Only the clone is served. The other file's end takes nothing with it. */
	v->pid = fork();
	if (!v->pid) {
		close(v->fd);
		serve(fd, v->s);
	}
	close(fd);
	ASSERT_EQ(0, stat(under(v, "file"), &st));
	close(v->fd);
	v->fd = -1;
	EXPECT_EQ(0, end_of(caller(v)));
	server_kill(v);
	EXPECT_EQ(-1, stat(under(v, "n1"), &st));
	EXPECT_EQ(ENOTCONN, errno);
}

TEST_F(dev, sync_init)
{
	struct server *v = &self->v;
	char options[128];

	v->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, v->fd);
	ASSERT_EQ(0, ioctl(v->fd, FUSE_DEV_IOC_SYNC_INIT));
	v->pid = fork();
	if (!v->pid)
		serve(v->fd, v->s);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", v->fd);
	ASSERT_EQ(0, mount("test", v->dir, "fuse", 0, options));
	EXPECT_EQ(1, v->s->count[FUSE_INIT]);
}

TEST_HARNESS_MAIN
