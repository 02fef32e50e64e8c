// SPDX-License-Identifier: GPL-2.0
/*
 * Locks on files: POSIX, OFD and flock(2) locks that the server keeps, against each other and against programs on the
 * host; what ends them; waiting for one, and being interrupted or killed there; locks of the kernel alone, and mounts
 * that refuse these.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <signal.h>
#include <sys/file.h>

#define TAG "nodax"

FIXTURE(locks)
{
	struct fs fs;
	int fd;
};

FIXTURE_VARIANT(locks)
{
	/* INIT flags that the server holds back, and mount options. */
	const char *disable, *options;
	/* Whether the server keeps locks, or nobody does. */
	bool remote, none;
};

FIXTURE_VARIANT_ADD(locks, server)
{
	.remote = true,
};

FIXTURE_VARIANT_ADD(locks, not_agreed)
{
	.disable = "disable POSIX_LOCKS,FLOCK_LOCKS",
};

FIXTURE_VARIANT_ADD(locks, local)
{
	.options = "locks=local",
};

FIXTURE_VARIANT_ADD(locks, refused)
{
	.disable = "disable POSIX_LOCKS,FLOCK_LOCKS",
	.options = "locks=server",
	.none = true,
};

FIXTURE_SETUP(locks)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	snprintf(self->fs.tag, sizeof(self->fs.tag), TAG);
	if (!server_is_daxfsd())
		SKIP(return, "the server keeps no locks");
	if (!has_tag(TAG))
		SKIP(return, "no share " TAG);
	if (module_is_c() && variant->options)
		SKIP(return, "known difference: no option locks=");
	device(&self->fs, NULL, 0, "defaults");
	/* Of a case that ended early; who waits for this file to go ends as well. */
	host(&self->fs, NULL, 0, "rm -f held");
	if (variant->disable)
		ASSERT_EQ(0, device(&self->fs, NULL, 0, variant->disable));
	ASSERT_EQ(0, fs_mount(&self->fs, TAG, variant->options));
	self->fd = open(at(&self->fs, "lock"), O_RDWR | O_CREAT | O_TRUNC, 0644);
	ASSERT_LE(0, self->fd);
	reset_counters(&self->fs);
}

FIXTURE_TEARDOWN(locks)
{
	close(self->fd);
	if (!self->fs.mounted)
		return;
	device(&self->fs, NULL, 0, "delay all 0");
	unhang(&self->fs);
	/* Nobody waits for the RELEASE that ends some. */
	EXPECT_TRUE(soon(census(&self->fs, "locks") == 0));
	unlink(at(&self->fs, "lock"));
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
}

static int lock(int fd, int cmd, int type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &l) ? -errno : 0;
}

/* Another process tries. Returns its exit status. */
static int elsewhere(int fd, int cmd, int type, off_t start, off_t len)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(-lock(fd, cmd, type, start, len));
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

/* Whether a program on the host can have such a lock of the whole file: lockf (POSIX) or flock. */
static bool host_can(const struct fs *fs, const char *call)
{
	return !host(fs, NULL, 0, "python3 -c \"import fcntl; fcntl.%s(open(\\\"lock\\\", \\\"r+\\\"), fcntl.LOCK_EX | fcntl.LOCK_NB)\"",
		     call);
}

/* A program on the host takes the lock and keeps it until host_lets_go(). */
static int host_takes(const struct fs *fs, const char *call)
{
	return host(fs, NULL, 0,
		    "python3 -c \"import fcntl,os,time; f = open(\\\"lock\\\", \\\"r+\\\"); fcntl.%s(f, fcntl.LOCK_EX); open(\\\"held\\\", \\\"w\\\");"
		    " list(iter(lambda: (time.sleep(.02), os.path.exists(\\\"held\\\"))[1], False))\" >/dev/null 2>&1 &"
		    " while [ ! -e held ]; do sleep .02; done", call);
}

static int host_lets_go(const struct fs *fs)
{
	return host(fs, NULL, 0, "rm held");
}

TEST_F(locks, posix)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
	int status;
	pid_t pid;

	if (variant->none) {
		EXPECT_EQ(-ENOLCK, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
		EXPECT_EQ(-ENOLCK, lock(self->fd, F_GETLK, F_WRLCK, 0, 0));
		EXPECT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
		EXPECT_EQ(0, counter(&self->fs, "SETLK"));
		return;
	}
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 10));
	EXPECT_EQ(EAGAIN, elsewhere(self->fd, F_SETLK, F_WRLCK, 9, 1));
	EXPECT_EQ(EAGAIN, elsewhere(self->fd, F_SETLK, F_RDLCK, 0, 0));
	EXPECT_EQ(0, elsewhere(self->fd, F_SETLK, F_WRLCK, 10, 0));
	/* Who has it, and what of the file. */
	pid = fork();
	if (!pid)
		_exit(fcntl(self->fd, F_GETLK, &l) || l.l_type != F_WRLCK || l.l_start || l.l_len != 10 || l.l_pid != getppid());
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, status);
	/* One's own lock is in nobody's way. */
	ASSERT_EQ(0, fcntl(self->fd, F_GETLK, &l));
	EXPECT_EQ(F_UNLCK, l.l_type);
	/* In parts. */
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 4, 2));
	EXPECT_EQ(0, elsewhere(self->fd, F_SETLK, F_WRLCK, 4, 2));
	EXPECT_EQ(EAGAIN, elsewhere(self->fd, F_SETLK, F_WRLCK, 3, 2));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_RDLCK, 0, 4));
	EXPECT_EQ(0, elsewhere(self->fd, F_SETLK, F_RDLCK, 0, 4));
	EXPECT_EQ(EAGAIN, elsewhere(self->fd, F_SETLK, F_WRLCK, 0, 4));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	EXPECT_EQ(0, elsewhere(self->fd, F_SETLK, F_WRLCK, 0, 0));
	EXPECT_EQ(variant->remote ? 2 : 0, counter(&self->fs, "GETLK"));
	EXPECT_EQ(variant->remote ? 12 : 0, counter(&self->fs, "SETLK"));
}

TEST_F(locks, bsd)
{
	int other = open(at(&self->fs, "lock"), O_RDWR), copy = dup(other);

	ASSERT_LE(0, other);
	if (variant->none) {
		EXPECT_EQ(-1, flock(self->fd, LOCK_EX | LOCK_NB));
		EXPECT_EQ(ENOLCK, errno);
		EXPECT_EQ(0, flock(self->fd, LOCK_UN));
		close(other);
		close(copy);
		return;
	}
	ASSERT_EQ(0, flock(self->fd, LOCK_SH));
	ASSERT_EQ(0, flock(other, LOCK_SH | LOCK_NB));
	EXPECT_EQ(-1, flock(other, LOCK_EX | LOCK_NB));
	EXPECT_EQ(EWOULDBLOCK, errno);
	ASSERT_EQ(0, flock(self->fd, LOCK_UN));
	ASSERT_EQ(0, flock(other, LOCK_EX | LOCK_NB));
	/* Only the last close ends it. POSIX locks are a world of their own. */
	close(other);
	EXPECT_EQ(-1, flock(self->fd, LOCK_SH | LOCK_NB));
	EXPECT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	close(copy);
	EXPECT_EQ(0, flock(self->fd, LOCK_EX | LOCK_NB));
	EXPECT_EQ(variant->remote, counter(&self->fs, "SETLK") + counter(&self->fs, "SETLKW") > 0);
}

TEST_F(locks, open_file)
{
	int other = open(at(&self->fs, "lock"), O_RDWR), copy = dup(other);

	ASSERT_LE(0, other);
	if (variant->none) {
		EXPECT_EQ(-ENOLCK, lock(other, F_OFD_SETLK, F_WRLCK, 0, 0));
	} else {
		ASSERT_EQ(0, lock(other, F_OFD_SETLK, F_WRLCK, 0, 10));
		EXPECT_EQ(-EAGAIN, lock(self->fd, F_OFD_SETLK, F_WRLCK, 0, 10));
		EXPECT_EQ(-EAGAIN, lock(self->fd, F_SETLK, F_WRLCK, 0, 10));
		EXPECT_EQ(0, lock(copy, F_OFD_SETLK, F_WRLCK, 10, 10));
		close(other);
		EXPECT_EQ(-EAGAIN, lock(self->fd, F_OFD_SETLK, F_RDLCK, 19, 1));
	}
	close(copy);
	close(other);
	if (!variant->none)
		EXPECT_EQ(0, lock(self->fd, F_OFD_SETLK, F_WRLCK, 0, 0));
}

/* Closing any descriptor of the file ends the process's POSIX locks. */
TEST_F(locks, ended_by_close)
{
	int other;

	if (variant->none)
		SKIP(return, "no locks to end");
	other = open(at(&self->fs, "lock"), O_RDWR);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	EXPECT_EQ(EAGAIN, elsewhere(self->fd, F_SETLK, F_WRLCK, 0, 0));
	close(other);
	EXPECT_EQ(0, elsewhere(self->fd, F_SETLK, F_WRLCK, 0, 0));
	/* Also for another client. */
	EXPECT_TRUE(host_can(&self->fs, "lockf"));
}

TEST_F(locks, host)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (!variant->remote)
		SKIP(return, "the host does not see these");
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_RDLCK, 0, 0));
	EXPECT_FALSE(host_can(&self->fs, "lockf"));
	EXPECT_TRUE(host_can(&self->fs, "flock"));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	EXPECT_TRUE(host_can(&self->fs, "lockf"));
	ASSERT_EQ(0, flock(self->fd, LOCK_SH));
	EXPECT_FALSE(host_can(&self->fs, "flock"));
	EXPECT_TRUE(host_can(&self->fs, "lockf"));
	ASSERT_EQ(0, flock(self->fd, LOCK_UN));

	ASSERT_EQ(0, host_takes(&self->fs, "lockf"));
	EXPECT_EQ(-EAGAIN, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	EXPECT_EQ(0, flock(self->fd, LOCK_EX | LOCK_NB));
	EXPECT_EQ(0, fcntl(self->fd, F_GETLK, &l));
	EXPECT_EQ(F_WRLCK, l.l_type);
	/* No process of this guest. */
	EXPECT_EQ(0, l.l_pid);
	ASSERT_EQ(0, flock(self->fd, LOCK_UN));
	ASSERT_EQ(0, host_lets_go(&self->fs));
	EXPECT_EQ(0, lock(self->fd, F_SETLKW, F_WRLCK, 0, 0));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));

	ASSERT_EQ(0, host_takes(&self->fs, "flock"));
	EXPECT_EQ(-1, flock(self->fd, LOCK_SH | LOCK_NB));
	EXPECT_EQ(EWOULDBLOCK, errno);
	ASSERT_EQ(0, host_lets_go(&self->fs));
	EXPECT_EQ(0, flock(self->fd, LOCK_EX));
}

/* Waits until the server was asked so often. */
static bool asked(const struct fs *fs, const char *op, long times)
{
	return soon(counter(fs, op) >= times);
}

static pid_t waiter(int fd, bool bsd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(bsd ? flock(fd, LOCK_EX) && errno : -lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	return pid;
}

TEST_F(locks, wait)
{
	int status, other;
	char c;
	pid_t pid;

	if (variant->none)
		SKIP(return, "no locks to wait for");
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	pid = waiter(self->fd, false);
	if (variant->remote) {
		ASSERT_TRUE(asked(&self->fs, "SETLKW", 1));
	} else {
		pause_ms(300);
	}
	/* Others are served meanwhile. */
	EXPECT_EQ(1, pwrite(self->fd, "x", 1, 0));
	EXPECT_EQ(1, pread(self->fd, &c, 1, 0));
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(variant->remote, counter(&self->fs, "SETLKW"));

	ASSERT_EQ(0, flock(self->fd, LOCK_EX | LOCK_NB));
	other = open(at(&self->fs, "lock"), O_RDWR);
	pid = waiter(other, true);
	close(other);
	if (variant->remote) {
		ASSERT_TRUE(asked(&self->fs, "SETLKW", 2));
	}
	ASSERT_EQ(0, flock(self->fd, LOCK_UN));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Who is killed while waiting leaves no lock behind, whether the server has given it meanwhile or not. */
TEST_F(locks, killed)
{
	long replies;
	int status;
	pid_t pid;

	if (!variant->remote)
		SKIP(return, "for locks of the server");
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	pid = waiter(self->fd, false);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 1));
	kill(pid, SIGKILL);
	if (!module_is_c()) {
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	if (module_is_c())
		waitpid(pid, &status, 0);
	EXPECT_TRUE(soon(census(&self->fs, "locks") == 0));

	/* The lock is given, but the answer comes too late. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETLKW 1 hang"));
	pid = waiter(self->fd, false);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 2));
	kill(pid, SIGKILL);
	if (!module_is_c())
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(soon(hanging(&self->fs) == 1));
	replies = counter(&self->fs, "round_trips");
	unhang(&self->fs);
	if (module_is_c())
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(soon(counter(&self->fs, "round_trips") > replies));
	EXPECT_TRUE(soon(elsewhere(self->fd, F_SETLK, F_WRLCK, 0, 0) == 0));
}

#define NO_INTERRUPT "virtiofs of the C client sends no INTERRUPT"

static void nothing(int sig)
{
}

/* A process that waits for the lock, and whom SIGUSR1 interrupts. */
static pid_t interruptible(int fd, int flags)
{
	struct sigaction act = { .sa_handler = nothing, .sa_flags = flags };
	pid_t pid = fork();

	if (!pid) {
		sigaction(SIGUSR1, &act, NULL);
		_exit(-lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	}
	return pid;
}

/* Its exit status; -1 if it does not end. */
static int ends(pid_t pid)
{
	int status = ended_by(pid, now_ms() + SOON_MS);

	return status < 0 ? -1 : WEXITSTATUS(status);
}

/* A signal ends the wait with EINTR, or has the call restarted, as its handler says. */
TEST_F(locks, interrupted)
{
	pid_t pid;

	if (!variant->remote)
		SKIP(return, "for locks of the server");
	if (module_is_c())
		SKIP(return, "known difference: " NO_INTERRUPT);
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	pid = interruptible(self->fd, 0);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 1));
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, ends(pid));
	/* How often depends on who is faster: the server may hear of it before it has begun to wait. */
	EXPECT_LE(1, counter(&self->fs, "INTERRUPT"));
	EXPECT_EQ(1, counter(&self->fs, "SETLKW"));

	pid = interruptible(self->fd, SA_RESTART);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 2));
	kill(pid, SIGUSR1);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 3));
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(3, counter(&self->fs, "SETLKW"));
}

/* The server has not seen the request yet (EAGAIN): it is told again. It does not know INTERRUPT: it is never told again. */
TEST_F(locks, interrupt_answers)
{
	long told;
	pid_t pid;

	if (!variant->remote)
		SKIP(return, "for locks of the server");
	if (module_is_c())
		SKIP(return, "known difference: " NO_INTERRUPT);
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault INTERRUPT 5 errno:-11"));
	pid = interruptible(self->fd, 0);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 1));
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, ends(pid));
	EXPECT_LE(6, counter(&self->fs, "INTERRUPT"));

	/* One that comes when all is over does no harm. */
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault INTERRUPT 1 hang"));
	pid = interruptible(self->fd, 0);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 2));
	told = counter(&self->fs, "INTERRUPT");
	kill(pid, SIGUSR1);
	ASSERT_TRUE(asked(&self->fs, "INTERRUPT", told + 1));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	EXPECT_EQ(0, ends(pid));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "release-hung"));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault INTERRUPT 1 errno:-38"));
	told = counter(&self->fs, "INTERRUPT");
	pid = interruptible(self->fd, 0);
	ASSERT_TRUE(asked(&self->fs, "SETLKW", 3));
	kill(pid, SIGUSR1);
	ASSERT_TRUE(asked(&self->fs, "INTERRUPT", told + 1));
	kill(pid, SIGUSR1);
	pause_ms(200);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	ASSERT_EQ(0, lock(self->fd, F_SETLK, F_UNLCK, 0, 0));
	EXPECT_EQ(0, ends(pid));
	EXPECT_EQ(told + 1, counter(&self->fs, "INTERRUPT"));
}

/* The server answers what cannot be, and errors. */
TEST_F(locks, bad_answers)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (!variant->remote)
		SKIP(return, "for locks of the server");
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault GETLK 1 poke:16:77"));
	EXPECT_EQ(-1, fcntl(self->fd, F_GETLK, &l));
	EXPECT_EQ(EIO, errno);
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETLK 1 errno:-38"));
	EXPECT_EQ(-ENOSYS, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETLK 1 errno:-37"));
	EXPECT_EQ(-ENOLCK, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
	EXPECT_EQ(0, lock(self->fd, F_SETLK, F_WRLCK, 0, 0));
}

TEST(option)
{
	struct fs fs = { .tag = TAG };

	kmsg("ksft-case", _metadata->name);
	if (module_is_c())
		SKIP(return, "known difference: no option locks=");
	EXPECT_EQ(-EINVAL, fs_mount(&fs, TAG, "locks=maybe"));
	EXPECT_EQ(-EINVAL, fs_mount(&fs, TAG, "locks"));
	ASSERT_EQ(0, fs_mount(&fs, TAG, "locks=server"));
	EXPECT_EQ(0, shell(NULL, 0, "grep -q 'virtiofs .*locks=server' /proc/mounts"));
	EXPECT_EQ(-1, mount(TAG, fs.dir, "virtiofs", MS_REMOUNT, "locks=local"));
	EXPECT_EQ(0, mount(TAG, fs.dir, "virtiofs", MS_REMOUNT, "locks=server"));
	EXPECT_EQ(0, fs_umount(&fs));
}

TEST_HARNESS_MAIN
