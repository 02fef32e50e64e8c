// SPDX-License-Identifier: GPL-2.0
/*
 * What a client owes its server: each open file is flushed and released, each reference is given back, what must be durable is
 * said to be; and what a server lacks it is asked for once.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

FIXTURE(upkeep)
{
	struct fs fs;
};

FIXTURE_SETUP(upkeep)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax") || !server_is_daxfsd())
		SKIP(return, "no daxfsd with the tag nodax");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf u; mkdir u u/d; echo hello >u/f"));
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(upkeep)
{
	device(&self->fs, NULL, 0, "faults clear");
	device(&self->fs, NULL, 0, "delay all 0");
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int error_of(int returned)
{
	return returned ? errno : 0;
}

/* What the device says that this client holds: "inodes", "lookups" or "handles". */
static long held(const struct fs *fs, const char *what)
{
	char text[256], word[32], *line, *save;
	long n;

	if (!device(fs, text, sizeof(text), "nofiles"))
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (sscanf(line, "%31s %ld", word, &n) == 2 && !strcmp(word, what))
				return n;
	return -1;
}

TEST_F(upkeep, handles)
{
	int fd[4], dir, i;

	for (i = 0; i < 4; i++) {
		fd[i] = open(at(&self->fs, "u/f"), i % 2 ? O_RDWR : O_RDONLY);
		ASSERT_GE(fd[i], 0);
	}
	dir = open(at(&self->fs, "u/d"), O_RDONLY | O_DIRECTORY);
	ASSERT_GE(dir, 0);
	EXPECT_EQ(5, held(&self->fs, "handles"));
	for (i = 0; i < 4; i++)
		close(fd[i]);
	close(dir);
	/* The C client does not wait for the answer. */
	EXPECT_TRUE(soon(held(&self->fs, "handles") == 0));
	EXPECT_EQ(4, counter(&self->fs, "OPEN"));
	EXPECT_EQ(4, counter(&self->fs, "RELEASE"));
	EXPECT_EQ(1, counter(&self->fs, "OPENDIR"));
	EXPECT_EQ(1, counter(&self->fs, "RELEASEDIR"));
}

static int open_and_close(const struct fs *fs, int times)
{
	int fd, error = 0;

	while (times-- && !error) {
		fd = open(at(fs, "u/f"), O_RDWR);
		error = fd < 0 ? errno : error_of(close(fd));
	}
	return error;
}

/*
 * Each close is told, and what the server answers to it is what close(2) returns. Nothing is asked while a file is open, because
 * the helper inherits and closes it as well.
 */
TEST_F(upkeep, flush)
{
	int fd = open(at(&self->fs, "u/f"), O_RDWR), other = dup(fd);

	EXPECT_EQ(0, close(other));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(2, counter(&self->fs, "FLUSH"));
	/* Nobody waits for that one. */
	EXPECT_TRUE(soon(counter(&self->fs, "RELEASE") >= 1));
	EXPECT_EQ(1, counter(&self->fs, "RELEASE"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FLUSH 1 errno:-28"));
	EXPECT_EQ(ENOSPC, open_and_close(&self->fs, 1));
	EXPECT_TRUE(soon(counter(&self->fs, "RELEASE") >= 2));
	EXPECT_EQ(2, counter(&self->fs, "RELEASE"));
	/* A server without FLUSH is asked once. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FLUSH 1 errno:-38"));
	reset_counters(&self->fs);
	EXPECT_EQ(0, open_and_close(&self->fs, 3));
	EXPECT_EQ(1, counter(&self->fs, "FLUSH"));
}

TEST_F(upkeep, fsync_directory)
{
	int fd = open(at(&self->fs, "u/d"), O_RDONLY | O_DIRECTORY);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fdatasync(fd));
	EXPECT_EQ(2, counter(&self->fs, "FSYNCDIR"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FSYNCDIR 1 errno:-5"));
	EXPECT_EQ(EIO, error_of(fsync(fd)));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault FSYNCDIR 1 errno:-38"));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(0, fsync(fd));
	EXPECT_EQ(4, counter(&self->fs, "FSYNCDIR"));
	close(fd);
}

TEST_F(upkeep, syncfs)
{
	int fd = open(at(&self->fs, "u/f"), O_RDONLY);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, syncfs(fd));
	EXPECT_EQ(1, counter(&self->fs, "SYNCFS"));
	sync();
	EXPECT_EQ(2, counter(&self->fs, "SYNCFS"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SYNCFS 1 errno:-5"));
	EXPECT_EQ(EIO, error_of(syncfs(fd)));
	/* A server without it is asked once. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SYNCFS 1 errno:-38"));
	EXPECT_EQ(0, syncfs(fd));
	EXPECT_EQ(0, syncfs(fd));
	EXPECT_EQ(4, counter(&self->fs, "SYNCFS"));
	close(fd);
}

/* Files that are neither data nor folders. What they do is the guest's affair. */
TEST_F(upkeep, mknod)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	char out[128];
	int fd;

	ASSERT_EQ(0, mkfifo(at(&self->fs, "u/fifo"), 0640));
	ASSERT_EQ(0, mknod(at(&self->fs, "u/file"), S_IFREG | 0604, 0));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", at(&self->fs, "u/socket"));
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	close(fd);
	EXPECT_EQ(3, counter(&self->fs, "MKNOD"));
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "cd u; stat -c %%F,%%a fifo file; stat -c %%F socket"));
	EXPECT_STREQ("fifo,640\nregular empty file,604\nsocket", out);
	/* And here, before the attributes are asked for again. */
	ASSERT_EQ(0, stat(at(&self->fs, "u/fifo"), &st));
	EXPECT_EQ(S_IFIFO | 0640, st.st_mode);
	fd = open(at(&self->fs, "u/fifo"), O_RDWR | O_NONBLOCK);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, write(fd, "x", 1));
	ASSERT_EQ(1, read(fd, out, 1));
	close(fd);
	/* Numbers of devices go both ways. */
	if (mknod(at(&self->fs, "u/device"), S_IFCHR | 0600, makedev(0x123, 0x45678))) {
		EXPECT_EQ(EPERM, errno);
		return;
	}
	ASSERT_EQ(0, stat(at(&self->fs, "u/device"), &st));
	EXPECT_EQ(makedev(0x123, 0x45678), st.st_rdev);
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%t,%%T u/device"));
	EXPECT_STREQ("123,45678", out);
}

/* A server that makes something else than what it was asked for. 100 is the mode's place in struct fuse_entry_out. */
TEST_F(upkeep, another_type)
{
	struct stat st;

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault MKNOD 1 poke:100:16877"));
	EXPECT_EQ(EIO, error_of(mkfifo(at(&self->fs, "u/p"), 0600)));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault MKNOD 1 poke:100:33188"));
	EXPECT_EQ(EIO, error_of(mkfifo(at(&self->fs, "u/q"), 0600)));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault MKDIR 1 poke:100:33188"));
	EXPECT_EQ(EIO, error_of(mkdir(at(&self->fs, "u/e"), 0700)));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SYMLINK 1 poke:100:33188"));
	EXPECT_EQ(EIO, error_of(symlink("f", at(&self->fs, "u/s"))));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault CREATE 1 poke:100:16877"));
	EXPECT_EQ(-1, open(at(&self->fs, "u/c"), O_CREAT | O_WRONLY, 0600));
	EXPECT_EQ(EIO, errno);
	/* They were made all the same, and are what they are. */
	EXPECT_EQ(0, stat(at(&self->fs, "u/p"), &st));
	EXPECT_TRUE(S_ISFIFO(st.st_mode));
	EXPECT_EQ(0, stat(at(&self->fs, "u/e"), &st));
	EXPECT_TRUE(S_ISDIR(st.st_mode));
	EXPECT_EQ(0, counter(&self->fs, "bad_forgets"));
}

/* Every reference comes back, in few messages where many wait. */
TEST_F(upkeep, forget)
{
	enum { FILES = 600 };
	struct stat st;
	char name[32];
	long before, messages;
	int i;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mkdir u/many; cd u/many; seq %d | xargs touch", FILES));
	before = held(&self->fs, "lookups");
	for (i = 1; i <= FILES; i++) {
		snprintf(name, sizeof(name), "u/many/%d", i);
		ASSERT_EQ(0, stat(at(&self->fs, name), &st));
	}
	EXPECT_GE(held(&self->fs, "lookups"), before + FILES);
	/* Two looks at one name are two references once the first is not believed any more; one FORGET has them all. */
	pause_ms(1100);
	for (i = 1; i <= 10; i++) {
		snprintf(name, sizeof(name), "u/many/%d", i);
		ASSERT_EQ(0, stat(at(&self->fs, name), &st));
	}
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "delay FORGET 300"));
	reset_counters(&self->fs);
	ASSERT_EQ(0, shell(NULL, 0, "echo 2 >/proc/sys/vm/drop_caches"));
	/* The root is not counted; the folders of the test may be in use. */
	EXPECT_TRUE(soon(held(&self->fs, "inodes") <= 2));
	EXPECT_GE(counter(&self->fs, "forgets"), FILES);
	EXPECT_EQ(0, counter(&self->fs, "bad_forgets"));
	messages = counter(&self->fs, "FORGET") + counter(&self->fs, "BATCH_FORGET");
	OURS(messages < FILES / 4 && counter(&self->fs, "BATCH_FORGET") > 0, "the C virtiofs driver sends one message for each");
}

TEST_HARNESS_MAIN
