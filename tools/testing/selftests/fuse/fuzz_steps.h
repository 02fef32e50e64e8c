/* SPDX-License-Identifier: GPL-2.0 */
/* System calls on open files: part of fuzz_load.h. */

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
		/* Without a wait: that is the kernel's own, and ends with the WRITEs only. */
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
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
