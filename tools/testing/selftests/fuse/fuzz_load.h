/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls on a mount, any of them in any order, that do not care what comes of them: the load of the fuzzers. No heap
 * is used and every failure is taken, so that allocations can be made to fail under it.
 */
#ifndef FUZZ_LOAD_H
#define FUZZ_LOAD_H

#include "fuzz.h"
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define LOAD_FDS 8
#define LOAD_BUF (256 << 10)

struct load {
	struct fuzz *f;
	struct worker *w;
	struct rng r;
	const char *dir;
	int fd[LOAD_FDS];
	int pipe[2];
	char *map;
	size_t map_len;
	char path[2][192];
};

static char load_buf[LOAD_BUF] __attribute__((aligned(4096)));
static sigjmp_buf load_fault;

static void load_sigbus(int sig)
{
	siglongjmp(load_fault, 1);
}

static void load_nothing(int sig)
{
}

/* The kind of what a name stands for is its first letter: folder, file, link, pipe, device, nothing. */
static const char *load_path(struct load *l, int which)
{
	char *p = l->path[which], *end = p + sizeof(l->path[which]);
	int depth = below(&l->r, 3);

	p += snprintf(p, end - p, "%s", l->dir);
	while (depth--)
		p += snprintf(p, end - p, "/d%u", below(&l->r, 3));
	if (!once_in(&l->r, 12))
		snprintf(p, end - p, "/%c%u", "ffffffffddlpcx"[below(&l->r, 14)], below(&l->r, 6));
	return l->path[which];
}

static int load_fd(struct load *l)
{
	return l->fd[below(&l->r, LOAD_FDS)];
}

static off_t load_at(struct load *l)
{
	if (once_in(&l->r, 40))
		return odd_number(&l->r);
	return once_in(&l->r, 2) ? below(&l->r, 64) * 4096 : below(&l->r, 300000);
}

static size_t load_len(struct load *l)
{
	static const size_t usual[] = { 0, 1, 100, 512, 4096, 8192, 65536, 131072, LOAD_BUF };

	return once_in(&l->r, 3) ? below(&l->r, LOAD_BUF) : usual[below(&l->r, 9)];
}

/* Memory for data: a buffer, or a mapping of a file of the same mount, aligned or not. */
static char *load_mem(struct load *l, size_t *len)
{
	size_t skip = once_in(&l->r, 3) ? below(&l->r, 4096) : 0;
	char *mem = load_buf;
	size_t most = LOAD_BUF;

	if (l->map && once_in(&l->r, 6)) {
		mem = l->map;
		most = l->map_len;
	}
	*len = load_len(l);
	if (*len > most - skip)
		*len = most - skip;
	return mem + skip;
}

#include "fuzz_steps.h"
#include "fuzz_steps_names.h"

/* System calls until the fuzzer says that it is enough. */
static void load_run(struct fuzz *f, struct worker *w, const char *dir, uint64_t who)
{
	static const struct {
		void (*step)(struct load *l);
		int weight;
	} steps[] = {
		{ step_open, 5 }, { step_read, 5 }, { step_write, 5 }, { step_mmap, 2 }, { step_touch, 4 }, { step_size, 3 },
		{ step_pipe, 3 }, { step_sync, 2 }, { step_lock, 2 }, { step_dir, 3 }, { step_names, 5 }, { step_attr, 4 },
		{ step_xattr, 2 }, { step_ioctl, 2 }, { step_rare, 1 },
	};
	struct load load = { .f = f, .w = w, .dir = dir }, *l = &load;
	struct sigaction bus = { .sa_handler = load_sigbus }, none = { .sa_handler = load_nothing };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l->r = rng_of(f->seed, f->session, who);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &bus, NULL);
	/* Now and then a signal that only interrupts. */
	sigaction(SIGALRM, &none, NULL);
	sigaction(SIGIO, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < LOAD_FDS; i++)
		l->fd[i] = -1;
	if (pipe2(l->pipe, O_NONBLOCK | O_CLOEXEC))
		_exit(1);
	if (f->fail_memory) {
		int fd = open("/proc/self/make-it-fail", O_WRONLY);

		if (fd >= 0) {
			(void)!write(fd, "1", 1);
			close(fd);
		}
	}
	while (!f->load_ends) {
		int n = below(&l->r, 48);
		unsigned int i;

		for (i = 0; i < sizeof(steps) / sizeof(*steps) - 1 && n >= steps[i].weight; i++)
			n -= steps[i].weight;
		w->steps++;
		alarm(once_in(&l->r, 8) ? 1 : 0);
		if (sigsetjmp(load_fault, 1) == 0)
			steps[i].step(l);
	}
	STEP("exit");
	_exit(0);
}

/* Starts a process of the load. */
static inline void load_start(struct fuzz *f, int i, const char *dir, uint64_t who)
{
	struct worker *w = &f->workers[i];
	pid_t pid;

	w->step = "start";
	w->steps = 0;
	while ((pid = fork()) < 0)
		usleep(1000);
	if (pid == 0)
		load_run(f, w, dir, who);
	w->pid = pid;
}

#endif
