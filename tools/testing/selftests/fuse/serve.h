/* SPDX-License-Identifier: GPL-2.0 */
/* What the server of server.h does with each request. Included by it. */
#ifndef SERVE_H
#define SERVE_H

#include "answer.h"

/* Answers READ in another way than serve() does. */
static void (*answer_read)(int fd, const struct fuse_in_header *in, const struct fuse_read_in *r);

static void serve(int fd, struct shared *s)
{
	static __thread char in[MESSAGE];
	static __thread char data[BUF];

	for (;;) {
		struct fuse_in_header *h = (void *)in;
		char *arg = in + sizeof(*h);
		ssize_t n = receive(fd, in, sizeof(in));
		const void *body = NULL;
		size_t len = 0;
		int error = 0;
		bool hangs, early;
		union {
			struct fuse_init_out init;
			struct fuse_attr_out attr;
			struct fuse_entry_out entry;
			struct fuse_open_out open;
			struct {
				struct fuse_entry_out entry;
				struct fuse_open_out open;
			} create;
			struct fuse_write_out write;
			struct fuse_statfs_out statfs;
			struct fuse_poll_out poll;
			struct fuse_bmap_out bmap;
			struct fuse_lk_out lk;
		} o;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(*h))
			_exit(0);
		memset(&o, 0, sizeof(o));
		note(s, h->opcode, arg);
		if (h->opcode == FUSE_LOOKUP || h->opcode == FUSE_OPEN || h->opcode == FUSE_FLUSH) {
			s->last_uid = h->uid;
			s->last_pid = h->pid;
		}
		hangs = h->opcode == s->hang;
		early = hangs || h->opcode == s->hold || h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET ||
			h->opcode == FUSE_INTERRUPT || h->opcode == FUSE_NOTIFY_REPLY;
		if (early)
			count(s, h->opcode);
		if (h->opcode == FUSE_FORGET) {
			forgot(s, h->nodeid, ((struct fuse_forget_in *)arg)->nlookup);
			continue;
		}
		if (h->opcode == FUSE_BATCH_FORGET) {
			struct fuse_batch_forget_in *b = (void *)arg;
			struct fuse_forget_one *one = (void *)(b + 1);

			for (unsigned int i = 0; i < b->count; i++)
				forgot(s, one[i].nodeid, one[i].nlookup);
			continue;
		}
		if (h->opcode == FUSE_INTERRUPT) {
			struct fuse_in_header about = { .unique = ((struct fuse_interrupt_in *)arg)->unique };
			int says = s->interrupt_says;

			s->interrupted = about.unique;
			if (says) {
				answer(fd, h, -says, NULL, 0);
				s->interrupt_said = says;
			} else if (s->interrupt_ends) {
				answer(fd, &about, -EINTR, NULL, 0);
			}
			continue;
		}
		if (h->opcode == FUSE_NOTIFY_REPLY) {
			s->retrieve = *(struct fuse_notify_retrieve_in *)arg;
			memcpy(s->retrieved, arg + sizeof(s->retrieve), s->retrieve.size % (sizeof(s->retrieved) + 1));
			s->retrieve_unique = h->unique;
			continue;
		}
		if (hangs) {
			s->hung = h->unique;
			continue;
		}
		if (h->opcode == s->hold) {
			__atomic_add_fetch(&s->held, 1, __ATOMIC_SEQ_CST);
			while (h->opcode == s->hold)
				usleep(1000);
			__atomic_sub_fetch(&s->held, 1, __ATOMIC_SEQ_CST);
		}
		if (h->opcode == s->fail) {
			if (!early)
				count(s, h->opcode);
			answer(fd, h, -s->error, NULL, 0);
			continue;
		}
		switch (h->opcode) {
		case FUSE_INIT: {
			struct fuse_init_in *i = (void *)arg;

			s->offered = i->flags;
			o.init.major = FUSE_KERNEL_VERSION;
			o.init.minor = s->minor;
			o.init.max_readahead = i->max_readahead;
			o.init.max_write = s->max_write;
			o.init.max_pages = s->max_pages;
			o.init.max_background = s->max_background;
			o.init.congestion_threshold = s->congestion;
			o.init.flags = FUSE_MAX_PAGES | FUSE_BIG_WRITES | FUSE_INIT_EXT | (uint32_t)s->init_flags;
			o.init.flags2 = s->init_flags >> 32;
			o.init.request_timeout = s->timeout;
			o.init.max_stack_depth = s->max_stack_depth;
			len = s->minor < 23 ? FUSE_COMPAT_22_INIT_OUT_SIZE : sizeof(o.init);
			break;
		}
		case FUSE_LOOKUP:
			if (!strcmp(arg, "file"))
				o.entry.nodeid = NODE_FILE;
			else if (arg[0] == 'n')
				o.entry.nodeid = NODE_NAMES + atoi(arg + 1);
			else if (arg[0] == 'd')
				o.entry.nodeid = NODE_DIRS + atoi(arg + 1);
			else if (arg[0] == 'l')
				o.entry.nodeid = NODE_LINKS + atoi(arg + 1);
			else
				error = -ENOENT;
			o.entry.entry_valid = o.entry.attr_valid = s->ttl;
			fill_attr(s, o.entry.nodeid, &o.entry.attr);
			len = sizeof(o.entry);
			break;
		case FUSE_GETATTR:
		case FUSE_SETATTR:
			if (h->opcode == FUSE_SETATTR) {
				struct fuse_setattr_in *a = (void *)arg;

				if (a->valid & FATTR_SIZE)
					s->size = a->size;
				if (data_fd >= 0 && h->nodeid == NODE_FILE &&
				    (((a->valid & FATTR_SIZE) && ftruncate(data_fd, a->size)) ||
				     ((a->valid & FATTR_MODE) && fchmod(data_fd, a->mode & 07777))))
					error = -errno;
			}
			o.attr.attr_valid = s->ttl;
			fill_attr(s, h->nodeid, &o.attr.attr);
			len = sizeof(o.attr);
			break;
		case FUSE_OPEN:
		case FUSE_OPENDIR:
			if (h->opcode == FUSE_OPEN && s->last_open.flags & O_TRUNC && h->nodeid == NODE_FILE)
				s->size = 0;
			o.open.fh = h->nodeid;
			o.open.open_flags = h->opcode == FUSE_OPEN ? s->open_flags : 0;
			o.open.backing_id = s->backing_id;
			len = sizeof(o.open);
			break;
		case FUSE_CREATE:
			o.create.entry.nodeid = NODE_NAMES + atoi(arg + sizeof(struct fuse_create_in) + 1);
			fill_attr(s, o.create.entry.nodeid, &o.create.entry.attr);
			o.create.open = (struct fuse_open_out){ 1, s->open_flags, s->backing_id };
			len = sizeof(o.create);
			break;
		case FUSE_READ: {
			struct fuse_read_in *r = (void *)arg;

			if (answer_read) {
				count(s, h->opcode);
				answer_read(fd, h, r);
				continue;
			}
			body = data;
			if (s->read_takes)
				usleep(s->read_takes);
			if (data_fd >= 0) {
				n = pread(data_fd, data, r->size, r->offset);
				error = n < 0 ? -errno : 0;
				len = n < 0 ? 0 : n;
				break;
			}
			/* Another thread may change it. */
			uint64_t size = s->size;

			if (r->offset >= size)
				break;
			len = r->size > size - r->offset ? size - r->offset : r->size;
			memcpy(data, s->data + r->offset, len);
			break;
		}
		case FUSE_WRITE: {
			struct fuse_write_in *w = (void *)arg;

			if (data_fd >= 0) {
				n = pwrite(data_fd, w + 1, w->size, w->offset);
				error = n < 0 ? -errno : 0;
				o.write.size = n;
				len = sizeof(o.write);
				break;
			}
			if (w->offset + w->size > BUF) {
				error = -ENOSPC;
				break;
			}
			memcpy(s->data + w->offset, w + 1, w->size);
			if (w->offset + w->size > s->size)
				s->size = w->offset + w->size;
			o.write.size = w->size;
			len = sizeof(o.write);
			break;
		}
		case FUSE_READDIR: {
			struct fuse_read_in *r = (void *)arg;
			struct fuse_dirent *d = (void *)data;

			if (r->offset == 0) {
				memset(d, 0, 32);
				*d = (struct fuse_dirent){ .ino = NODE_FILE, .off = 1, .namelen = 4, .type = DT_REG };
				memcpy(d->name, "file", 4);
				len = FUSE_DIRENT_SIZE(d);
			}
			body = data;
			break;
		}
		case FUSE_READDIRPLUS: {
			struct fuse_read_in *r = (void *)arg;
			struct fuse_direntplus *d = (void *)data;

			if (r->offset == 0) {
				memset(d, 0, FUSE_NAME_OFFSET_DIRENTPLUS + 8);
				d->entry_out.nodeid = NODE_NAMES + 1;
				d->entry_out.entry_valid = d->entry_out.attr_valid = s->ttl;
				fill_attr(s, d->entry_out.nodeid, &d->entry_out.attr);
				d->dirent = (struct fuse_dirent){ .ino = NODE_NAMES + 1, .off = 1, .namelen = 2, .type = DT_REG };
				memcpy(d->dirent.name, "n1", 2);
				len = FUSE_DIRENTPLUS_SIZE(d);
			}
			body = data;
			break;
		}
		case FUSE_STATFS:
			o.statfs.st.blocks = 1234;
			o.statfs.st.bsize = o.statfs.st.frsize = 4096;
			o.statfs.st.namelen = 255;
			len = sizeof(o.statfs);
			break;
		case FUSE_READLINK:
			body = s->link;
			len = strlen(s->link);
			break;
		case FUSE_POLL:
			s->poll = *(struct fuse_poll_in *)arg;
			o.poll.revents = s->revents;
			len = sizeof(o.poll);
			if (!s->polls)
				error = -ENOSYS;
			break;
		case FUSE_IOCTL: {
			struct fuse_ioctl_in *i = (void *)arg;
			struct fuse_ioctl_out *out = (void *)data;
			uint32_t flags = s->file_flags;

			/* Flags of files; anything else comes back inverted. */
			memset(data, 0, sizeof(*out) + i->out_size);
			if (i->cmd == _IOR('f', 1, long)) {
				memcpy(out + 1, &flags, sizeof(flags));
			} else if (i->cmd == _IOW('f', 2, long)) {
				memcpy(&flags, i + 1, sizeof(flags));
				s->file_flags = flags;
			} else {
				out->result = i->in_size;
				for (uint32_t n = 0; n < i->in_size && n < i->out_size; n++)
					((char *)(out + 1))[n] = ~((char *)(i + 1))[n];
			}
			body = data;
			len = sizeof(*out) + i->out_size;
			break;
		}
		case FUSE_GETLK:
			o.lk.lk = s->last_lk.lk;
			o.lk.lk.pid = s->lock_pid;
			len = sizeof(o.lk);
			break;
		case FUSE_BMAP:
			o.bmap.block = ((struct fuse_bmap_in *)arg)->block + 1000;
			len = sizeof(o.bmap);
			break;
		case FUSE_RENAME:
		case FUSE_DESTROY:
		case FUSE_SYNCFS:
		case FUSE_RELEASE:
		case FUSE_RELEASEDIR:
		case FUSE_FLUSH:
		case FUSE_FSYNC:
		case FUSE_ACCESS:
		case FUSE_FALLOCATE:
		case FUSE_SETLK:
		case FUSE_SETLKW:
			break;
		default:
			error = -ENOSYS;
		}
		if (!body)
			body = &o;
		if (!early)
			count(s, h->opcode);
		if (!error && h->opcode == s->bend_op)
			answer_bent(fd, s, h, body, len);
		else
			answer(fd, h, error, body, len);
	}
}

#endif
