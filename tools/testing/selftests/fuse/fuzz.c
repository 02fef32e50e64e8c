// SPDX-License-Identifier: GPL-2.0
/*
 * A hostile server against a load of all system calls. Session after session: mount, answer wrongly, end in one of several
 * ways. Whoever makes no progress must die of a SIGKILL in time, and unmounting must always work. What the kernel has to
 * say to it (KASAN, lockdep, hung tasks, leaks) is seen by who runs the guest.
 *
 * --seed N, --session N (of that seed, alone), --replies N (in all); or FUZZ_SEED, FUZZ_SESSION, FUZZ_REPLIES, also as
 * arguments of the kernel.
 */
#define FUZZ_NAME "fuse:fuzz"
#include "fuzz_tend.h"
#include "fuzz_notify.h"
#include "fuzz_server.h"
#include <getopt.h>
#include <pthread.h>

/* Answers of a session, and its longest time. */
#define SESSION_REPLIES 400
#define SESSION_SECONDS 20
static const char *const mistake_names[MISTAKES] = {
	"bits", "number", "cut", "longer", "length", "errno", "no errno", "other", "twice", "late", "missing", "body", "pieces",
	"fault", "empty",
};

enum end { STRAIGHT, KILLED, FORCED, CLOSED, LAZY, ALONE, STOPPED, ENDS };
static const char *const end_names[ENDS] = { "straight", "killed", "forced", "closed", "lazy", "alone", "stopped" };

/* Ends the connection. */
static void fuzz_let_go(void)
{
	umount2(dir, MNT_FORCE);
}

static struct habits habits_of(struct rng *r, uint32_t bend_once_in)
{
	struct habits h = {
		.bend = bend_once_in ? bend_once_in + below(r, 4) : 0,
		.miss = !module_c,
		.minor = once_in(r, 8) ? 5 + below(r, 40) : FUSE_KERNEL_MINOR_VERSION,
		.ttl = once_in(r, 3) ? 0 : once_in(r, 2) ? 1 : 3600,
		.open_flags = once_in(r, 2) ? 0 : rnd(r) & 0xff,
		.absent = once_in(r, 2) ? 0 : rnd(r) & rnd(r) & rnd(r),
		.slow = once_in(r, 3),
		.nonblock = once_in(r, 3),
		.splices = once_in(r, 2),
		.backs = once_in(r, 3),
	};

	/* Half of all features; without FOPEN_PASSTHROUGH in the beginning, as it needs a backing file. */
	h.init_flags = once_in(r, 4) ? rnd(r) : rnd(r) & rnd(r);
	h.init_flags |= FUSE_MAX_PAGES | FUSE_BIG_WRITES;
	if (!once_in(r, 10))
		h.open_flags &= ~FOPEN_PASSTHROUGH;
	if (h.backs)
		h.init_flags |= FUSE_PASSTHROUGH;
	/* INIT, LOOKUP, GETATTR and OPENDIR there always are. */
	h.absent &= ~(1ull << FUSE_INIT | 1ull << FUSE_LOOKUP | 1ull << FUSE_GETATTR | 1ull << FUSE_OPENDIR);
	return h;
}

/* The server's process. */
static void serve(int fd, const struct habits *habits, unsigned int threads, bool notify)
{
	pthread_t id;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A thread that sleeps in read(2), since another was faster, does not give what it holds back. */
	if (habits->nonblock || threads > 1)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	for (unsigned int i = 0; i < threads + notify; i++) {
		struct thread *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint32_t which = fd;

		*t = (struct thread){ .f = f, .habits = habits, .fd = fd, .number = i };
		if (pipe2(t->pipe, O_NONBLOCK | O_CLOEXEC) || fcntl(t->pipe[1], F_SETPIPE_SZ, 2 * ROOM) < 0)
			_exit(1);
		if (i && i < threads && i % 2) {
			t->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
			if (t->fd < 0 || ioctl(t->fd, FUSE_DEV_IOC_CLONE, &which)) {
				close(t->fd);
				t->fd = fd;
			}
		}
		pthread_create(&id, NULL, i < threads ? fuzz_serve : fuzz_notify, t);
	}
	for (;;)
		pause();
}

static void session(uint32_t number, uint32_t bend_once_in, bool hostile)
{
	struct rng r = rng_of(f->seed, number, 1);
	struct habits habits = habits_of(&r, bend_once_in);
	enum end end = hostile ? below(&r, ENDS) : STRAIGHT;
	unsigned int before = failures;
	uint64_t steps[WORKERS] = { 0 }, first = f->replies;
	unsigned int threads = 1 + below(&r, 4);
	bool notify = hostile && !once_in(&r, 3), is_mounted = true;
	char options[160];
	double since[WORKERS], start = now();
	pid_t server;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	f->session = number;
	f->straight = f->silent = f->load_ends = false;
	sessions++;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0%s%s%s", fd,
		 once_in(&r, 2) ? ",default_permissions" : "", once_in(&r, 2) ? ",allow_other" : "",
		 once_in(&r, 4) ? ",max_read=8192" : "");
	if (fd < 0 || mount("fuzz", dir, "fuse", MS_NOSUID | MS_NODEV, options))
		return failed("cannot mount");
	server = fork();
	if (server < 0)
		return failed("cannot fork");
	if (server == 0)
		serve(fd, &habits, threads, notify);
	close(fd);
	for (int i = 0; i < WORKERS; i++) {
		since[i] = now();
		restart(i);
	}
	while (f->replies - first < SESSION_REPLIES && now() - start < SESSION_SECONDS) {
		usleep(20000);
		tend(steps, since);
		if (once_in(&r, 40))
			write_file("/proc/sys/vm/drop_caches", "2");
	}
	/* Some ends come over a load that goes on. */
	if (module_c && (end == KILLED || end == CLOSED || end == STOPPED))
		umount2(dir, MNT_FORCE);
	switch (end) {
	case KILLED:
	case CLOSED:
		kill_one(server, "the server");
		server = 0;
		break;
	case ALONE:
		/* Nobody is left but who takes the name away. */
		for (int i = 0; i < WORKERS; i++)
			kill_one(f->workers[i].pid, f->workers[i].step);
		/* fall through */
	case LAZY:
		is_mounted = !unmounted(MNT_DETACH);
		detached = !is_mounted;
		break;
	case FORCED:
		f->silent = true;
		break;
	case STOPPED:
		kill(server, SIGSTOP);
		break;
	default:
		break;
	}
	for (int i = 0; i < 10; i++) {
		usleep(20000);
		tend(steps, since);
	}
	f->load_ends = true;
	for (int i = 0; i < WORKERS; i++)
		if (!ends(f->workers[i].pid, STUCK))
			kill_one(f->workers[i].pid, f->workers[i].step);
	f->straight = !f->silent;
	/* That fails with EBUSY where something goes on, but not without an effect. */
	if (end == FORCED || end == STOPPED)
		is_mounted = umount2(dir, MNT_FORCE) != 0;
	if (is_mounted && !unmounted(0)) {
		failed("cannot unmount");
		unmounted(MNT_DETACH);
	}
	if (server)
		kill_one(server, "the server");
	f->silent = detached = false;
	if (failures != before)
		ksft_print_msg("that session ends %s\n", end_names[end]);
}

/* So many answers of sessions from a number on. */
static void run(const char *name, uint32_t from, unsigned long replies, uint32_t bend_once_in, bool hostile)
{
	uint64_t start = f->replies;
	unsigned int before = failures;

	mark("ksft-case", name);
	for (uint32_t n = from; f->replies - start < replies && failures - before < 5; n++)
		session(n, bend_once_in, hostile);
	ksft_test_result(failures == before, "%s\n", name);
}

int main(int argc, char **argv)
{
	unsigned long replies = option("FUZZ_REPLIES", 21000);
	long only = option("FUZZ_SESSION", -1);
	unsigned int seen = 0, kinds = 0;
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' }, { "session", required_argument, NULL, 'n' },
		{ "replies", required_argument, NULL, 'r' }, { NULL, 0, NULL, 0 },
	};
	int c;

	fuzz_begin();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return KSFT_FAIL;
		if (c == 's')
			f->seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			only = strtol(optarg, NULL, 0);
		else
			replies = strtoul(optarg, NULL, 0);
	}
	ksft_print_msg("seed %llu\n", (unsigned long long)f->seed);
	if (only >= 0) {
		ksft_set_plan(1);
		if (only >= 3000)
			make_memory_fail(true);
		session(only, 3, true);
		ksft_test_result(!failures, "session %ld\n", only);
	} else {
		ksft_set_plan(4);
		run("honest", 0, replies / 20, 0, false);
		run("mistakes", 1000, replies / 4, 3, false);
		run("hostile", 2000, replies / 20 * 9, 3, true);
		if (!no_memory_fails_not()) {
			make_memory_fail(true);
			run("no memory", 3000, replies / 4, 6, true);
			make_memory_fail(false);
		} else {
			ksft_test_result_skip("no memory: %s\n", no_memory_fails_not());
		}
	}
	rmdir(dir);
	unlink("/tmp/fuzz.backing");
	for (int i = 0; i < OPCODES; i++)
		seen += f->seen[i] > 0;
	for (int i = 0; i < MISTAKES; i++) {
		kinds += f->mistakes[i] > 0;
		ksft_print_msg("%s: %llu\n", mistake_names[i], (unsigned long long)f->mistakes[i]);
	}
	ksft_print_msg("%u sessions, %llu replies, of them %llu bent and %llu refused; %llu notifications, %llu taken; %u opcodes\n",
		       sessions, (unsigned long long)f->replies, (unsigned long long)f->bent, (unsigned long long)f->refused,
		       (unsigned long long)f->notified, (unsigned long long)f->noted, seen);
	ksft_print_msg("%u stuck processes killed, the slowest end took %.1f s\n", killed, slowest);
	if (only < 0 && (kinds < MISTAKES - module_c || seen < 30 || !f->refused))
		ksft_exit_fail_msg("the fuzzer does not reach what it should\n");
	mark("ksft-end", "");
	ksft_finished();
}
