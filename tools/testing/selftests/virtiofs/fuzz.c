// SPDX-License-Identifier: GPL-2.0
/*
 * The device's server lies under a load of all system calls: daxfsd spoils one of a few answers, by a seed. Whoever makes no
 * progress must die of a SIGKILL in time, unmounting must always work, and the next mount is as good as new. FUZZ_SEED=N and
 * FUZZ_SECONDS=N (for each case), also as arguments of the kernel.
 */
#define FUZZ_NAME "virtiofs:fuzz"
#include "../fuse/fuzz_tend.h"
#include "vfs.h"

#define SESSION_SECONDS 8

static struct fs fs;

/* The device makes no more mistakes, and answers what it left. */
static void fuzz_let_go(void)
{
	device(&fs, NULL, 0, "faults clear");
	device(&fs, NULL, 0, "release-hung");
}

/*
 * Mounts, in a process of its own: what the device keeps back may be the answer to INIT, and nobody else would have it let go;
 * `faults` says whether it still makes mistakes.
 */
static bool mounted(const char *options, bool *faults)
{
	pid_t pid = fork();
	double start = now();
	int status;

	if (pid < 0)
		return false;
	if (pid == 0)
		_exit(mount(fs.tag, dir, "virtiofs", 0, options) != 0);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (*faults && now() - start > 5 * STUCK) {
			fuzz_let_go();
			*faults = false;
		}
		usleep(5000);
	}
	return status == 0;
}

static bool as_good_as_new(const char *options)
{
	static char bytes[300000];
	struct stat st;
	bool good;
	int fd;

	host(&fs, NULL, 0, "rm -rf check");
	if (mount(fs.tag, dir, "virtiofs", 0, options))
		return false;
	snprintf(fs.dir, sizeof(fs.dir), "%s", dir);
	fill(bytes, 0, sizeof(bytes), 7);
	fd = open(at(&fs, "check"), O_RDWR | O_CREAT, 0644);
	good = fd >= 0 && write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && fsync(fd) == 0 &&
	       pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes) && differs(bytes, 0, sizeof(bytes), 7) < 0 &&
	       fstat(fd, &st) == 0 && st.st_size == sizeof(bytes);
	close(fd);
	return unmounted(0) && good && host_has(&fs, "check", sizeof(bytes), 7) == 0;
}

static void session(uint32_t number, const char *options, const char *how, uint32_t one_in)
{
	uint64_t steps[WORKERS] = { 0 };
	struct rng r = rng_of(f->seed, number, 1);
	double since[WORKERS], start = now();
	char command[64];
	bool early = once_in(&r, 2), lies = early;

	f->session = number;
	f->load_ends = false;
	sessions++;
	/* Names to begin with; the load makes more. */
	host(&fs, NULL, 0, "rm -rf d? f? l? p? c? x?; for i in 0 1 2; do mkdir -p d$i/d0 d$i/d1; "
	     "head -c 150000 /dev/urandom >f$i; cp f$i d$i/f1; ln -s f1 l$i; done");
	snprintf(command, sizeof(command), "fuzz %llu %u %s", (unsigned long long)rnd(&r), one_in, how);
	if (early)
		device(&fs, NULL, 0, command);
	if (!mounted(options, &lies)) {
		/* What answers INIT in the wrong way cannot be mounted; the right way always can. */
		fuzz_let_go();
		lies = false;
		if (!early || !mounted(options, &lies))
			return failed("cannot mount");
	}
	if (!lies)
		device(&fs, NULL, 0, command);
	for (int i = 0; i < WORKERS; i++) {
		since[i] = now();
		restart(i);
	}
	while (now() - start < SESSION_SECONDS) {
		usleep(20000);
		tend(steps, since);
		if (once_in(&r, 40))
			write_file("/proc/sys/vm/drop_caches", "2");
	}
	f->load_ends = true;
	for (int i = 0; i < WORKERS; i++)
		if (!ends(f->workers[i].pid, STUCK))
			kill_one(f->workers[i].pid, f->workers[i].step);
	fuzz_let_go();
	if (!unmounted(0)) {
		failed("cannot unmount");
		unmounted(MNT_DETACH);
	}
	if (!as_good_as_new(options))
		failed("the next mount is not as good as new");
}

static void run(const char *name, uint32_t from, const char *tag, const char *options, const char *how, uint32_t one_in)
{
	unsigned long seconds = option("FUZZ_SECONDS", 24);
	unsigned int before = failures;
	long faults, replies;
	double end = now() + seconds;

	mark("ksft-case", name);
	if (!server_is_daxfsd() || !has_tag(tag))
		return ksft_test_result_skip("%s: no such device\n", name);
	snprintf(fs.tag, sizeof(fs.tag), "%s", tag);
	reset_counters(&fs);
	for (uint32_t n = from; now() < end && failures - before < 5; n++)
		session(n, options, how, one_in);
	faults = counter(&fs, "faults");
	replies = counter(&fs, "round_trips");
	ksft_print_msg("%ld replies, %ld wrong; so far %u stuck processes killed, the slowest end took %.1f s\n", replies, faults,
		       killed, slowest);
	if (faults < 50)
		failed("too few wrong answers to prove anything");
	ksft_test_result(failures == before, "%s\n", name);
}

int main(void)
{
	fuzz_begin();
	if (module_c)
		ksft_exit_skip("known difference: the C virtiofs driver believes bad answers, some of them are wild pointers then\n");
	ksft_print_msg("seed %llu\n", (unsigned long long)f->seed);
	ksft_set_plan(3);
	run("without a window", 1000, "nodax", "", "hang", 6);
	run("with a window", 2000, "second", "dax=always", "careful hang", 6);
	if (!no_memory_fails_not()) {
		make_memory_fail(true);
		run("with a window, no memory", 3000, "second", "dax=always", "careful hang", 12);
		make_memory_fail(false);
	} else {
		ksft_test_result_skip("no memory: %s\n", no_memory_fails_not());
	}
	rmdir(dir);
	ksft_finished();
}
