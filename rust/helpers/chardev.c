// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/poll.h>, <linux/file.h> and <linux/miscdevice.h>. */

#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/miscdevice.h>
#include <linux/pipe_fs_i.h>
#include <linux/poll.h>
#include <linux/splice.h>
#include <linux/user_namespace.h>

RUST_FUSE_HELPER(void, poll_wait, struct file *file, struct wait_queue_head *queue, struct poll_table_struct *table)
{
	poll_wait(file, queue, table);
}

RUST_FUSE_HELPER(void, kill_fasync_in, struct fasync_struct **list)
{
	kill_fasync(list, SIGIO, POLL_IN);
}

RUST_FUSE_HELPER(bool, waitqueue_active, struct wait_queue_head *queue)
{
	return waitqueue_active(queue);
}

/* The events that a poll call is about, as user space numbers them, and back. */
RUST_FUSE_HELPER(u32, poll_requested, const struct poll_table_struct *table)
{
	return mangle_poll(poll_requested_events(table));
}

RUST_FUSE_HELPER(__poll_t, poll_result, u32 events)
{
	return demangle_poll(events);
}

/* Buffers that fit into a pipe now. */
RUST_FUSE_HELPER(unsigned int, pipe_room, const struct pipe_inode_info *pipe)
{
	unsigned int used = pipe_occupancy(pipe->head, pipe->tail);

	return used < pipe->max_usage ? pipe->max_usage - used : 0;
}

/* The page that has what lies at @address in the linear map, with another reference. */
RUST_FUSE_HELPER(struct page *, get_page_at, const void *address)
{
	struct page *page = virt_to_page(address);

	get_page(page);
	return page;
}

RUST_FUSE_HELPER(void, memcpy, void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

RUST_FUSE_HELPER(struct file *, get_file, struct file *file)
{
	return get_file(file);
}

RUST_FUSE_HELPER(bool, file_in_user_ns, const struct file *file, const struct user_namespace *ns)
{
	return file->f_cred->user_ns == ns;
}

/* What a file parameter carries: a file itself, or the number of a descriptor. */
RUST_FUSE_HELPER(struct file *, fs_parameter_file, const struct fs_parameter *param)
{
	unsigned int fd;

	if (param->type == fs_value_is_file)
		return get_file(param->file);
	if (param->type != fs_value_is_string || !param->string || kstrtouint(param->string, 0, &fd))
		return ERR_PTR(-EINVAL);
	return fget(fd) ?: ERR_PTR(-EBADF);
}

/* The id in the caller's namespace as the kernel's own; false when it has none, or none in @fc's namespace. */
RUST_FUSE_HELPER(bool, make_kuid, const struct fs_context *fc, uid_t id, u32 *kid)
{
	kuid_t uid = make_kuid(current_user_ns(), id);

	*kid = __kuid_val(uid);
	return uid_valid(uid) && kuid_has_mapping(fc->user_ns, uid);
}

RUST_FUSE_HELPER(bool, make_kgid, const struct fs_context *fc, gid_t id, u32 *kid)
{
	kgid_t gid = make_kgid(current_user_ns(), id);

	*kid = __kgid_val(gid);
	return gid_valid(gid) && kgid_has_mapping(fc->user_ns, gid);
}

RUST_FUSE_HELPER(u32, from_kuid_munged, struct user_namespace *ns, u32 id)
{
	return from_kuid_munged(ns, KUIDT_INIT(id));
}

RUST_FUSE_HELPER(u32, from_kgid_munged, struct user_namespace *ns, u32 id)
{
	return from_kgid_munged(ns, KGIDT_INIT(id));
}

/* Whether every id of the current task is this one, so that whoever it is can already do all that @uid can do to it. */
RUST_FUSE_HELPER(bool, current_is_all, u32 uid, u32 gid)
{
	const struct cred *cred = current_cred();
	kuid_t u = KUIDT_INIT(uid);
	kgid_t g = KGIDT_INIT(gid);

	return uid_eq(cred->euid, u) && uid_eq(cred->suid, u) && uid_eq(cred->uid, u) &&
	       gid_eq(cred->egid, g) && gid_eq(cred->sgid, g) && gid_eq(cred->gid, g);
}

RUST_FUSE_HELPER(bool, is_init_user_ns, const struct user_namespace *ns)
{
	return ns == &init_user_ns;
}

RUST_FUSE_HELPER(bool, current_in_userns, const struct user_namespace *ns)
{
	return current_in_userns(ns);
}

/* Whether @fc changes a mount, and whether by mount(2), whose callers pass every option again. */
RUST_FUSE_HELPER(bool, fc_reconfigures, const struct fs_context *fc)
{
	return fc->purpose == FS_CONTEXT_FOR_RECONFIGURE;
}

RUST_FUSE_HELPER(bool, fc_is_oldapi, const struct fs_context *fc)
{
	return fc->oldapi;
}

RUST_FUSE_HELPER(char *, kstrdup, const char *s)
{
	return kstrdup(s, GFP_KERNEL);
}
