// SPDX-License-Identifier: GPL-2.0
/*
 * ops KIND N: N operations of one kind below /mnt: 4K reads and writes of a file that the server lets nobody cache, stat of
 * names that were never asked for, and what programs do with names and files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK 4096
#define NAME "/mnt/new"

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static int single(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/mnt/single", O_RDWR);
	check(fd >= 0, "/mnt/single");
	return fd;
}

/* Spread over the file, so that no two follow each other. */
static off_t place(long i)
{
	return i * 7919 % 16384 * BLOCK;
}

static char buf[BLOCK];

static void do_read(long i)
{
	check(pread(single(), buf, BLOCK, place(i)) == BLOCK, "pread");
}

static void do_write(long i)
{
	check(pwrite(single(), buf, BLOCK, place(i)) == BLOCK, "pwrite");
}

static void do_stat(long i)
{
	static int dir = -1;
	struct stat st;
	char name[32];

	if (dir < 0)
		dir = open("/mnt/names", O_PATH);
	snprintf(name, sizeof(name), "%05ld", i);
	check(!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), name);
}

static void do_open(long i)
{
	int fd = open("/mnt/single", O_RDONLY);

	check(fd >= 0 && !close(fd), "open");
}

static void do_create(long i)
{
	int fd = open(NAME, O_RDWR | O_CREAT | O_EXCL, 0644);

	check(fd >= 0 && !close(fd) && !unlink(NAME), "create");
}

static void do_unlink(long i)
{
	char name[32];

	snprintf(name, sizeof(name), "/mnt/names/%05ld", i);
	check(!unlink(name), name);
}

static void do_mkdir(long i)
{
	check(!mkdir(NAME, 0755) && !rmdir(NAME), "mkdir");
}

static void do_rename(long i)
{
	static const char *const names[] = { "/mnt/names/00000", "/mnt/names/renamed" };

	check(!rename(names[i & 1], names[~i & 1]), "rename");
}

static void do_symlink(long i)
{
	check(!symlink("target", NAME) && readlink(NAME, buf, sizeof(buf)) == 6 && !unlink(NAME), "symlink");
}

static void do_list(long i)
{
	DIR *dir = opendir("/mnt/list");
	int n = 0;

	check(!!dir, "opendir");
	while (readdir(dir))
		n++;
	check(n >= 100 && !closedir(dir), "readdir");
}

static void do_xattr(long i)
{
	check(!fsetxattr(single(), "user.bench", "value", 5, 0) && fgetxattr(single(), "user.bench", buf, sizeof(buf)) == 5, "xattr");
}

static const struct {
	const char *name;
	void (*act)(long i);
} kinds[] = {
	{ "read", do_read }, { "write", do_write }, { "stat", do_stat }, { "open", do_open }, { "create", do_create }, { "unlink", do_unlink },
	{ "mkdir", do_mkdir }, { "rename", do_rename }, { "symlink", do_symlink }, { "list", do_list }, { "xattr", do_xattr },
};

int main(int argc, char **argv)
{
	cpu_set_t cpus;
	size_t k = 0;
	long i, n;

	if (argc != 3)
		return 2;
	while (k < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[k].name, argv[1]))
		k++;
	if (k == sizeof(kinds) / sizeof(*kinds))
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	check(!sched_setaffinity(0, sizeof(cpus), &cpus), "sched_setaffinity");
	n = atol(argv[2]);
	for (i = 0; i < n; i++)
		kinds[k].act(i);
	return 0;
}
