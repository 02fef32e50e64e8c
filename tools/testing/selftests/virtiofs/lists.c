// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of folders: what is read along with the names saves lookups, and only where lookups follow; what the server counts
 * for the client is given back; lists that cannot be do no harm.
 */
#include "lists.h"

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

TEST_F(lists, references_are_given_back)
{
	EXPECT_TRUE(forgets(&self->fs, 0));
	EXPECT_EQ(102, list(&self->fs, "l", true));
	/* The folder, and what is in it. */
	EXPECT_EQ(101, census(&self->fs, "lookups"));
	EXPECT_EQ(102, list(&self->fs, "l", false));
	EXPECT_TRUE(forgets(&self->fs, 0));
	EXPECT_EQ(0, counter(&self->fs, "bad_forgets"));
}

/* Who waits for a list can be killed, and what was looked up for nobody is given back. */
TEST_F(lists, killed_meanwhile)
{
	long replies;
	int status;
	pid_t pid;

	if (module_is_c())
		SKIP(return, "the C client cannot be killed once the request is on its queue");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault READDIRPLUS 1 hang"));
	pid = fork();
	if (!pid)
		_exit(list(&self->fs, "l", false) == 102);
	EXPECT_TRUE(soon(hanging(&self->fs) == 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	replies = counter(&self->fs, "round_trips");
	unhang(&self->fs);
	EXPECT_TRUE(soon(counter(&self->fs, "round_trips") > replies));
	EXPECT_TRUE(forgets(&self->fs, 0));
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
	EXPECT_TRUE(forgets(&self->fs, 1));
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
	shell(NULL, 0, "echo 2 >/proc/sys/vm/drop_caches");
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

TEST_HARNESS_MAIN
