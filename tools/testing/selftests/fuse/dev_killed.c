// SPDX-License-Identifier: GPL-2.0
/*
 * Whatever somebody waits for, he can be killed, and what he asked for holds up nobody else: for each operation, with a server
 * that has read the request and does not answer, one that has not read it as it is stopped, and one that is killed.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include "server.h"

/* What parent and child tell each other. */
struct talk {
	volatile bool ready, go;
};

static struct talk *talk;
static const struct server *srv;

static const char *at(const char *name)
{
	return under(srv, name);
}

/* All is there that the call needs; it is made when the server does not answer any more. */
static void now(void)
{
	talk->ready = true;
	while (!talk->go)
		usleep(1000);
}

static int opened(const char *name, int flags)
{
	int fd = open(at(name), flags);

	if (fd < 0)
		_exit(100);
	now();
	return fd;
}

static char page[65536];

static void do_lookup(void) { struct stat st; now(); stat(at("n3"), &st); }
static void do_getattr(void)
{
	struct statx st;

	now();
	statx(AT_FDCWD, at("n1"), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st);
}

static void do_chmod(void) { now(); chmod(at("n1"), 0600); }
static void do_truncate(void) { int fd = opened("n1", O_RDWR); (void)!ftruncate(fd, 10); }
static void do_readlink(void) { char to[64]; now(); (void)!readlink(at("l1"), to, sizeof(to)); }
static void do_symlink(void) { now(); (void)!symlink("to", at("x")); }
static void do_mknod(void) { now(); mknod(at("x"), S_IFIFO | 0600, 0); }
static void do_mkdir(void) { now(); mkdir(at("x"), 0700); }
static void do_unlink(void) { now(); unlink(at("n1")); }
static void do_rmdir(void) { now(); rmdir(at("d1")); }
static void do_rename(void) { now(); rename(at("n1"), at("n2")); }
static void do_rename2(void) { now(); syscall(SYS_renameat2, AT_FDCWD, at("n1"), AT_FDCWD, at("n2"), RENAME_EXCHANGE); }
static void do_link(void) { now(); (void)!link(at("n1"), at("x")); }
static void do_open(void) { now(); open(at("n1"), O_RDONLY); }
static void do_create(void) { now(); open(at("x"), O_CREAT | O_RDWR, 0600); }
static void do_tmpfile(void) { now(); open(at("."), O_TMPFILE | O_RDWR, 0600); }
static void do_read(void) { int fd = opened("file", O_RDONLY); (void)!read(fd, page, sizeof(page)); }
static void do_read_direct(void) { int fd = opened("file", O_RDONLY | O_DIRECT); (void)!read(fd, page, sizeof(page)); }
static void do_write(void) { int fd = opened("file", O_WRONLY); (void)!write(fd, page, sizeof(page)); }
static void do_write_direct(void) { int fd = opened("file", O_WRONLY | O_DIRECT); (void)!write(fd, page, sizeof(page)); }
/* The process waits for its calls also when it ends. */
static void aio(int op)
{
	int fd = open(at("file"), O_RDWR | O_DIRECT);
	struct iocb cb = { .aio_lio_opcode = op, .aio_fildes = fd, .aio_nbytes = 4096 };
	struct iocb *list = &cb;
	struct io_event event;
	aio_context_t ctx = 0;

	cb.aio_buf = (uintptr_t)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (syscall(SYS_io_setup, 4, &ctx))
		_exit(100);
	now();
	if (syscall(SYS_io_submit, ctx, 1, &list) == 1)
		syscall(SYS_io_getevents, ctx, 1, 1, &event, NULL);
}

static void do_aio_read(void) { aio(IOCB_CMD_PREAD); }
static void do_aio_write(void) { aio(IOCB_CMD_PWRITE); }
static void do_splice(void)
{
	int fd = open(at("file"), O_RDONLY), p[2];

	(void)!pipe(p);
	now();
	splice(fd, NULL, p[1], NULL, 4096, 0);
}

static volatile char *mapped(int prot, int fd)
{
	return mmap(NULL, sizeof(page), prot, MAP_SHARED, fd, 0);
}

static void do_fault(void) { volatile char *m = mapped(PROT_READ, open(at("file"), O_RDWR)); now(); (void)m[0]; }
static void do_msync(void)
{
	volatile char *m = mapped(PROT_READ | PROT_WRITE, open(at("file"), O_RDWR));

	m[0] = 1;
	now();
	msync((void *)m, sizeof(page), MS_SYNC);
}

static void do_statfs(void) { struct statfs sf; now(); statfs(srv->dir, &sf); }
static void do_fsync(void) { int fd = opened("file", O_RDWR); fsync(fd); }
static void do_fsyncdir(void) { int fd = opened("d1", O_RDONLY); fsync(fd); }
static void do_setxattr(void) { now(); setxattr(at("n1"), "user.a", "b", 1, 0); }
static void do_getxattr(void) { now(); getxattr(at("n1"), "user.a", page, 100); }
static void do_listxattr(void) { now(); listxattr(at("n1"), page, 100); }
static void do_removexattr(void) { now(); removexattr(at("n1"), "user.a"); }
static void do_close(void) { int fd = opened("file", O_RDWR); close(fd); }
static void do_exit(void) { opened("file", O_RDWR); _exit(0); }
static void do_opendir(void) { now(); open(at("d1"), O_RDONLY); }
static void do_readdir(void) { int fd = opened(".", O_RDONLY); syscall(SYS_getdents64, fd, page, sizeof(page)); }
static void do_access(void) { now(); access(at("n1"), R_OK); }

static void lock(int command, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_len = 10 };
	int fd = opened("file", O_RDWR);

	fcntl(fd, command, &l);
}

static void do_getlk(void) { lock(F_GETLK, F_WRLCK); }
static void do_setlk(void) { lock(F_SETLK, F_WRLCK); }
static void do_setlkw(void) { lock(F_SETLKW, F_WRLCK); }
static void do_ioctl(void) { int fd = opened("file", O_RDWR), n = 0; ioctl(fd, _IOR('x', 1, int), &n); }
static void do_flags(void) { int fd = opened("file", O_RDWR), n = 0; ioctl(fd, FS_IOC_GETFLAGS, &n); }
static void do_poll(void) { struct pollfd p = { .fd = opened("file", O_RDWR), .events = POLLIN }; poll(&p, 1, -1); }
static void do_fallocate(void) { int fd = opened("file", O_RDWR); fallocate(fd, 0, 0, 4096); }
static void do_lseek(void) { int fd = opened("file", O_RDWR); lseek(fd, 0, SEEK_DATA); }
static void do_copy(void)
{
	int from = open(at("file"), O_RDWR), to = opened("n1", O_RDWR);
	loff_t in = 0, out = 0;

	copy_file_range(from, &in, to, &out, 4096, 0);
}

static void do_statx(void)
{
	struct statx st;

	now();
	statx(AT_FDCWD, at("n1"), AT_STATX_FORCE_SYNC, STATX_BTIME, &st);
}

FIXTURE(dev_killed) {
	struct server v;
};

FIXTURE_VARIANT(dev_killed) {
	uint32_t opcode;
	void (*call)(void);
	uint64_t flags;
	int patience;		/* who ended by himself cannot be killed, and waits for 10 seconds: so many until he is gone; 0: AT_ONCE */
	bool pages;		/* the request has pages or keeps the file open, and goes with the server */
};

/* Seconds, on a slow machine too; less than what who cannot be killed waits for. */
#define AT_ONCE 8

#define OPERATION(name, op, function, ...) \
	FIXTURE_VARIANT_ADD(dev_killed, name) { .opcode = FUSE_ ## op, .call = function, ## __VA_ARGS__ }

OPERATION(lookup, LOOKUP, do_lookup);
OPERATION(getattr, GETATTR, do_getattr);
OPERATION(chmod, SETATTR, do_chmod);
OPERATION(truncate, SETATTR, do_truncate);
OPERATION(readlink, READLINK, do_readlink);
OPERATION(symlink, SYMLINK, do_symlink);
OPERATION(mknod, MKNOD, do_mknod);
OPERATION(mkdir, MKDIR, do_mkdir);
OPERATION(unlink, UNLINK, do_unlink);
OPERATION(rmdir, RMDIR, do_rmdir);
OPERATION(rename, RENAME, do_rename);
OPERATION(rename2, RENAME2, do_rename2);
OPERATION(link, LINK, do_link);
OPERATION(open, OPEN, do_open);
OPERATION(create, CREATE, do_create);
OPERATION(tmpfile, TMPFILE, do_tmpfile);
OPERATION(read, READ, do_read, .pages = true);
OPERATION(read_direct, READ, do_read_direct);
OPERATION(aio_read, READ, do_aio_read, .flags = FUSE_ASYNC_DIO, .pages = true);
OPERATION(aio_write, WRITE, do_aio_write, .flags = FUSE_ASYNC_DIO, .pages = true);
OPERATION(splice, READ, do_splice, .pages = true);
OPERATION(fault, READ, do_fault, .pages = true);
OPERATION(write, WRITE, do_write, .pages = true);
OPERATION(write_direct, WRITE, do_write_direct);
OPERATION(msync, WRITE, do_msync, .pages = true);
OPERATION(fsync_writes, WRITE, do_msync, .flags = FUSE_WRITEBACK_CACHE, .pages = true);
OPERATION(statfs, STATFS, do_statfs);
OPERATION(fsync, FSYNC, do_fsync);
OPERATION(fsyncdir, FSYNCDIR, do_fsyncdir);
OPERATION(setxattr, SETXATTR, do_setxattr);
OPERATION(getxattr, GETXATTR, do_getxattr);
OPERATION(listxattr, LISTXATTR, do_listxattr);
OPERATION(removexattr, REMOVEXATTR, do_removexattr);
OPERATION(close, FLUSH, do_close);
OPERATION(exit, FLUSH, do_exit, .patience = PATIENCE);
OPERATION(opendir, OPENDIR, do_opendir);
OPERATION(readdir, READDIR, do_readdir);
OPERATION(readdirplus, READDIRPLUS, do_readdir, .flags = FUSE_DO_READDIRPLUS);
OPERATION(access, ACCESS, do_access);
OPERATION(getlk, GETLK, do_getlk, .flags = FUSE_POSIX_LOCKS);
OPERATION(setlk, SETLK, do_setlk, .flags = FUSE_POSIX_LOCKS);
OPERATION(setlkw, SETLKW, do_setlkw, .flags = FUSE_POSIX_LOCKS);
OPERATION(ioctl, IOCTL, do_ioctl);
OPERATION(flags, IOCTL, do_flags);
OPERATION(poll, POLL, do_poll);
OPERATION(fallocate, FALLOCATE, do_fallocate);
OPERATION(lseek, LSEEK, do_lseek);
OPERATION(copy, COPY_FILE_RANGE_64, do_copy);
OPERATION(copy_of_old, COPY_FILE_RANGE, do_copy);
OPERATION(statx, STATX, do_statx);

FIXTURE_SETUP(dev_killed)
{
	server_init(&self->v);
	talk = mmap(NULL, sizeof(*talk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	srv = &self->v;
	self->v.s->init_flags = variant->flags;
}

FIXTURE_TEARDOWN(dev_killed)
{
	server_end(&self->v);
}

static bool ends(pid_t pid, double limit)
{
	return within(limit, waitpid(pid, NULL, WNOHANG) == pid);
}

static pid_t begin(void (*call)(void))
{
	pid_t pid = fork();

	if (!pid) {
		call();
		_exit(0);
	}
	return soon(talk->ready) ? pid : -1;
}

/* Has a call wait for a server that has read the request for `opcode`, or for one that is stopped. */
static pid_t asked(struct server *v, void (*call)(void), uint32_t opcode)
{
	pid_t pid;

	if (server_start(v, ""))
		return -1;
	pid = begin(call);
	if (pid < 0)
		return -1;
	if (opcode)
		v->s->hang = opcode;
	else
		server_stop(v);
	talk->go = true;
	return !opcode || soon(v->s->hung) ? pid : -1;
}

static int others(struct server *v)
{
	struct statfs sf;
	struct stat st;
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(stat(under(v, "n7"), &st) || statfs(v->dir, &sf) || access(under(v, "n8"), F_OK) ? errno : 0);
	if (!soon(waitpid(pid, &status, WNOHANG) == pid))
		kill(pid, SIGKILL);
	return status;
}

static bool unmounts(struct server *v)
{
	pid_t pid = fork();
	int status = -1;

	if (!pid)
		_exit(unmount_soon(v->dir));
	return soon(waitpid(pid, &status, WNOHANG) == pid) && status == 0;
}

/* The server has read the request. */
TEST_F(dev_killed, unanswered)
{
	struct server *v = &self->v;
	pid_t pid = asked(v, variant->call, variant->opcode);

	ASSERT_LT(0, pid);
	usleep(20000);
	kill(pid, SIGKILL);
	if (module_is_c()) {
		/* It waits on, but for those whose requests somebody else has sent, until the server ends. */
		if (!ends(pid, .5)) {
			server_kill(v);
			EXPECT_TRUE(ends(pid, AT_ONCE));
		}
	} else {
		EXPECT_TRUE(ends(pid, variant->patience ?: AT_ONCE));
	}
	v->s->hang = 0;
	v->s->ttl = 3600;
	if (!module_is_c())
		EXPECT_EQ(0, others(v));
	/* Pages of which nobody knows whether they were written go with the server. */
	if (variant->pages || module_is_c())
		server_kill(v);
	EXPECT_TRUE(unmounts(v));
}

/* The server is stopped. */
TEST_F(dev_killed, unread)
{
	struct server *v = &self->v;
	pid_t pid = asked(v, variant->call, 0);

	ASSERT_LT(0, pid);
	usleep(100000);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kill(pid, SIGKILL);
	if (!module_is_c())
		EXPECT_TRUE(ends(pid, variant->patience ?: AT_ONCE));
	kill(v->pid, SIGCONT);
	/* With the C client some have to wait for the answer. */
	if (module_is_c())
		EXPECT_TRUE(ends(pid, AT_ONCE));
	v->s->ttl = 3600;
	EXPECT_EQ(0, others(v));
	EXPECT_TRUE(unmounts(v));
}

/* The server is killed, which is the end for all who wait. */
TEST_F(dev_killed, without_server)
{
	struct server *v = &self->v;
	pid_t pid = asked(v, variant->call, variant->opcode);

	ASSERT_LT(0, pid);
	server_kill(v);
	EXPECT_TRUE(ends(pid, AT_ONCE));
	EXPECT_TRUE(unmounts(v));
}

TEST_HARNESS_MAIN
