// SPDX-License-Identifier: GPL-2.0
/*
 * Code that runs from a window of fewer ranges than there are files, or from a page cache that is dropped, so that one piece of
 * memory holds the code of one file after the other. What is read there is what the file has; so is what runs, but in QEMU
 * without KVM: that keeps what it has translated until the guest itself writes there, and does not see the device do so.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include <cpuid.h>

#define FILES 8
#define ROUNDS 6

FIXTURE(code)
{
	struct fs fs;
};

FIXTURE_VARIANT(code)
{
	const char *tag, *options;
};

FIXTURE_VARIANT_ADD(code, two_ranges) { .tag = "direct", .options = "dax=always" };
FIXTURE_VARIANT_ADD(code, one_range) { .tag = "tiny", .options = "dax=always" };
FIXTURE_VARIANT_ADD(code, no_window) { .tag = "nodax", .options = "" };

/* mov $value, %eax; ret */
static void function(unsigned char *to, unsigned int value)
{
	to[0] = 0xb8;
	memcpy(to + 1, &value, 4);
	to[5] = 0xc3;
}

/* Whether QEMU translates what runs here. */
static bool is_translated(void)
{
	unsigned int a, who[3];

	__cpuid(0x40000000, a, who[0], who[1], who[2]);
	return !memcmp(who, "TCGTCGTCGTCG", sizeof(who));
}

FIXTURE_SETUP(code)
{
	static unsigned char page[PAGE];
	char name[32];
	int fd;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag(variant->tag))
		SKIP(return, "no such device");
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "code.%d", i);
		fd = open(at(&self->fs, name), O_WRONLY | O_CREAT | O_TRUNC, 0755);
		ASSERT_GE(fd, 0);
		function(page, 1000 + i);
		ASSERT_EQ((ssize_t)PAGE, write(fd, page, PAGE));
		ASSERT_EQ(0, close(fd));
	}
}

FIXTURE_TEARDOWN(code)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

TEST_F(code, runs)
{
	unsigned char want[6];
	int read_wrong = 0, ran_wrong = 0;
	char name[32];

	for (int i = 0; i < FILES * ROUNDS; i++) {
		unsigned int value = 1000 + i % FILES;
		int (*f)(void);
		int fd;

		snprintf(name, sizeof(name), "code.%d", i % FILES);
		fd = open(at(&self->fs, name), O_RDONLY);
		ASSERT_GE(fd, 0);
		f = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
		ASSERT_NE(MAP_FAILED, (void *)f);
		function(want, value);
		read_wrong += memcmp((void *)f, want, sizeof(want)) != 0;
		ran_wrong += f() != (int)value;
		munmap((void *)f, PAGE);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	TH_LOG("of %d: %d read wrong, %d ran wrong", FILES * ROUNDS, read_wrong, ran_wrong);
	EXPECT_EQ(0, read_wrong);
	if (!is_translated())
		EXPECT_EQ(0, ran_wrong);
}

TEST_HARNESS_MAIN
