/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What cases have in common: how long they may take and wait, what they leave behind, what the kernel's log says of them. They run
 * on machines that are slow and have other things to do, so they wait for what they need and not for times. Included by server.h.
 */
#ifndef CASE_H
#define CASE_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A case may take so many seconds where the machine is slow and has other things to do: who takes longer is ended, without teardown. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 240
/* What comes soon comes within so many seconds there. */
#define PATIENCE 60

/* Marks where the program begins and ends in the kernel's log, for the scan of the runner. */
extern char *program_invocation_short_name;
static pid_t first_pid;

static void mark(const char *what)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		dprintf(fd, "<6>%s fuse:%s", what, program_invocation_short_name);
		close(fd);
	}
}

static inline bool module_is_c(void)
{
	const char *m = getenv("MODULE");

	return m && !strcmp(m, "c");
}

/* Writes a word to a file of the kernel; 0 or an errno. */
static inline int say(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), e;

	if (fd < 0)
		return errno;
	e = write(fd, word, strlen(word)) < 0 ? errno : 0;
	close(fd);
	return e;
}

/* Sets what holds for all mounts: a number in /proc/sys/fs/fuse or a parameter of the module. 0 or an errno. */
static inline int tune(const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/fs/fuse/%s", name);
	if (access(path, F_OK))
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module_is_c() ? "fuse" : "rust_fuse", name);
	return say(path, value);
}

/* As a case that was killed could not set it again. */
static inline void tune_as_usual(void)
{
	static const char *const usual[][2] = {
		{ "max_pages_limit", "256" }, { "default_request_timeout", "0" }, { "max_request_timeout", "0" },
		{ "max_user_bgreq", "0" }, { "max_user_congthresh", "0" }, { "inval_wq", "0" }, { "allow_sys_admin_access", "N" },
	};

	for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		tune(usual[i][0], usual[i][1]);
}

static void __attribute__((constructor)) mark_begin(void)
{
	first_pid = getpid();
	mark("ksft-begin");
}

static void __attribute__((destructor)) mark_end(void)
{
	if (getpid() != first_pid)
		return;
	tune_as_usual();
	mark("ksft-end");
}

/* What a case mounts goes with its processes, however they end, and what the one before it has set does not stay. */
static inline void begin_case(void)
{
	static bool begun;

	if (begun)
		return;
	begun = true;
	tune_as_usual();
	if (unshare(CLONE_NEWNS))
		abort();
	/* In an initramfs nothing is shared. */
	(void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static inline double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Waits for something; false when it has not come after so many seconds. It is looked for once more then. */
#define within(limit, condition) ({				\
	double _end = clock_now() + (limit);			\
	bool _late, _is;					\
	do {							\
		_late = clock_now() >= _end;			\
		_is = (condition);				\
	} while (!_is && !_late && (usleep(5000), true));	\
	_is;							\
})
#define soon(condition) within(PATIENCE, condition)

/* Whether what somebody may use for a moment longer can be unmounted; 0 or an errno. */
static inline int unmount_soon(const char *dir)
{
	int e;

	soon((e = umount(dir) ? errno : 0) != EBUSY);
	return e;
}

/* How often a process has gone to sleep, if it sleeps; -1 if it runs, -2 if it has ended. */
static inline long asleep(pid_t pid)
{
	char path[32], line[128], state = 'Z';
	long times = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "State: %c", &state);
		sscanf(line, "voluntary_ctxt_switches: %ld", &times);
	}
	if (f)
		fclose(f);
	return state == 'Z' ? -2 : state == 'S' || state == 'D' ? times : -1;
}

/* Waits until a process sleeps in the kernel and goes on doing so for a while; false when it ends instead. */
static inline bool waits(pid_t pid)
{
	long first = -1, times;
	int asleep_for = 0;

	/* Who cannot be killed looks around now and then. */
	return soon((times = asleep(pid)) == -2 ||
		    (times < 0 || times > first + 3 ? (first = times, asleep_for = 0) : ++asleep_for) == 60) && times != -2;
}

/* How a process ended: its errno, 1000 and the signal, or -1 if it has not soon. */
static inline int end_of(pid_t pid)
{
	int status = 0;

	if (!soon(waitpid(pid, &status, WNOHANG) == pid))
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#endif
