// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of libaio that the server does not answer, given up by a process that lives on: io_destroy(2) and io_cancel(2). The C
 * module lets no call be cancelled: io_cancel(2) gives EINVAL, and io_destroy(2) waits, past SIGKILL, until the session ends.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "server.h"

#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <time.h>

#define LEN 4096
#define OURS 0x5a
/* So long a process that should wait is looked at. */
#define A_WHILE 1000000

enum how { DESTROY, CANCEL };

/* What the process that makes the calls says, and is told. */
struct caller {
	volatile int opened, submitted, result, events, res, checked, foreign;
	volatile bool word;
};

FIXTURE(cancel) {
	struct server v;
	struct shared *s;
	struct caller *c;
};

FIXTURE_SETUP(cancel)
{
	server_init(&self->v);
	self->s = self->v.s;
	self->s->init_flags = FUSE_ASYNC_DIO;
	self->c = mmap(NULL, sizeof(*self->c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_TEARDOWN(cancel)
{
	server_end(&self->v);
	munmap(self->c, sizeof(*self->c));
}

static void wait_for_word(struct caller *c)
{
	while (!c->word)
		usleep(1000);
	c->word = false;
}

static void go_on(struct caller *c)
{
	c->word = true;
}

static int events(aio_context_t ctx, struct io_event *e)
{
	struct timespec most = { .tv_sec = PATIENCE };

	return syscall(SYS_io_getevents, ctx, 1, 1, e, &most);
}

/* Opens the file, makes calls, gives up the last or all, and looks at its memory: each step when it is told to. */
static pid_t call(struct server *v, struct caller *c, int op, int calls, enum how how)
{
	pid_t pid = fork();

	if (!pid) {
		char *mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int fd = open(under(v, "file"), O_RDWR | O_DIRECT);
		struct iocb cb[4] = { 0 }, *list[4];
		struct io_event e = { 0 };
		aio_context_t ctx = 0;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (v->fd >= 0)
			close(v->fd);
		memset(mem, OURS, LEN);
		for (int i = 0; i < calls; i++) {
			cb[i] = (struct iocb){ .aio_lio_opcode = op, .aio_fildes = fd, .aio_nbytes = LEN, .aio_buf = (uintptr_t)mem };
			list[i] = &cb[i];
		}
		c->opened = 1;
		wait_for_word(c);
		if (fd < 0 || syscall(SYS_io_setup, 4, &ctx) || syscall(SYS_io_submit, ctx, calls, list) != calls)
			_exit(100);
		c->submitted = 1;
		wait_for_word(c);
		if (how == DESTROY) {
			c->result = syscall(SYS_io_destroy, ctx) ? errno : 1000;
		} else {
			c->result = syscall(SYS_io_cancel, ctx, list[calls - 1], &e) ? errno : 1000;
			if (c->result == EINPROGRESS) {
				c->events = events(ctx, &e);
				c->res = e.res;
			}
		}
		/* Now the memory is for something else. */
		memset(mem, OURS, LEN);
		c->checked = 1;
		wait_for_word(c);
		for (int i = 0; i < LEN; i++)
			c->foreign += mem[i] != OURS;
		c->checked = 2;
		/* The other calls end with it. */
		_exit(0);
	}
	return pid;
}

/* What differs with C: nothing ends before the session does. */
static void waits_with_c(struct __test_metadata *_metadata, struct server *v, struct caller *c, pid_t pid, enum how how)
{
	if (how == CANCEL) {
		EXPECT_TRUE(soon(c->checked == 1));
		EXPECT_EQ(EINVAL, c->result);
	} else {
		usleep(A_WHILE);
		EXPECT_EQ(0, c->checked);
	}
	kill(pid, SIGKILL);
	usleep(A_WHILE);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	server_kill(v);
	close(v->fd);
	v->fd = -1;
	EXPECT_LE(0, end_of(pid));
}

/* A call is made that the server reads and does not answer, and then given up. */
static pid_t give_up(struct __test_metadata *_metadata, FIXTURE_DATA(cancel) *self, int op, uint32_t opcode, enum how how)
{
	pid_t pid;

	ASSERT_EQ(0, server_start_kept(&self->v, ""));
	self->s->hang = opcode;
	pid = call(&self->v, self->c, op, 1, how);
	ASSERT_TRUE(soon(self->c->opened));
	go_on(self->c);
	ASSERT_TRUE(soon(self->c->submitted && self->s->hung));
	go_on(self->c);
	return pid;
}

static void at_server(struct __test_metadata *_metadata, FIXTURE_DATA(cancel) *self, int op, uint32_t opcode, enum how how)
{
	struct server *v = &self->v;
	struct fuse_in_header h = { 0 };
	struct fuse_write_out w = { .size = LEN };
	struct caller *c = self->c;
	pid_t pid = give_up(_metadata, self, op, opcode, how);
	struct statfs sf;
	int n;

	if (module_is_c())
		return waits_with_c(_metadata, v, c, pid, how);
	EXPECT_TRUE(soon(c->checked == 1));
	if (how == DESTROY) {
		EXPECT_EQ(1000, c->result);
	} else {
		EXPECT_EQ(EINPROGRESS, c->result);
		EXPECT_EQ(1, c->events);
		EXPECT_EQ(-ECANCELED, c->res);
	}
	EXPECT_TRUE(soon(self->s->interrupted));
	EXPECT_EQ(self->s->hung, self->s->interrupted);
	/* The late answer is taken, and reaches nobody; then its id is not known any more. */
	h.unique = self->s->hung;
	n = opcode == FUSE_READ ? LEN : sizeof(w);
	EXPECT_EQ(16 + n, answer(v->fd, &h, 0, opcode == FUSE_READ ? (void *)self->s->data : &w, n));
	EXPECT_EQ(-1, answer(v->fd, &h, -EIO, NULL, 0));
	EXPECT_EQ(ENOENT, errno);
	go_on(c);
	EXPECT_TRUE(soon(c->checked == 2));
	EXPECT_EQ(0, c->foreign);
	EXPECT_EQ(0, end_of(pid));
	EXPECT_EQ(0, statfs(v->dir, &sf));
}

TEST_F(cancel, destroy_read)
{
	at_server(_metadata, self, IOCB_CMD_PREAD, FUSE_READ, DESTROY);
}

TEST_F(cancel, destroy_write)
{
	at_server(_metadata, self, IOCB_CMD_PWRITE, FUSE_WRITE, DESTROY);
}

TEST_F(cancel, cancel_read)
{
	at_server(_metadata, self, IOCB_CMD_PREAD, FUSE_READ, CANCEL);
}

TEST_F(cancel, cancel_write)
{
	at_server(_metadata, self, IOCB_CMD_PWRITE, FUSE_WRITE, CANCEL);
}

/* A call that the server has not read is never seen by it. */
TEST_F(cancel, unread)
{
	struct server *v = &self->v;
	struct caller *c = self->c;
	struct statfs sf;
	pid_t pid;

	ASSERT_EQ(0, server_start_kept(v, ""));
	pid = call(v, c, IOCB_CMD_PREAD, 1, DESTROY);
	ASSERT_TRUE(soon(c->opened));
	server_stop(v);
	go_on(c);
	ASSERT_TRUE(soon(c->submitted));
	go_on(c);
	if (module_is_c())
		return waits_with_c(_metadata, v, c, pid, DESTROY);
	EXPECT_TRUE(soon(c->checked == 1));
	EXPECT_EQ(1000, c->result);
	kill(v->pid, SIGCONT);
	go_on(c);
	EXPECT_EQ(0, end_of(pid));
	EXPECT_EQ(0, c->foreign);
	EXPECT_EQ(0, statfs(v->dir, &sf));
	EXPECT_EQ(0, self->s->count[FUSE_READ]);
	EXPECT_EQ(0, self->s->count[FUSE_INTERRUPT]);
}

/* One that waits for its turn to be sent ends by itself; the one before it is the server's as before. */
TEST_F(cancel, in_line)
{
	struct server *v = &self->v;
	struct fuse_in_header h = { 0 };
	struct caller *c = self->c;
	struct statfs sf;
	pid_t pid;

	self->s->max_background = 1;
	ASSERT_EQ(0, server_start_kept(v, ""));
	self->s->hang = FUSE_READ;
	pid = call(v, c, IOCB_CMD_PREAD, 2, CANCEL);
	ASSERT_TRUE(soon(c->opened));
	go_on(c);
	ASSERT_TRUE(soon(self->s->hung));
	if (module_is_c()) {
		/* There the line is in io_submit(2). */
		usleep(A_WHILE);
		EXPECT_EQ(0, c->submitted);
		server_kill(v);
		close(v->fd);
		v->fd = -1;
		kill(pid, SIGKILL);
		EXPECT_LE(0, end_of(pid));
		return;
	}
	ASSERT_TRUE(soon(c->submitted));
	go_on(c);
	EXPECT_TRUE(soon(c->checked == 1));
	EXPECT_EQ(EINPROGRESS, c->result);
	EXPECT_EQ(1, c->events);
	EXPECT_EQ(-ECANCELED, c->res);
	EXPECT_EQ(0, statfs(v->dir, &sf));
	EXPECT_EQ(1, self->s->count[FUSE_READ]);
	EXPECT_EQ(0, self->s->count[FUSE_INTERRUPT]);
	/* The other one is answered, into the memory of the call. */
	h.unique = self->s->hung;
	EXPECT_EQ(16 + LEN, answer(v->fd, &h, 0, self->s->data, LEN));
	go_on(c);
	EXPECT_TRUE(soon(c->checked == 2));
	EXPECT_LT(0, c->foreign);
	EXPECT_EQ(0, end_of(pid));
	EXPECT_EQ(1, self->s->count[FUSE_READ]);
}

/* A server that is restarted is not asked again for what nobody wants. */
TEST_F(cancel, not_resent)
{
	struct server *v = &self->v;
	struct caller *c = self->c;
	struct statfs sf;
	pid_t pid;

	if (module_is_c())
		SKIP(return, "with C there is no call that nobody wants");
	self->s->init_flags |= FUSE_HAS_RESEND;
	pid = give_up(_metadata, self, IOCB_CMD_PREAD, FUSE_READ, DESTROY);
	EXPECT_TRUE(soon(c->checked == 1));
	EXPECT_EQ(0, notify(v, FUSE_NOTIFY_RESEND, NULL, 0, NULL, 0));
	EXPECT_EQ(0, statfs(v->dir, &sf));
	EXPECT_EQ(1, self->s->count[FUSE_READ]);
	go_on(c);
	EXPECT_EQ(0, end_of(pid));
	EXPECT_EQ(0, c->foreign);
}

TEST_HARNESS_MAIN
