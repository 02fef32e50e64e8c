// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/dcache.h>, <linux/fs_context.h> and <linux/fs.h>: names, mount calls. */

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fs_context.h>

RUST_FUSE_HELPER(bool, sb_grab_active, struct super_block *sb)
{
	return atomic_inc_not_zero(&sb->s_active);
}

RUST_FUSE_HELPER(bool, dir_emit, struct dir_context *ctx, const char *name, int len, u64 ino, unsigned int type)
{
	return dir_emit(ctx, name, len, ino, type);
}

RUST_FUSE_HELPER(bool, dir_emit_dots, struct file *file, struct dir_context *ctx)
{
	return dir_emit_dots(file, ctx);
}

RUST_FUSE_HELPER(int, fs_context_purpose, const struct fs_context *fc)
{
	return fc->purpose;
}

RUST_FUSE_HELPER(int, fs_parameter_type, const struct fs_parameter *param)
{
	return param->type;
}

/* @why is a fmt::Arguments, which printk() of this kernel knows. */
RUST_FUSE_HELPER(void, fs_error, struct fs_context *fc, const void *why)
{
	errorfc(fc, "%pA", why);
}

RUST_FUSE_HELPER(struct dentry *, dget, struct dentry *dentry)
{
	return dget(dentry);
}

RUST_FUSE_HELPER(bool, d_in_lookup, const struct dentry *dentry)
{
	return d_in_lookup(dentry);
}

/* dput() is faster without the flag. A race gives either state. */
RUST_FUSE_HELPER(void, d_set_delete, struct dentry *dentry, bool on)
{
	if (on == !!(READ_ONCE(dentry->d_flags) & DCACHE_OP_DELETE))
		return;
	spin_lock(&dentry->d_lock);
	if (on)
		dentry->d_flags |= DCACHE_OP_DELETE;
	else
		dentry->d_flags &= ~DCACHE_OP_DELETE;
	spin_unlock(&dentry->d_lock);
}

RUST_FUSE_HELPER(void, d_lookup_done, struct dentry *dentry)
{
	d_lookup_done(dentry);
}
