/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of what the window does: page faults, the module's own numbers in /sys/fs/virtiofs/N/dax,
 * mappings placed for page faults of one size, and cases in which the C client is known to differ.
 * Include after vfs.h.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <dirent.h>
#include <glob.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

/* One claim. Where it does not hold with the C modules the case is a known difference, for this reason, and ends. */
#define OURS(claim, why)                                                                                               \
	do {                                                                                                           \
		bool holds = (claim);                                                                                  \
		if (!holds && module_is_c()) {                                                                         \
			snprintf(_metadata->results->reason, sizeof(_metadata->results->reason),                       \
				 "known difference: %s", why);                                                         \
			_metadata->exit_code = KSFT_XFAIL;                                                             \
			_metadata->trigger = 0;                                                                        \
			return;                                                                                        \
		}                                                                                                      \
		EXPECT_TRUE(holds) { TH_LOG("%s", #claim); }                                                           \
	} while (0)

/* The number of the system call that a process sleeps in: -1 for a page fault, -2 while it runs or is gone. */
static inline long sleeps_in(pid_t pid)
{
	char path[32];
	long number = -2;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%ld", &number) != 1)
			number = -2;
		fclose(f);
	}
	return number;
}

static sigjmp_buf touched;

static inline void on_touch(int sig)
{
	siglongjmp(touched, sig);
}

/* The signal that touching this byte gives, or 0. */
static inline int touch(volatile char *p, bool store)
{
	int sig;

	signal(SIGBUS, on_touch);
	signal(SIGSEGV, on_touch);
	sig = sigsetjmp(touched, 1);
	if (!sig) {
		if (store)
			*p = 1;
		else
			(void)*p;
	}
	return sig;
}

/* Page faults of this process so far. */
__attribute__((noinline, unused)) static long faults(void)
{
	/*
	 * After fork() the first write to a page is a fault itself. So it is always the same memory, also of the stack, and written
	 * here first: the first call has that fault, and counts it.
	 */
	static struct rusage u;

	*(volatile long *)&u.ru_minflt = 0;
	*((volatile char *)&u + sizeof(u) - 1) = 0;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* Inodes of this mount that the flusher will come to; -1 where the kernel does not tell. */
static inline long inodes_to_flush(const char *path)
{
	char name[64], line[128], word[32];
	long value, sum = -1;
	struct stat st;
	glob_t found;
	FILE *f;

	if (stat(path, &st))
		return -1;
	snprintf(name, sizeof(name), "/sys/kernel/debug/bdi/%u:%u*/stats", major(st.st_dev), minor(st.st_dev));
	if (glob(name, 0, NULL, &found))
		return -1;
	f = fopen(found.gl_pathv[0], "r");
	globfree(&found);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %ld", word, &value) == 2 &&
		    (!strcmp(word, "b_dirty:") || !strcmp(word, "b_io:") || !strcmp(word, "b_more_io:")))
			sum = value + (sum < 0 ? 0 : sum);
	}
	if (f)
		fclose(f);
	return sum;
}

/* What the module says of the window of a tag, one "NAME NUMBER" a line; false where it says nothing. */
static inline bool window_numbers(const char *tag, char *text, size_t size)
{
	char path[600], line[128];
	DIR *d = opendir("/sys/fs/virtiofs");
	struct dirent *e;
	ssize_t n = -1;
	FILE *f;
	int fd;

	while (d && n < 0 && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%s/tag", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		line[0] = 0;
		if (fgets(line, sizeof(line), f))
			line[strcspn(line, "\n")] = 0;
		fclose(f);
		if (strcmp(line, tag))
			continue;
		snprintf(path, sizeof(path), "/sys/fs/virtiofs/%s/dax", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		n = read(fd, text, size - 1);
		close(fd);
		break;
	}
	if (d)
		closedir(d);
	text[n < 0 ? 0 : n] = 0;
	return n > 0;
}

/* One number of such a text; -1 where it is not there. */
static inline long number_in(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (; text && *text; text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL)
		if (!strncmp(text, name, len) && text[len] == ' ')
			return atol(text + len);
	return -1;
}

/* One of the module's numbers about the window of a tag; -1 where there is none. */
static inline long window_number(const char *tag, const char *name)
{
	char text[4096];

	return window_numbers(tag, text, sizeof(text)) ? number_in(text, name) : -1;
}

/*
 * Ranges that are in no state at all, or in two; 0 when the table is exact. While workers are still busy the numbers may be of two
 * moments, even within one text: what is lost stays so.
 */
static inline long ranges_unaccounted(const char *tag)
{
	long end = now_ms() + SOON_MS, n;
	char text[4096];

	do {
		window_numbers(tag, text, sizeof(text));
		n = number_in(text, "ranges_total") - number_in(text, "ranges_free") - number_in(text, "ranges_mapped") -
		    number_in(text, "ranges_parked") - number_in(text, "ranges_on_their_way") - number_in(text, "ranges_retired");
		if (!n)
			break;
		pause_ms(20);
	} while (now_ms() < end);
	return n;
}

/* How many mappings the device has of this file whose mode is as given ("ro", "rw", or "" for both). */
static inline int mappings_of(const struct fs *fs, const char *name, const char *mode)
{
	char text[16384], file[256], how[8], *line, *save;
	int n = 0;

	if (device(fs, text, sizeof(text), "mappings"))
		return -1;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%*s %*s %255s %*s %7s", file, how) == 2 && strlen(file) >= strlen(name) &&
		    !strcmp(file + strlen(file) - strlen(name), name) && (!*mode || !strcmp(how, mode)))
			n++;
	return n;
}

/* "ro" or "rw", as the device was asked to map the file there; empty where it is not mapped. */
static inline const char *mode_of(const struct fs *fs, const char *name, unsigned long offset)
{
	char text[16384], file[256], *line, *save;
	static char how[8];
	unsigned long at;

	if (!device(fs, text, sizeof(text), "mappings"))
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (sscanf(line, "%*s %*s %255s %lx %7s", file, &at, how) == 3 && at == offset &&
			    strlen(file) >= strlen(name) && !strcmp(file + strlen(file) - strlen(name), name))
				return how;
	return "";
}

/*
 * Maps the file shared, from its beginning. Addresses are multiples of 2 MiB, so that faults may take 2 MiB at once, or
 * one page off, so that they cannot. size must be a multiple of the page size.
 */
static inline char *map_at(int fd, size_t size, int prot, bool huge)
{
	size_t room = size + 2 * RANGE;
	char *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (p == MAP_FAILED)
		return p;
	start = (char *)(((uintptr_t)p + RANGE - 1) & ~(RANGE - 1)) + (huge ? 0 : PAGE);
	return mmap(start, size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
}

/* Reads a byte of every page. */
static inline void touch_all(const char *p, size_t size)
{
	size_t off;

	for (off = 0; off < size; off += PAGE)
		(void)*(const volatile char *)(p + off);
}

/* Pages of [p, p + size) that are in the page tables of a process (0: this one). Asking causes no fault. */
static inline long present(pid_t pid, const void *p, size_t size)
{
	uint64_t entry[512];
	char path[64] = "/proc/self/pagemap";
	size_t page = (uintptr_t)p / PAGE, end = page + size / PAGE, n, i;
	long found = 0;
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	for (; fd >= 0 && page < end; page += n) {
		n = end - page < 512 ? end - page : 512;
		if (pread(fd, entry, n * 8, page * 8) != (ssize_t)(n * 8)) {
			found = -1;
			break;
		}
		for (i = 0; i < n; i++)
			found += entry[i] >> 63;
	}
	if (fd < 0)
		return -1;
	close(fd);
	return found;
}

/* Pages of [p, p + size) that this process has by an entry for 2 MiB. */
static inline long huge_pages(const void *p, size_t size)
{
	struct page_region regions[64];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + size,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.category_mask = PAGE_IS_HUGE | PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_HUGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY), n, i;
	long found = 0;

	n = fd < 0 ? -1 : ioctl(fd, PAGEMAP_SCAN, &arg);
	for (i = 0; i < n; i++)
		found += (regions[i].end - regions[i].start) / PAGE;
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : found;
}

/* Waits for the child until the deadline; its status, or -1. */
static inline int ended_by(pid_t pid, long deadline)
{
	int status;

	do {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		pause_ms(10);
	} while (now_ms() < deadline);
	return -1;
}

#endif
