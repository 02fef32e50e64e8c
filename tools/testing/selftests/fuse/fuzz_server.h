/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A server that lies: what it does wrong with the proper answer to a request follows from the seed, the session and the
 * request's number alone.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include "fuzz_answer.h"

/*
 * Puts a message into the pipe: as it is, in pages that can be moved, or as memory that is given away. What does not fit is left
 * out, and the message cut short.
 */
static bool fill_pipe(struct thread *t, const struct message *m, size_t len)
{
	size_t head = len < sizeof(m->h) ? len : sizeof(m->h), body = len - head, whole = body & ~4095UL;
	struct iovec v[] = { { (void *)&m->h, head }, { (void *)m->body, body } };

	switch (rnd(&t->r) % 3) {
	case 0:
		return write(t->pipe[1], m, len) == (ssize_t)len;
	case 1:
		return vmsplice(t->pipe[1], v, 2, SPLICE_F_GIFT | SPLICE_F_NONBLOCK) > 0;
	}
	return write(t->pipe[1], m, head) == (ssize_t)head && (!whole || write(t->pipe[1], m->body, whole) > 0) &&
	       (body == whole || write(t->pipe[1], m->body + whole, body - whole) > 0);
}

/* So much of a message is sent, almost always all. */
static size_t cut_off(struct thread *t, size_t len)
{
	return once_in(&t->r, 40) ? rnd(&t->r) % (len + 1) : len;
}

/* Hands a message over: what became of it is counted, and nothing else. */
static void put(struct thread *t, struct message *m, size_t len)
{
	if (t->f->silent)
		return;
	t->f->replies++;
	if (t->habits->splices && once_in(&t->r, 3)) {
		ssize_t sent = -1;

		if (fill_pipe(t, m, len))
			sent = splice(t->pipe[0], NULL, t->fd, NULL, cut_off(t, len), once_in(&t->r, 6) ? 0 : SPLICE_F_MOVE);
		if (sent == (ssize_t)len) {
			/* Memory that was given is still there, and may not be what a page cache has. */
			if (len > sizeof(m->h) && once_in(&t->r, 3))
				memset(m->body, 0x99, len - sizeof(m->h));
			return;
		}
		t->f->refused++;
		while (read(t->pipe[0], t->in, sizeof(t->in)) > 0)
			;
	}
	if (write(t->fd, m, len) < 0)
		t->f->refused++;
}

/* Reads a request, or some of them by way of a pipe. */
static ssize_t get(struct thread *t, struct rng *r, void *to, size_t room)
{
	ssize_t got;

	if (!t->habits->splices || to != t->in || !once_in(r, 4))
		return read(t->fd, to, room);
	got = splice(t->fd, NULL, t->pipe[1], NULL, room, 0);
	return got > 0 ? read(t->pipe[0], to, got) : got;
}

static void put_held(struct thread *t, bool all)
{
	for (int i = 0; i < HELD; i++) {
		struct held *h = &t->held[i];

		if (h->m && (all || h->when <= now())) {
			put(t, h->m, h->len);
			munmap(h->m, sizeof(*h->m));
			h->m = NULL;
		}
	}
}

static bool hold(struct thread *t, size_t len, double wait)
{
	for (int i = 0; i < HELD; i++) {
		struct held *h = &t->held[i];

		if (h->m)
			continue;
		h->m = mmap(NULL, sizeof(*h->m), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (h->m == MAP_FAILED)
			break;
		memcpy(h->m, &t->out, len);
		h->len = len;
		h->when = now() + wait;
		return true;
	}
	return false;
}

/* Random bytes and numbers at random places of the body. */
static void scramble(struct thread *t, size_t len, bool numbers)
{
	for (int i = below(&t->r, 4); i >= 0 && len; i--) {
		size_t at = below(&t->r, len < 400 ? len : 400);
		uint64_t n = odd_number(&t->r);

		if (!numbers)
			t->out.body[at] ^= 1 << below(&t->r, 8);
		else if (once_in(&t->r, 2) && (at & ~7ul) + 8 <= len)
			memcpy(t->out.body + (at & ~7ul), &n, 8);
		else if ((at & ~3ul) + 4 <= len)
			memcpy(t->out.body + (at & ~3ul), &n, 4);
	}
}

/* Answers, with a mistake. Where the client must have noticed, it gets the proper answer in the end. */
static void bend(struct thread *t, int len)
{
	struct message *m = &t->out;
	enum mistake kind = below(&t->r, MISTAKES);
	size_t n = sizeof(m->h) + len, more;
	struct iovec v[3];
	bool again = false;

	if (kind == MISSING && !once_in(&t->r, 4))
		kind = LATE;
	t->f->bent++;
	t->f->mistakes[kind]++;
	switch (kind) {
	case BITS:
	case NUMBER:
		scramble(t, len, kind == NUMBER);
		break;
	case CUT:
		n = sizeof(m->h) + (len ? below(&t->r, len) : 0);
		break;
	case LONGER:
		more = once_in(&t->r, 2) ? 1 + below(&t->r, 16) : below(&t->r, 70000);
		memset(m->body + len, 0x5a, more);
		n += more;
		break;
	case LENGTH:
		m->h.len = once_in(&t->r, 2) ? n + 1 : odd_number(&t->r);
		put(t, m, n);
		again = true;
		break;
	case ERRNO:
		m->h.error = -(int)(1 + below(&t->r, 511));
		n = sizeof(m->h);
		break;
	case NO_ERRNO:
		m->h.error = once_in(&t->r, 2) ? -512 - (int)below(&t->r, 5000) : (int)odd_number(&t->r) | 1;
		m->h.len = n;
		put(t, m, n);
		again = true;
		break;
	case OTHER:
		m->h.unique = once_in(&t->r, 2) ? t->last[below(&t->r, 4)] : odd_number(&t->r);
		m->h.len = n;
		put(t, m, n);
		again = true;
		break;
	case TWICE:
		m->h.len = n;
		put(t, m, n);
		break;
	case LATE:
		m->h.len = n;
		if (hold(t, n, below(&t->r, 200) / 1000.))
			return;
		break;
	case MISSING:
		m->h.len = n;
		if (t->habits->miss && hold(t, n, 1e9)) {
			t->f->missing++;
			return;
		}
		break;
	case BODY:
		for (size_t i = 0; i < (size_t)len && i < 4096; i += 8) {
			uint64_t x = odd_number(&t->r);

			memcpy(m->body + i, &x, 8);
		}
		break;
	case PIECES:
		m->h.len = n;
		more = below(&t->r, n);
		v[0] = (struct iovec){ m, more };
		v[1] = (struct iovec){ (char *)m + more, 0 };
		v[2] = (struct iovec){ (char *)m + more, n - more };
		t->f->replies++;
		if (!t->f->silent && writev(t->fd, v, 3) < 0)
			t->f->refused++;
		return;
	case FAULT:
		m->h.len = n;
		v[0] = (struct iovec){ m, sizeof(m->h) };
		v[1] = (struct iovec){ (void *)4096, len ? len : 8 };
		if (!len)
			m->h.len += 8;
		t->f->replies++;
		if (!t->f->silent && writev(t->fd, v, 2) < 0)
			t->f->refused++;
		again = true;
		break;
	case EMPTY:
		put(t, m, below(&t->r, sizeof(m->h)));
		again = true;
		break;
	default:
		break;
	}
	if (again)
		n = sizeof(m->h) + len;
	if (again || kind == OTHER)
		m->h.unique = t->last[0];
	if (kind == LENGTH || kind == NO_ERRNO || kind == FAULT)
		m->h.error = 0;
	m->h.len = n;
	put(t, m, n);
}

static void fuzz_serve_one(struct thread *t, size_t got)
{
	struct fuse_in_header *in = (void *)t->in;
	int len;

	if (got < sizeof(*in))
		return;
	t->f->seen[in->opcode % OPCODES]++;
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_NOTIFY_REPLY)
		return;
	t->r = rng_of(t->f->seed, t->f->session, in->unique);
	memmove(t->last + 1, t->last, sizeof(t->last) - sizeof(*t->last));
	t->last[0] = in->unique;
	t->opcode = in->opcode;
	if (in->opcode == FUSE_INTERRUPT && once_in(&t->r, 2))
		return;
	len = fuzz_answer(t, in, t->out.body);
	t->out.h = (struct fuse_out_header){ .unique = in->unique, .error = len < 0 ? len : 0 };
	if (len < 0)
		len = 0;
	t->out.h.len = sizeof(t->out.h) + len;
	if (!t->f->straight && once_in(&t->r, t->habits->bend))
		bend(t, len);
	else
		put(t, &t->out, t->out.h.len);
}

/* Reads and answers until the session is over. */
static void *fuzz_serve(void *arg)
{
	struct thread *t = arg;
	struct rng r = rng_of(t->f->seed, t->f->session, 1000 + t->number);

	for (;;) {
		struct pollfd p = { .fd = t->fd, .events = POLLIN };
		size_t room = sizeof(t->in);
		char *to = t->in;
		ssize_t got;

		put_held(t, t->f->straight);
		/* Now and then a read that cannot work. */
		if (!t->f->straight && once_in(&r, 200))
			room = below(&r, 8192);
		if (!t->f->straight && once_in(&r, 400))
			to = (char *)4096;
		if (t->habits->slow && once_in(&r, 10))
			usleep(below(&r, 20000));
		if (poll(&p, 1, 20) > 0 && p.revents & POLLERR)
			break;
		if (!(p.revents & POLLIN) && !(t->habits->nonblock && once_in(&r, 20)))
			continue;
		got = get(t, &r, to, room);
		if (got < 0 && errno == ENODEV)
			break;
		if (got > 0 && to == t->in)
			fuzz_serve_one(t, got);
	}
	return NULL;
}

#endif
