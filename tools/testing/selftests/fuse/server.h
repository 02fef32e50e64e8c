/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small FUSE server that speaks the protocol on /dev/fuse itself, in a process of its own. What it does wrong and what it
 * counts is in memory that the test shares. In each directory: the file "file" (node 2, as long as size), and a file for each
 * name that starts with "n" (node 100 and more), directories "d" (node 10000 and more) and links "l" (node 20000 and more).
 * Include after kselftest_harness.h.
 */
#ifndef SERVER_H
#define SERVER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "case.h"

#define BUF (1 << 20)
#define MESSAGE (BUF + 4096)
#define NODE_FILE 2
#define NODE_NAMES 100
#define NODE_DIRS 10000
#define NODE_LINKS 20000

enum bend { STRAIGHT, UNKNOWN_ID, POSITIVE_ERROR, TOO_LONG, TOO_SHORT, WRONG_LENGTH, TWICE };

struct shared {
	/* What the test says. */
	volatile uint64_t size;
	volatile uint32_t hang;		/* this opcode is not answered */
	volatile uint32_t fail;		/* this opcode is answered with error */
	volatile int error;
	volatile uint32_t bend_op;	/* this opcode is answered in the wrong way */
	volatile int bend;
	volatile uint64_t ttl;		/* seconds that names and attributes are valid */
	volatile uint32_t open_flags;
	volatile int backing_id;	/* of what is opened */
	volatile uint32_t max_stack_depth;
	volatile uint32_t read_takes;	/* microseconds */
	volatile uint32_t hold;		/* this opcode is answered when this is 0 again */
	volatile bool hold_piped;	/* a large WRITE stays in the pipe by which it comes */
	volatile uint64_t init_flags;
	volatile uint32_t minor;
	volatile uint16_t max_background, congestion;
	volatile uint32_t timeout;	/* seconds, in INIT */
	volatile int interrupt_says;	/* an errno that INTERRUPT is answered with */
	volatile int interrupt_said;	/* what it was answered with last */
	volatile bool interrupt_ends;	/* INTERRUPT ends the request with EINTR */
	volatile bool polls;		/* POLL is there */
	volatile uint32_t revents;	/* what it answers */
	char link[16];			/* what links say */
	volatile uint32_t lock_pid;	/* who has all locks that GETLK asks for */
	volatile uint32_t max_write;
	volatile uint16_t max_pages;
	/* What the server says. */
	volatile int count[64];
	volatile uint32_t offered;	/* flags, in INIT */
	volatile int forgotten;		/* lookups that were given back */
	volatile uint64_t watched;	/* of this node: */
	volatile int watched_forgotten;
	volatile int bent_errno;	/* what write(2) said to a bent answer */
	volatile uint32_t last_uid;	/* of a LOOKUP, OPEN or FLUSH */
	volatile uint32_t last_pid;	/* of the same */
	/* The arguments that came last. */
	struct fuse_open_in last_open;
	struct fuse_read_in last_read;
	struct fuse_write_in last_write;
	struct fuse_setattr_in last_setattr;
	struct fuse_flush_in last_flush;
	struct fuse_fsync_in last_fsync;
	struct fuse_release_in last_release;
	struct fuse_lk_in last_lk;
	struct fuse_ioctl_in last_ioctl;
	volatile uint32_t file_flags;	/* of all files */
	volatile uint32_t largest_read, largest_write;
	volatile int renamed[2];	/* lengths of the names of the last RENAME */
	volatile uint64_t hung;		/* the last request that was not answered */
	volatile uint64_t interrupted;	/* the request that the last INTERRUPT was about */
	struct fuse_poll_in poll;	/* the last POLL */
	struct fuse_notify_retrieve_in retrieve;	/* the last NOTIFY_REPLY, its id, and its data */
	volatile uint64_t retrieve_unique;
	char retrieved[8192];
	volatile int held;		/* requests that wait for hold */
	char data[BUF];
};

struct server {
	struct shared *s;
	int threads;			/* that serve; 0: one */
	int data;			/* where "file" has its data and attributes from, if not -1 */
	pid_t pid;
	int fd;
	char dir[64];
};

#include "serve.h"

static inline void server_init(struct server *v)
{
	begin_case();
	v->s = mmap(NULL, sizeof(*v->s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	v->s->ttl = 3600;
	v->s->minor = FUSE_KERNEL_MINOR_VERSION;
	v->s->max_write = BUF;
	v->s->max_pages = BUF / 4096;
	v->s->size = BUF / 2;
	for (int i = 0; i < BUF; i++)
		v->s->data[i] = (i >> 8) * 7 + i;
	v->pid = v->threads = 0;
	v->fd = v->data = -1;
	strcpy(v->dir, "/tmp/fuseXXXXXX");
	if (!mkdtemp(v->dir))
		abort();
}

/* Mounts with more options; 0 or an errno. The descriptor stays open. */
static inline int server_mount(struct server *v, const char *more)
{
	char options[256];

	v->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (v->fd < 0)
		return errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d%s", v->fd, getuid(), getgid(), more);
	return mount("test", v->dir, "fuse", MS_NOSUID | MS_NODEV, options) ? errno : 0;
}

static void *serve_more(void *v)
{
	serve(((struct server *)v)->fd, ((struct server *)v)->s);
	return NULL;
}

/* Starts the server; the test keeps its own descriptor. */
static inline void server_fork(struct server *v)
{
	v->pid = fork();
	if (!v->pid) {
		pthread_t t;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		data_fd = v->data;
		for (int i = 1; i < v->threads; i++)
			pthread_create(&t, NULL, serve_more, v);
		serve(v->fd, v->s);
		_exit(0);
	}
}

/* Starts the server; the test gives its own descriptor up. */
static inline void server_run(struct server *v)
{
	server_fork(v);
	close(v->fd);
	v->fd = -1;
}

/* The same, and the test keeps the descriptor, to tell the kernel something. */
static inline int server_start_kept(struct server *v, const char *more)
{
	int e = server_mount(v, more);

	if (e)
		return e;
	v->pid = fork();
	if (!v->pid) {
		serve(v->fd, v->s);
		_exit(0);
	}
	return 0;
}

/* Sends a notification; 0 or an errno. */
static inline int notify(const struct server *v, int code, const void *arg, size_t len, const void *more, size_t more_len)
{
	static __thread char out[MESSAGE];
	struct fuse_out_header h = { .len = sizeof(h) + len + more_len, .error = code };

	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), arg, len);
	if (more_len)
		memcpy(out + sizeof(h) + len, more, more_len);
	return write(v->fd, out, h.len) == (ssize_t)h.len ? 0 : errno;
}

static inline int server_start(struct server *v, const char *more)
{
	int e = server_mount(v, more);

	if (!e)
		server_run(v);
	return e;
}

static inline void server_kill(struct server *v)
{
	if (v->pid > 0) {
		kill(v->pid, SIGKILL);
		waitpid(v->pid, NULL, 0);
	}
	v->pid = 0;
}

/* The server does nothing any more when this returns. */
static inline void server_stop(const struct server *v)
{
	kill(v->pid, SIGSTOP);
	waitpid(v->pid, NULL, WUNTRACED);
}

static inline void server_end(struct server *v)
{
	umount2(v->dir, MNT_DETACH);
	server_kill(v);
	if (v->fd >= 0)
		close(v->fd);
	rmdir(v->dir);
	munmap(v->s, sizeof(*v->s));
}

static inline const char *under(const struct server *v, const char *name)
{
	static __thread char path[4][128];
	static __thread int n;

	n = (n + 1) & 3;
	snprintf(path[n], sizeof(path[n]), "%s/%s", v->dir, name);
	return path[n];
}

#endif
