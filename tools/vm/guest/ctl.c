// SPDX-License-Identifier: GPL-2.0
/*
 * ctl TAG COMMAND...: sends one request to the runner on the host, over the port org.rust_fuse.ctl, and prints the
 * answer. Exit status: 0 for "ok", 1 for "err" (its text goes to stderr), 2 when the port is not there.
 * Each request carries an id that the answer repeats, so that what a killed ctl left in the port is passed over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int open_port(void)
{
	char path[300], name[64];
	struct dirent *e;
	FILE *f;
	DIR *d = opendir("/sys/class/virtio-ports");

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		name[0] = 0;
		if (!fgets(name, sizeof(name), f))
			name[0] = 0;
		fclose(f);
		if (strncmp(name, "org.rust_fuse.ctl", 17))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		closedir(d);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	if (d)
		closedir(d);
	errno = ENODEV;
	return -1;
}

/* Reads one line without its end; returns 0 at the end of the stream. */
static int read_line(int fd, char *line, size_t size)
{
	size_t n = 0;
	char c;

	while (read(fd, &c, 1) == 1) {
		if (c == '\n') {
			line[n] = 0;
			return 1;
		}
		if (n + 1 < size)
			line[n++] = c;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char line[65536];
	char id[32];
	size_t n;
	int lock, fd, i;

	if (argc < 3) {
		fprintf(stderr, "usage: ctl TAG COMMAND...\n");
		return 2;
	}
	lock = open("/tmp/.ctl", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX)) {
		perror("ctl: /tmp/.ctl");
		return 2;
	}
	fd = open_port();
	if (fd < 0) {
		perror("ctl: port org.rust_fuse.ctl");
		return 2;
	}
	snprintf(id, sizeof(id), "@%ld", (long)getpid());
	n = snprintf(line, sizeof(line), "%s", id);
	for (i = 1; i < argc && n < sizeof(line) - 2; i++)
		n += snprintf(line + n, sizeof(line) - 2 - n, " %s", argv[i]);
	if (n >= sizeof(line) - 2 || strchr(line, '\n')) {
		fprintf(stderr, "ctl: a request must be one line of at most 64 KiB\n");
		return 2;
	}
	line[n++] = '\n';
	if (write(fd, line, n) != (ssize_t)n) {
		perror("ctl: write");
		return 2;
	}
	while (read_line(fd, line, sizeof(line)) && strcmp(line, id))
		;
	/* Lines of the answer begin with a space, the last one with "ok" or "err". */
	while (read_line(fd, line, sizeof(line))) {
		if (line[0] == ' ') {
			puts(line + 1);
			continue;
		}
		if (!strcmp(line, "ok"))
			return 0;
		fflush(stdout);
		fprintf(stderr, "ctl: %s\n", line);
		return 1;
	}
	fprintf(stderr, "ctl: the host closed the port\n");
	return 2;
}
