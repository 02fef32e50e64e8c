// SPDX-License-Identifier: GPL-2.0
/*
 * Mounts that show other owners than there are (mount_setattr(2)): owners as shown and as made, what cannot be mapped, and
 * what the server is told of its callers. And the security label that a new inode is sent with.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "vfs.h"
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

/* Whom the host knows as DISK the mount shows as SHOWN. */
#define DISK 1000
#define SHOWN 2000

#define KNOWN_DIFFERENCE(reason)		\
	if (module_is_c())			\
		SKIP(return, "known difference: " reason)

FIXTURE(idmap)
{
	struct fs fs;
	char map[64];
};

/* A user namespace in which DISK is SHOWN. */
static int namespace(void)
{
	int ready[2], end[2], fd, i;
	char path[64], c;
	pid_t pid;

	if (pipe(ready) || pipe(end))
		return -1;
	pid = fork();
	if (!pid) {
		close(end[1]);
		if (unshare(CLONE_NEWUSER) || write(ready[1], "x", 1) != 1)
			_exit(1);
		_exit(read(end[0], &c, 1) < 0);
	}
	close(ready[1]);
	close(end[0]);
	if (read(ready[0], &c, 1) != 1)
		return -1;
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%cid_map", pid, "ug"[i]);
		fd = open(path, O_WRONLY);
		if (fd < 0 || dprintf(fd, "%d %d 10\n", DISK, SHOWN) < 0)
			return -1;
		close(fd);
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	close(end[1]);
	close(ready[0]);
	waitpid(pid, NULL, 0);
	return fd;
}

/* A second mount of from at to, with the map. */
static int mount_mapped(const char *from, const char *to)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP };
	int tree, done;

	attr.userns_fd = namespace();
	if ((int)attr.userns_fd < 0)
		return -1;
	tree = syscall(SYS_open_tree, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	done = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) ? -errno : 0;
	close(attr.userns_fd);
	if (!done && syscall(SYS_move_mount, tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH))
		done = -errno;
	close(tree);
	return done;
}

FIXTURE_SETUP(idmap)
{
	kmsg("ksft-case", _metadata->name);
	if (!server_is_daxfsd() || !has_tag("nodax"))
		SKIP(return, "needs daxfsd with the tag nodax");
	snprintf(self->fs.tag, sizeof(self->fs.tag), "nodax");
	snprintf(self->map, sizeof(self->map), "/tmp/map.%d", getpid());
	ASSERT_EQ(0, mkdir(self->map, 0755));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable ALLOW_IDMAP,SECURITY_CTX,POSIX_ACL"));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf m; mkdir -p m/d m/bin; echo x >m/f; chown -R %d:%d m/d m/f; chmod 755 m/d", DISK, DISK));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	/* The C modules return from mount(2) before the server's answer to INIT, which allows the rest. */
	ASSERT_EQ(0, access(at(&self->fs, "m/f"), F_OK));
}

FIXTURE_TEARDOWN(idmap)
{
	umount2(self->map, MNT_DETACH);
	EXPECT_EQ(0, rmdir(self->map));
	EXPECT_EQ(0, fs_umount(&self->fs));
	device(&self->fs, NULL, 0, "defaults");
	host(&self->fs, NULL, 0, "rm -rf m");
}

/* A name in the mapped mount. */
static const char *mapped(const char *map, const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/m/%s", map, name);
	return path[turn];
}

/* The owner that the host knows. */
static int host_owner(const struct fs *fs, const char *name)
{
	char out[64] = "";
	int uid = -1, gid = -1;

	host(fs, out, sizeof(out), "stat -c \"%%u %%g\" m/%s", name);
	sscanf(out, "%d %d", &uid, &gid);
	return uid == gid ? uid : -1;
}

/* Makes one of each kind as the user id; the first error. */
static int make_all(const char *map, int id)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		char dir[128];
		int fd;

		snprintf(dir, sizeof(dir), "%s/m/d", map);
		if (setregid(id, id) || setreuid(id, id) || chdir(dir))
			_exit(255);
		errno = 0;
		fd = open("file", O_CREAT | O_EXCL | O_RDWR, 0644);
		if (fd < 0 || write(fd, "mine", 4) != 4 || fsync(fd) || close(fd) || mkdir("folder", 0755) ||
		    mknod("fifo", S_IFIFO | 0644, 0) || symlink("file", "symlink") || truncate("file", 2) || chmod("file", 0600))
			_exit(errno);
		fd = open(".", O_TMPFILE | O_RDWR, 0600);
		if (fd < 0 || fchmod(fd, 0640))
			_exit(errno);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

TEST_F(idmap, owners_as_shown)
{
	struct stat st;

	ASSERT_EQ(0, mount_mapped(self->fs.dir, self->map));
	ASSERT_EQ(0, stat(mapped(self->map, "f"), &st));
	EXPECT_EQ(SHOWN, st.st_uid);
	EXPECT_EQ(SHOWN, st.st_gid);
	ASSERT_EQ(0, stat(at(&self->fs, "m/f"), &st));
	EXPECT_EQ(DISK, st.st_uid);
	/* The host's root has no number here. */
	ASSERT_EQ(0, stat(mapped(self->map, "bin"), &st));
	EXPECT_EQ(65534, st.st_uid);
}

TEST_F(idmap, owners_as_made)
{
	const char *made[] = { "d/file", "d/folder", "d/fifo", "d/symlink" };
	int i;

	ASSERT_EQ(0, mount_mapped(self->fs.dir, self->map));
	reset_counters(&self->fs);
	EXPECT_EQ(0, make_all(self->map, SHOWN));
	for (i = 0; i < 4; i++)
		EXPECT_EQ(DISK, host_owner(&self->fs, made[i])) {
			TH_LOG("%s", made[i]);
		}
	/* Nobody is named where nothing is made. */
	EXPECT_EQ(0, counter(&self->fs, "stray_ids"));
	EXPECT_EQ(1, counter(&self->fs, "CREATE"));
	EXPECT_EQ(1, counter(&self->fs, "TMPFILE"));
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
}

TEST_F(idmap, not_to_be_mapped)
{
	struct stat st;

	ASSERT_EQ(0, mount_mapped(self->fs.dir, self->map));
	/* The guest's root is nobody there. */
	EXPECT_EQ(-1, mkdir(mapped(self->map, "d/new"), 0755));
	EXPECT_EQ(EOVERFLOW, errno);
	EXPECT_EQ(-1, open(mapped(self->map, "d/new"), O_CREAT | O_WRONLY, 0644));
	EXPECT_EQ(EOVERFLOW, errno);
	EXPECT_EQ(-1, chown(mapped(self->map, "f"), 5, 5));
	EXPECT_EQ(EOVERFLOW, errno);
	/* What it can name it can give. */
	EXPECT_EQ(0, chown(mapped(self->map, "f"), SHOWN + 3, SHOWN + 3));
	EXPECT_EQ(DISK + 3, host_owner(&self->fs, "f"));
	ASSERT_EQ(0, stat(at(&self->fs, "m/f"), &st));
	EXPECT_EQ(DISK + 3, st.st_uid);
}

TEST_F(idmap, modes_go_by_the_map)
{
	pid_t pid;
	int status;

	ASSERT_EQ(0, chmod(at(&self->fs, "m/f"), 0600));
	ASSERT_EQ(0, mount_mapped(self->fs.dir, self->map));
	pid = fork();
	if (!pid) {
		if (setregid(SHOWN, SHOWN) || setreuid(SHOWN, SHOWN))
			_exit(1);
		if (open(mapped(self->map, "f"), O_RDWR) < 0)
			_exit(2);
		_exit(open(at(&self->fs, "m/f"), O_RDONLY) >= 0 || errno != EACCES ? 3 : 0);
	}
	waitpid(pid, &status, 0);
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_F(idmap, only_where_allowed)
{
	ASSERT_EQ(0, fs_umount(&self->fs));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "enable none"));
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	EXPECT_EQ(-EINVAL, mount_mapped(self->fs.dir, self->map));
	EXPECT_EQ(0, make_all(self->fs.dir, DISK));
	EXPECT_EQ(DISK, host_owner(&self->fs, "d/folder"));
}

/* The module says so by itself, if one is in force (lsm=selinux on the kernel's command line). */
static bool labels(void)
{
	return !shell(NULL, 0, "grep -q lsm=selinux /proc/cmdline");
}

TEST_F(idmap, label)
{
	char out[128], last[128] = "";
	const char *made[] = { "file", "folder", "fifo", "symlink" };
	int i, fd = -1;

	for (i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "m/d/%s", made[i]);
		if (i == 0) {
			fd = open(at(&self->fs, name), O_CREAT | O_EXCL | O_RDWR, 0644);
			ASSERT_GE(fd, 0);
			close(fd);
		} else if (i == 1) {
			ASSERT_EQ(0, mkdir(at(&self->fs, name), 0755));
		} else if (i == 2) {
			ASSERT_EQ(0, mknod(at(&self->fs, name), S_IFIFO | 0644, 0));
		} else {
			ASSERT_EQ(0, symlink("file", at(&self->fs, name)));
		}
		ASSERT_EQ(0, device(&self->fs, out, sizeof(out), "label"));
		if (labels()) {
			EXPECT_EQ(0, strncmp(out, "security.selinux ", 17)) {
				TH_LOG("%s: %s", made[i], out);
			}
			EXPECT_NE(NULL, strchr(out, ' '));
		} else {
			EXPECT_STREQ("none", strtok(out, "\n"));
		}
		snprintf(last, sizeof(last), "%s", out);
	}
	kmsg("ksft-label", last);
	EXPECT_EQ(0, counter(&self->fs, "bad_requests"));
	/* The target of the link is whole although a label follows it. */
	ASSERT_EQ(0, host(&self->fs, out, sizeof(out), "readlink m/d/symlink"));
	EXPECT_STREQ("file", out);
}

TEST_HARNESS_MAIN
