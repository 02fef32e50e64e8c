/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fuzz_answer() makes the proper answer to a request, of a file system that is made up from names and remembers nothing.
 */
#ifndef FUZZ_ANSWER_H
#define FUZZ_ANSWER_H

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
	bool splices;			/* some of the messages go through a pipe */
	bool backs;			/* some of the open files are those of another file system */
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
	int fd, number, pipe[2];
	uint32_t backing;
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

/* A file that opens may be passed through to; other numbers are tried as well. */
static uint32_t backing_of(struct thread *t)
{
	struct fuse_backing_map map = { 0 };

	if (!t->backing) {
		map.fd = open("/tmp/fuzz.backing", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (map.fd >= 0) {
			int id = ioctl(t->fd, FUSE_DEV_IOC_BACKING_OPEN, &map);

			t->backing = id > 0 ? id : 0;
			close(map.fd);
		}
	}
	return once_in(&t->r, 6) ? odd_number(&t->r) : t->backing;
}

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
		if (in->opcode == FUSE_OPEN && habits->backs && once_in(&t->r, 2)) {
			open->open_flags |= FOPEN_PASSTHROUGH;
			open->backing_id = backing_of(t);
		}
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

#endif
