/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of io modes and passthrough: processes that open, map and write, what the kernel says of an inode's mode, and
 * backing files on tmpfs and on a disk file system. Include after server.h.
 */
#ifndef STACKED_H
#define STACKED_H

#include <sys/prctl.h>
#include <sys/uio.h>
#include "disk.h"

#define PAGE 4096
#define DIRECT FOPEN_DIRECT_IO
#define PARALLEL (FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)
#define THROUGH FOPEN_PASSTHROUGH

/* The test's own descriptor of the device. */
static int device_fd = -1;

/* Runs a block in a process of its own, which exits with its errno. It ends with the test, and does not keep the session. */
#define child(what) ({					\
	pid_t _pid = fork();				\
							\
	if (!_pid) {					\
		prctl(PR_SET_PDEATHSIG, SIGKILL);	\
		close(device_fd);			\
		errno = 0;				\
		_exit((what) ? 0 : errno ? errno : 250);	\
	}						\
	_pid;						\
})

static inline int killed(pid_t pid)
{
	kill(pid, SIGKILL);
	return end_of(pid);
}

/* The mode of "file" as the kernel shows it; "" for a neutral one. Only ours shows it. */
static inline const char *mode_of(const struct server *v)
{
	static char line[128];
	char want[64];
	struct stat st;
	size_t n;
	FILE *f;

	if (stat(v->dir, &st))
		return "?";
	/* The number of the device as the kernel has it. */
	snprintf(want, sizeof(want), "/sys/kernel/debug/rust_fuse/%u", major(st.st_dev) << 20 | minor(st.st_dev));
	f = fopen(want, "r");
	if (!f)
		return "no modes";
	n = snprintf(want, sizeof(want), "%d ", NODE_FILE);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, want, n)) {
			fclose(f);
			line[strcspn(line, "\n")] = 0;
			return line + n;
		}
	fclose(f);
	return "";
}

#define EXPECT_MODE(mode, v) do {				\
	if (!module_is_c()) {					\
		EXPECT_STREQ(mode, mode_of(v));			\
	}							\
} while (0)

/* The same where somebody else is on his way there. */
#define EXPECT_MODE_SOON(mode, v) do {				\
	if (!module_is_c()) {					\
		soon(!strcmp(mode, mode_of(v)));		\
		EXPECT_STREQ(mode, mode_of(v));			\
	}							\
} while (0)

static inline int open_as(const struct server *v, uint32_t flags, int id, int how)
{
	v->s->open_flags = flags;
	v->s->backing_id = id;
	return open(under(v, "file"), how | O_CLOEXEC);
}

/* The errno of an open, which is closed again. */
static inline int try_as(const struct server *v, uint32_t flags, int id)
{
	int fd = open_as(v, flags, id, O_RDWR);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* Starts a server of several threads and waits for INIT; the descriptor stays open for ioctls. */
static inline int stacked_start(struct server *v, uint64_t flags, const char *more)
{
	struct stat st;
	int e;

	v->s->init_flags = flags;
	v->s->ttl = 0;
	v->threads = 8;
	e = server_mount(v, more);
	if (e)
		return e;
	server_fork(v);
	device_fd = v->fd;
	return stat(v->dir, &st) ? errno : 0;
}

static inline int backing_open(const struct server *v, int fd)
{
	struct fuse_backing_map map = { .fd = fd };
	int id = ioctl(v->fd, FUSE_DEV_IOC_BACKING_OPEN, &map);

	return id < 0 ? -errno : id;
}

static inline int backing_close(const struct server *v, uint32_t id)
{
	return ioctl(v->fd, FUSE_DEV_IOC_BACKING_CLOSE, &id) ? errno : 0;
}

#endif
