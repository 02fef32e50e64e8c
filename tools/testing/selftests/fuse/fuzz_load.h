/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls on a mount, any of them in any order, that do not care what comes of them: the load of the fuzzers. No heap
 * is used and every failure is taken, so that allocations can be made to fail under it.
 */
#ifndef FUZZ_LOAD_H
#define FUZZ_LOAD_H

#include "fuzz.h"
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <setjmp.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#define LOAD_FDS 8
#define LOAD_BUF (256 << 10)

struct load {
	struct fuzz *f;
	struct worker *w;
	struct rng r;
	const char *dir;
	int fd[LOAD_FDS];
	int pipe[2];
	char *map;
	size_t map_len;
	char path[2][192];
};

static char load_buf[LOAD_BUF] __attribute__((aligned(4096)));
static sigjmp_buf load_fault;

static void load_sigbus(int sig)
{
	siglongjmp(load_fault, 1);
}

static void load_nothing(int sig)
{
}

/* The kind of what a name stands for is its first letter: folder, file, link, pipe, device, nothing. */
static const char *load_path(struct load *l, int which)
{
	char *p = l->path[which], *end = p + sizeof(l->path[which]);
	int depth = below(&l->r, 3);

	p += snprintf(p, end - p, "%s", l->dir);
	while (depth--)
		p += snprintf(p, end - p, "/d%u", below(&l->r, 3));
	if (!once_in(&l->r, 12))
		snprintf(p, end - p, "/%c%u", "ffffffffddlpcx"[below(&l->r, 14)], below(&l->r, 6));
	return l->path[which];
}

static int load_fd(struct load *l)
{
	return l->fd[below(&l->r, LOAD_FDS)];
}

static off_t load_at(struct load *l)
{
	if (once_in(&l->r, 40))
		return odd_number(&l->r);
	return once_in(&l->r, 2) ? below(&l->r, 64) * 4096 : below(&l->r, 300000);
}

static size_t load_len(struct load *l)
{
	static const size_t usual[] = { 0, 1, 100, 512, 4096, 8192, 65536, 131072, LOAD_BUF };

	return once_in(&l->r, 3) ? below(&l->r, LOAD_BUF) : usual[below(&l->r, 9)];
}

/* Memory for data: a buffer, or a mapping of a file of the same mount, aligned or not. */
static char *load_mem(struct load *l, size_t *len)
{
	size_t skip = once_in(&l->r, 3) ? below(&l->r, 4096) : 0;
	char *mem = load_buf;
	size_t most = LOAD_BUF;

	if (l->map && once_in(&l->r, 6)) {
		mem = l->map;
		most = l->map_len;
	}
	*len = load_len(l);
	if (*len > most - skip)
		*len = most - skip;
	return mem + skip;
}

#define STEP(name) (l->w->step = name)

static void step_open(struct load *l)
{
	static const int flags[] = {
		O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_TRUNC,
		O_RDWR | O_DIRECT, O_RDONLY | O_DIRECT, O_WRONLY | O_APPEND, O_RDONLY | O_DIRECTORY, O_PATH,
		O_RDWR | O_SYNC, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, O_RDONLY | O_NOFOLLOW, O_RDWR | O_DSYNC,
	};
	int i = below(&l->r, LOAD_FDS);
	bool nameless = once_in(&l->r, 15);

	STEP("close");
	if (l->fd[i] >= 0)
		close(l->fd[i]);
	STEP("open");
	if (nameless)
		l->fd[i] = open(l->dir, O_TMPFILE | O_RDWR | O_NONBLOCK, 0644);
	else
		l->fd[i] = open(load_path(l, 0), flags[below(&l->r, 15)] | O_NONBLOCK | O_CLOEXEC, 0644);
}

static void step_read(struct load *l)
{
	size_t len;
	char *mem = load_mem(l, &len);
	struct iovec v[3] = { { mem, len / 3 }, { mem + len / 3, len / 3 }, { mem, len / 3 } };
	int fd = load_fd(l);

	switch (below(&l->r, 3)) {
	case 0:
		STEP("pread");
		(void)!pread(fd, mem, len, load_at(l));
		break;
	case 1:
		STEP("read");
		(void)!read(fd, mem, len);
		break;
	case 2:
		STEP("preadv2");
		(void)!preadv2(fd, v, 3, load_at(l), once_in(&l->r, 3) ? RWF_NOWAIT : 0);
	}
}

static void step_write(struct load *l)
{
	static const int flags[] = { 0, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND };
	size_t len;
	char *mem = load_mem(l, &len);
	struct iovec v[3] = { { mem, len / 3 }, { mem + len / 3, len / 3 }, { mem, len / 3 } };
	int fd = load_fd(l);

	switch (below(&l->r, 3)) {
	case 0:
		STEP("pwrite");
		(void)!pwrite(fd, mem, len, load_at(l));
		break;
	case 1:
		STEP("write");
		(void)!write(fd, mem, len);
		break;
	case 2:
		STEP("pwritev2");
		(void)!pwritev2(fd, v, 3, load_at(l), flags[below(&l->r, 5)]);
	}
}

static void step_mmap(struct load *l)
{
	int prot = once_in(&l->r, 2) ? PROT_READ : PROT_READ | PROT_WRITE;
	void *p;

	STEP("munmap");
	if (l->map)
		munmap(l->map, l->map_len);
	l->map_len = 4096 * (1 + below(&l->r, 40));
	STEP("mmap");
	p = mmap(NULL, l->map_len, prot, once_in(&l->r, 4) ? MAP_PRIVATE : MAP_SHARED, load_fd(l), below(&l->r, 8) * 4096);
	l->map = p == MAP_FAILED ? NULL : p;
}

static void step_touch(struct load *l)
{
	volatile char *p = l->map;

	if (!p)
		return step_mmap(l);
	for (volatile int i = below(&l->r, 6); i >= 0; i--) {
		size_t at = below(&l->r, l->map_len);

		if (sigsetjmp(load_fault, 1))
			continue;
		if (once_in(&l->r, 2)) {
			STEP("load");
			(void)p[at];
		} else {
			STEP("store");
			p[at] = at;
		}
	}
	switch (below(&l->r, 6)) {
	case 0:
		STEP("msync");
		msync(l->map, l->map_len, once_in(&l->r, 2) ? MS_SYNC : MS_INVALIDATE);
		break;
	case 1:
		STEP("madvise");
		madvise(l->map, l->map_len, once_in(&l->r, 2) ? MADV_DONTNEED : MADV_WILLNEED);
		break;
	case 2:
		STEP("mremap");
		mprotect(l->map, l->map_len, PROT_READ | PROT_WRITE);
	}
}

static void step_size(struct load *l)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE,
	};
	loff_t in = load_at(l), out = load_at(l);

	switch (below(&l->r, 5)) {
	case 0:
		STEP("ftruncate");
		(void)!ftruncate(load_fd(l), load_at(l));
		break;
	case 1:
		STEP("truncate");
		(void)!truncate(load_path(l, 0), load_at(l));
		break;
	case 2:
		STEP("fallocate");
		(void)!fallocate(load_fd(l), modes[below(&l->r, 6)], load_at(l), load_len(l));
		break;
	case 3:
		STEP("lseek");
		lseek(load_fd(l), load_at(l), below(&l->r, 5));
		break;
	case 4:
		STEP("copy_file_range");
		(void)!copy_file_range(load_fd(l), &in, load_fd(l), &out, load_len(l), 0);
	}
}

static void step_pipe(struct load *l)
{
	int size = 0;
	loff_t at = load_at(l);

	switch (below(&l->r, 3)) {
	case 0:
		STEP("splice out");
		(void)!splice(load_fd(l), &at, l->pipe[1], NULL, load_len(l), SPLICE_F_NONBLOCK);
		break;
	case 1:
		STEP("splice in");
		(void)!splice(l->pipe[0], NULL, load_fd(l), &at, load_len(l), SPLICE_F_NONBLOCK);
		break;
	case 2:
		STEP("sendfile");
		(void)!sendfile(l->pipe[1], load_fd(l), &at, load_len(l));
	}
	STEP("drain");
	while (ioctl(l->pipe[0], FIONREAD, &size) == 0 && size > 0)
		if (read(l->pipe[0], load_buf, sizeof(load_buf)) <= 0)
			break;
}

static void step_sync(struct load *l)
{
	int fd = load_fd(l);

	switch (below(&l->r, 5)) {
	case 0:
		STEP("fsync");
		fsync(fd);
		break;
	case 1:
		STEP("fdatasync");
		fdatasync(fd);
		break;
	case 2:
		STEP("sync_file_range");
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
		break;
	case 3:
		STEP("syncfs");
		if (once_in(&l->r, 4))
			syncfs(fd);
		break;
	case 4:
		STEP("fadvise");
		posix_fadvise(fd, 0, 0, once_in(&l->r, 2) ? POSIX_FADV_DONTNEED : POSIX_FADV_WILLNEED);
	}
}

static void step_lock(struct load *l)
{
	static const int cmds[] = { F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW };
	struct flock lk = {
		.l_type = below(&l->r, 3), .l_whence = SEEK_SET, .l_start = below(&l->r, 100), .l_len = below(&l->r, 100),
	};

	switch (below(&l->r, 3)) {
	case 0:
		STEP("flock");
		flock(load_fd(l), (int[]){ LOCK_SH, LOCK_EX, LOCK_UN, LOCK_SH | LOCK_NB, LOCK_EX | LOCK_NB }[below(&l->r, 5)]);
		break;
	case 1:
		STEP("fcntl lock");
		fcntl(load_fd(l), cmds[below(&l->r, 6)], &lk);
		break;
	case 2:
		STEP("fcntl");
		if (once_in(&l->r, 2))
			fcntl(load_fd(l), F_SETFL, once_in(&l->r, 2) ? O_DIRECT | O_NONBLOCK : O_NONBLOCK);
		else
			fcntl(load_fd(l), F_SETLEASE, below(&l->r, 3));
	}
}

static void step_dir(struct load *l)
{
	int fd;

	STEP("open folder");
	fd = open(once_in(&l->r, 2) ? l->dir : load_path(l, 0), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < 4; i++) {
		STEP("getdents");
		if (syscall(SYS_getdents64, fd, load_buf, once_in(&l->r, 3) ? 100 : 32768) <= 0)
			break;
		STEP("seekdir");
		if (once_in(&l->r, 5))
			lseek(fd, load_at(l), SEEK_SET);
	}
	STEP("close folder");
	close(fd);
}

static void step_names(struct load *l)
{
	const char *a = load_path(l, 0), *b = load_path(l, 1);

	switch (below(&l->r, 9)) {
	case 0:
		STEP("mkdir");
		mkdir(a, 0755);
		break;
	case 1:
		STEP("rmdir");
		rmdir(a);
		break;
	case 2:
		STEP("unlink");
		unlink(a);
		break;
	case 3:
		STEP("rename");
		rename(a, b);
		break;
	case 4:
		STEP("renameat2");
		renameat2(AT_FDCWD, a, AT_FDCWD, b, 1 << below(&l->r, 3));
		break;
	case 5:
		STEP("link");
		(void)!link(a, b);
		break;
	case 6:
		STEP("symlink");
		(void)!symlink(b, a);
		break;
	case 7:
		STEP("readlink");
		(void)!readlink(a, load_buf, 4096);
		break;
	case 8:
		STEP("mknod");
		mknod(a, (mode_t[]){ S_IFIFO, S_IFREG, S_IFSOCK, S_IFCHR }[below(&l->r, 4)] | 0600, 0x103);
	}
}

static void step_attr(struct load *l)
{
	const char *a = load_path(l, 0);
	struct statfs sf;
	struct statx sx;
	struct stat st;

	switch (below(&l->r, 9)) {
	case 0:
		STEP("stat");
		stat(a, &st);
		break;
	case 1:
		STEP("fstat");
		fstat(load_fd(l), &st);
		break;
	case 2:
		STEP("statx");
		statx(AT_FDCWD, a, once_in(&l->r, 2) ? AT_STATX_FORCE_SYNC : AT_STATX_DONT_SYNC, STATX_ALL, &sx);
		break;
	case 3:
		STEP("access");
		access(a, below(&l->r, 8));
		break;
	case 4:
		STEP("chmod");
		chmod(a, below(&l->r, 010000));
		break;
	case 5:
		STEP("chown");
		(void)!lchown(a, below(&l->r, 3), -1);
		break;
	case 6:
		STEP("utimensat");
		utimensat(AT_FDCWD, a, NULL, 0);
		break;
	case 7:
		STEP("statfs");
		statfs(a, &sf);
		break;
	case 8:
		STEP("lstat");
		lstat(a, &st);
	}
}

static void step_xattr(struct load *l)
{
	static const char *const names[] = {
		"user.a", "user.b", "trusted.c", "security.capability", "system.posix_acl_access", "system.posix_acl_default",
	};
	const char *a = load_path(l, 0), *n = names[below(&l->r, 6)];
	size_t size = (size_t[]){ 0, 1, 28, 256, 65536 }[below(&l->r, 5)];

	switch (below(&l->r, 4)) {
	case 0:
		STEP("setxattr");
		setxattr(a, n, load_buf, size, below(&l->r, 3));
		break;
	case 1:
		STEP("getxattr");
		getxattr(a, n, load_buf, size);
		break;
	case 2:
		STEP("listxattr");
		listxattr(a, load_buf, size);
		break;
	case 3:
		STEP("removexattr");
		removexattr(a, n);
	}
}

static void step_ioctl(struct load *l)
{
	static const unsigned long cmds[] = {
		FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FIGETBSZ, FIBMAP, FIONREAD,
		_IOWR('x', 1, char[64]), _IOR('x', 2, char[4096]), _IOW('x', 3, char[16000]), _IO('x', 4),
	};
	struct pollfd p = { load_fd(l), POLLIN | POLLOUT, 0 };

	if (once_in(&l->r, 3)) {
		STEP("poll");
		poll(&p, 1, 20);
		return;
	}
	STEP("ioctl");
	ioctl(load_fd(l), cmds[below(&l->r, 11)], load_buf);
}

static void step_rare(struct load *l)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + 128];
	} u = { .h.handle_bytes = 128 };
	struct iocb cb = { 0 }, *list[1] = { &cb };
	struct io_event event;
	aio_context_t ctx = 0;
	struct timespec wait = { 1, 0 };
	int id, fd;

	switch (below(&l->r, 4)) {
	case 0:
		STEP("name_to_handle_at");
		if (name_to_handle_at(AT_FDCWD, load_path(l, 0), &u.h, &id, 0))
			return;
		STEP("open_by_handle_at");
		if (l->fd[0] >= 0) {
			fd = open_by_handle_at(l->fd[0], &u.h, O_RDONLY | O_NONBLOCK);
			if (fd >= 0)
				close(fd);
		}
		break;
	case 1:
		STEP("inotify");
		fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (fd < 0)
			return;
		inotify_add_watch(fd, load_path(l, 0), IN_ALL_EVENTS);
		close(fd);
		break;
	case 2:
		STEP("io_setup");
		if (syscall(SYS_io_setup, 4, &ctx))
			return;
		cb.aio_fildes = load_fd(l);
		cb.aio_lio_opcode = once_in(&l->r, 2) ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
		cb.aio_buf = (uintptr_t)load_buf;
		cb.aio_nbytes = load_len(l);
		cb.aio_offset = below(&l->r, 32) * 4096;
		STEP("io_submit");
		if (syscall(SYS_io_submit, ctx, 1, list) == 1) {
			STEP("io_getevents");
			syscall(SYS_io_getevents, ctx, 1, 1, &event, &wait);
		}
		STEP("io_destroy");
		syscall(SYS_io_destroy, ctx);
		break;
	case 3:
		STEP("execve");
		execve(load_path(l, 0), (char *[]){ "x", NULL }, (char *[]){ NULL });
	}
}

/* System calls until the fuzzer says that it is enough. */
static void load_run(struct fuzz *f, struct worker *w, const char *dir, uint64_t who)
{
	static const struct {
		void (*step)(struct load *l);
		int weight;
	} steps[] = {
		{ step_open, 5 }, { step_read, 5 }, { step_write, 5 }, { step_mmap, 2 }, { step_touch, 4 }, { step_size, 3 },
		{ step_pipe, 3 }, { step_sync, 2 }, { step_lock, 2 }, { step_dir, 3 }, { step_names, 5 }, { step_attr, 4 },
		{ step_xattr, 2 }, { step_ioctl, 2 }, { step_rare, 1 },
	};
	struct load load = { .f = f, .w = w, .dir = dir }, *l = &load;
	struct sigaction bus = { .sa_handler = load_sigbus }, none = { .sa_handler = load_nothing };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l->r = rng_of(f->seed, f->session, who);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &bus, NULL);
	/* Now and then a signal that only interrupts. */
	sigaction(SIGALRM, &none, NULL);
	sigaction(SIGIO, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < LOAD_FDS; i++)
		l->fd[i] = -1;
	if (pipe2(l->pipe, O_NONBLOCK | O_CLOEXEC))
		_exit(1);
	if (f->fail_memory) {
		int fd = open("/proc/self/make-it-fail", O_WRONLY);

		if (fd >= 0) {
			(void)!write(fd, "1", 1);
			close(fd);
		}
	}
	while (!f->load_ends) {
		int n = below(&l->r, 48);
		unsigned int i;

		for (i = 0; i < sizeof(steps) / sizeof(*steps) - 1 && n >= steps[i].weight; i++)
			n -= steps[i].weight;
		w->steps++;
		alarm(once_in(&l->r, 8) ? 1 : 0);
		if (sigsetjmp(load_fault, 1) == 0)
			steps[i].step(l);
	}
	STEP("exit");
	_exit(0);
}

/* Starts a process of the load. */
static inline void load_start(struct fuzz *f, int i, const char *dir, uint64_t who)
{
	struct worker *w = &f->workers[i];
	pid_t pid;

	w->step = "start";
	w->steps = 0;
	while ((pid = fork()) < 0)
		usleep(1000);
	if (pid == 0)
		load_run(f, w, dir, who);
	w->pid = pid;
}

#endif
