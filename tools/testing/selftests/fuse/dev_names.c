// SPDX-License-Identifier: GPL-2.0
/* Notifications about names: INVAL_ENTRY, DELETE, PRUNE, INC_EPOCH. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

FIXTURE(dev_names) {
	struct server v;
	struct shared *s;
};

FIXTURE_SETUP(dev_names)
{
	server_init(&self->v);
	self->s = self->v.s;
}

FIXTURE_TEARDOWN(dev_names)
{
	server_end(&self->v);
}

static int inval(const struct server *v, uint64_t parent, const char *name, uint32_t flags)
{
	struct fuse_notify_inval_entry_out arg = { .parent = parent, .namelen = strlen(name), .flags = flags };

	return notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), name, strlen(name) + 1);
}

static int removed(const struct server *v, uint64_t parent, uint64_t child, const char *name)
{
	struct fuse_notify_delete_out arg = { .parent = parent, .child = child, .namelen = strlen(name) };

	return notify(v, FUSE_NOTIFY_DELETE, &arg, sizeof(arg), name, strlen(name) + 1);
}

static int lookups(struct server *v, const char *name)
{
	int before = v->s->count[FUSE_LOOKUP];
	struct stat st;

	if (stat(under(v, name), &st))
		return -errno;
	return v->s->count[FUSE_LOOKUP] - before;
}

TEST_F(dev_names, inval_entry)
{
	struct server *v = &self->v;
	struct stat st;
	int fd;

	self->s->init_flags = FUSE_HAS_EXPIRE_ONLY;
	ASSERT_EQ(0, server_start_kept(v, ""));
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(0, lookups(v, "n1"));
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n1", 0));
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n1", FUSE_EXPIRE_ONLY));
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(0, lookups(v, "n1"));

	/* A name that did not exist, believed as long as nothing else is said. */
	EXPECT_EQ(ENOENT, inval(v, FUSE_ROOT_ID, "n7", 0));
	EXPECT_EQ(ENOENT, inval(v, 4711, "n1", 0));
	EXPECT_EQ(0, lookups(v, "n1"));
	EXPECT_EQ(1, lookups(v, "file"));
	EXPECT_EQ(ENOTDIR, inval(v, NODE_FILE, "n1", 0));

	/* Files stay open; the server gets its references back. */
	fd = open(under(v, "n2"), O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n1", 0));
	EXPECT_TRUE(soon(self->s->forgotten == 3));
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n2", 0));
	EXPECT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(3, self->s->forgotten);
	close(fd);
	EXPECT_TRUE(soon(self->s->forgotten == 4));
}

/* With EXPIRE_ONLY what is below a directory stays, and so does what is mounted on it; without it goes. */
TEST_F(dev_names, directory)
{
	struct server *v = &self->v;
	struct stat st;

	self->s->init_flags = FUSE_HAS_EXPIRE_ONLY;
	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_EQ(0, stat(under(v, "d1/n5"), &st));
	ASSERT_EQ(0, mount("t", under(v, "d1"), "tmpfs", 0, NULL));
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "d1", FUSE_EXPIRE_ONLY));
	EXPECT_EQ(-1, stat(under(v, "d1/n5"), &st));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "d1", 0));
	EXPECT_EQ(2, lookups(v, "d1/n5"));
}

TEST_F(dev_names, sizes)
{
	static char name[5000];
	struct server *v = &self->v;
	struct fuse_notify_inval_entry_out arg = { .parent = FUSE_ROOT_ID, .namelen = 2 };
	struct fuse_notify_delete_out gone = { .parent = FUSE_ROOT_ID, .namelen = 2 };
	struct fuse_notify_prune_out prune = { .count = 2 };

	ASSERT_EQ(0, server_start_kept(v, ""));
	/* The server answers INIT before anything is told to it. */
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg) - 1, NULL, 0));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), "n1", 2));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), "n1\0", 4));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_DELETE, &gone, sizeof(gone), "n1", 2));
	arg.namelen = gone.namelen = 4999;
	EXPECT_EQ(ENAMETOOLONG, notify(v, FUSE_NOTIFY_INVAL_ENTRY, &arg, sizeof(arg), name, 5000));
	EXPECT_EQ(ENAMETOOLONG, notify(v, FUSE_NOTIFY_DELETE, &gone, sizeof(gone), name, 5000));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_PRUNE, &prune, sizeof(prune), name, 8));
	EXPECT_EQ(EINVAL, notify(v, FUSE_NOTIFY_PRUNE, &prune, sizeof(prune) - 8, NULL, 0));
	EXPECT_EQ(EINVAL, notify(v, 99, &prune, sizeof(prune), NULL, 0));
	EXPECT_EQ(EINVAL, notify(v, -5, &prune, sizeof(prune), NULL, 0));
	EXPECT_EQ(0, lookups(v, "n1"));
}

TEST_F(dev_names, delete)
{
	struct server *v = &self->v;
	struct stat st;
	int fd, dir;

	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(ENOENT, removed(v, FUSE_ROOT_ID, NODE_NAMES + 2, "n1"));
	ASSERT_EQ(1, lookups(v, "n1"));
	fd = open(under(v, "n1"), O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(1, st.st_nlink);
	EXPECT_EQ(0, removed(v, FUSE_ROOT_ID, NODE_NAMES + 1, "n1"));
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(0, st.st_nlink);
	close(fd);
	EXPECT_EQ(1, lookups(v, "n1"));

	/* A directory in which something is in use; and then not any more. */
	dir = open(under(v, "d3"), O_RDONLY | O_DIRECTORY);
	ASSERT_LE(0, dir);
	fd = open(under(v, "d3/n5"), O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(ENOTEMPTY, removed(v, FUSE_ROOT_ID, NODE_DIRS + 3, "d3"));
	close(fd);
	ASSERT_EQ(1, lookups(v, "d3"));
	EXPECT_EQ(0, removed(v, FUSE_ROOT_ID, NODE_DIRS + 3, "d3"));
	/* Nothing is looked up in what is gone. */
	EXPECT_EQ(-1, fstatat(dir, "n6", &st, 0));
	EXPECT_EQ(ENOENT, errno);
	close(dir);
}

/* Every name is asked for once more, whichever directory it is in. */
TEST_F(dev_names, epoch)
{
	struct server *v = &self->v;

	ASSERT_EQ(0, server_start_kept(v, ""));
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(1, lookups(v, "n2"));
	EXPECT_EQ(0, lookups(v, "n1") + lookups(v, "n2"));
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_INC_EPOCH, "", 0, NULL, 0));
	EXPECT_EQ(1, lookups(v, "n1"));
	EXPECT_EQ(1, lookups(v, "n2"));
	EXPECT_EQ(0, lookups(v, "n1") + lookups(v, "n2"));
}

TEST_F(dev_names, prune)
{
	struct server *v = &self->v;
	struct fuse_notify_prune_out arg = { .count = 600 };
	uint64_t ids[600];
	char name[16];
	int fd;

	ASSERT_EQ(0, server_start_kept(v, ""));
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ASSERT_EQ(1, lookups(v, name));
		ids[i] = NODE_NAMES + i;
	}
	fd = open(under(v, "n599"), O_RDONLY);
	ids[3] = 999999;
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_PRUNE, &arg, sizeof(arg), ids, sizeof(ids)));
	/* One is in use, one was not named. */
	EXPECT_TRUE(soon(self->s->forgotten == 598));
	EXPECT_EQ(0, lookups(v, "n3"));
	EXPECT_EQ(1, lookups(v, "n4"));
	close(fd);
}

/* A server with one task that tells of a name while somebody waits for it in the same directory. */
TEST_F(dev_names, while_locked)
{
	struct server *v = &self->v;
	struct fuse_in_header late = { 0 };
	struct fuse_entry_out entry = { .nodeid = NODE_NAMES + 9, .entry_valid = 3600, .attr_valid = 3600 };
	struct stat st;
	pid_t pid;

	if (module_is_c())
		SKIP(return, "the C client waits for the lock of the directory");
	ASSERT_EQ(0, server_start_kept(v, ""));
	ASSERT_EQ(1, lookups(v, "n1"));
	self->s->hang = FUSE_MKDIR;
	pid = fork();
	if (!pid)
		_exit(mkdir(under(v, "x9"), 0700) ? errno : 0);
	ASSERT_TRUE(soon(self->s->count[FUSE_MKDIR] == 1));
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n1", 0));
	EXPECT_EQ(ENOENT, removed(v, FUSE_ROOT_ID, NODE_FILE, "file"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_EQ(1, lookups(v, "n1"));

	/* What was answered before it was told is not believed. */
	self->s->hung = 0;
	self->s->hang = FUSE_LOOKUP;
	pid = fork();
	if (!pid)
		_exit(stat(under(v, "n9"), &st) ? errno : 0);
	ASSERT_TRUE(soon(self->s->hung));
	EXPECT_EQ(ENOENT, inval(v, FUSE_ROOT_ID, "n9", 0));
	self->s->hang = 0;
	/* The answer has to come by the file that the request was read from. */
	late.unique = self->s->hung;
	fill_attr(self->s, entry.nodeid, &entry.attr);
	EXPECT_LT(0, answer(v->fd, &late, 0, &entry, sizeof(entry)));
	waitpid(pid, NULL, 0);
	EXPECT_EQ(1, lookups(v, "n9"));
	EXPECT_EQ(0, lookups(v, "n9"));
}

/* A server that has forgotten an inode is asked nothing more about it: RELEASE comes first, and is answered. */
TEST_F(dev_names, forgotten_last)
{
	struct server *v = &self->v;
	struct fuse_in_header h = { 0 };
	int fd;

	ASSERT_EQ(0, server_start_kept(v, ""));
	fd = open(under(v, "n1"), O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, inval(v, FUSE_ROOT_ID, "n1", 0));
	self->s->hang = FUSE_RELEASE;
	close(fd);
	ASSERT_TRUE(soon(self->s->hung));
	usleep(100000);
	EXPECT_EQ(0, self->s->forgotten);
	h.unique = self->s->hung;
	EXPECT_LT(0, answer(v->fd, &h, 0, NULL, 0));
	EXPECT_TRUE(soon(self->s->forgotten == 1));
}

TEST_HARNESS_MAIN
