// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/capability.h>, <linux/cred.h>, <linux/mnt_idmapping.h>, <linux/posix_acl.h> and <linux/security.h>. */

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs_struct.h>
#include <linux/mnt_idmapping.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/security.h>

RUST_FUSE_HELPER(int, file_kills, const struct file *file)
{
	return setattr_should_drop_suidgid(file_mnt_idmap(file), file_inode(file));
}

RUST_FUSE_HELPER(bool, capable_fsetid, void)
{
	return capable(CAP_FSETID);
}

RUST_FUSE_HELPER(bool, capable_admin, void)
{
	return capable(CAP_SYS_ADMIN);
}

RUST_FUSE_HELPER(bool, keeps_sgid, struct mnt_idmap *idmap, struct inode *inode)
{
	return in_group_or_capable(idmap, inode, i_gid_into_vfsgid(idmap, inode));
}

RUST_FUSE_HELPER(uid_t, mapped_fsuid, struct mnt_idmap *idmap, struct user_namespace *ns)
{
	return from_kuid(ns, mapped_fsuid(idmap, ns));
}

RUST_FUSE_HELPER(gid_t, mapped_fsgid, struct mnt_idmap *idmap, struct user_namespace *ns)
{
	return from_kgid(ns, mapped_fsgid(idmap, ns));
}

RUST_FUSE_HELPER(struct mnt_idmap *, file_idmap, const struct file *file)
{
	return file_mnt_idmap(file);
}

RUST_FUSE_HELPER(uid_t, iattr_uid, struct mnt_idmap *idmap, struct super_block *sb, const struct iattr *attr)
{
	return from_kuid(sb->s_user_ns, from_vfsuid(idmap, sb->s_user_ns, attr->ia_vfsuid));
}

RUST_FUSE_HELPER(gid_t, iattr_gid, struct mnt_idmap *idmap, struct super_block *sb, const struct iattr *attr)
{
	return from_kgid(sb->s_user_ns, from_vfsgid(idmap, sb->s_user_ns, attr->ia_vfsgid));
}

RUST_FUSE_HELPER(int, label_of_new, struct dentry *dentry, umode_t mode, const char **name, struct lsm_context *context)
{
	return security_dentry_init_security(dentry, mode, &dentry->d_name, name, context);
}

RUST_FUSE_HELPER(void, release_label, struct lsm_context *context)
{
	security_release_secctx(context);
}

RUST_FUSE_HELPER(bool, create_group, struct mnt_idmap *idmap, struct inode *dir, gid_t *gid)
{
	struct user_namespace *ns = dir->i_sb->s_user_ns;
	vfsgid_t group = make_vfsgid(idmap, ns, dir->i_gid);

	*gid = from_kgid(ns, dir->i_gid);
	return *gid != (gid_t)-1 && !vfsgid_eq_kgid(group, current_fsgid()) && vfsgid_in_group_p(group);
}

RUST_FUSE_HELPER(void *, acl_to_xattr, struct super_block *sb, const struct posix_acl *acl, size_t *size)
{
	return posix_acl_to_xattr(sb->s_user_ns, acl, size, GFP_KERNEL);
}

RUST_FUSE_HELPER(void, inode_dont_cache_acls, struct inode *inode)
{
	inode->i_acl = ACL_DONT_CACHE;
	inode->i_default_acl = ACL_DONT_CACHE;
}

RUST_FUSE_HELPER(bool, in_initial_user_ns, const struct super_block *sb)
{
	return sb->s_user_ns == &init_user_ns;
}

RUST_FUSE_HELPER(uid_t, current_fsuid, struct user_namespace *ns)
{
	return from_kuid(ns, current_fsuid());
}

RUST_FUSE_HELPER(gid_t, current_fsgid, struct user_namespace *ns)
{
	return from_kgid(ns, current_fsgid());
}

/* The same where no number is no reason to refuse: the overflow ids stand for all that have none. */
RUST_FUSE_HELPER(uid_t, current_fsuid_munged, struct user_namespace *ns)
{
	return from_kuid_munged(ns, current_fsuid());
}

RUST_FUSE_HELPER(gid_t, current_fsgid_munged, struct user_namespace *ns)
{
	return from_kgid_munged(ns, current_fsgid());
}

RUST_FUSE_HELPER(umode_t, current_umask, void)
{
	return current_umask();
}
