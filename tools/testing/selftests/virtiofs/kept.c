// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of folders that may be kept are kept until something changes, and whoever reads meanwhile sees what stays exactly once.
 */
#include "lists.h"

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
