// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults of every kind on a DAX file. How many faults there were, of which size, and what was asked of the device is
 * counted; the page tables are read in /proc/self/pagemap, which causes no fault.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"

#define SIZE (3 * RANGE)
#define PAGES (RANGE / PAGE)

FIXTURE(faults)
{
	struct fs fs;
	int fd;
};

FIXTURE_VARIANT(faults)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(faults, pages) { .huge = false };
FIXTURE_VARIANT_ADD(faults, huge) { .huge = true };

FIXTURE_SETUP(faults)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf p; mkdir p"));
	ASSERT_EQ(0, host_make(&self->fs, "p/f", SIZE, 1));
	self->fd = open(at(&self->fs, "p/f"), O_RDWR);
	ASSERT_GE(self->fd, 0);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(faults)
{
	if (self->fs.mounted)
		unhang(&self->fs);
	if (self->fd >= 0)
		close(self->fd);
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Faults that touching every page takes. */
static long faults_of(char *p, size_t size, bool store)
{
	long before = faults();
	size_t off;

	for (off = 0; off < size; off += PAGE) {
		if (store)
			*(volatile char *)(p + off) = 's';
		else
			(void)*(volatile char *)(p + off);
	}
	return faults() - before;
}

/* One fault for each page, or for each 2 MiB; the entries are of that size. */
TEST_F(faults, load)
{
	char *p = map_at(self->fd, SIZE, PROT_READ, variant->huge);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, present(0, p, SIZE));
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, false));
	EXPECT_EQ(3 * PAGES, present(0, p, SIZE));
	EXPECT_EQ(variant->huge ? 3 * PAGES : 0, huge_pages(p, SIZE));
	EXPECT_EQ(0, faults_of(p, SIZE, false));
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	munmap(p, SIZE);
}

TEST_F(faults, store)
{
	char *p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, true));
	EXPECT_EQ(variant->huge ? 3 * PAGES : 0, huge_pages(p, SIZE));
	EXPECT_EQ(0, faults_of(p, SIZE, true));
	fill(p, 0, SIZE, 2);
	EXPECT_EQ(0, host_has(&self->fs, "p/f", SIZE, 2));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
	EXPECT_EQ(3, mappings_of(&self->fs, "p/f", "rw"));
	munmap(p, SIZE);
}

/*
 * First loads, then stores. Somebody who cannot write made the mapping of the device: it becomes writable by one request
 * for each range, and those who have it mapped keep what they have.
 */
TEST_F(faults, load_then_store)
{
	int ro = open(at(&self->fs, "p/f"), O_RDONLY);
	char *other = map_at(ro, SIZE, PROT_READ, variant->huge);
	char *p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);

	ASSERT_TRUE(ro >= 0 && other != MAP_FAILED && p != MAP_FAILED);
	faults_of(other, SIZE, false);
	EXPECT_EQ(3, mappings_of(&self->fs, "p/f", "ro"));
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, false));
	reset_counters(&self->fs);
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, true));
	EXPECT_EQ(variant->huge ? 3 * PAGES : 0, huge_pages(p, SIZE));
	EXPECT_LE(counter(&self->fs, "SETUPMAPPING"), 3);
	EXPECT_EQ(counter(&self->fs, "upgrades"), counter(&self->fs, "SETUPMAPPING"));
	EXPECT_EQ(0, counter(&self->fs, "REMOVEMAPPING"));
	EXPECT_EQ(3, mappings_of(&self->fs, "p/f", "rw"));
	EXPECT_EQ(0, faults_of(other, SIZE, false));
	EXPECT_EQ('s', other[SIZE - PAGE]);
	munmap(other, SIZE);
	munmap(p, SIZE);
	close(ro);
}

/* A private mapping: a copy of what is stored to, the file for everything else, also after fork(). */
TEST_F(faults, private)
{
	char *p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge), *shared;
	int status;
	pid_t pid;

	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	p = mmap(p, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, self->fd, 0);
	ASSERT_TRUE(p != MAP_FAILED && shared != MAP_FAILED);
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, false));
	fill(p + RANGE, RANGE, PAGE, 2);
	EXPECT_EQ(-1, differs(p + RANGE, RANGE, PAGE, 2));
	EXPECT_EQ(-1, differs(p + RANGE + PAGE, RANGE + PAGE, RANGE - PAGE, 1));
	EXPECT_EQ(-1, differs(p, 0, RANGE, 1));
	/* What was not copied is the file. */
	fill(shared + RANGE, RANGE, 2 * PAGE, 3);
	EXPECT_EQ(-1, differs(p + RANGE, RANGE, PAGE, 2));
	EXPECT_EQ(-1, differs(p + RANGE + PAGE, RANGE + PAGE, PAGE, 3));
	pid = fork();
	if (!pid) {
		if (differs(p + RANGE, RANGE, PAGE, 2) != -1 || differs(p + RANGE + PAGE, RANGE + PAGE, PAGE, 3) != -1)
			_exit(1);
		fill(p + RANGE, RANGE, 2 * PAGE, 4);
		fill(p, 0, 8, 4);
		_exit(differs(p + RANGE, RANGE, 2 * PAGE, 4) != -1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(-1, differs(p + RANGE, RANGE, PAGE, 2));
	EXPECT_EQ(-1, differs(p + RANGE + PAGE, RANGE + PAGE, PAGE, 3));
	EXPECT_EQ(-1, differs(shared + RANGE, RANGE, 2 * PAGE, 3));
	fill(shared + RANGE, RANGE, 2 * PAGE, 1);
	/* The copy goes with MADV_DONTNEED. */
	ASSERT_EQ(0, madvise(p + RANGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(-1, differs(p, 0, SIZE, 1));
	munmap(p, SIZE);
	munmap(shared, SIZE);
	EXPECT_EQ(0, host_has(&self->fs, "p/f", SIZE, 1));
	EXPECT_EQ(0, counter(&self->fs, "WRITE"));
}

/* A mapping that is longer than the file: SIGBUS behind the page that the end is in, nowhere else. */
TEST_F(faults, past_end)
{
	static const size_t sizes[] = { SIZE - RANGE, SIZE - RANGE - 1, SIZE - RANGE + 1, RANGE + 3 * PAGE, PAGE + 1, 1, 0 };
	size_t i, end, pages;
	char *p;

	if (c_is_spared())
		SKIP(return, "known difference: a new size or time drops mappings, with a WARNING (G-3)");
	p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, ftruncate(self->fd, sizes[i]));
		end = sizes[i];
		pages = (end + PAGE - 1) / PAGE;
		EXPECT_EQ(SIGBUS, touch(p + pages * PAGE, i % 2));
		EXPECT_EQ(SIGBUS, touch(p + SIZE - 1, !(i % 2)));
		if (end)
			faults_of(p, pages * PAGE, false);
		EXPECT_EQ((long)pages, present(0, p, SIZE));
		/* Huge where the file fills 2 MiB. */
		EXPECT_EQ(variant->huge ? (long)((pages * PAGE) / RANGE * PAGES) : 0, huge_pages(p, SIZE));
		EXPECT_EQ(SIGBUS, touch(p + pages * PAGE, !(i % 2)));
		EXPECT_EQ(-1, differs(p, 0, end, 1));
	}
	munmap(p, SIZE);
}

/* Holes read as zeros; what is stored is all that the host has. */
TEST_F(faults, sparse)
{
	char out[64], zeros[PAGE] = "", *p;
	struct stat st;
	size_t off;
	int fd;

	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s %lu p/s", SIZE));
	fd = open(at(&self->fs, "p/s"), O_RDWR);
	p = map_at(fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	EXPECT_EQ(variant->huge ? 3 : 3 * PAGES, faults_of(p, SIZE, false));
	for (off = 0; off < SIZE; off += PAGE)
		ASSERT_EQ(0, memcmp(p + off, zeros, PAGE));
	memcpy(p + RANGE + 100, "here", 4);
	EXPECT_EQ(0, host(&self->fs, out, sizeof(out), "dd if=p/s bs=1 skip=%lu count=6 status=none | od -An -c", RANGE + 99));
	EXPECT_STREQ("  \\0   h   e   r   e  \\0", out);
	ASSERT_EQ(0, stat(at(&self->fs, "p/s"), &st));
	EXPECT_EQ(SIZE, st.st_size);
	munmap(p, SIZE);
	close(fd);
}

/* The device takes its time: a fault that waited is of the size it would have been. */
TEST_F(faults, wait_for_device)
{
	char *p = map_at(self->fd, SIZE, PROT_READ | PROT_WRITE, variant->huge);
	long count, least = variant->huge ? 1 : PAGES;
	pid_t pid, answerer;
	int status;

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETUPMAPPING 1 hang"));
	/* One asks, this one waits for what was asked, and a third has it answered. */
	pid = fork();
	if (!pid) {
		touch_all(p, PAGE);
		_exit(variant->huge && huge_pages(p, RANGE) != PAGES);
	}
	EXPECT_TRUE(soon(hanging(&self->fs) == 1));
	answerer = fork();
	if (!answerer) {
		pause_ms(300);
		unhang(&self->fs);
		pause();
	}
	count = faults_of(p, RANGE, true);
	EXPECT_LE(least, count);
	/* About once in 20 times one comes twice, at any page, as the other process ends meanwhile. */
	EXPECT_GE(least + 1, count);
	EXPECT_EQ(variant->huge ? PAGES : 0, huge_pages(p, RANGE));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	kill(answerer, SIGKILL);
	EXPECT_EQ(answerer, waitpid(answerer, &status, 0));
	munmap(p, SIZE);
}

FIXTURE(files)
{
	struct fs fs;
};

FIXTURE_SETUP(files)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("dax"))
		SKIP(return, "no device with a window");
	ASSERT_EQ(0, fs_mount(&self->fs, "dax", "dax=always"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf p; mkdir p"));
}

FIXTURE_TEARDOWN(files)
{
	if (self->fs.mounted)
		device(&self->fs, NULL, 0, "delay all 0");
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* Smaller than a page and not a multiple of one: the rest of the last page is zeros and not in the file. */
TEST_F(files, small)
{
	static const size_t sizes[] = { 1, 7, 100, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1, RANGE - 1, RANGE + 1 };
	size_t i, size, room;
	char name[32], *p, *buf = malloc(RANGE + 2 * PAGE);
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size = sizes[i];
		room = (size + PAGE - 1) / PAGE * PAGE;
		snprintf(name, sizeof(name), "p/%zu", size);
		ASSERT_EQ(0, host_make(&self->fs, name, size, 1));
		fd = open(at(&self->fs, name), O_RDWR);
		ASSERT_GE(fd, 0);
		EXPECT_EQ(size, pread(fd, buf, RANGE + 2 * PAGE, 0));
		EXPECT_EQ(-1, differs(buf, 0, size, 1));
		p = map_at(fd, room + PAGE, PROT_READ | PROT_WRITE, true);
		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(-1, differs(p, 0, size, 1));
		memset(buf, 0, PAGE);
		EXPECT_EQ(0, memcmp(p + size, buf, room - size));
		EXPECT_EQ(SIGBUS, touch(p + room, false));
		fill(p, 0, room, 2);
		EXPECT_EQ(0, host_has(&self->fs, name, size, 2));
		munmap(p, room + PAGE);
		close(fd);
	}
	free(buf);
}

/* Code from a mapping: mov eax, 42; ret. It is what the file holds, also after a write(2). */
TEST_F(files, run_code)
{
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	int fd = open(at(&self->fs, "p/code"), O_RDWR | O_CREAT, 0755), i;
	int (*run)(void);

	ASSERT_GE(fd, 0);
	reset_counters(&self->fs);
	ASSERT_EQ(sizeof(code), pwrite(fd, code, sizeof(code), 100));
	for (i = 0; i < 2; i++) {
		run = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, i ? MAP_PRIVATE : MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, (void *)run);
		run = (void *)((char *)run + 100);
		EXPECT_EQ(42, run());
		ASSERT_EQ(1, pwrite(fd, "\53", 1, 101));
		EXPECT_EQ(43, run());
		ASSERT_EQ(1, pwrite(fd, "\52", 1, 101));
		EXPECT_EQ(42, run());
		munmap((char *)run - 100, PAGE);
	}
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	close(fd);
}

/* A program of the share is run from the window; while it runs it cannot be written. */
TEST_F(files, run_program)
{
	char self_path[256] = "", tool[300], command[800], said[8] = "";
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	int fd, says[2];
	pid_t pid;

	ASSERT_GT(n, 0);
	*strrchr(self_path, '/') = 0;
	snprintf(tool, sizeof(tool), "%s/vtool", self_path);
	snprintf(command, sizeof(command), "cp %s %s && chmod 755 %s", tool, at(&self->fs, "p/vtool"), at(&self->fs, "p/vtool"));
	ASSERT_EQ(0, shell(NULL, 0, command));
	reset_counters(&self->fs);
	snprintf(command, sizeof(command), "%s call stat /proc", at(&self->fs, "p/vtool"));
	EXPECT_EQ(0, shell(tool, sizeof(tool), command));
	EXPECT_STREQ("ok", tool);
	EXPECT_EQ(0, counter(&self->fs, "READ"));
	EXPECT_GT(counter(&self->fs, "SETUPMAPPING"), 0);
	/* It waits for a file that never comes. */
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "truncate -s 4M p/big"));
	ASSERT_EQ(0, pipe2(says, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		dup2(says[1], STDOUT_FILENO);
		snprintf(command, sizeof(command), "%s", at(&self->fs, "p/big"));
		execl(at(&self->fs, "p/vtool"), "vtool", "hold", command, "pages", "/none", NULL);
		_exit(1);
	}
	close(says[1]);
	EXPECT_LT(0, read(says[0], said, sizeof(said) - 1));
	EXPECT_EQ(0, strncmp(said, "ready", 5));
	close(says[0]);
	fd = open(at(&self->fs, "p/vtool"), O_RDWR);
	EXPECT_TRUE(fd < 0 && errno == ETXTBSY);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	/* Its memory may be looked at by somebody else just then, and be gone after him. */
	EXPECT_TRUE(soon((fd = open(at(&self->fs, "p/vtool"), O_RDWR)) >= 0));
	close(fd);
}

/* The window is full: a fault of 2 MiB that has to wait for a range still is one (G-10). */
TEST_F_TIMEOUT(files, huge_in_full_window, 120)
{
	struct fs fs = {};
	char *p, *q;
	long huge = 0, asked;
	int fd, i, status, tries;
	pid_t pid, gone;

	if (!has_tag("tiny"))
		SKIP(return, "no device with a window of 2 MiB");
	ASSERT_EQ(0, fs_mount(&fs, "tiny", "dax=always"));
	ASSERT_EQ(0, host(&fs, NULL, 0, "truncate -s 8M big"));
	fd = open(at(&fs, "big"), O_RDWR);
	p = map_at(fd, 4 * RANGE, PROT_READ | PROT_WRITE, true);
	ASSERT_TRUE(fd >= 0 && p != MAP_FAILED);
	for (i = 0; i < 8; i++) {
		touch_all(p + i % 4 * RANGE, PAGE);
		huge += huge_pages(p + i % 4 * RANGE, RANGE);
	}
	/*
	 * While somebody else has the only range: it is being mapped for him. He may take it back before anybody looks; so the range
	 * is one that neither wants when a try begins, and whoever has ended is not waited for.
	 */
	for (tries = 0; tries < 5 && huge != 9 * PAGES; tries++) {
		ASSERT_EQ(0, device(&fs, NULL, 0, "delay all 0"));
		touch_all(p, PAGE);
		ASSERT_EQ(0, device(&fs, NULL, 0, "delay SETUPMAPPING 300"));
		asked = counter(&fs, "SETUPMAPPING");
		pid = fork();
		if (!pid) {
			q = map_at(fd, 4 * RANGE, PROT_READ, true);
			touch_all(q + RANGE, PAGE);
			_exit(0);
		}
		do
			gone = waitpid(pid, &status, WNOHANG);
		while (!gone && counter(&fs, "SETUPMAPPING") == asked);
		touch_all(p + 2 * RANGE, PAGE);
		huge += huge_pages(p + 2 * RANGE, RANGE);
		EXPECT_TRUE(gone == pid || waitpid(pid, &status, 0) == pid);
	}
	device(&fs, NULL, 0, "delay all 0");
	munmap(p, 4 * RANGE);
	close(fd);
	unlink(at(&fs, "big"));
	EXPECT_EQ(0, fs_umount(&fs));
	OURS(huge == 9 * PAGES, "a fault that finds no free range falls back to single pages for good (G-10)");
}

TEST_HARNESS_MAIN
