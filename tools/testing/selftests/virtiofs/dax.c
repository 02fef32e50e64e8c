// SPDX-License-Identifier: GPL-2.0
/*
 * DAX, proved by the device's counters: what is read, overwritten or mapped goes through the window and not through
 * requests; both sides see each other's stores at once; what a mapping may do, and what is left after unmounting.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include <setjmp.h>

FIXTURE(dax)
{
	struct fs fs;
};

FIXTURE_SETUP(dax)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf d; mkdir d"));
}

FIXTURE_TEARDOWN(dax)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

TEST_F(dax, read)
{
	size_t size = RANGE + RANGE / 2;
	char *buf = malloc(size);
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", size, 1));
	fd = open(at(&self->fs, "d/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	reset_counters(&self->fs);
	EXPECT_EQ(size, pread(fd, buf, size, 0));
	EXPECT_EQ(-1, differs(buf, 0, size, 1));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_GT(counter(&self->fs, "SETUPMAPPING"), 0);
	/* The second time nothing is asked of the host. */
	reset_counters(&self->fs);
	EXPECT_EQ(size, pread(fd, buf, size, 0));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, counter(&self->fs, "SETUPMAPPING"));
	close(fd);
	free(buf);
}

TEST_F(dax, overwrite)
{
	size_t size = RANGE + 5000;
	char *buf = malloc(size);
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", size, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	reset_counters(&self->fs);
	fill(buf, 0, size, 2);
	EXPECT_EQ(size, pwrite(fd, buf, size, 0));
	EXPECT_EQ(0, host_has(&self->fs, "d/f", size, 2));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	EXPECT_GT(counter(&self->fs, "SETUPMAPPING"), 0);
	EXPECT_EQ(0, counter(&self->fs, "slot_twice"));
	close(fd);
	free(buf);
}

TEST_F(dax, extending_write)
{
	char buf[300], out[64];
	struct stat st;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 100, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(100, pread(fd, buf, 300, 0));
	reset_counters(&self->fs);
	fill(buf, 50, 200, 1);
	EXPECT_EQ(200, pwrite(fd, buf, 200, 50));
	EXPECT_GT(counter(&self->fs, "WRITE"), 0);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "stat -c %%s d/f"));
	EXPECT_STREQ("250", out);
	ASSERT_EQ(0, fstat(fd, &st));
	EXPECT_EQ(250, st.st_size);
	EXPECT_EQ(250, pread(fd, buf, 300, 0));
	EXPECT_EQ(-1, differs(buf, 0, 250, 1));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	close(fd);
}

TEST_F(dax, store_is_seen_by_host)
{
	char *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 3 * PAGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	reset_counters(&self->fs);
	p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, 3 * PAGE, 1));
	fill(p, 0, 3 * PAGE, 3);
	/* Nothing was synced. */
	EXPECT_EQ(0, host_has(&self->fs, "d/f", 3 * PAGE, 3));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_EQ(0, msync(p, 3 * PAGE, MS_SYNC));
	munmap(p, 3 * PAGE);
	close(fd);
}

TEST_F(dax, store_of_host_is_seen)
{
	char *p, buf[8] = "";
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 3 * PAGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, differs(p, 0, 3 * PAGE, 1));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "printf HOST | dd of=d/f bs=1 seek=5000 conv=notrunc status=none"));
	EXPECT_EQ(0, memcmp(p + 5000, "HOST", 4));
	EXPECT_EQ(4, pread(fd, buf, 4, 5000));
	EXPECT_STREQ("HOST", buf);
	munmap(p, 3 * PAGE);
	close(fd);
}

/* write(2), a mapping and read(2) of one file are the same bytes. */
TEST_F(dax, write_and_mapping_agree)
{
	char *p, buf[8] = "";
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 2 * PAGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(5, pwrite(fd, "write", 5, PAGE - 2));
	EXPECT_EQ(0, memcmp(p + PAGE - 2, "write", 5));
	memcpy(p + 10, "store", 5);
	EXPECT_EQ(5, pread(fd, buf, 5, 10));
	EXPECT_STREQ("store", buf);
	munmap(p, 2 * PAGE);
	close(fd);
}

TEST_F(dax, private_mapping)
{
	char *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 2 * PAGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	fill(p, 0, PAGE + 100, 9);
	EXPECT_EQ(-1, differs(p, 0, PAGE + 100, 9));
	EXPECT_EQ(-1, differs(p + PAGE + 104, PAGE + 104, 100, 1));
	EXPECT_EQ(0, host_has(&self->fs, "d/f", 2 * PAGE, 1));
	munmap(p, 2 * PAGE);
	close(fd);
}

TEST_F(dax, small_file)
{
	char buf[200], *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 100, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(100, pread(fd, buf, 200, 0));
	EXPECT_EQ(-1, differs(buf, 0, 100, 1));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, p[100]);
	EXPECT_EQ(0, p[PAGE - 1]);
	fill(p, 0, 100, 2);
	EXPECT_EQ(0, host_has(&self->fs, "d/f", 100, 2));
	munmap(p, PAGE);
	close(fd);
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

/* The signal that touching this byte gives, or 0. */
static int touch(volatile char *p, bool store)
{
	int sig;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	sig = sigsetjmp(fault, 1);
	if (!sig) {
		if (store)
			*p = 1;
		else
			(void)*p;
	}
	return sig;
}

TEST_F(dax, fault_past_end)
{
	char *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", PAGE + 1, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p + 2 * PAGE - 1, false));
	EXPECT_EQ(SIGBUS, touch(p + 2 * PAGE, false));
	EXPECT_EQ(SIGBUS, touch(p + 2 * PAGE, true));
	EXPECT_EQ(SIGBUS, touch(p + 3 * PAGE, false));
	munmap(p, 4 * PAGE);
	close(fd);
}

TEST_F(dax, empty_file)
{
	char buf[8], *p;
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, ": >d/f"));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, pread(fd, buf, 8, 0));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(SIGBUS, touch(p, false));
	EXPECT_EQ(SIGBUS, touch(p, true));
	ASSERT_EQ(3, pwrite(fd, "abc", 3, 0));
	EXPECT_EQ(0, touch(p, false));
	EXPECT_EQ(0, memcmp(p, "abc", 3));
	munmap(p, PAGE);
	close(fd);
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test $(cat d/f) = abc"));
}

/* A read-only mapping of the device's table becomes writable in place: nothing is unmapped. */
TEST_F(dax, upgrade)
{
	char buf[8], text[4096];
	int fd, rw;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", RANGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(8, pread(fd, buf, 8, 0));
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "mappings"));
	EXPECT_NE(NULL, strstr(text, " ro"));
	EXPECT_EQ(NULL, strstr(text, " rw"));
	reset_counters(&self->fs);
	rw = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(rw, 0);
	ASSERT_EQ(8, pwrite(rw, "upgraded", 8, PAGE));
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "mappings"));
	EXPECT_NE(NULL, strstr(text, " rw"));
	EXPECT_EQ(NULL, strstr(text, " ro"));
	EXPECT_EQ(1, counter(&self->fs, "upgrades"));
	EXPECT_EQ(0, counter(&self->fs, "REMOVEMAPPING"));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	close(rw);
	close(fd);
}

/* The same by page faults: a mapping is read first, stored to later. */
TEST_F(dax, upgrade_by_fault)
{
	char text[4096], *p;
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", RANGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDWR);
	ASSERT_GE(fd, 0);
	p = mmap(NULL, RANGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, touch(p, false));
	EXPECT_EQ(0, touch(p + PAGE, true));
	EXPECT_EQ(0, touch(p, true));
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "mappings"));
	EXPECT_NE(NULL, strstr(text, " rw"));
	EXPECT_EQ(0, host(&self->fs, NULL, 0, "test $(head -c 1 d/f | od -An -tu1) = 1"));
	munmap(p, RANGE);
	close(fd);
}

/* Unmounting leaves nothing mapped. */
TEST_F(dax, unmount_unmaps)
{
	char buf[8], text[4096], path[256];
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", 3 * RANGE, 1));
	snprintf(path, sizeof(path), "%s", at(&self->fs, "d/f"));
	fd = open(path, O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(8, pread(fd, buf, 8, 0));
	ASSERT_EQ(8, pread(fd, buf, 8, 2 * RANGE));
	close(fd);
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "mappings"));
	EXPECT_NE(0, strlen(text));
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, device(&self->fs, text, sizeof(text), "mappings"));
	EXPECT_STREQ("", text);
	EXPECT_EQ(0, counter(&self->fs, "unmap_unmapped"));
}

/* Deleting a file gives its ranges back. */
TEST_F(dax, unlink_unmaps)
{
	char buf[8], text[4096];
	int fd;

	ASSERT_EQ(0, host_make(&self->fs, "d/f", RANGE, 1));
	fd = open(at(&self->fs, "d/f"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(8, pread(fd, buf, 8, 0));
	close(fd);
	ASSERT_EQ(0, unlink(at(&self->fs, "d/f")));
	/* By a work item, which nobody waits for. */
	EXPECT_TRUE(soon(!device(&self->fs, text, sizeof(text), "mappings") && !*text)) { TH_LOG("%s", text); }
}

TEST_HARNESS_MAIN
