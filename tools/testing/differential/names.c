// SPDX-License-Identifier: GPL-2.0
/* Calls on names: what makes, moves, lists and removes them. */
#include <sys/sysmacros.h>

#include "diff.h"

static void do_rename(void)
{
	static const unsigned int flags[] = { 0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE, 1 << 7 };
	const char *from = path(), *to = one_in(2) ? path() : fresh();
	unsigned int f = PICK(flags);

	sprintf(what, "rename:%x", f);
	args("%s, %s", from, to);
	result(renameat2(AT_FDCWD, from, AT_FDCWD, to, f), "%s", "");
}

static void do_link(void)
{
	const char *from = path(), *to = fresh();
	int s = open_slot();
	char proc[64];

	if (one_in(4) && s >= 0) {
		/* Gives a name to a file that has none any more, or none yet. */
		strcpy(what, "link:fd");
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", slots[s].fd);
		args("slot %d, %s", s, to);
		result(linkat(AT_FDCWD, proc, AT_FDCWD, to, AT_SYMLINK_FOLLOW), "%s", "");
		return;
	}
	strcpy(what, "link");
	args("%s, %s", from, to);
	result(linkat(AT_FDCWD, from, AT_FDCWD, to, one_in(5) ? AT_SYMLINK_FOLLOW : 0), "%s", "");
}

static void do_mknod(void)
{
	static const mode_t types[] = { S_IFREG, S_IFIFO, S_IFCHR, S_IFSOCK, S_IFBLK, 0, S_IFDIR };
	const char *p = fresh();
	mode_t mode = PICK(types) | below(01000);

	sprintf(what, "mknod:%x", mode >> 12);
	args("%s, %o", p, mode);
	result(mknod(p, mode, makedev(1, 3)), "%s", "");
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names of a directory, sorted, with their types; read in pieces, and with a seek in between. */
static void list(DIR *d)
{
	static char text[800];
	char *names[512], types[] = "?pc?d?b?-?l?s???";
	struct dirent *e;
	size_t n = 0, len = 0;
	long half = -1;
	unsigned int seek_at = one_in(3) ? 1 + below(3) : 0;

	errno = 0;
	while ((e = readdir(d)) && n < 512) {
		char line[300];

		if (seek_at && n == seek_at && half < 0) {
			/* Back to where it is: nothing is lost and nothing comes twice. */
			half = telldir(d);
			seekdir(d, half);
		}
		snprintf(line, sizeof(line), "%c%s", types[e->d_type & 15], strlen(e->d_name) > 200 ? "(long)" : e->d_name);
		names[n++] = strdup(line);
	}
	if (errno) {
		result(-1, "%s", "");
		return;
	}
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		len += snprintf(text + len, len < sizeof(text) ? sizeof(text) - len : 0, "%s ", names[i]);
		free(names[i]);
	}
	result(n, "%s", text);
}

static void do_readdir(void)
{
	const char *p = one_in(4) ? top : path();
	int s = open_slot();
	DIR *d;

	if (one_in(3) && s >= 0 && slots[s].dir) {
		int fd = dup(slots[s].fd);

		strcpy(what, "readdir:fd");
		args("slot %d", s);
		d = fdopendir(fd);
		if (d)
			rewinddir(d);
		else if (fd >= 0)
			close(fd);
	} else {
		strcpy(what, "readdir");
		args("%s", p);
		d = opendir(p);
	}
	if (!d) {
		result(-1, "%s", "");
		return;
	}
	list(d);
	closedir(d);
}

static void do_readlink(void)
{
	const char *p = path();
	char text[400] = "";
	ssize_t n;

	strcpy(what, "readlink");
	args("%s", p);
	n = readlink(p, text, one_in(5) ? 3 : sizeof(text) - 1);
	result(n, "%s", n >= 0 ? text : "");
}

static void do_symlink(void)
{
	static const char *const targets[] = { "a", "../b", "/nowhere", "c/d", ".", "" };
	const char *p = fresh(), *target = PICK(targets);
	char loop[64], far[3000];

	if (one_in(10)) {
		/* Points at itself. */
		snprintf(loop, sizeof(loop), "%s", strrchr(p, '/') + 1);
		target = loop;
	} else if (one_in(15)) {
		memset(far, 'f', sizeof(far));
		far[2000 + below(900)] = 0;
		target = far;
	}
	strcpy(what, "symlink");
	args("%.40s(%zu), %s", target, strlen(target), p);
	result(symlink(target, p), "%s", "");
}

void call_names(uint64_t n)
{
	const char *p = path(), *f = fresh();

	switch (below(14)) {
	case 0:
	case 1:
	case 2: {
		mode_t mode = one_in(3) ? below(010000) : 0777;

		strcpy(what, "mkdir");
		args("%s, %o", f, mode);
		result(mkdir(f, mode), "%s", "");
		break;
	}
	case 3:
		strcpy(what, "rmdir");
		args("%s", p);
		result(rmdir(p), "%s", "");
		break;
	case 4:
		strcpy(what, "unlink");
		args("%s", p);
		result(unlink(p), "%s", "");
		break;
	case 5:
	case 6:
		do_rename();
		break;
	case 7:
	case 8:
		do_link();
		break;
	case 9:
		do_symlink();
		break;
	case 10:
		do_readlink();
		break;
	case 11:
		do_mknod();
		break;
	default:
		do_readdir();
	}
}
