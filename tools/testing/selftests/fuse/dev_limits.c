// SPDX-License-Identifier: GPL-2.0
/* What bounds a mount: the length of names, who may use it, what it says it was mounted from. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <sys/syscall.h>
#include "server.h"

FIXTURE(dev_limits) {
	struct server v;
};

FIXTURE_SETUP(dev_limits)
{
	server_init(&self->v);
}

FIXTURE_TEARDOWN(dev_limits)
{
	server_end(&self->v);
}

/* A name of so many bytes that the server knows as a file. */
static const char *long_file(const char *file, int len, char fill)
{
	static char names[2][8192];
	static int n;
	char *name = names[n++ & 1];

	memset(name, fill, len);
	memcpy(name, file, strlen(file));
	name[len] = 0;
	return name;
}

static const char *long_name(int len, char fill)
{
	return long_file("n1", len, fill);
}

static int look_up(const struct server *v, const char *name)
{
	int dir = open(v->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), e;
	struct stat st;

	if (dir < 0)
		return errno;
	e = fstatat(dir, name, &st, 0) ? errno : 0;
	close(dir);
	return e;
}

TEST_F(dev_limits, long_names)
{
	struct server *v = &self->v;
	struct fuse_notify_inval_entry_out arg = { .parent = FUSE_ROOT_ID, .namelen = 3000 };
	int dir, before;

	ASSERT_EQ(0, server_start_kept(v, ""));
	/* The very first one waits for what INIT says. */
	EXPECT_EQ(0, look_up(v, long_name(2000, 'x')));
	EXPECT_EQ(0, look_up(v, long_name(1024, 'x')));
	EXPECT_EQ(0, look_up(v, long_name(4000, 'x')));
	EXPECT_EQ(ENAMETOOLONG, look_up(v, long_name(4096, 'x')));
	dir = open(v->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, dir);
	/* Two of them in one request, from end to end. */
	EXPECT_EQ(0, renameat(dir, long_name(3900, 'x'), dir, long_file("n2", 4000, 'y')));
	EXPECT_EQ(3900, v->s->renamed[0]);
	EXPECT_EQ(4000, v->s->renamed[1]);
	/* The server can tell of one. */
	EXPECT_EQ(0, look_up(v, long_name(3000, 'z')));
	before = v->s->count[FUSE_LOOKUP];
	EXPECT_EQ(0, look_up(v, long_name(3000, 'z')));
	EXPECT_EQ(before, v->s->count[FUSE_LOOKUP]);
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), long_name(3000, 'z'), 3001));
	EXPECT_EQ(0, look_up(v, long_name(3000, 'z')));
	EXPECT_EQ(before + 1, v->s->count[FUSE_LOOKUP]);
	close(dir);
}

/* Two long names would not fit into what a server with requests of one page reads. */
TEST_F(dev_limits, names_of_old)
{
	struct server *v = &self->v;

	v->s->max_pages = 1;
	ASSERT_EQ(0, server_start(v, ""));
	EXPECT_EQ(ENAMETOOLONG, look_up(v, long_name(1025, 'x')));
	EXPECT_EQ(0, look_up(v, long_name(1024, 'x')));
	EXPECT_EQ(ENAMETOOLONG, look_up(v, long_name(1025, 'y')));
}

/* As much as the administrator allows is asked for at once, and not more. */
TEST_F(dev_limits, max_pages)
{
	struct server *v = &self->v;
	char *got = aligned_alloc(4096, BUF);
	int file;

	ASSERT_EQ(0, tune("max_pages_limit", "16"));
	EXPECT_EQ(0, server_start(v, ""));
	file = open(under(v, "file"), O_RDONLY | O_DIRECT);
	EXPECT_LE(0, file);
	EXPECT_EQ(BUF / 2, read(file, got, BUF / 2));
	EXPECT_EQ(16 * 4096, v->s->largest_read);
	EXPECT_EQ(BUF / 2 / (16 * 4096), v->s->count[FUSE_READ]);
	close(file);
	free(got);
}

TEST_F(dev_limits, source)
{
	struct server *v = &self->v;
	char line[512], start[128], fd[16];
	int context, mount_fd;
	FILE *f;

	ASSERT_EQ(0, server_start(v, ""));
	snprintf(start, sizeof(start), "test %s fuse ", v->dir);
	f = fopen("/proc/mounts", "r");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, v->dir))
			break;
	fclose(f);
	EXPECT_EQ(0, strncmp(line, start, strlen(start)));
	/* By the new calls it is an option, which is given once. */
	context = syscall(SYS_fsopen, "fuse", 0);
	ASSERT_LE(0, context);
	snprintf(fd, sizeof(fd), "%d", open("/dev/fuse", O_RDWR | O_CLOEXEC));
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 1, "source", "from here", 0));
	EXPECT_EQ(-1, syscall(SYS_fsconfig, context, 1, "source", "and there", 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 1, "fd", fd, 0));
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 1, "rootmode", "40000", 0));
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 1, "user_id", "0", 0));
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 1, "group_id", "0", 0));
	EXPECT_EQ(0, syscall(SYS_fsconfig, context, 6, NULL, NULL, 0));
	mount_fd = syscall(SYS_fsmount, context, 0, 0);
	EXPECT_LE(0, mount_fd);
	close(mount_fd);
	close(context);
	close(atoi(fd));
}

/* Whether somebody with these rights may use the mount. */
static int as_admin(struct server *v, bool admin)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct stat st;

		/* Another user than who mounted, with all rights or with none. */
		if (admin ? setresuid(1000, 0, 0) : setresuid(1000, 1000, 1000))
			_exit(255);
		_exit(stat(under(v, "n1"), &st) ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

TEST_F(dev_limits, administrators)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, chmod(v->dir, 0755));
	ASSERT_EQ(0, server_start(v, ""));
	/* Its real user is not who mounted. */
	EXPECT_EQ(EACCES, as_admin(v, true));
	EXPECT_EQ(EACCES, as_admin(v, false));
	ASSERT_EQ(0, tune("allow_sys_admin_access", "Y"));
	EXPECT_EQ(0, as_admin(v, true));
	EXPECT_EQ(EACCES, as_admin(v, false));
	EXPECT_EQ(0, tune("allow_sys_admin_access", "N"));
	EXPECT_EQ(EACCES, as_admin(v, true));
}

TEST_HARNESS_MAIN
