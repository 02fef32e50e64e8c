// SPDX-License-Identifier: GPL-2.0
/* The mount option attrs=backing: size and times of a file that is open for passthrough are those of its backing file. */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"
#include "stacked.h"

FIXTURE(attrs) {
	struct server v;
	char place[64];
	int data, id, asked;
};

FIXTURE_SETUP(attrs)
{
	struct server *v = &self->v;
	char path[128];

	server_init(v);
	if (module_is_c())
		SKIP(return, "the C client has no such option: the server is always asked");
	v->s->max_stack_depth = 1;
	snprintf(self->place, sizeof(self->place), "%s.place", v->dir);
	ASSERT_TRUE(place_make(self->place, false));
	snprintf(path, sizeof(path), "%s/data", self->place);
	self->data = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_LE(0, self->data);
	ASSERT_EQ(0, ftruncate(self->data, 1000));
	/* The server itself says something else of the file. */
	v->s->size = 77;
	ASSERT_EQ(0, stacked_start(v, FUSE_PASSTHROUGH, ",attrs=backing"));
	v->s->ttl = 3600;
	self->id = backing_open(v, self->data);
	ASSERT_LT(0, self->id);
	/* For the mount itself. */
	self->asked = v->s->count[FUSE_GETATTR];
}

#define ASKED (self->v.s->count[FUSE_GETATTR] - self->asked)

FIXTURE_TEARDOWN(attrs)
{
	server_end(&self->v);
	if (module_is_c())
		return;
	close(self->data);
	EXPECT_EQ(0, place_end(self->place));
}

static bool same(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_size == y.st_size && x.st_blocks == y.st_blocks &&
	       !memcmp(&x.st_mtim, &y.st_mtim, sizeof(x.st_mtim)) && !memcmp(&x.st_ctim, &y.st_ctim, sizeof(x.st_ctim)) &&
	       !memcmp(&x.st_atim, &y.st_atim, sizeof(x.st_atim));
}

TEST_F(attrs, while_open)
{
	struct server *v = &self->v;
	char buf[8192] = "new";
	struct stat st;
	char *m;
	int fd;

	ASSERT_EQ(0, stat(under(v, "file"), &st));
	EXPECT_EQ(77, st.st_size);
	fd = open_as(v, THROUGH, self->id, O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(same(fd, self->data));
	EXPECT_EQ(1000, pread(fd, buf, sizeof(buf), 0));
	EXPECT_TRUE(same(fd, self->data));
	ASSERT_EQ(sizeof(buf), pwrite(fd, buf, sizeof(buf), 500));
	EXPECT_TRUE(same(fd, self->data));
	EXPECT_EQ(8692, lseek(fd, 0, SEEK_END));
	/* What others do to the backing file. */
	usleep(20000);
	ASSERT_EQ(3, pwrite(self->data, "abc", 3, 20000));
	EXPECT_TRUE(same(fd, self->data));
	ASSERT_EQ(0, ftruncate(self->data, 4096));
	EXPECT_TRUE(same(fd, self->data));
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, m);
	usleep(20000);
	m[0] = 'm';
	EXPECT_TRUE(same(fd, self->data));
	/* The server was asked by nobody, though it is the one that knows the mode. */
	EXPECT_EQ(0, ASKED);
	/* What it says of other attributes does not bring its size along. */
	v->s->ttl = 0;
	ASSERT_EQ(0, fchmod(fd, 0600));
	EXPECT_EQ(0, fstat(fd, &st));
	EXPECT_LT(0, ASKED);
	EXPECT_TRUE(same(fd, self->data));
	munmap(m, 4096);
	close(fd);
}

/* Then the server is asked again. */
TEST_F(attrs, after_the_end)
{
	struct server *v = &self->v;
	struct stat st;
	int fd;

	fd = open_as(v, THROUGH, self->id, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(2, pwrite(fd, "ab", 2, 3000));
	ASSERT_EQ(0, stat(under(v, "file"), &st));
	EXPECT_EQ(3002, st.st_size);
	EXPECT_EQ(0, ASKED);
	close(fd);
	EXPECT_TRUE(soon(v->s->count[FUSE_RELEASE] == 1));
	ASSERT_EQ(0, stat(under(v, "file"), &st));
	EXPECT_EQ(1, ASKED);
	EXPECT_EQ(77, st.st_size);
}

TEST_F(attrs, option)
{
	struct server *v = &self->v;
	struct server other;
	char line[512];
	FILE *f;

	f = fopen("/proc/mounts", "r");
	while (fgets(line, sizeof(line), f))
		if (strstr(line, v->dir) && !strstr(line, ".place"))
			break;
	fclose(f);
	EXPECT_NE(NULL, strstr(line, ",attrs=backing"));
	server_init(&other);
	EXPECT_EQ(EINVAL, server_mount(&other, ",attrs=server"));
	server_end(&other);
}

TEST_HARNESS_MAIN
