/* SPDX-License-Identifier: GPL-2.0 */
/* What the hostile server says without having been asked. */
#ifndef FUZZ_NOTIFY_H
#define FUZZ_NOTIFY_H

#include "fuzz_server.h"

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
