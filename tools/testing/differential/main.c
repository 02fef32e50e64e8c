// SPDX-License-Identifier: GPL-2.0
/*
 * difftest SEED FROM TO TAG OPTIONS: mounts TAG, does the calls FROM..TO of the stream that SEED stands for, and prints a line for
 * each: its number, its name, its arguments, what came of it. Afterwards, and after a new mount, the tree is printed. Two
 * runs with different modules must print the same.
 *
 * What is not printed, since it is the host's to choose: inode numbers, device numbers, times that are "now", sizes of
 * directories, the order of a directory's entries.
 */
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "diff.h"

struct slot slots[SLOTS];
uint8_t data[BUFFER];
const char *top = "/mnt/t";
char what[64];
static char said_args[1024], said_result[1024];
static uint64_t state;

void seed_call(uint64_t seed, uint64_t n)
{
	state = seed * 0x9e3779b97f4a7c15u + n * 0xd1342543de82ef95u;
	rnd();
	rnd();
}

uint64_t rnd(void)
{
	uint64_t z = (state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) >> 1;
}

static const char *const plain[] = { "a", "b", "c", "d", "e" };
static const char *const odd[] = { "..", ".", "", "a/", "b/.", "nothing", "with space", "\xc3\xbc", "x\ny", "../../mnt/t/a" };

static const char *make_path(unsigned int depth, bool plain_only)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *p = paths[next++ % 4];
	size_t n = snprintf(p, PATH_MAX, "%s", top);

	for (unsigned int i = 0; i <= depth; i++) {
		if (!plain_only && one_in(40)) {
			n += snprintf(p + n, PATH_MAX - n, "/%s", PICK(odd));
		} else if (!plain_only && one_in(150)) {
			/* The longest name, and one that is too long. */
			size_t l = one_in(2) ? 255 : 256;

			p[n++] = '/';
			memset(p + n, 'n', l);
			p[n + l] = 0;
			n += l;
		} else {
			n += snprintf(p + n, PATH_MAX - n, "/%s", PICK(plain));
		}
	}
	return p;
}

const char *path(void) { return make_path(below(2) + below(2), false); }
const char *fresh(void) { return make_path(below(3), !one_in(8)); }

int open_slot(void)
{
	int k = below(SLOTS);

	for (int i = 0; i < SLOTS; i++)
		if (slots[(k + i) % SLOTS].fd >= 0)
			return (k + i) % SLOTS;
	return -1;
}

int free_slot(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].fd < 0)
			return i;
	return -1;
}

off_t offset(void)
{
	static const off_t edges[] = { 0, 1, 511, 4095, 4096, 4097, 8192, 65536, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 3 << 20 };

	return one_in(3) ? PICK(edges) : below(40000);
}

size_t length(void)
{
	static const size_t edges[] = { 0, 1, 4095, 4096, 4097, 65536, 100000, BUFFER };

	return one_in(4) ? PICK(edges) : below(9000);
}

void fill(size_t n, uint64_t call)
{
	uint64_t x = call * 0x2545f4914f6cdd1du + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		data[i] = x;
	}
}

uint64_t hash(const void *p, size_t n, uint64_t h)
{
	const uint8_t *b = p;

	h ^= 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}

const char *errno_name(int e) { return strerrorname_np(e) ?: "?"; }

void result(long ret, const char *more, ...)
{
	int e = errno;
	size_t n = ret == -1 ? snprintf(said_result, sizeof(said_result), "%s", errno_name(e)) :
			       snprintf(said_result, sizeof(said_result), "%ld", ret);
	va_list list;

	va_start(list, more);
	n += snprintf(said_result + n, sizeof(said_result) - n, more[0] ? " " : "");
	vsnprintf(said_result + n, sizeof(said_result) - n, more, list);
	va_end(list);
}

void args(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(said_args, sizeof(said_args), format, list);
	va_end(list);
}

/* Lines are compared as lines, and a long name says nothing more than its length. */
static void print_clean(const char *s)
{
	size_t run;

	for (; *s; s++) {
		run = strspn(s, "n");
		if (run > 200) {
			printf("<n*%zu>", run);
			s += run - 1;
		} else if (*s == '\n') {
			printf("\\n");
		} else {
			putchar(*s);
		}
	}
}

const char *show_stat(const struct stat *s)
{
	static char text[200];
	bool dir = S_ISDIR(s->st_mode);

	/* Times that a call has set are small or far away. */
	snprintf(text, sizeof(text), "mode=%o nlink=%lu uid=%u gid=%u size=%lld rdev=%lx mtime=%lld %s=%lld", s->st_mode,
		 (unsigned long)s->st_nlink, s->st_uid, s->st_gid, dir ? 0 : (long long)s->st_size, (unsigned long)s->st_rdev,
		 s->st_mtime < 1000000000 ? (long long)s->st_mtime : -1, dir ? "folder_atime" : "atime", s->st_atime < 1000000000 ? (long long)s->st_atime : -1);
	return text;
}

static void close_all(void)
{
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].fd >= 0)
			close(slots[i].fd);
		slots[i].fd = -1;
	}
}

static int do_mount(const char *tag, const char *options)
{
	return mount(tag, "/mnt", "virtiofs", 0, options);
}

/* What the stream begins with, and gets back now and then: folders, and files in them. */
static void plant(uint64_t n)
{
	static const char *const dirs[] = { "a", "b", "c", "a/a", "a/b", "b/c", "a/b/d" };
	static const char *const files[] = { "d", "e", "a/c", "a/a/b", "b/a", "c/a", "a/b/e", "b/c/b" };
	char p[PATH_MAX];
	int made = 0;

	strcpy(what, "plant");
	args(" ");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(p, sizeof(p), "%s/%s", top, dirs[i]);
		made += !mkdir(p, 0777);
		made += !chmod(p, 0777);
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd;

		snprintf(p, sizeof(p), "%s/%s", top, files[i]);
		fd = open(p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
		if (fd < 0)
			continue;
		fill(5000 * i, n);
		made += write(fd, data, 5000 * i) > 0;
		close(fd);
	}
	result(made, "%s", "");
}

/* Everything is seen anew: nothing is open, nothing is remembered. */
static void remount(const char *tag, const char *options)
{
	close_all();
	strcpy(what, "remount");
	args(" ");
	result(umount("/mnt") ?: do_mount(tag, options), "%s", "");
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	strcpy(what, "drop-caches");
	args(" ");
	result(fd >= 0 && write(fd, "3", 1) == 1 ? 0 : -1, "%s", "");
	close(fd);
}

/* The host changes something behind the guest's back. Only where nothing is remembered do both clients see the same then. */
static void host(const char *tag)
{
	static const char *const commands[] = { "printf host >>%s", "truncate -s 5000 %s", "rm -f %s", "chmod 640 %s", "mkdir %s", "mv -T %s %s",
						"ln %s %s", "printf HOST | dd of=%s conv=notrunc status=none", "touch -d @12345 %s" };
	const char *from = make_path(below(2) + below(2), true) + strlen("/mnt/"), *to = make_path(below(3), true) + strlen("/mnt/");
	char command[300];
	int status = -1;
	pid_t pid;

	snprintf(command, sizeof(command), PICK(commands), from, to);
	sprintf(what, "host:%.*s", (int)strcspn(command, " "), command);
	args("%s", command);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		freopen("/dev/null", "w", stdout);
		freopen("/dev/null", "w", stderr);
		execlp("ctl", "ctl", "host", tag, command, NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	result(WEXITSTATUS(status), "%s", "");
}

/*
 * A folder beside the tree that neither client reads. Where its access time is new at the end, somebody on the host has read
 * folders meanwhile (a search, a backup), and their access times say nothing.
 */
#define WITNESS "/mnt/.witness"

static int plant_witness(void)
{
	struct timespec t[2] = { { 1, 0 }, { 1, 0 } };

	return (mkdir(WITNESS, 0700) && errno != EEXIST) ? -1 : utimensat(AT_FDCWD, WITNESS, t, 0);
}

static void ask_witness(void)
{
	struct stat s;
	int rc = stat(WITNESS, &s);

	printf("witness() = %s\n", rc ? errno_name(errno) : s.st_atime == 1 ? "asleep" : "awake");
}

static const struct family {
	void (*call)(uint64_t n);
	unsigned int weight;
} families[] = {
	{ call_names, 26 }, { call_attributes, 16 }, { call_files, 18 }, { call_data, 22 },
	{ call_mapping, 8 }, { call_locks, 4 }, { call_xattr, 6 },
};

int main(int argc, char **argv)
{
	uint64_t seed, from, to;
	const char *tag, *options;

	if (argc < 6) {
		fprintf(stderr, "usage: difftest SEED FROM TO TAG OPTIONS\n");
		return 2;
	}
	seed = strtoull(argv[1], NULL, 0), from = strtoull(argv[2], NULL, 0), to = strtoull(argv[3], NULL, 0);
	tag = argv[4], options = argv[5];
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	umask(022);
	mkdir("/mnt", 0755);
	for (int i = 0; i < SLOTS; i++)
		slots[i].fd = -1;
	if (do_mount(tag, options) || (mkdir(top, 0755) && errno != EEXIST) || chmod(top, 0777) || plant_witness()) {
		perror(tag);
		return 1;
	}
	for (uint64_t n = from; n < to; n++) {
		unsigned int w, k = 0;

		seed_call(seed, n);
		what[0] = said_args[0] = said_result[0] = 0;
		if (n == from || one_in(150)) {
			plant(n);
		} else if (!strcmp(tag, "direct") && one_in(40)) {
			host(tag);
		} else if (one_in(400)) {
			remount(tag, options);
		} else if (one_in(200)) {
			drop_caches();
		} else {
			for (w = below(100); w >= families[k].weight; k++)
				w -= families[k].weight;
			/* One call in eight is done as somebody who may not do everything. */
			bool other = one_in(8);

			if (other && (setegid(1001) || seteuid(1001)))
				abort();
			errno = 0;
			families[k].call(n);
			if (other && (seteuid(0) || setegid(0)))
				abort();
			if (other)
				strncat(what, ":user", sizeof(what) - strlen(what) - 1);
		}
		if (!what[0])
			continue;
		printf("%llu %s(", (unsigned long long)n, what);
		print_clean(said_args);
		printf(") = ");
		print_clean(said_result);
		printf("\n");
		/* What comes before a crash is to be seen. */
		if (n % 64 == 0)
			fflush(stdout);
	}
	close_all();
	show_tree("warm");
	remount(tag, options);
	show_tree("cold");
	ask_witness();
	fflush(stdout);
	if (umount("/mnt")) {
		perror("umount");
		return 1;
	}
	return 0;
}
