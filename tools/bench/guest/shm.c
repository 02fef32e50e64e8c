// SPDX-License-Identifier: GPL-2.0
/*
 * Part of the library that stands in for those that fio is linked with and that are not used here: the System V shared
 * memory that fio shares with its jobs, which the guest's kernel does not have. Jobs are forked, so a shared mapping does.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>

#define SEGMENTS 8

static void *segments[SEGMENTS];
static int used;

int shmget(int key, size_t size, int flags)
{
	void *p;

	if (used == SEGMENTS) {
		errno = ENOSPC;
		return -1;
	}
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	segments[used] = p;
	return used++;
}

void *shmat(int id, const void *where, int flags)
{
	if (id < 0 || id >= used) {
		errno = EINVAL;
		return (void *)-1;
	}
	return segments[id];
}

int shmctl(int id, int command, void *buf)
{
	return 0;
}

int shmdt(const void *where)
{
	return 0;
}

/* fio waits for its jobs in steps of up to a quarter of a second, which is longer than most of them take. */
int usleep(unsigned int us)
{
	struct timespec t = { 0, (us < 10000 ? us : 10000) * 1000 };

	return nanosleep(&t, NULL);
}
