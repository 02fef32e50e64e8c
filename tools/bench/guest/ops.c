// SPDX-License-Identifier: GPL-2.0
/*
 * ops KIND N: N operations of one kind below /mnt, each of which needs the server: 4K reads and writes of a file that the
 * server lets nobody cache, and stat of names that were never asked for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	static char buf[BLOCK];
	struct stat st;
	char name[64];
	cpu_set_t cpus;
	long i, n;
	int fd;

	if (argc != 3)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		fail("sched_setaffinity");
	n = atol(argv[2]);
	if (!strcmp(argv[1], "stat")) {
		if (chdir("/mnt/names"))
			fail("/mnt/names");
		for (i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "%05ld", i);
			if (lstat(name, &st))
				fail(name);
		}
		return 0;
	}
	fd = open("/mnt/single", O_RDWR);
	if (fd < 0)
		fail("/mnt/single");
	for (i = 0; i < n; i++) {
		/* Spread over the file, so that no two follow each other. */
		off_t at = i * 7919 % 16384 * BLOCK;

		if (!strcmp(argv[1], "read") ? pread(fd, buf, BLOCK, at) != BLOCK : pwrite(fd, buf, BLOCK, at) != BLOCK)
			fail(argv[1]);
	}
	return 0;
}
