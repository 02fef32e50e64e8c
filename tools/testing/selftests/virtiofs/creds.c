// SPDX-License-Identifier: GPL-2.0
/*
 * Who the caller is: set-user-id bits that a write clears, whoever promised to do so; supplementary groups and the file mode
 * creation mask of what is made; access control lists.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <grp.h>
#include <sys/xattr.h>

#define USER 1000
#define GROUP 2000

FIXTURE(kill)
{
	struct fs fs;
	int fd;
};

FIXTURE_VARIANT(kill)
{
	const char *tag, *options, *enable;
	/* The server clears the bits with the write itself. */
	bool server;
};

FIXTURE_VARIANT_ADD(kill, client)
{
	.tag = "nodax",
	.enable = "enable none",
};

FIXTURE_VARIANT_ADD(kill, v1)
{
	.tag = "nodax",
	.enable = "enable HANDLE_KILLPRIV",
	.server = true,
};

FIXTURE_VARIANT_ADD(kill, v2)
{
	.tag = "nodax",
	.enable = "enable HANDLE_KILLPRIV_V2",
	.server = true,
};

FIXTURE_VARIANT_ADD(kill, dax_client)
{
	.tag = "dax",
	.options = "dax=always",
	.enable = "enable none",
};

FIXTURE_VARIANT_ADD(kill, dax_v1)
{
	.tag = "dax",
	.options = "dax=always",
	.enable = "enable HANDLE_KILLPRIV",
	.server = true,
};

FIXTURE_VARIANT_ADD(kill, dax_v2)
{
	.tag = "dax",
	.options = "dax=always",
	.enable = "enable HANDLE_KILLPRIV_V2",
	.server = true,
};

static int start(struct fs *fs, const char *tag, const char *options, const char *enable)
{
	snprintf(fs->tag, sizeof(fs->tag), "%s", tag);
	device(fs, NULL, 0, "defaults");
	return device(fs, NULL, 0, enable) ?: fs_mount(fs, tag, options);
}

/* Unmounts; that must end the session, as the next mount agrees on something else. */
static int stop(struct fs *fs)
{
	int e;

	reset_counters(fs);
	e = fs_umount(fs);
	device(fs, NULL, 0, "defaults");
	return e ?: counter(fs, "DESTROY") - 1;
}

FIXTURE_SETUP(kill)
{
	kmsg("ksft-case", _metadata->name);
	self->fd = -1;
	if (!server_is_daxfsd() || !has_tag(variant->tag))
		SKIP(return, "no share %s", variant->tag);
	ASSERT_EQ(0, start(&self->fs, variant->tag, variant->options, variant->enable));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -f suid; head -c 8192 /dev/zero >suid; chmod 6777 suid"));
	self->fd = open(at(&self->fs, "suid"), O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(kill)
{
	close(self->fd);
	if (!self->fs.mounted)
		return;
	EXPECT_EQ(0, stop(&self->fs));
}

/* Runs as USER, in GROUP by a supplementary group; returns the errno. */
#define AS_USER(expression)                                                                                            \
	({                                                                                                             \
		gid_t groups_[] = { GROUP };                                                                           \
		int status_;                                                                                           \
		pid_t pid_ = fork();                                                                                   \
		if (!pid_) {                                                                                           \
			if (setgroups(1, groups_) || setresgid(USER, USER, USER) || setresuid(USER, USER, USER))       \
				_exit(255);                                                                            \
			_exit((expression) < 0 ? errno : 0);                                                           \
		}                                                                                                      \
		waitpid(pid_, &status_, 0);                                                                            \
		WEXITSTATUS(status_);                                                                                  \
	})

static int mode_of_file(const struct fs *fs, const char *name)
{
	struct stat st;

	return stat(at(fs, name), &st) ? -errno : (int)(st.st_mode & 07777);
}

/* As the server says now, whatever is believed. */
static int mode_asked(const struct fs *fs, const char *name)
{
	struct statx stx;

	return statx(AT_FDCWD, at(fs, name), AT_STATX_FORCE_SYNC, STATX_MODE, &stx) ? -errno : stx.stx_mode & 07777;
}

static int mode_on_host(const struct fs *fs, const char *name)
{
	char text[64];

	return host(fs, text, sizeof(text), "stat -c %%a %s", name) ? -1 : (int)strtol(text, NULL, 8);
}

TEST_F(kill, write)
{
	int fd = self->fd;

	/* Who may set such bits keeps them. */
	ASSERT_EQ(4, pwrite(fd, "root", 4, 0));
	if (strcmp(variant->enable, "enable HANDLE_KILLPRIV")) {
		EXPECT_EQ(06777, mode_of_file(&self->fs, "suid"));
		EXPECT_EQ(06777, mode_on_host(&self->fs, "suid"));
	}
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "chmod 6777 suid"));
	ASSERT_EQ(06777, mode_asked(&self->fs, "suid"));
	reset_counters(&self->fs);
	EXPECT_EQ(0, AS_USER(pwrite(fd, "user", 4, 0)));
	/* C: the bits stay after a write by DAX when the server has promised to clear them (G-13). */
	OURS(mode_of_file(&self->fs, "suid") == 0777, "a write by DAX tells nobody of it");
	EXPECT_EQ(0777, mode_on_host(&self->fs, "suid"));
	if (!module_is_c()) {
		EXPECT_EQ(variant->server ? 0 : 1, counter(&self->fs, "SETATTR"));
		EXPECT_EQ(variant->server || !variant->options, counter(&self->fs, "WRITE"));
	}
}

TEST_F(kill, other_changes)
{
	int fd = self->fd;

	EXPECT_EQ(0, AS_USER(ftruncate(fd, 4096)));
	EXPECT_EQ(0777, mode_of_file(&self->fs, "suid"));
	EXPECT_EQ(0777, mode_on_host(&self->fs, "suid"));
	ASSERT_EQ(0, fchmod(fd, 06777));
	EXPECT_EQ(06777, mode_on_host(&self->fs, "suid"));
	EXPECT_EQ(0, AS_USER(fallocate(fd, 0, 0, 8192)));
	OURS(mode_of_file(&self->fs, "suid") == 0777 && mode_on_host(&self->fs, "suid") == 0777, "FALLOCATE tells nobody of it");
	ASSERT_EQ(0, fchmod(fd, 06777));
	ASSERT_EQ(0, fchown(fd, USER, USER));
	EXPECT_EQ(0777, mode_of_file(&self->fs, "suid"));
	EXPECT_EQ(0777, mode_on_host(&self->fs, "suid"));
}

FIXTURE(making)
{
	struct fs fs;
};

FIXTURE_VARIANT(making)
{
	const char *set;
	bool groups;
};

FIXTURE_VARIANT_ADD(making, agreed)
{
	.set = "enable DONT_MASK",
	.groups = true,
};

FIXTURE_VARIANT_ADD(making, not_agreed)
{
	.set = "disable CREATE_SUPP_GROUP",
};

FIXTURE_SETUP(making)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd())
		SKIP(return, "needs a server that can be told what to offer");
	ASSERT_EQ(0, start(&self->fs, "nodax", NULL, variant->set));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf team; mkdir team; chgrp %d team; chmod 2777 team", GROUP));
	umask(022);
}

FIXTURE_TEARDOWN(making)
{
	if (!self->fs.mounted)
		return;
	EXPECT_EQ(0, stop(&self->fs));
}

/* A file in a directory that hands its group down keeps set-group-id if its maker is in the group. */
TEST_F(making, group)
{
	char text[64];
	struct stat st;

	EXPECT_EQ(0, AS_USER(open(at(&self->fs, "team/opened"), O_CREAT | O_EXCL | O_WRONLY, 02775)));
	EXPECT_EQ(variant->groups ? 02755 : 0755, mode_on_host(&self->fs, "team/opened"));
	EXPECT_EQ(0, AS_USER(mknod(at(&self->fs, "team/fifo"), S_IFIFO | 02775, 0)));
	EXPECT_EQ(variant->groups ? 02755 : 0755, mode_on_host(&self->fs, "team/fifo"));
	EXPECT_EQ(0, AS_USER(mkdir(at(&self->fs, "team/dir"), 0777)));
	EXPECT_EQ(02755, mode_on_host(&self->fs, "team/dir"));
	EXPECT_EQ(0, AS_USER(symlink("to/somewhere", at(&self->fs, "team/link"))));
	EXPECT_EQ(0, host(&self->fs, text, sizeof(text), "readlink team/link"));
	EXPECT_STREQ("to/somewhere", text);
	ASSERT_EQ(0, lstat(at(&self->fs, "team/link"), &st));
	EXPECT_EQ(USER, st.st_uid);
	EXPECT_EQ(GROUP, st.st_gid);
	/* Nothing of this for who is in the group anyway, or not at all. */
	EXPECT_EQ(0, mkdir(at(&self->fs, "team/roots"), 0700));
	EXPECT_EQ(02700, mode_on_host(&self->fs, "team/roots"));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
}

/* POSIX_ACL. A value is a version and entries of tag, permissions and id. */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[5];
};

static struct acl acl_for(int perm)
{
	return (struct acl){ 2, { { 1, 6, -1 }, { 2, perm, USER }, { 4, 0, -1 }, { 16, 7, -1 }, { 32, 0, -1 } } };
}

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

TEST(acl)
{
	struct acl acl = acl_for(6), got;
	struct fs fs = {};
	struct stat st;
	int fd, i;

	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd())
		SKIP(return, "needs a server that can be told what to offer");
	ASSERT_EQ(0, start(&fs, "nodax", NULL, "enable POSIX_ACL,DONT_MASK"));
	ASSERT_EQ(0, host(&fs, NULL, 0, "rm -rf acl dir; echo text >acl; chmod 600 acl; mkdir dir"));
	if (setxattr(at(&fs, "acl"), ACCESS, &acl, sizeof(acl), 0) && errno == EOPNOTSUPP) {
		stop(&fs);
		SKIP(return, "the host's file system has no ACLs");
	}
	EXPECT_EQ(sizeof(got), getxattr(at(&fs, "acl"), ACCESS, &got, sizeof(got)));
	EXPECT_EQ(0, memcmp(&acl, &got, sizeof(acl)));
	EXPECT_EQ(0, AS_USER(open(at(&fs, "acl"), O_RDWR)));
	/* It is asked for once, and again when attributes are. */
	reset_counters(&fs);
	for (i = 0; i < 5; i++)
		EXPECT_EQ(0, AS_USER(open(at(&fs, "acl"), O_RDWR)));
	/* The C client asks at each opening. */
	if (!module_is_c())
		EXPECT_GE(1 + counter(&fs, "LOOKUP") + counter(&fs, "GETATTR"), counter(&fs, "GETXATTR"));
	/* The mode's group bits are the mask. */
	EXPECT_EQ(0, chmod(at(&fs, "acl"), 0640));
	EXPECT_EQ(EACCES, AS_USER(open(at(&fs, "acl"), O_RDWR)));
	EXPECT_EQ(0, AS_USER(open(at(&fs, "acl"), O_RDONLY)));
	acl = acl_for(0);
	ASSERT_EQ(0, setxattr(at(&fs, "acl"), ACCESS, &acl, sizeof(acl), 0));
	EXPECT_EQ(EACCES, AS_USER(open(at(&fs, "acl"), O_RDONLY)));
	ASSERT_EQ(0, removexattr(at(&fs, "acl"), ACCESS));
	EXPECT_EQ(-1, getxattr(at(&fs, "acl"), ACCESS, &got, sizeof(got)));
	EXPECT_EQ(ENODATA, errno);
	EXPECT_EQ(EACCES, AS_USER(open(at(&fs, "acl"), O_RDONLY)));

	/* The default list of a directory stands in for the mask. */
	acl = acl_for(6);
	ASSERT_EQ(0, setxattr(at(&fs, "dir"), DEFAULT, &acl, sizeof(acl), 0));
	umask(077);
	fd = open(at(&fs, "dir/new"), O_CREAT | O_RDWR, 0666);
	umask(022);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_EQ(0660, mode_of_file(&fs, "dir/new"));
	EXPECT_EQ(sizeof(got), getxattr(at(&fs, "dir/new"), ACCESS, &got, sizeof(got)));
	EXPECT_EQ(-1, getxattr(at(&fs, "dir/new"), DEFAULT, &got, sizeof(got)));
	EXPECT_EQ(ENODATA, errno);

	/* Who is not in the file's group loses set-group-id by setting a list. */
	ASSERT_EQ(0, host(&fs, NULL, 0, "echo text >sgid; chown %d:3000 sgid; chmod 2770 sgid", USER));
	ASSERT_EQ(02770, mode_asked(&fs, "sgid"));
	EXPECT_EQ(0, AS_USER(setxattr(at(&fs, "sgid"), ACCESS, &acl, sizeof(acl), 0)));
	EXPECT_EQ(0, stat(at(&fs, "sgid"), &st));
	EXPECT_EQ(0, st.st_mode & S_ISGID);
	EXPECT_EQ(0, stop(&fs));

	/* Where it is not agreed on, lists are values like others and are not gone by. */
	ASSERT_EQ(0, fs_mount(&fs, "nodax", NULL));
	acl = acl_for(6);
	EXPECT_EQ(0, setxattr(at(&fs, "acl"), ACCESS, &acl, sizeof(acl), 0));
	EXPECT_EQ(sizeof(got), getxattr(at(&fs, "acl"), ACCESS, &got, sizeof(got)));
	EXPECT_EQ(0, stop(&fs));
}

TEST_HARNESS_MAIN
