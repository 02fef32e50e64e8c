/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A server that lies. fuzz_answer() makes the proper answer to a request, of a file system that is made up from names; what
 * is then done wrong with it follows from the seed, the session and the request's number alone.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include "fuzz.h"
#include <dirent.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define ROOM (512 << 10)
#define HELD 16
#define MAX_WRITE (128 << 10)

/* How the server of a session is. */
struct habits {
	uint32_t bend;			/* once in so many answers something is wrong; 0: never */
	uint32_t miss;			/* once in so many there is none */
	uint64_t init_flags;
	uint32_t minor, ttl, open_flags;
	uint64_t absent;		/* opcodes that it does not know, a bit each */
	bool slow;
	bool nonblock;
};

struct message {
	struct fuse_out_header h;
	char body[ROOM];
};

/* An answer that comes later. */
struct held {
	struct message *m;
	size_t len;
	double when;
};

struct thread {
	struct fuzz *f;
	const struct habits *habits;
	int fd, number;
	struct rng r;
	struct held held[HELD];
	uint64_t last[4];		/* requests of late, answered or not */
	uint32_t opcode;		/* of the last */
	char in[ROOM];
	struct message out;
};

/* Mistakes, in the order of fuzz.c's names for them. */
enum mistake {
	BITS, NUMBER, CUT, LONGER, LENGTH, ERRNO, NO_ERRNO, OTHER, TWICE, LATE, MISSING, BODY, PIECES, FAULT, EMPTY, MISTAKES
};

/* The last four bits of a node say what it is. */
enum kind { FOLDER = 1, REGULAR, LINK, FIFO, CHR };

static enum kind kind_of(uint64_t node)
{
	return node == FUSE_ROOT_ID ? FOLDER : node & 15;
}

static uint64_t node_of(uint64_t parent, const char *name)
{
	enum kind k = name[0] == 'd' ? FOLDER : name[0] == 'l' ? LINK : name[0] == 'p' ? FIFO : name[0] == 'c' ? CHR : REGULAR;
	uint64_t n = (parent & 0xfff0) * 37 + (unsigned char)name[0] * 7 + (name[0] ? (unsigned char)name[1] : 0);

	return (n % 4000 + 1) << 4 | k;
}

static void attr_of(struct thread *t, uint64_t node, struct fuse_attr *a)
{
	static const mode_t modes[] = { S_IFREG, S_IFDIR, S_IFREG, S_IFLNK, S_IFIFO, S_IFCHR };
	enum kind k = kind_of(node);

	memset(a, 0, sizeof(*a));
	a->ino = node;
	a->mode = modes[k <= CHR ? k : 0] | 0755;
	a->nlink = k == FOLDER ? 2 : 1;
	a->size = k == REGULAR ? (node >> 4) * 4001 % 300000 : k == LINK ? 2 : 0;
	a->blocks = a->size / 512;
	a->blksize = 4096;
	a->mtime = a->ctime = 1000 + t->f->replies / 500;
}

static void entry_of(struct thread *t, uint64_t parent, const char *name, struct fuse_entry_out *e)
{
	memset(e, 0, sizeof(*e));
	e->nodeid = node_of(parent, name);
	e->generation = 1;
	e->entry_valid = e->attr_valid = t->habits->ttl;
	attr_of(t, e->nodeid, &e->attr);
}

static size_t list(struct thread *t, const struct fuse_in_header *in, const struct fuse_read_in *rd, char *out)
{
	size_t head = in->opcode == FUSE_READDIRPLUS ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET, len = 0;

	for (uint64_t i = rd->offset; i < 24; i++) {
		size_t size = FUSE_DIRENT_ALIGN(head + 2);
		struct fuse_dirent *d = (void *)(out + len + head - FUSE_NAME_OFFSET);
		char name[3] = { "ffffddlp"[i % 8], '0' + i % 6, 0 };

		if (len + size > rd->size || len + size > ROOM / 2)
			break;
		memset(out + len, 0, size);
		if (head != FUSE_NAME_OFFSET)
			entry_of(t, in->nodeid, name, (void *)(out + len));
		*d = (struct fuse_dirent){ .ino = node_of(in->nodeid, name), .off = i + 1, .namelen = 2 };
		d->type = (unsigned char[]){ DT_REG, DT_DIR, DT_REG, DT_LNK, DT_FIFO, DT_CHR }[kind_of(d->ino)];
		memcpy(d->name, name, 2);
		len += size;
	}
	return len;
}

/* The proper answer: the length of its body, or an errno. */
static int fuzz_answer(struct thread *t, const struct fuse_in_header *in, char *out)
{
	const struct habits *habits = t->habits;
	const char *arg = t->in + sizeof(*in);
	const struct fuse_read_in *rd = (const void *)arg;
	struct fuse_init_out *init = (void *)out;
	struct fuse_entry_out *entry = (void *)out;
	struct fuse_open_out *open = (void *)out;
	struct fuse_attr_out *attr = (void *)out;
	struct fuse_statx_out *sx = (void *)out;
	struct fuse_attr a;
	const char *name = NULL;

	memset(out, 0, 256);
	if (in->opcode < 64 && habits->absent >> in->opcode & 1)
		return -ENOSYS;
	switch (in->opcode) {
	case FUSE_INIT:
		init->major = FUSE_KERNEL_VERSION;
		init->minor = habits->minor;
		init->max_readahead = 128 << 10;
		init->max_write = MAX_WRITE;
		init->max_pages = MAX_WRITE / 4096;
		init->max_background = 12;
		init->congestion_threshold = 9;
		init->time_gran = 1;
		init->flags = habits->init_flags | FUSE_INIT_EXT;
		init->flags2 = habits->init_flags >> 32;
		init->max_stack_depth = 1;
		return habits->minor < 5 ? FUSE_COMPAT_INIT_OUT_SIZE : habits->minor < 23 ? FUSE_COMPAT_22_INIT_OUT_SIZE :
		       (int)sizeof(*init);
	case FUSE_LOOKUP:
		if (arg[0] == 'x' || (arg[0] && arg[1] == '5' && once_in(&t->r, 2)))
			return -ENOENT;
		name = arg;
		break;
	case FUSE_MKNOD:
		name = arg + sizeof(struct fuse_mknod_in);
		break;
	case FUSE_MKDIR:
		name = arg + sizeof(struct fuse_mkdir_in);
		break;
	case FUSE_LINK:
		name = arg + sizeof(struct fuse_link_in);
		break;
	case FUSE_SYMLINK:
		name = arg;
		break;
	case FUSE_CREATE:
		entry_of(t, in->nodeid, arg + sizeof(struct fuse_create_in), entry);
		open = (void *)(entry + 1);
		open->fh = in->unique;
		open->open_flags = habits->open_flags;
		return sizeof(*entry) + sizeof(*open);
	case FUSE_TMPFILE:
		entry_of(t, in->unique, "f", entry);
		((struct fuse_open_out *)(entry + 1))->fh = in->unique;
		return sizeof(*entry) + sizeof(*open);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		attr->attr_valid = habits->ttl;
		attr_of(t, in->nodeid, &attr->attr);
		if (in->opcode == FUSE_SETATTR && ((struct fuse_setattr_in *)arg)->valid & FATTR_SIZE)
			attr->attr.size = ((struct fuse_setattr_in *)arg)->size;
		return sizeof(*attr);
	case FUSE_STATX:
		attr_of(t, in->nodeid, &a);
		sx->stat = (struct fuse_statx){
			.mask = 0x7ff | 0x800, .blksize = 4096, .nlink = a.nlink, .mode = a.mode, .ino = a.ino, .size = a.size,
			.blocks = a.blocks,
		};
		return sizeof(*sx);
	case FUSE_READLINK:
		memcpy(out, "f1", 2);
		return 2;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		open->fh = in->unique;
		open->open_flags = in->opcode == FUSE_OPEN ? habits->open_flags : in->unique & (FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
		return sizeof(*open);
	case FUSE_READ:
		attr_of(t, in->nodeid, &a);
		if (rd->offset >= a.size)
			return 0;
		memset(out, in->nodeid, rd->size < a.size - rd->offset ? rd->size : a.size - rd->offset);
		return rd->size < a.size - rd->offset ? rd->size : a.size - rd->offset;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return list(t, in, rd, out);
	case FUSE_WRITE:
		((struct fuse_write_out *)out)->size = ((struct fuse_write_in *)arg)->size;
		return sizeof(struct fuse_write_out);
	case FUSE_COPY_FILE_RANGE:
		((struct fuse_write_out *)out)->size = ((struct fuse_copy_file_range_in *)arg)->len;
		return sizeof(struct fuse_write_out);
	case FUSE_COPY_FILE_RANGE_64:
		((struct fuse_copy_file_range_out *)out)->bytes_copied = ((struct fuse_copy_file_range_in *)arg)->len;
		return sizeof(struct fuse_copy_file_range_out);
	case FUSE_STATFS:
		((struct fuse_statfs_out *)out)->st = (struct fuse_kstatfs){ .blocks = 1000, .bfree = 900, .bsize = 4096, .namelen = 255 };
		return sizeof(struct fuse_statfs_out);
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR: {
		uint32_t size = ((struct fuse_getxattr_in *)arg)->size;

		if (size && size < 14)
			return -ERANGE;
		memcpy(out, size ? "user.a\0user.b\0" : "\16\0\0\0\0\0\0\0", size ? 14 : 8);
		return size ? 14 : 8;
	}
	case FUSE_GETLK:
		memcpy(out, arg + offsetof(struct fuse_lk_in, lk), sizeof(struct fuse_lk_out));
		((struct fuse_lk_out *)out)->lk.type = F_UNLCK;
		return sizeof(struct fuse_lk_out);
	case FUSE_LSEEK:
		((struct fuse_lseek_out *)out)->offset = ((struct fuse_lseek_in *)arg)->offset;
		return sizeof(struct fuse_lseek_out);
	case FUSE_POLL:
		((struct fuse_poll_out *)out)->revents = POLLIN;
		return sizeof(struct fuse_poll_out);
	case FUSE_BMAP:
		return sizeof(struct fuse_bmap_out);
	case FUSE_IOCTL: {
		uint32_t size = ((struct fuse_ioctl_in *)arg)->out_size;

		return sizeof(struct fuse_ioctl_out) + (size < 65536 ? size : 0);
	}
	default:
		return 0;
	}
	entry_of(t, in->nodeid, name, entry);
	return sizeof(*entry);
}

/* Hands a message over: what became of it is counted, and nothing else. */
static void put(struct thread *t, struct message *m, size_t len)
{
	if (t->f->silent)
		return;
	t->f->replies++;
	if (write(t->fd, m, len) < 0)
		t->f->refused++;
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

	/* Who waits for a page that is read or written for ever cannot be killed, nor can who gives its inode up. */
	if (kind == MISSING && (!once_in(&t->r, 4) || t->opcode == FUSE_READ || t->opcode == FUSE_WRITE))
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
		got = read(t->fd, to, room);
		if (got < 0 && errno == ENODEV)
			break;
		if (got > 0 && to == t->in)
			fuzz_serve_one(t, got);
	}
	return NULL;
}

/* Sends what the client did not ask for. A notification may wait for an answer, so this has a thread of its own. */
static void *fuzz_notify(void *arg)
{
	struct thread *t = arg;

	t->r = rng_of(t->f->seed, t->f->session, 77);
	while (!t->f->straight && !t->f->silent) {
		int code = once_in(&t->r, 20) ? (int)below(&t->r, 40) : 1 + (int)below(&t->r, FUSE_NOTIFY_PRUNE);
		char name[3] = { "ffdlx"[below(&t->r, 5)], '0' + below(&t->r, 6), 0 };
		uint64_t parent = once_in(&t->r, 2) ? FUSE_ROOT_ID : node_of(FUSE_ROOT_ID, name);
		char *b = t->out.body;
		size_t len = 0;

		memset(b, 0, 256);
		switch (code) {
		case FUSE_NOTIFY_INVAL_INODE:
			*(struct fuse_notify_inval_inode_out *)b = (struct fuse_notify_inval_inode_out){
				.ino = node_of(parent, name), .off = once_in(&t->r, 3) ? -1 : 0, .len = 0 };
			len = sizeof(struct fuse_notify_inval_inode_out);
			break;
		case FUSE_NOTIFY_INVAL_ENTRY:
			*(struct fuse_notify_inval_entry_out *)b = (struct fuse_notify_inval_entry_out){
				.parent = parent, .namelen = 2, .flags = below(&t->r, 2) };
			len = sizeof(struct fuse_notify_inval_entry_out);
			memcpy(b + len, name, 3);
			len += 3;
			break;
		case FUSE_NOTIFY_DELETE:
			*(struct fuse_notify_delete_out *)b = (struct fuse_notify_delete_out){
				.parent = parent, .child = node_of(parent, name), .namelen = 2 };
			len = sizeof(struct fuse_notify_delete_out);
			memcpy(b + len, name, 3);
			len += 3;
			break;
		case FUSE_NOTIFY_STORE:
			*(struct fuse_notify_store_out *)b = (struct fuse_notify_store_out){
				.nodeid = node_of(parent, name), .offset = below(&t->r, 100) * 1000, .size = below(&t->r, 60000) };
			len = sizeof(struct fuse_notify_store_out) + ((struct fuse_notify_store_out *)b)->size;
			break;
		case FUSE_NOTIFY_RETRIEVE:
			*(struct fuse_notify_retrieve_out *)b = (struct fuse_notify_retrieve_out){ .notify_unique = rnd(&t->r),
				.nodeid = node_of(parent, name), .offset = below(&t->r, 100) * 1000, .size = below(&t->r, 60000) };
			len = sizeof(struct fuse_notify_retrieve_out);
			break;
		case FUSE_NOTIFY_PRUNE:
			len = sizeof(struct fuse_notify_prune_out) + 8 * 3;
			((struct fuse_notify_prune_out *)b)->count = 3;
			for (int i = 0; i < 3; i++)
				((uint64_t *)(b + sizeof(struct fuse_notify_prune_out)))[i] = node_of(parent, name) + 16 * i;
			break;
		case FUSE_NOTIFY_POLL:
			len = sizeof(struct fuse_notify_poll_wakeup_out);
			break;
		default:
			len = once_in(&t->r, 2) ? 0 : below(&t->r, 200);
		}
		if (once_in(&t->r, 3))
			scramble(t, len, true);
		if (once_in(&t->r, 10))
			len = below(&t->r, len + 20);
		t->out.h = (struct fuse_out_header){ .len = sizeof(t->out.h) + len, .error = code };
		t->f->notified++;
		if (write(t->fd, &t->out, sizeof(t->out.h) + len) >= 0)
			t->f->noted++;
		else if (errno == ENODEV || errno == EPERM || errno == EBADF)
			break;
		usleep(below(&t->r, 30000));
	}
	return NULL;
}

#endif
