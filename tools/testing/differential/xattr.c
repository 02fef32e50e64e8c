// SPDX-License-Identifier: GPL-2.0
/* Extended attributes, access control lists among them, and the printing of the tree at the end. */
#include <sys/xattr.h>

#include "diff.h"

/* A list that names one more user: version, then tag, permissions and id of each entry. */
static const struct {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[5];
} acl = { 2, { { 1, 7, -1u }, { 2, 5, 1001 }, { 4, 4, -1u }, { 16, 7, -1u }, { 32, 0, -1u } } };

static const char *const names[] = { "user.a", "user.a", "user.b", "trusted.t", "security.s", "system.posix_acl_access",
				     "system.posix_acl_default", "user.", "nothing.x", "other" };

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* The names of a path's attributes, sorted. Labels of the host's security modules are not ours. */
static ssize_t list_names(const char *p, char *text, size_t size)
{
	static char raw[65536];
	char *sorted[64];
	size_t n = 0, len = 0;
	ssize_t got = llistxattr(p, raw, sizeof(raw));

	text[0] = 0;
	if (got < 0)
		return got;
	for (char *s = raw; s < raw + got && n < 64; s += strlen(s) + 1)
		if (strcmp(s, "security.selinux"))
			sorted[n++] = s;
	qsort(sorted, n, sizeof(*sorted), by_text);
	for (size_t i = 0; i < n && len < size; i++)
		len += snprintf(text + len, size - len, "%s ", sorted[i]);
	return n;
}

void call_xattr(uint64_t n)
{
	static const size_t sizes[] = { 0, 1, 10, 200, 1000, 3000 };
	const char *p = path(), *name = PICK(names);
	int flags = one_in(3) ? 1 + below(2) : 0;
	size_t size = PICK(sizes);
	char text[800];
	ssize_t got;

	switch (below(8)) {
	case 0:
	case 1:
	case 2:
		sprintf(what, "setxattr:%.30s", name);
		args("%s, %zu, %d", p, size, flags);
		fill(size, n);
		if (strncmp(name, "system.", 7))
			result(lsetxattr(p, name, data, size, flags), "%s", "");
		else
			result(lsetxattr(p, name, &acl, one_in(5) ? 3 : sizeof(acl), flags), "%s", "");
		break;
	case 3:
	case 4:
		sprintf(what, "getxattr:%.30s", name);
		args("%s, %zu", p, size);
		got = lgetxattr(p, name, data, size);
		result(got, "%016llx", got > 0 && size ? (unsigned long long)hash(data, got, 0) : 0);
		break;
	case 5:
	case 6:
		strcpy(what, "listxattr");
		args("%s", p);
		got = list_names(p, text, sizeof(text));
		result(got, "%s", text);
		break;
	default:
		sprintf(what, "removexattr:%.30s", name);
		args("%s", p);
		result(lremovexattr(p, name), "%s", "");
	}
}

static int by_entry(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static uint64_t content(const char *p)
{
	uint64_t h = 0;
	ssize_t n;
	int fd = open(p, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return 0;
	while ((n = read(fd, data, BUFFER)) > 0)
		h = hash(data, n, h);
	close(fd);
	return h;
}

static void show(const char *view, const char *dir, unsigned int skip)
{
	struct dirent **list;
	static char names_text[800];
	int n = scandir(dir, &list, NULL, by_entry);

	for (int i = 0; i < n; i++) {
		char p[PATH_MAX], link[PATH_MAX] = "";
		struct stat s;

		/* The witness (main.c) must not be read. */
		if (!strcmp(list[i]->d_name, ".") || !strcmp(list[i]->d_name, "..") || !strcmp(list[i]->d_name, ".witness")) {
			free(list[i]);
			continue;
		}
		snprintf(p, sizeof(p), "%s/%s", dir, list[i]->d_name);
		printf("tree:%s(", view);
		for (char *c = p + skip; *c; c++)
			printf(*c == '\n' ? "\\n" : "%c", *c);
		if (lstat(p, &s)) {
			printf(") = %s\n", errno_name(errno));
			free(list[i]);
			continue;
		}
		if (S_ISLNK(s.st_mode) && readlink(p, link, sizeof(link) - 1) < 0)
			strcpy(link, "?");
		list_names(p, names_text, sizeof(names_text));
		printf(") = %s %016llx [%s]%s%.60s\n", show_stat(&s),
		       S_ISREG(s.st_mode) ? (unsigned long long)content(p) : 0, names_text, link[0] ? " -> " : "", link);
		if (S_ISDIR(s.st_mode))
			show(view, p, skip);
		free(list[i]);
	}
	if (n < 0)
		printf("tree:%s(%s) = %s\n", view, dir + skip, errno_name(errno));
	else
		free(list);
}

void show_tree(const char *view) { show(view, "/mnt", strlen("/mnt")); }
