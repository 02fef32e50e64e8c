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

/* A server that reads and writes by way of a pipe. */
static void serve_spliced(int fd, struct shared *s)
{
	static char in[MESSAGE];
	int to[2], from[2], size;
	struct {
		struct fuse_out_header h;
		union {
			struct fuse_init_out init;
			struct fuse_entry_out entry;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
			struct fuse_write_out write;
		} o;
		char data[65536];
	} static out;

	if (pipe(to) || pipe(from) || fcntl(to[1], F_SETPIPE_SZ, BUF) < 0 || fcntl(from[1], F_SETPIPE_SZ, BUF) < 0)
		_exit(1);
	for (;;) {
		ssize_t n = splice(fd, NULL, to[1], NULL, BUF, SPLICE_F_MOVE);
		struct fuse_in_header *h = (void *)in;
		void *arg = in + sizeof(*h);
		size_t len = 0, first = n < HEAD ? n : HEAD;

		if (n <= 0 || read(to[0], in, first) != (ssize_t)first || n != h->len)
			_exit(2);
		/* What it carries stays in the pipe for so long. */
		if (h->opcode == FUSE_WRITE && ((struct fuse_write_in *)arg)->size == SPLICED) {
			s->held += s->hold == FUSE_WRITE;
			while (s->hold == FUSE_WRITE)
				usleep(1000);
		}
		if (read(to[0], in + first, n - first) != (ssize_t)(n - first))
			_exit(2);
		/* What a later WRITE brings says nothing of this one. */
		if (h->opcode == FUSE_WRITE && ((struct fuse_write_in *)arg)->size == SPLICED)
			s->retrieved[0] = in[HEAD + STORED];
		s->count[h->opcode & 63]++;
		memset(&out, 0, sizeof(out.h) + sizeof(out.o));
		switch (h->opcode) {
		case FUSE_INIT:
			out.o.init = (struct fuse_init_out){ .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
				.max_write = 65536, .max_pages = 16, .flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES,
				.max_readahead = ((struct fuse_init_in *)arg)->max_readahead };
			s->init_flags = ((struct fuse_init_in *)arg)->flags;
			len = sizeof(out.o.init);
			break;
		case FUSE_LOOKUP:
			out.o.entry = (struct fuse_entry_out){ .nodeid = NODE_FILE, .entry_valid = 60, .attr_valid = 60 };
			fill_attr(s, NODE_FILE, &out.o.entry.attr);
			len = sizeof(out.o.entry);
			break;
		case FUSE_GETATTR:
			fill_attr(s, h->nodeid, &out.o.attr.attr);
			len = sizeof(out.o.attr);
			break;
		case FUSE_OPEN:
			len = sizeof(out.o.open);
			break;
		case FUSE_WRITE: {
			struct fuse_write_in *w = arg;

			memcpy(s->data + w->offset, w + 1, w->size);
			out.o.write.size = w->size;
			len = sizeof(out.o.write);
			break;
		}
		case FUSE_READ: {
			struct fuse_read_in *r = arg;

			len = r->size;
			memcpy(&out.o, s->data + r->offset, len);
			break;
		}
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
			continue;
		case FUSE_RELEASE:
		case FUSE_FLUSH:
			break;
		default:
			out.h.error = -ENOSYS;
		}
		out.h.len = sizeof(out.h) + len;
		out.h.unique = h->unique;
		/* The header and the rest apart, so that pages of the rest are whole. */
		if (write(from[1], &out.h, sizeof(out.h)) != sizeof(out.h) || (len && write(from[1], &out.o, len) != (ssize_t)len))
			_exit(3);
		if (splice(from[0], NULL, fd, NULL, out.h.len, SPLICE_F_MOVE) != (ssize_t)out.h.len)
			_exit(4);
	}
}

TEST_F(dev_signals, splice)
{
	static char got[65536], want[65536];
	struct server *v = &self->v;
	int fd;

	ASSERT_EQ(0, server_mount(v, ""));
	v->pid = fork();
	if (!v->pid)
		serve_spliced(v->fd, self->s);
	close(v->fd);
	v->fd = -1;
	fd = open(under(v, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = i * 3 + (i >> 8);
	ASSERT_EQ(sizeof(want), pwrite(fd, want, sizeof(want), 0));
	EXPECT_EQ(0, memcmp(want, self->s->data, sizeof(want)));
	ASSERT_EQ(sizeof(got), pread(fd, got, sizeof(got), 131072));
	EXPECT_EQ(0, memcmp(got, self->s->data + 131072, sizeof(got)));
	close(fd);
	EXPECT_EQ(FUSE_SPLICE_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE,
		  self->s->init_flags & (FUSE_SPLICE_READ | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE));
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
	int fd, status = -1;
	pid_t writer, storer;
	bool stored;
	char *map;

	ASSERT_EQ(0, server_mount(v, ""));
	v->pid = fork();
	if (!v->pid)
		serve_spliced(v->fd, self->s);
	close(v->fd);
	v->fd = -1;
	fd = open(under(v, "file"), O_RDWR);
	ASSERT_LE(0, fd);
	map = mmap(NULL, SPLICED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	memset(want, 3, sizeof(want));
	map[8192] = 1;
	self->s->hold = FUSE_WRITE;
	writer = write_all(fd, want);
	EXPECT_TRUE(soon(self->s->held == 1));
	storer = fork();
	if (!storer) {
		map[STORED] = 9;
		_exit(0);
	}
	stored = within(module_is_c() ? 5 : PATIENCE, waitpid(storer, NULL, WNOHANG) == storer);
	self->s->hold = 0;
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
	self->s->hold = FUSE_WRITE;
	writer = write_all(fd, want);
	EXPECT_TRUE(soon(self->s->held == 2));
	server_kill(v);
	EXPECT_TRUE(soon(waitpid(writer, &status, WNOHANG) == writer));
	EXPECT_EQ(1, WEXITSTATUS(status));
	munmap(map, SPLICED);
	close(fd);
}

TEST_HARNESS_MAIN
