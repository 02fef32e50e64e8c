// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of folders: what is read along with the names saves lookups, and only where lookups follow; what the server counts
 * for the client is given back; lists that cannot be do no harm. Lists that may be kept are kept until something changes,
 * and whoever reads meanwhile sees what stays exactly once.
 */
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
	device(&self->fs, NULL, 0, "faults clear");
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

TEST_F(lists, attributes_come_along)
{
	/* What leads there is known. */
	ASSERT_EQ(0, access(at(&self->fs, "l"), F_OK));
	reset_counters(&self->fs);
	EXPECT_EQ(102, list(&self->fs, "l", true));
	EXPECT_EQ(0, counter(&self->fs, "LOOKUP"));
	EXPECT_EQ(0, counter(&self->fs, "GETATTR"));
	EXPECT_LE(1, counter(&self->fs, "READDIRPLUS"));
	EXPECT_GE(2, counter(&self->fs, "READDIRPLUS") + counter(&self->fs, "READDIR"));
}

/* Only the beginning is read with attributes where nobody wants them. */
TEST_F(lists, names_only)
{
	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	ASSERT_EQ(0, access(at(&self->fs, "l/big"), F_OK));
	reset_counters(&self->fs);
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	EXPECT_EQ(1, counter(&self->fs, "READDIRPLUS"));
	EXPECT_LE(2, counter(&self->fs, "READDIR"));
	EXPECT_EQ(0, counter(&self->fs, "LOOKUP"));
}

/* They are read for all where they are wanted. */
TEST_F(lists, names_and_attributes)
{
	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	ASSERT_EQ(0, access(at(&self->fs, "l/big"), F_OK));
	reset_counters(&self->fs);
	EXPECT_EQ(1002, list(&self->fs, "l/big", true));
	EXPECT_EQ(0, counter(&self->fs, "LOOKUP"));
	EXPECT_EQ(0, counter(&self->fs, "GETATTR"));
	EXPECT_LE(2, counter(&self->fs, "READDIRPLUS"));
	EXPECT_EQ(0, counter(&self->fs, "READDIR"));
}

/* A lookup in a folder is a reason to read the rest of it with attributes. */
TEST_F(lists, lookup_is_a_reason)
{
	struct dirent *e;
	DIR *d;

	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	d = opendir(at(&self->fs, "l/big"));
	ASSERT_NE(NULL, d);
	ASSERT_NE(NULL, readdir(d));
	reset_counters(&self->fs);
	ASSERT_EQ(0, access(at(&self->fs, "l/big/name-of-some-length-1000"), F_OK));
	while ((e = readdir(d)))
		;
	closedir(d);
	EXPECT_EQ(1, counter(&self->fs, "READDIRPLUS"));
	EXPECT_LE(1, counter(&self->fs, "READDIR"));
}

TEST_F(lists, server_without)
{
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "disable DO_READDIRPLUS"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	reset_counters(&self->fs);
	EXPECT_EQ(102, list(&self->fs, "l", true));
	EXPECT_EQ(0, counter(&self->fs, "READDIRPLUS"));
	EXPECT_LE(100, counter(&self->fs, "LOOKUP"));
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "disable READDIRPLUS_AUTO"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	reset_counters(&self->fs);
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	EXPECT_LE(2, counter(&self->fs, "READDIRPLUS"));
	EXPECT_EQ(0, counter(&self->fs, "READDIR"));
}

TEST_F(lists, server_says_it_has_not)
{
	if (module_is_c())
		SKIP(return, "the C client believes INIT and hands ENOSYS to the user");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READDIRPLUS 1 errno:-38"));
	reset_counters(&self->fs);
	EXPECT_EQ(102, list(&self->fs, "l", false));
	EXPECT_EQ(102, list(&self->fs, "l", false));
	EXPECT_EQ(1, counter(&self->fs, "READDIRPLUS"));
}

/* How many references the server counts. Those that are given back are on their way for a moment. */
static long lookups(const struct fs *fs, long wanted)
{
	char out[256], *p;
	long n = -1;
	int i;

	for (i = 0; i < 50 && n != wanted; i++) {
		if (i)
			usleep(100000);
		if (device(fs, out, sizeof(out), "nofiles"))
			return -1;
		p = strstr(out, "lookups ");
		n = p ? atol(p + 8) : -1;
	}
	return n;
}

/* Asks the server for the attributes of a folder, and learns when it was changed. */
static int look_anew(const struct fs *fs, const char *name)
{
	struct statx stx;

	return statx(AT_FDCWD, at(fs, name), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx);
}

static void drop_names(void)
{
	shell(NULL, 0, "echo 2 >/proc/sys/vm/drop_caches");
}

TEST_F(lists, references_are_given_back)
{
	drop_names();
	EXPECT_EQ(0, lookups(&self->fs, 0));
	EXPECT_EQ(102, list(&self->fs, "l", true));
	/* The folder, and what is in it. */
	EXPECT_EQ(101, lookups(&self->fs, 101));
	EXPECT_EQ(102, list(&self->fs, "l", false));
	drop_names();
	EXPECT_EQ(0, lookups(&self->fs, 0));
	EXPECT_EQ(0, counter(&self->fs, "bad_forgets"));
}

/* Who waits for a list can be killed, and what was looked up for nobody is given back. */
TEST_F(lists, killed_meanwhile)
{
	char out[64] = "";
	int status, i;
	pid_t pid;

	if (module_is_c())
		SKIP(return, "the C client cannot be killed once the request is on its queue");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READDIRPLUS 1 hang"));
	pid = fork();
	if (!pid)
		_exit(list(&self->fs, "l", false) == 102);
	for (i = 0; i < 50 && strncmp(out, "1", 1); i++) {
		usleep(100000);
		device(&self->fs, out, sizeof(out), "hung");
	}
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "release-hung"));
	drop_names();
	EXPECT_EQ(0, lookups(&self->fs, 0));
	EXPECT_EQ(102, list(&self->fs, "l", true));
}

/* Where the record of an entry is in the reply, and what its name is. */
static long record_of(const struct fs *fs, const char *folder, int which, char *name)
{
	struct dirent *e;
	DIR *d = opendir(at(fs, folder));
	long pos = 0, found = -1;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.' && which-- == 0) {
			strcpy(name, e->d_name);
			found = pos;
			break;
		}
		pos += (152 + strlen(e->d_name) + 7) & ~7;
	}
	if (d)
		closedir(d);
	return found;
}

/* Bends one word of the reply, at this place of the third entry's record. */
static int bent(struct fs *fs, int offset, unsigned int value, char *name)
{
	char command[64];
	long pos = record_of(fs, "l", 2, name);

	if (pos < 0 || fs_umount(fs) || fs_mount(fs, "nodax", NULL))
		return -1;
	snprintf(command, sizeof(command), "fault READDIRPLUS 1 poke:%ld:%u", pos + offset, value);
	if (device(fs, NULL, 0, command))
		return -1;
	return list(fs, "l", false);
}

#define NODEID 0
#define GENERATION 8
#define SIZE_HIGH 52
#define MODE 100
#define NAMELEN 144
#define TYPE 148
#define NAME 152

/* An entry that cannot be put into the cache is listed all the same, and looked up when it is wanted. */
TEST_F(lists, entries_that_cannot_be)
{
	static const struct {
		int offset;
		unsigned int value;
	} bends[] = { { NODEID, 1 }, { NODEID, 0 }, { MODE, 0 }, { MODE, 0170000 }, { SIZE_HIGH, 0x80000000 } };
	char name[256], path[300];
	struct stat st;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bends); i++) {
		EXPECT_EQ(102, bent(&self->fs, bends[i].offset, bends[i].value, name));
		reset_counters(&self->fs);
		snprintf(path, sizeof(path), "l/%s", name);
		EXPECT_EQ(0, stat(at(&self->fs, path), &st));
		EXPECT_TRUE(S_ISREG(st.st_mode));
		EXPECT_EQ(1, counter(&self->fs, "LOOKUP"));
		EXPECT_EQ(102, list(&self->fs, "l", true));
	}
	/* Each reference went back, by the queue for that, but for the one that was hidden and the one of a node that is none. */
	drop_names();
	EXPECT_GE(1, lookups(&self->fs, 0));
}

/* A list that cannot be. */
TEST_F(lists, names_that_cannot_be)
{
	static const struct {
		int offset;
		unsigned int value;
	} bends[] = { { NAMELEN, 0 }, { NAMELEN, 4096 }, { NAMELEN, 0xffffffff }, { NAME, 0x2f2f2f2f } };
	char name[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bends); i++) {
		/* What was read before it is handed out, then comes the error, or the rest when the server has come to its senses. */
		int n = bent(&self->fs, bends[i].offset, bends[i].value, name);

		EXPECT_TRUE(n == 102 || n == -EIO);
		EXPECT_EQ(102, list(&self->fs, "l", true));
	}
	/* With every answer bent, the error stays. */
	for (i = 0; i < ARRAY_SIZE(bends); i++) {
		char command[64];

		if (i == 1 || i == 2)
			continue;
		snprintf(command, sizeof(command), "fault READDIRPLUS 100 poke:%d:%u", bends[i].offset, bends[i].value);
		ASSERT_EQ(0, fs_umount(&self->fs));
		ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
		ASSERT_EQ(0, device(&self->fs, NULL, 0, command));
		EXPECT_EQ(-EIO, list(&self->fs, "l", false));
		device(&self->fs, NULL, 0, "faults clear");
	}
	EXPECT_EQ(102, list(&self->fs, "l", true));
}

/* An entry that is another file than before, and one that was twice in the list. */
TEST_F(lists, changed_by_the_host)
{
	struct stat before, after;
	char name[256], path[300];
	int fd;

	EXPECT_EQ(102, list(&self->fs, "l", true));
	ASSERT_EQ(0, stat(at(&self->fs, "l/entry-7"), &before));
	fd = open(at(&self->fs, "l/entry-7"), O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "mv l/entry-7 l/other; mkdir l/entry-7; touch l/entry-7/x"));
	ASSERT_EQ(0, look_anew(&self->fs, "l"));
	drop_names();
	EXPECT_EQ(103, list(&self->fs, "l", true));
	ASSERT_EQ(0, stat(at(&self->fs, "l/entry-7"), &after));
	EXPECT_TRUE(S_ISDIR(after.st_mode));
	EXPECT_EQ(0, access(at(&self->fs, "l/entry-7/x"), F_OK));
	ASSERT_EQ(0, fstat(fd, &after));
	EXPECT_EQ(before.st_ino, after.st_ino);
	close(fd);
	/* Twice the same name: the records of entry-1 and entry-2 differ in one byte. */
	if (record_of(&self->fs, "l", 2, name) >= 0 && !strncmp(name, "entry-", 6)) {
		unsigned int word;

		memcpy(&word, strcmp(name, "entry-11") ? "y-11" : "y-12", 4);
		EXPECT_EQ(103, bent(&self->fs, NAME + 4, word, name));
		snprintf(path, sizeof(path), "l/%s", name);
		EXPECT_EQ(0, stat(at(&self->fs, path), &after));
	}
}

/* Requests for entries since the counters were set to zero. */
static long asked(const struct fs *fs)
{
	return counter(fs, "READDIR") + counter(fs, "READDIRPLUS");
}

TEST_F(lists, kept)
{
	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	reset_counters(&self->fs);
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	EXPECT_EQ(0, asked(&self->fs));
	/* The kernel takes back what it likes. */
	shell(NULL, 0, "echo 1 >/proc/sys/vm/drop_caches");
	EXPECT_EQ(1002, list(&self->fs, "l/big", false));
	EXPECT_LE(1, asked(&self->fs));
}

/* Each change of a name by this client makes the list anew. */
TEST_F(lists, kept_until_changed)
{
	int i, n = 102;

	for (i = 0; i < 9; i++) {
		EXPECT_EQ(n, list(&self->fs, "l", false));
		reset_counters(&self->fs);
		EXPECT_EQ(n, list(&self->fs, "l", false));
		EXPECT_EQ(0, asked(&self->fs));
		switch (i) {
		case 0:
			ASSERT_LE(0, close(open(at(&self->fs, "l/a"), O_CREAT | O_EXCL | O_WRONLY, 0644)));
			n++;
			break;
		case 1:
			ASSERT_EQ(0, mkdir(at(&self->fs, "l/b"), 0755));
			n++;
			break;
		case 2:
			ASSERT_EQ(0, symlink("a", at(&self->fs, "l/c")));
			n++;
			break;
		case 3:
			ASSERT_EQ(0, link(at(&self->fs, "l/a"), at(&self->fs, "l/d")));
			n++;
			break;
		case 4:
			ASSERT_EQ(0, rename(at(&self->fs, "l/a"), at(&self->fs, "l/b/a")));
			n--;
			break;
		case 5:
			ASSERT_EQ(0, rename(at(&self->fs, "l/b/a"), at(&self->fs, "l/a")));
			n++;
			break;
		case 6:
			ASSERT_EQ(0, unlink(at(&self->fs, "l/a")));
			n--;
			break;
		case 7:
			ASSERT_EQ(0, rmdir(at(&self->fs, "l/b")));
			n--;
			break;
		case 8:
			/* The host: seen with the modification time. */
			ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm l/c l/d"));
			ASSERT_EQ(0, look_anew(&self->fs, "l"));
			n -= 2;
			break;
		}
		reset_counters(&self->fs);
		EXPECT_EQ(n, list(&self->fs, "l", false));
		EXPECT_LE(1, asked(&self->fs));
	}
}

/* A server that lets lists be kept, but not from one opening to the next. */
TEST_F(lists, kept_while_open)
{
	int n = 0;
	DIR *d;

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault OPENDIR 100 poke:8:8"));
	EXPECT_EQ(102, list(&self->fs, "l", false));
	reset_counters(&self->fs);
	d = opendir(at(&self->fs, "l"));
	ASSERT_NE(NULL, d);
	while (readdir(d))
		n++;
	EXPECT_LE(1, asked(&self->fs));
	reset_counters(&self->fs);
	rewinddir(d);
	while (readdir(d))
		n++;
	EXPECT_EQ(204, n);
	EXPECT_EQ(0, asked(&self->fs));
	closedir(d);
}

/* Positions hold, where lists are kept and where not. */
static void positions(struct __test_metadata *_metadata, const struct fs *fs)
{
	static char names[1002][32];
	static long at_pos[1003];
	struct dirent *e;
	DIR *d = opendir(at(fs, "l/big"));
	int n, i;

	ASSERT_NE(NULL, d);
	for (n = 0; at_pos[n] = telldir(d), (e = readdir(d)); n++) {
		ASSERT_GT(1002, n);
		snprintf(names[n], sizeof(names[n]), "%s", e->d_name);
	}
	ASSERT_EQ(1002, n);
	for (i = 0; i < 60; i++) {
		int k = (i * 7919) % n;

		seekdir(d, at_pos[k]);
		e = readdir(d);
		ASSERT_NE(NULL, e);
		EXPECT_STREQ(names[k], e->d_name);
	}
	seekdir(d, at_pos[n]);
	EXPECT_EQ(NULL, readdir(d));
	rewinddir(d);
	for (i = 0; (e = readdir(d)); i++)
		EXPECT_STREQ(names[i], e->d_name);
	EXPECT_EQ(n, i);
	closedir(d);
}

TEST_F(lists, positions)
{
	ASSERT_EQ(0, many(&self->fs, "l/big", 1000));
	positions(_metadata, &self->fs);
	/* Now from what is kept. */
	reset_counters(&self->fs);
	positions(_metadata, &self->fs);
	/* The C client asks for what stands behind the last entry. */
	EXPECT_GE(module_is_c() ? 1 : 0, asked(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "cache auto"));
	positions(_metadata, &self->fs);
}

/* Entries that stay are seen once, whatever is made and removed meanwhile, by whomever. */
static void changing(struct __test_metadata *_metadata, const struct fs *fs, const char *folder)
{
	static unsigned char seen[1500];
	char name[64];
	struct dirent *e;
	int n, i, others = 0;
	DIR *d;

	memset(seen, 0, sizeof(seen));
	ASSERT_EQ(0, host(fs, NULL, 0, "mkdir %s; cd %s; for i in $(seq 0 1499); do : >entry-$i; done", folder, folder));
	d = opendir(at(fs, folder));
	ASSERT_NE(NULL, d);
	for (n = 0; (e = readdir(d)); n++) {
		if (sscanf(e->d_name, "entry-%d", &i) == 1 && i >= 0 && i < 1500)
			EXPECT_EQ(1, ++seen[i]);
		if (n == 300) {
			for (i = 0; i < 1500; i += 10) {
				snprintf(name, sizeof(name), "%s/entry-%d", folder, i);
				ASSERT_EQ(0, unlink(at(fs, name)));
			}
			/* Somebody else reads from the beginning, and makes the list anew. */
			EXPECT_EQ(1352, list(fs, folder, false));
		}
		if (n == 600) {
			ASSERT_EQ(0, host(fs, NULL, 0, "cd %s; for i in $(seq 1 40); do : >new-$i; done; rm entry-*5", folder));
			shell(NULL, 0, "echo 1 >/proc/sys/vm/drop_caches");
			look_anew(fs, folder);
			EXPECT_EQ(1242, list(fs, folder, false));
		}
	}
	for (i = 0; i < 1500; i++)
		if (i % 10 && i % 10 != 5)
			EXPECT_EQ(1, seen[i]);
	rewinddir(d);
	for (n = 0; (e = readdir(d)); n++)
		others += !strncmp(e->d_name, "new-", 4);
	EXPECT_EQ(1242, n);
	EXPECT_EQ(40, others);
	closedir(d);
}

TEST_F(lists, changed_meanwhile)
{
	changing(_metadata, &self->fs, "l/kept");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "cache auto"));
	changing(_metadata, &self->fs, "l/not-kept");
}

TEST_HARNESS_MAIN
