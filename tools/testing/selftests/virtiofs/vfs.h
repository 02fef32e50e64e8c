/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the C tests: mounting a tag, asking the host and the device through ctl, patterns for file contents.
 * The guest's runner sets MODULE, SERVER and TAGS (tools/vm/README.md). Include after kselftest_harness.h.
 */
#ifndef VFS_H
#define VFS_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define RANGE (2UL << 20)

/*
 * Seconds for a case. Nothing takes nearly as long; a case that is ended from outside leaves its mount behind, and the machine may
 * have much else to do.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

struct fs {
	char tag[16];
	char dir[64];
	bool mounted;
};

static inline bool module_is_c(void)
{
	const char *m = getenv("MODULE");

	return m && !strcmp(m, "c");
}

/*
 * The C client, in a case that would make its kernel WARN or hang: skipped, unless the run is to show just that (DEFECTS=show),
 * one case to a guest; see Documentation/defects.md.
 */
static inline bool c_is_spared(void)
{
	return module_is_c() && !getenv("DEFECTS");
}

static inline bool has_tag(const char *tag)
{
	char list[512];

	snprintf(list, sizeof(list), " %s ", getenv("TAGS") ?: "dax nodax");
	return strstr(list, tag) && strstr(list, tag)[-1] == ' ' && strstr(list, tag)[strlen(tag)] == ' ';
}

static inline bool server_is_daxfsd(void)
{
	const char *s = getenv("SERVER");

	return !s || !strcmp(s, "daxfsd");
}

static inline void kmsg(const char *what, const char *name)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		dprintf(fd, "<6>%s %s", what, name);
		close(fd);
	}
}

/* A child of a case that has failed spins or waits for what will not come, and holds the mount: it ends with its parent. */
static void end_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Marks where the program begins and ends in the kernel's log, for the scan of the runner. */
extern char *program_invocation_short_name;
static pid_t first;

static void __attribute__((constructor)) mark_begin(void)
{
	char name[64];

	first = getpid();
	pthread_atfork(NULL, NULL, end_with_parent);
	snprintf(name, sizeof(name), "virtiofs:%s", program_invocation_short_name);
	kmsg("ksft-begin", name);
	/* What a program before this one has left in the devices, as it was killed. */
	if (system("ctl runner fresh >/dev/null 2>&1"))
		kmsg("ksft-note", "the devices may not be as on their command lines");
}

static void __attribute__((destructor)) mark_end(void)
{
	char name[64];

	if (getpid() != first)
		return;
	snprintf(name, sizeof(name), "virtiofs:%s", program_invocation_short_name);
	kmsg("ksft-end", name);
}

static inline long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Waits until something is so, as long as the slowest machine may need; whether it is. */
#define SOON_MS 30000
#define soon(condition)                                                                                                \
	({                                                                                                             \
		long _end = now_ms() + SOON_MS;                                                                        \
		bool _is;                                                                                              \
                                                                                                                       \
		while (!(_is = (condition)) && now_ms() < _end)                                                        \
			pause_ms(20);                                                                                  \
		_is;                                                                                                   \
	})

/* Runs a shell command, keeps the beginning of its output in out (which may be NULL), returns its exit status. */
static inline int shell(char *out, size_t size, const char *command)
{
	char rest[4096];
	size_t n = 0, got;
	FILE *p = popen(command, "r");
	int status;

	if (!p)
		return -1;
	while (out && n + 1 < size && (got = fread(out + n, 1, size - 1 - n, p)) > 0)
		n += got;
	if (out) {
		out[n] = 0;
		while (n && out[n - 1] == '\n')
			out[--n] = 0;
	}
	while (fread(rest, 1, sizeof(rest), p) > 0)
		;
	status = pclose(p);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A shell command on the host, in the folder that the tag shares. Must not hold single quotes. */
static inline int __attribute__((format(printf, 4, 5)))
host(const struct fs *fs, char *out, size_t size, const char *format, ...)
{
	char command[2048], line[2200];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(line, sizeof(line), "ctl host %s '%s'", fs->tag, command);
	return shell(out, size, line);
}

/* A request to the tag's device. */
static inline int device(const struct fs *fs, char *out, size_t size, const char *request)
{
	char line[256];

	snprintf(line, sizeof(line), "ctl %s %s", fs->tag, request);
	return shell(out, size, line);
}

/* One of the device's counters; 0 when it was never counted, -1 when there is no answer. */
static inline long counter(const struct fs *fs, const char *name)
{
	char text[8192], word[64];
	long value, found = 0;
	char *line, *save;

	if (device(fs, text, sizeof(text), "counters"))
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%63s %ld", word, &value) == 2 && !strcmp(word, name))
			found = value;
	return found;
}

static inline void reset_counters(const struct fs *fs)
{
	device(fs, NULL, 0, "reset");
}

/* Requests that the device answers only when it is told to. */
static inline long hanging(const struct fs *fs)
{
	char text[32] = "";

	return device(fs, text, sizeof(text), "hung") ? -1 : atol(text);
}

/* No more requests hang, and those that do are answered. */
static inline void unhang(const struct fs *fs)
{
	device(fs, NULL, 0, "faults clear");
	device(fs, NULL, 0, "release-hung");
}

/* What the client has of the device: "inodes", "lookups", "handles" or "locks"; -1 when there is no answer. */
static inline long census(const struct fs *fs, const char *what)
{
	char text[256], word[32], *line, *save;
	long n;

	if (device(fs, text, sizeof(text), "nofiles"))
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%31s %ld", word, &n) == 2 && !strcmp(word, what))
			return n;
	return -1;
}

/*
 * Has the kernel forget names and inodes that nobody uses until the client has so many references at most; whether it comes to that.
 * One go is not enough: it spares what was used since the last, and a file that was closed is used until the server knows of it.
 */
static inline bool forgets(const struct fs *fs, long most)
{
	long n;

	return soon((shell(NULL, 0, "echo 2 >/proc/sys/vm/drop_caches"), (n = census(fs, "lookups")) >= 0 && n <= most));
}

/*
 * A case that the harness killed for taking too long was not torn down: its mount, whose options and dentries the next one would
 * share, goes, and so does what it told the device. Its processes may take a moment to be gone.
 */
static inline void clear_after_killed(const char *tag)
{
	char line[1024], source[64], dir[256], type[32];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	bool found = false;
	int pid, at;

	while (mounts && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%63s %255s %31s", source, dir, type) != 3 || strcmp(type, "virtiofs") || strcmp(source, tag))
			continue;
		at = 0;
		sscanf(dir, "/tmp/%*[^./].%d%n", &pid, &at);
		if (!at || dir[at] || !kill(pid, 0) || errno != ESRCH)
			continue;
		fprintf(stderr, "# %s was left mounted by a case that was killed\n", dir);
		umount2(dir, MNT_DETACH);
		rmdir(dir);
		found = true;
	}
	if (mounts)
		fclose(mounts);
	if (!found)
		return;
	shell(NULL, 0, "ctl runner fresh");
	sleep(1);
}

static inline int fs_mount(struct fs *fs, const char *tag, const char *options)
{
	clear_after_killed(tag);
	snprintf(fs->tag, sizeof(fs->tag), "%s", tag);
	snprintf(fs->dir, sizeof(fs->dir), "/tmp/%s.%d", tag, getpid());
	mkdir(fs->dir, 0755);
	if (mount(tag, fs->dir, "virtiofs", 0, options))
		return -errno;
	fs->mounted = true;
	return 0;
}

/* The server's answer to INIT is there: the C modules return from mount(2) before it. */
static inline bool initialized(const struct fs *fs)
{
	struct statx stx;

	return !statx(AT_FDCWD, fs->dir, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx);
}

static inline int fs_umount(struct fs *fs)
{
	int e;

	if (fs->mounted) {
		/* What the kernel closes for who is gone, or for a call of libaio that has ended, it may close a moment later. */
		(void)soon((e = umount(fs->dir) ? errno : 0) != EBUSY);
		if (e)
			return -e;
		fs->mounted = false;
	}
	rmdir(fs->dir);
	return 0;
}

/* The file's name in the mount. Two results can be used at a time. */
static inline const char *at(const struct fs *fs, const char *name)
{
	static char path[2][256];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", fs->dir, name);
	return path[turn];
}

/* The pattern: every 8 bytes hold their own offset and the seed. */
static inline uint64_t pattern(uint64_t offset, uint64_t seed)
{
	return (offset & ~7UL) ^ seed << 48;
}

static inline void fill(void *buf, uint64_t offset, size_t size, uint64_t seed)
{
	unsigned char *b = buf;
	size_t i;

	for (i = 0; i < size; i++)
		b[i] = pattern(offset + i, seed) >> (offset + i) % 8 * 8;
}

/* Offset of the first byte that is not as filled, or -1. */
static inline long differs(const void *buf, uint64_t offset, size_t size, uint64_t seed)
{
	const unsigned char *b = buf;
	size_t i;

	for (i = 0; i < size; i++)
		if (b[i] != (unsigned char)(pattern(offset + i, seed) >> (offset + i) % 8 * 8))
			return offset + i;
	return -1;
}

/* Python on the host that writes (mode "make") or checks the pattern. */
static inline int host_pattern(const struct fs *fs, const char *what, const char *name, size_t size, uint64_t seed)
{
	return host(fs, NULL, 0,
		    "python3 -c \"import array,sys;n=%zu;s=%lu<<48;b=array.array(\\\"Q\\\",range(s,s+n+7,8)).tobytes()[:n];"
		    "sys.exit(open(\\\"%s\\\",\\\"wb\\\").write(b)!=n if \\\"%s\\\"==\\\"make\\\" else open(\\\"%s\\\",\\\"rb\\\").read()!=b)\"",
		    size, (unsigned long)seed, name, what, name);
}

static inline int host_make(const struct fs *fs, const char *name, size_t size, uint64_t seed)
{
	return host_pattern(fs, "make", name, size, seed);
}

static inline int host_has(const struct fs *fs, const char *name, size_t size, uint64_t seed)
{
	return host_pattern(fs, "check", name, size, seed);
}

#endif
