// SPDX-License-Identifier: GPL-2.0
/* Signals to those who wait and to the server; requests that are sent again; messages by splice(2). */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

FIXTURE(dev_signals) {
	struct server v;
	struct shared *s;
};

FIXTURE_SETUP(dev_signals)
{
	server_init(&self->v);
	self->s = self->v.s;
}

FIXTURE_TEARDOWN(dev_signals)
{
	server_end(&self->v);
}

static void on_signal(int sig)
{
}

/* Waits for an answer in a process that takes SIGUSR1 from the first, which exits with the errno. */
static pid_t waiter(struct server *v)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t pid;

	sigaction(SIGUSR1, &sa, NULL);
	pid = fork();
	if (!pid) {
		struct statfs sf;

		close(v->fd);
		_exit(statfs(v->dir, &sf) ? errno : 0);
	}
	return pid;
}

TEST_F(dev_signals, interrupt)
{
	struct server *v = &self->v;
	struct fuse_in_header h = { 0 };
	pid_t pid;

	ASSERT_EQ(0, server_start_kept(v, ""));
	self->s->hang = FUSE_STATFS;
	pid = waiter(v);
	ASSERT_TRUE(soon(self->s->hung));
	/* The server hears of it, and the caller waits on. */
	kill(pid, SIGUSR1);
	ASSERT_TRUE(soon(self->s->interrupted));
	EXPECT_EQ(self->s->hung, self->s->interrupted);
	EXPECT_EQ(1, self->s->count[FUSE_INTERRUPT]);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	self->s->interrupt_ends = true;
	h.unique = self->s->hung;
	EXPECT_LT(0, answer(v->fd, &h, -EINTR, NULL, 0));
	EXPECT_EQ(EINTR, end_of(pid));
	/* A server that acts on it. */
	self->s->hung = 0;
	pid = waiter(v);
	ASSERT_TRUE(soon(self->s->hung));
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, end_of(pid));
	/* Who comes before the server has read the request. */
	self->s->interrupted = 0;
	server_stop(v);
	pid = waiter(v);
	EXPECT_TRUE(waits(pid));
	kill(pid, SIGUSR1);
	EXPECT_TRUE(waits(pid));
	kill(v->pid, SIGCONT);
	EXPECT_EQ(EINTR, end_of(pid));
	EXPECT_EQ(self->s->hung, self->s->interrupted);
}

TEST_F(dev_signals, interrupt_answers)
{
	struct server *v = &self->v;
	struct fuse_out_header h = { .len = 17, .error = 0 };
	char more[32] = { 0 };
	int n;
	pid_t pid;

	ASSERT_EQ(0, server_start_kept(v, ""));
	self->s->hang = FUSE_STATFS;
	self->s->interrupt_says = EAGAIN;
	pid = waiter(v);
	ASSERT_TRUE(soon(self->s->hung));
	kill(pid, SIGUSR1);
	/* Not yet: it is told again. */
	EXPECT_TRUE(soon(self->s->count[FUSE_INTERRUPT] > 3));
	h.unique = self->s->hung | 1;
	memcpy(more, &h, sizeof(h));
	EXPECT_EQ(-1, write(v->fd, more, 17));
	EXPECT_EQ(EINVAL, errno);
	h.unique += 1000;
	h.len = 16;
	EXPECT_EQ(-1, write(v->fd, &h, 16));
	EXPECT_EQ(ENOENT, errno);
	/* Never: nothing is told any more. */
	self->s->interrupt_says = ENOSYS;
	EXPECT_TRUE(soon(self->s->interrupt_said == ENOSYS));
	n = self->s->count[FUSE_INTERRUPT];
	usleep(50000);
	EXPECT_EQ(n, self->s->count[FUSE_INTERRUPT]);
	kill(pid, SIGKILL);
	if (module_is_c())
		server_kill(v), close(v->fd), v->fd = -1;
	end_of(pid);
	if (module_is_c())
		return;
	pid = waiter(v);
	EXPECT_TRUE(waits(pid));
	kill(pid, SIGUSR1);
	EXPECT_TRUE(waits(pid));
	EXPECT_EQ(n, self->s->count[FUSE_INTERRUPT]);
	kill(pid, SIGKILL);
	end_of(pid);
}

/* A server that is restarted, with the device kept open by another, gets again what it has not answered. */
TEST_F(dev_signals, resend)
{
	struct server *v = &self->v;
	struct fuse_in_header h = { 0 };
	pid_t pid;

	self->s->init_flags = FUSE_HAS_RESEND;
	ASSERT_EQ(0, server_start_kept(v, ""));
	self->s->hang = FUSE_STATFS;
	pid = waiter(v);
	ASSERT_TRUE(soon(self->s->hung));
	h.unique = self->s->hung;
	server_kill(v);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0));
	self->s->hung = 0;
	v->pid = fork();
	if (!v->pid)
		serve(v->fd, self->s);
	ASSERT_TRUE(soon(self->s->hung));
	EXPECT_EQ(h.unique | FUSE_UNIQUE_RESEND, self->s->hung);
	/* The old id is not known any more. */
	EXPECT_EQ(-1, answer(v->fd, &h, -EXDEV, NULL, 0));
	EXPECT_EQ(ENOENT, errno);
	h.unique = self->s->hung;
	EXPECT_LT(0, answer(v->fd, &h, -EXDEV, NULL, 0));
	EXPECT_EQ(EXDEV, end_of(pid));
	/* INTERRUPT names the id that the server has. */
	self->s->hung = 0;
	pid = waiter(v);
	ASSERT_TRUE(soon(self->s->hung));
	self->s->hung = 0;
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0));
	ASSERT_TRUE(soon(self->s->hung));
	EXPECT_NE(0, self->s->hung & FUSE_UNIQUE_RESEND);
	self->s->interrupt_ends = true;
	kill(pid, SIGUSR1);
	EXPECT_EQ(EINTR, end_of(pid));
	EXPECT_EQ(self->s->hung, self->s->interrupted);
}

static volatile sig_atomic_t heard;

static void on_io(int sig)
{
	heard++;
}

TEST_F(dev_signals, sigio)
{
	struct sigaction sa = { .sa_handler = on_io };
	struct server *v = &self->v;
	char room[MESSAGE];
	struct statfs sf;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	pid_t pid;

	/* Nothing to hear of before a mount. */
	EXPECT_EQ(-1, fcntl(fd, F_SETFL, O_ASYNC));
	EXPECT_EQ(EPERM, errno);
	close(fd);
	ASSERT_EQ(0, server_mount(v, ""));
	sigaction(SIGIO, &sa, NULL);
	ASSERT_LT(0, read(v->fd, room, sizeof(room)));
	ASSERT_EQ(0, fcntl(v->fd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(v->fd, F_SETFL, O_ASYNC | O_NONBLOCK));
	EXPECT_EQ(0, heard);
	answer(v->fd, (void *)room, -EIO, NULL, 0);
	pid = fork();
	if (!pid)
		_exit(statfs(v->dir, &sf) ? errno : 0);
	/* The session never began, so the caller is refused; the abort is heard. */
	EXPECT_EQ(ECONNREFUSED, end_of(pid));
	umount2(v->dir, MNT_DETACH);
	EXPECT_TRUE(soon(heard > 0));
	fcntl(v->fd, F_SETFL, O_NONBLOCK);
}

#define SPLICED 65536
/* A byte of it that is stored to while the server has it. */
#define STORED (8192 + 7)
/* Header and arguments of a WRITE. */
#define HEAD 80

static struct shared *shared;
/* For requests and for answers. */
static int to[2], from[2];

static ssize_t receive_spliced(int fd, void *in, size_t room)
{
	ssize_t n = splice(fd, NULL, to[1], NULL, BUF, SPLICE_F_MOVE);
	ssize_t first = n < HEAD ? n : HEAD;
	struct fuse_in_header *h = in;
	struct fuse_write_in *w = (void *)(h + 1);
	bool whole;

	if (n <= 0 || read(to[0], in, first) != first || n != h->len)
		_exit(2);
	whole = h->opcode == FUSE_WRITE && w->size == SPLICED;
	/* What it carries stays in the pipe for so long. */
	if (whole && shared->hold_piped) {
		shared->held++;
		while (shared->hold_piped)
			usleep(1000);
	}
	if (read(to[0], in + first, n - first) != n - first)
		_exit(2);
	/* What a later WRITE brings says nothing of this one. */
	if (whole)
		shared->retrieved[0] = ((char *)in)[HEAD + STORED];
	return n;
}

/* The header and the rest apart, so that pages of the rest are whole. */
static ssize_t deliver_spliced(int fd, const void *message, size_t len)
{
	ssize_t head = sizeof(struct fuse_out_header), rest = len - head;

	if (write(from[1], message, head) != head || (rest && write(from[1], message + head, rest) != rest))
		_exit(3);
	return splice(from[0], NULL, fd, NULL, len, SPLICE_F_MOVE);
}

/* Mounts with a server that reads and writes by way of pipes; gives "file". */
static int start_spliced(struct server *v)
{
	shared = v->s;
	v->s->max_write = SPLICED;
	v->s->max_pages = SPLICED / 4096;
	if (server_mount(v, ""))
		return -1;
	v->pid = fork();
	if (!v->pid) {
		if (pipe(to) || pipe(from) || fcntl(to[1], F_SETPIPE_SZ, BUF) < 0 || fcntl(from[1], F_SETPIPE_SZ, BUF) < 0)
			_exit(1);
		receive = receive_spliced;
		deliver = deliver_spliced;
		serve(v->fd, v->s);
	}
	close(v->fd);
	v->fd = -1;
	return open(under(v, "file"), O_RDWR);
}

TEST_F(dev_signals, splice)
{
	static char got[65536], want[65536];
	struct server *v = &self->v;
	int fd = start_spliced(v);

	ASSERT_LE(0, fd);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = i * 3 + (i >> 8);
	ASSERT_EQ(sizeof(want), pwrite(fd, want, sizeof(want), 0));
	EXPECT_EQ(0, memcmp(want, self->s->data, sizeof(want)));
	ASSERT_EQ(sizeof(got), pread(fd, got, sizeof(got), 131072));
	EXPECT_EQ(0, memcmp(got, self->s->data + 131072, sizeof(got)));
	close(fd);
	EXPECT_EQ(FUSE_SPLICE_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE,
		  self->s->offered & (FUSE_SPLICE_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE));
}

static pid_t write_all(int fd, const char *data)
{
	pid_t pid = fork();

	if (!pid)
		_exit(pwrite(fd, data, SPLICED, 0) == SPLICED ? 0 : 1);
	return pid;
}

/* What is written from the page cache goes into the pipe by reference: what is stored in a mapping meanwhile is in it. */
TEST_F(dev_signals, splice_shares)
{
	static char want[SPLICED];
	struct server *v = &self->v;
	int fd = start_spliced(v), status = -1;
	pid_t writer, storer;
	bool stored;
	char *map;

	ASSERT_LE(0, fd);
	map = mmap(NULL, SPLICED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(want, 3, sizeof(want));
	map[8192] = 1;
	self->s->hold_piped = true;
	writer = write_all(fd, want);
	EXPECT_TRUE(soon(self->s->held == 1));
	storer = fork();
	if (!storer) {
		map[STORED] = 9;
		_exit(0);
	}
	stored = within(module_is_c() ? 5 : PATIENCE, waitpid(storer, NULL, WNOHANG) == storer);
	self->s->hold_piped = false;
	if (!stored)
		waitpid(storer, NULL, 0);
	/* With the C module the store waits for the WRITE, and may come after it. */
	EXPECT_TRUE(stored || module_is_c());
	EXPECT_EQ(writer, waitpid(writer, &status, 0));
	EXPECT_EQ(0, status);
	if (stored)
		EXPECT_EQ(9, self->s->retrieved[0]);
	want[STORED] = stored ? 9 : self->s->data[STORED];
	EXPECT_EQ(0, memcmp(want, self->s->data, SPLICED));
	/* A server that is killed with pages in its pipe. */
	self->s->hold_piped = true;
	writer = write_all(fd, want);
	EXPECT_TRUE(soon(self->s->held == 2));
	server_kill(v);
	EXPECT_TRUE(soon(waitpid(writer, &status, WNOHANG) == writer));
	EXPECT_EQ(1, WEXITSTATUS(status));
	munmap(map, SPLICED);
	close(fd);
}

TEST_HARNESS_MAIN
