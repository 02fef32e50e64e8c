// SPDX-License-Identifier: GPL-2.0
/* The control file system: what it shows of a connection, who may, and how it ends one. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <sys/vfs.h>
#include "server.h"

#define CONNECTIONS "/sys/fs/fuse/connections"

FIXTURE(dev_control) {
	struct server v;
	char dir[64];
};

FIXTURE_SETUP(dev_control)
{
	struct stat st;

	server_init(&self->v);
	ASSERT_EQ(0, mount("none", CONNECTIONS, "fusectl", 0, NULL));
	/* Aborting may be asked for by the server. */
	self->v.s->init_flags = FUSE_ABORT_ERROR;
	ASSERT_EQ(0, server_start_kept(&self->v, ""));
	ASSERT_EQ(0, stat(self->v.dir, &st));
	snprintf(self->dir, sizeof(self->dir), CONNECTIONS "/%u", (unsigned int)st.st_dev);
}

FIXTURE_TEARDOWN(dev_control)
{
	server_end(&self->v);
	umount(CONNECTIONS);
}

static const char *at(const char *dir, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int number(const char *dir, const char *name)
{
	char text[32] = "";
	int fd = open(at(dir, name), O_RDONLY), n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 1 && text[n - 1] == '\n' ? atoi(text) : -1000;
}

TEST_F(dev_control, files)
{
	static const struct { const char *name; mode_t mode; } table[] = {
		{ "", S_IFDIR | 0500 }, { "waiting", S_IFREG | 0400 }, { "abort", S_IFREG | 0200 },
		{ "max_background", S_IFREG | 0600 }, { "congestion_threshold", S_IFREG | 0600 },
	};
	struct statfs sf;
	struct stat st;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		ASSERT_EQ(0, stat(at(self->dir, table[i].name), &st)) TH_LOG("%s", table[i].name);
		EXPECT_EQ(table[i].mode, st.st_mode) TH_LOG("%s", table[i].name);
		EXPECT_EQ(getuid(), st.st_uid);
	}
	ASSERT_EQ(0, statfs(CONNECTIONS, &sf));
	EXPECT_EQ(0x65735543, sf.f_type);
	EXPECT_EQ(-1, mkdir(at(self->dir, "new"), 0700));
	/* The session's end takes it away. */
	EXPECT_EQ(0, umount(self->v.dir));
	EXPECT_EQ(-1, stat(self->dir, &st));
	EXPECT_EQ(ENOENT, errno);
}

/* A mount that was there before, and a mount of the control file system that is another's. */
TEST_F(dev_control, mounted_later)
{
	struct stat st;

	ASSERT_EQ(0, umount(CONNECTIONS));
	EXPECT_EQ(-1, stat(self->dir, &st));
	ASSERT_EQ(0, mount("none", CONNECTIONS, "fusectl", 0, NULL));
	EXPECT_EQ(0, stat(self->dir, &st));
	ASSERT_EQ(0, mount("none", "/mnt", "fusectl", 0, NULL));
	EXPECT_EQ(0, umount("/mnt"));
	EXPECT_EQ(0, stat(self->dir, &st));
}

TEST_F(dev_control, waiting)
{
	struct server *v = &self->v;
	struct statfs sf;
	char text[8];
	pid_t pid;
	int fd;

	/* INIT is done when something else was answered; the C module counts a request for a moment longer. */
	ASSERT_EQ(0, statfs(v->dir, &sf));
	EXPECT_TRUE(soon(number(self->dir, "waiting") == 0));
	v->s->hang = FUSE_STATFS;
	pid = fork();
	if (!pid && !close(v->fd))
		_exit(statfs(v->dir, &sf) ? errno : 0);
	EXPECT_TRUE(soon(number(self->dir, "waiting") == 1));
	fd = open(at(self->dir, "waiting"), O_RDONLY);
	EXPECT_EQ(-1, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(ESPIPE, errno);
	EXPECT_EQ(2, read(fd, text, sizeof(text)));
	EXPECT_EQ(0, read(fd, text, sizeof(text)));
	close(fd);
	kill(pid, SIGKILL);
	/* The C client waits for the answer to what was read. */
	if (module_is_c()) {
		close(v->fd);
		v->fd = -1;
		server_kill(v);
	}
	waitpid(pid, NULL, 0);
}

TEST_F(dev_control, abort)
{
	struct server *v = &self->v;
	char room[MESSAGE];
	struct statfs sf;
	int status, fd;
	pid_t pid;

	v->s->hang = FUSE_STATFS;
	pid = fork();
	if (!pid)
		_exit(statfs(v->dir, &sf) ? errno : 0);
	ASSERT_TRUE(soon(v->s->count[FUSE_STATFS] == 1));
	fd = open(at(self->dir, "abort"), O_WRONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(4, write(fd, "what", 4));
	EXPECT_TRUE(soon(waitpid(pid, &status, WNOHANG) == pid));
	EXPECT_EQ(ECONNABORTED, WEXITSTATUS(status));
	EXPECT_EQ(-1, statfs(v->dir, &sf));
	EXPECT_EQ(ENOTCONN, errno);
	/* The server asked to be told. */
	EXPECT_EQ(-1, read(v->fd, room, sizeof(room)));
	EXPECT_EQ(ECONNABORTED, errno);
	/* What is shown of a connection that is over is nothing. */
	EXPECT_EQ(0, number(self->dir, "waiting"));
	EXPECT_EQ(0, umount(v->dir));
	EXPECT_EQ(4, write(fd, "more", 4));
	close(fd);
}

TEST_F(dev_control, limits)
{
	static const char * const names[] = { "max_background", "congestion_threshold" };
	static const struct { const char *text; int error; } table[] = {
		{ "100", 0 }, { "0x10", 0 }, { "65535", 0 }, { "65536", EINVAL }, { "-1", EINVAL }, { "", EINVAL },
		{ "many", EINVAL }, { "99999999999999999999999", ERANGE }, { "7\n", 0 },
	};
	int fd;

	for (int n = 0; n < 2; n++) {
		for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
			int e = say(at(self->dir, names[n]), table[i].text);

			EXPECT_EQ(table[i].error, e) TH_LOG("%s: %s", names[n], table[i].text);
		}
		EXPECT_EQ(7, number(self->dir, names[n]));
		/* There are no positions. */
		fd = open(at(self->dir, names[n]), O_WRONLY);
		EXPECT_EQ(2, write(fd, "50", 2));
		EXPECT_EQ(2, write(fd, "60", 2));
		EXPECT_EQ(-1, pwrite(fd, "70", 2, 1));
		EXPECT_EQ(ESPIPE, errno);
		close(fd);
		EXPECT_EQ(60, number(self->dir, names[n]));
	}
}

/* Only the owner of the mount and administrators. */
TEST_F(dev_control, others)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgid(1000) || setuid(1000))
			_exit(1);
		_exit(say(at(self->dir, "abort"), "1"));
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(EACCES, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
