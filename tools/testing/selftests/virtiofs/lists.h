/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of lists of folders share: a mount whose names are believed for a day, and reading a folder. */
#ifndef LISTS_H
#define LISTS_H

#include "kselftest_harness.h"
#include "vfs.h"
#include <dirent.h>

FIXTURE(lists)
{
	struct fs fs;
};

/* As the device caches for a second only, and the machine may be slow, names are believed for a day here. */
FIXTURE_SETUP(lists)
{
	struct fs tag = { .tag = "nodax" };

	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	if (!server_is_daxfsd())
		SKIP(return, "needs the counters of daxfsd");
	ASSERT_EQ(0, device(&tag, NULL, 0, "cache always"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf l; mkdir l; cd l; for i in $(seq 0 99); do : >entry-$i; done"));
}

FIXTURE_TEARDOWN(lists)
{
	unhang(&self->fs);
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

/* Reads a whole folder; with a look at each entry if it is to be. Returns the number of entries, or -errno. */
static int list(const struct fs *fs, const char *name, bool look)
{
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(at(fs, name));
	int n = 0;

	if (!d)
		return -errno;
	for (errno = 0; (e = readdir(d)); errno = 0, n++) {
		if (!look || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_ino != e->d_ino) {
			n = -1000;
			break;
		}
	}
	if (errno)
		n = -errno;
	closedir(d);
	return n;
}

static int many(const struct fs *fs, const char *name, int n)
{
	return host(fs, NULL, 0, "mkdir -p %s; cd %s; for i in $(seq 1 %d); do : >name-of-some-length-$i; done", name, name, n);
}

/* Asks the server for the attributes of a folder, and learns when it was changed. */
static int look_anew(const struct fs *fs, const char *name)
{
	struct statx stx;

	return statx(AT_FDCWD, at(fs, name), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx);
}

#endif
