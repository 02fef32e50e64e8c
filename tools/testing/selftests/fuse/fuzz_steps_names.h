/* SPDX-License-Identifier: GPL-2.0 */
/* System calls on names, and rare ones: part of fuzz_load.h. */

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
