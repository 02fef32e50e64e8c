/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who looks after the load of a fuzzer: starts its processes, kills those that are stuck, and takes note of whoever does not
 * die of that. The includer says FUZZ_NAME, and defines fuzz_let_go(), which frees whoever waits for the server.
 */
#ifndef FUZZ_TEND_H
#define FUZZ_TEND_H

#include "fuzz_load.h"
#include "kselftest.h"
#include <dirent.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* A process of the load that is at one call for so long is killed. */
#define STUCK 1.0
/* Whoever was killed is gone after that, on a loaded host as well. */
#define LIMIT 30.0
/* But who ends as the last user of a mount without a name unmounts it, and cannot be killed then: what is written gets two minutes. */
#define LAST_LIMIT 150.0

static struct fuzz *f;
static char dir[] = "/tmp/fuzzXXXXXX";
static bool module_c, detached;
static unsigned int killed, restarted, failures, sessions;
static double slowest;

static void fuzz_let_go(void);

static void mark(const char *what, const char *more)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		dprintf(fd, "<6>%s " FUZZ_NAME " %s", what, more);
		close(fd);
	}
}

static void failed(const char *what)
{
	ksft_print_msg("seed %llu session %u: %s\n", (unsigned long long)f->seed, f->session, what);
	failures++;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		close(fd);
	}
}

/* Prints where the threads of a process are. */
static void print_stacks(pid_t pid)
{
	char path[64], text[4096];
	struct dirent *d;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (d = readdir(tasks))) {
		ssize_t n;
		int fd;

		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.10s/stack", pid, d->d_name);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = 0;
		ksft_print_msg("task %s:\n%s", d->d_name, text);
	}
	if (tasks)
		closedir(tasks);
}

/* Waits for the end of a child. */
static bool ends(pid_t pid, double limit)
{
	double start = now();

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now() - start > limit)
			return false;
		usleep(5000);
	}
	if (now() - start > slowest)
		slowest = now() - start;
	return true;
}

/* A killed process must end; what helps where it does not is noted, so that the run goes on. */
static void kill_one(pid_t pid, const char *what)
{
	char text[128];

	kill(pid, SIGKILL);
	if (ends(pid, STUCK))
		return;
	/* It may wait for a lock of another one, which is stuck as well. */
	for (int i = 0; i < WORKERS; i++)
		kill(f->workers[i].pid, SIGKILL);
	if (ends(pid, detached ? LAST_LIMIT : LIMIT))
		return;
	snprintf(text, sizeof(text), "%s does not die of SIGKILL", what);
	failed(text);
	print_stacks(pid);
	fuzz_let_go();
	if (!ends(pid, LIMIT)) {
		failed("nor when the server lets go");
		umount2(dir, MNT_DETACH);
	}
}

static void restart(int i)
{
	load_start(f, i, dir, 100 + WORKERS * restarted++ + i);
}

/* Looks after the load: who is stuck is killed, who is gone is started again. */
static void tend(uint64_t *steps, double *since)
{
	for (int i = 0; i < WORKERS; i++) {
		struct worker *w = &f->workers[i];

		if (waitpid(w->pid, NULL, WNOHANG) == w->pid) {
			restart(i);
		} else if (w->steps != steps[i]) {
			steps[i] = w->steps;
			since[i] = now();
		} else if (now() - since[i] > STUCK) {
			killed++;
			kill_one(w->pid, w->step);
			restart(i);
			since[i] = now();
		}
	}
}

/* A call of the supervisor that may not come back is another process's. */
static bool unmounted(int flags)
{
	pid_t pid = fork();
	int status;
	double start = now();

	if (pid < 0)
		return false;
	if (pid == 0) {
		/* Of a process that was killed something may be left for a moment. */
		while (umount2(dir, flags)) {
			if (errno != EBUSY || now() - start > LIMIT / 3)
				_exit(errno);
			usleep(20000);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		/*
		 * Who takes the name away from a mount that nobody uses at that moment unmounts it, and may wait for a server that keeps
		 * answers back. Once it has given them there is nothing to wait for.
		 */
		if ((flags & MNT_DETACH) && !f->straight && now() - start > STUCK) {
			ksft_print_msg("session %u: the lazy umount is the last user, and waits\n", f->session);
			f->straight = true;
		}
		if (now() - start > LIMIT) {
			failed("umount does not come back");
			print_stacks(pid);
			write_file("/proc/sysrq-trigger", "w");
			fuzz_let_go();
			kill_one(pid, "umount");
			return false;
		}
		usleep(5000);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		ksft_print_msg("umount: status %x, %s\n", status, strerror(WEXITSTATUS(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static unsigned long option(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

/* The leak detector needs memory itself, and gives up without. */
static const char *no_memory_fails_not(void)
{
	if (access("/sys/kernel/debug/failslab", F_OK))
		return "the kernel has no failslab";
	return option("VM_KMEMLEAK", 0) ? "the leak detector needs memory" : NULL;
}

/* In tasks that ask for it. */
static void make_memory_fail(bool on)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	char path[96];

	for (int i = 0; i < 2; i++) {
		const struct { const char *name, *text; } set[] = {
			{ "task-filter", "Y" }, { "ignore-gfp-wait", "N" }, { "ignore-gfp-highmem", "N" }, { "min-order", "0" },
			{ "verbose", "0" }, { "times", "-1" }, { "interval", "1" }, { "probability", on ? "3" : "0" },
		};

		for (int k = 0; k < 8; k++) {
			snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", kinds[i], set[k].name);
			write_file(path, set[k].text);
		}
	}
	f->fail_memory = on;
}

/* Before anything else. */
static void fuzz_begin(void)
{
	const char *module = getenv("MODULE");

	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f == MAP_FAILED || !mkdtemp(dir))
		exit(KSFT_FAIL);
	f->seed = option("FUZZ_SEED", time(NULL));
	module_c = module && !strcmp(module, "c");
	setvbuf(stdout, NULL, _IOLBF, 0);
	mark("ksft-begin", "");
	ksft_print_header();
	if (geteuid() != 0)
		ksft_exit_skip("only root can mount and make memory fail\n");
}

#endif
