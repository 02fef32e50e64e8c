/* SPDX-License-Identifier: GPL-2.0 */
/* What a server says and keeps of requests. Included by serve.h, after server.h has said what it shares with the test. */
#ifndef ANSWER_H
#define ANSWER_H

/* The file of the server that "file" is, else -1. */
static int data_fd = -1;

static void fill_attr(struct shared *s, uint64_t node, struct fuse_attr *a)
{
	struct stat st;

	memset(a, 0, sizeof(*a));
	a->ino = node;
	a->mode = S_IFREG | 0644;
	if (node == FUSE_ROOT_ID || (node >= NODE_DIRS && node < NODE_LINKS))
		a->mode = S_IFDIR | 0755;
	else if (node >= NODE_LINKS)
		a->mode = S_IFLNK | 0777;
	a->nlink = 1;
	a->size = node == NODE_FILE ? s->size : 0;
	a->blocks = (a->size + 511) / 512;
	a->blksize = 4096;
	if (node == NODE_FILE)
		a->mtime = 1000;
	if (node == NODE_FILE && data_fd >= 0 && !fstat(data_fd, &st)) {
		a->mode = st.st_mode;
		a->size = st.st_size;
		a->blocks = st.st_blocks;
		a->atime = st.st_atim.tv_sec;
		a->atimensec = st.st_atim.tv_nsec;
		a->mtime = st.st_mtim.tv_sec;
		a->mtimensec = st.st_mtim.tv_nsec;
		a->ctime = st.st_ctim.tv_sec;
		a->ctimensec = st.st_ctim.tv_nsec;
	}
}

/* How messages come and go: a server may have another way. */
static ssize_t (*receive)(int fd, void *to, size_t room) = read;
static ssize_t (*deliver)(int fd, const void *message, size_t len) = write;

static ssize_t answer(int fd, const struct fuse_in_header *in, int error, const void *body, size_t len)
{
	static __thread char out[MESSAGE];
	struct fuse_out_header *h = (void *)out;

	if (error)
		len = 0;
	h->len = sizeof(*h) + len;
	h->error = error;
	h->unique = in->unique;
	if (len)
		memcpy(out + sizeof(*h), body, len);
	return deliver(fd, out, h->len);
}

static void answer_bent(int fd, struct shared *s, const struct fuse_in_header *in, const void *body, size_t len)
{
	static char out[MESSAGE];
	struct fuse_out_header *h = (void *)out;
	size_t n = sizeof(*h) + len;

	memcpy(out + sizeof(*h), body, len);
	*h = (struct fuse_out_header){ .len = n, .unique = in->unique };
	switch (s->bend) {
	case UNKNOWN_ID:
		h->unique += 1000000;
		break;
	case POSITIVE_ERROR:
		h->error = 5;
		break;
	case TOO_LONG:
		h->len = n = n + 8;
		break;
	case TOO_SHORT:
		h->len = n = sizeof(*h) + 8;
		break;
	case WRONG_LENGTH:
		h->len = n + 1;
		break;
	}
	/* Of the second one, where there are two: it is looked at as soon as it is there. */
	if (s->bend == TWICE)
		(void)!write(fd, out, n);
	s->bent_errno = write(fd, out, n) < 0 ? errno : 0;
	/* What was refused without an effect is answered properly. */
	if (s->bend == UNKNOWN_ID || s->bend == POSITIVE_ERROR || s->bend == WRONG_LENGTH)
		answer(fd, in, 0, body, len);
}

/* Keeps the arguments, before the request is answered. */
static void note(struct shared *s, uint32_t opcode, const void *arg)
{
	switch (opcode) {
	case FUSE_OPEN:
		s->last_open = *(const struct fuse_open_in *)arg;
		break;
	case FUSE_READ:
		s->last_read = *(const struct fuse_read_in *)arg;
		if (s->last_read.size > s->largest_read)
			s->largest_read = s->last_read.size;
		break;
	case FUSE_WRITE:
		s->last_write = *(const struct fuse_write_in *)arg;
		if (s->last_write.size > s->largest_write)
			s->largest_write = s->last_write.size;
		break;
	case FUSE_SETATTR:
		s->last_setattr = *(const struct fuse_setattr_in *)arg;
		break;
	case FUSE_FLUSH:
		s->last_flush = *(const struct fuse_flush_in *)arg;
		break;
	case FUSE_FSYNC:
		s->last_fsync = *(const struct fuse_fsync_in *)arg;
		break;
	case FUSE_IOCTL:
		s->last_ioctl = *(const struct fuse_ioctl_in *)arg;
		break;
	case FUSE_SETLK:
	case FUSE_GETLK:
		s->last_lk = *(const struct fuse_lk_in *)arg;
		break;
	case FUSE_RENAME:
		arg += sizeof(struct fuse_rename_in);
		s->renamed[0] = strlen(arg);
		s->renamed[1] = strlen((const char *)arg + s->renamed[0] + 1);
		break;
	case FUSE_RELEASE:
		s->last_release = *(const struct fuse_release_in *)arg;
		break;
	}
}

/* Goes up once it is settled what comes of the request: whoever sees it may say something else for the next one. */
static void count(struct shared *s, uint32_t opcode)
{
	__atomic_add_fetch(&s->count[opcode & 63], 1, __ATOMIC_SEQ_CST);
}

static void forgot(struct shared *s, uint64_t node, uint64_t lookups)
{
	s->forgotten += lookups;
	if (node == s->watched)
		s->watched_forgotten += lookups;
}

#endif
