// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/capability.h>, <linux/mnt_idmapping.h> and <linux/posix_acl.h>. */

#include <linux/capability.h>
#include <linux/mnt_idmapping.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

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

RUST_FUSE_HELPER(bool, create_group, struct inode *dir, gid_t *gid)
{
	struct user_namespace *ns = dir->i_sb->s_user_ns;
	vfsgid_t group = make_vfsgid(&nop_mnt_idmap, ns, dir->i_gid);

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
