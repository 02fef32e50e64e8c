// SPDX-License-Identifier: GPL-2.0
/*
 * Extended attributes: setting, getting, listing, removing; nothing of them is cached, except that there are no file
 * capabilities, because the kernel asks for these before every write.
 */
#include "kselftest_harness.h"
#include "vfs.h"
#include "measure.h"
#include <linux/limits.h>
#include <sys/xattr.h>

#define CAPS "security.capability"

FIXTURE(xattr)
{
	struct fs fs;
	char f[128];
};

FIXTURE_VARIANT(xattr)
{
	const char *tag;
	const char *options;
};

FIXTURE_VARIANT_ADD(xattr, nodax) { .tag = "nodax", .options = NULL };
FIXTURE_VARIANT_ADD(xattr, dax) { .tag = "dax", .options = "dax=always" };

FIXTURE_SETUP(xattr)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag(variant->tag))
		SKIP(return, "no device with the tag %s", variant->tag);
	if (!server_is_daxfsd())
		SKIP(return, "the stock daemon is started without extended attributes");
	ASSERT_EQ(0, fs_mount(&self->fs, variant->tag, variant->options));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf x; mkdir x; head -c 8192 /dev/zero >x/f; ln -s f x/s"));
	snprintf(self->f, sizeof(self->f), "%s", at(&self->fs, "x/f"));
}

FIXTURE_TEARDOWN(xattr)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

/* What has nothing to do with writing runs once. */
FIXTURE(plain)
{
	struct fs fs;
	char f[128];
};

FIXTURE_SETUP(plain)
{
	kmsg("ksft-case", _metadata->name);
	if (!has_tag("nodax"))
		SKIP(return, "no device with the tag nodax");
	if (!server_is_daxfsd())
		SKIP(return, "the stock daemon is started without extended attributes");
	ASSERT_EQ(0, fs_mount(&self->fs, "nodax", NULL));
	ASSERT_EQ(0, host(&self->fs, NULL, 0, "rm -rf x; mkdir x; head -c 8192 /dev/zero >x/f; ln -s f x/s"));
	snprintf(self->f, sizeof(self->f), "%s", at(&self->fs, "x/f"));
}

FIXTURE_TEARDOWN(plain)
{
	EXPECT_EQ(0, fs_umount(&self->fs));
}

static int error_of(ssize_t returned)
{
	return returned < 0 ? errno : 0;
}

/* Runs Python on the host with os imported and p as the name of the file; what it prints goes to out. */
static int host_python(const struct fs *fs, char *out, size_t size, const char *code)
{
	return host(fs, out, size, "python3 -c \"import os;p=\\\"x/f\\\";%s\"", code);
}

TEST_F(plain, set_get_remove)
{
	char buf[64] = "", out[128];

	EXPECT_EQ(ENODATA, error_of(getxattr(self->f, "user.a", buf, sizeof(buf))));
	ASSERT_EQ(0, setxattr(self->f, "user.a", "value", 5, 0));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(os.getxattr(p,\\\"user.a\\\").decode())"));
	EXPECT_STREQ("value", out);
	EXPECT_EQ(5, getxattr(self->f, "user.a", NULL, 0));
	EXPECT_EQ(5, getxattr(self->f, "user.a", buf, sizeof(buf)));
	EXPECT_STREQ("value", buf);
	EXPECT_EQ(5, getxattr(self->f, "user.a", buf, 5));
	EXPECT_EQ(ERANGE, error_of(getxattr(self->f, "user.a", buf, 4)));
	EXPECT_EQ(ERANGE, error_of(getxattr(self->f, "user.a", buf, 1)));
	EXPECT_EQ(7, listxattr(self->f, NULL, 0));
	memset(buf, 0, sizeof(buf));
	EXPECT_EQ(7, listxattr(self->f, buf, sizeof(buf)));
	EXPECT_STREQ("user.a", buf);
	EXPECT_EQ(ERANGE, error_of(listxattr(self->f, buf, 6)));
	/* A value is replaced, by a shorter one and by an empty one. */
	ASSERT_EQ(0, setxattr(self->f, "user.a", "xy", 2, 0));
	EXPECT_EQ(2, getxattr(self->f, "user.a", buf, sizeof(buf)));
	ASSERT_EQ(0, setxattr(self->f, "user.a", "", 0, 0));
	EXPECT_EQ(0, getxattr(self->f, "user.a", buf, sizeof(buf)));
	EXPECT_EQ(0, getxattr(self->f, "user.a", NULL, 0));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(os.getxattr(p,\\\"user.a\\\"))"));
	EXPECT_STREQ("b", strtok(out, "\\'\"") ?: "");
	ASSERT_EQ(0, removexattr(self->f, "user.a"));
	EXPECT_EQ(ENODATA, error_of(getxattr(self->f, "user.a", buf, sizeof(buf))));
	EXPECT_EQ(ENODATA, error_of(removexattr(self->f, "user.a")));
	EXPECT_EQ(0, listxattr(self->f, buf, sizeof(buf)));
	EXPECT_EQ(0, listxattr(self->f, NULL, 0));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(len(os.listxattr(p)))"));
	EXPECT_STREQ("0", out);
}

TEST_F(plain, flags)
{
	char buf[8] = "";

	EXPECT_EQ(ENODATA, error_of(setxattr(self->f, "user.a", "1", 1, XATTR_REPLACE)));
	EXPECT_EQ(0, setxattr(self->f, "user.a", "1", 1, XATTR_CREATE));
	EXPECT_EQ(EEXIST, error_of(setxattr(self->f, "user.a", "2", 1, XATTR_CREATE)));
	EXPECT_EQ(0, setxattr(self->f, "user.a", "3", 1, XATTR_REPLACE));
	EXPECT_EQ(1, getxattr(self->f, "user.a", buf, sizeof(buf)));
	EXPECT_STREQ("3", buf);
	EXPECT_EQ(EINVAL, error_of(setxattr(self->f, "user.a", "4", 1, 8)));
}

TEST_F(plain, errors)
{
	static char big[XATTR_SIZE_MAX + 1];
	char name[300] = "user.", buf[8];

	memset(name + 5, 'n', 251);
	EXPECT_EQ(ERANGE, error_of(setxattr(self->f, name, "1", 1, 0)));
	EXPECT_EQ(ERANGE, error_of(getxattr(self->f, name, buf, sizeof(buf))));
	EXPECT_EQ(E2BIG, error_of(setxattr(self->f, "user.a", big, sizeof(big), 0)));
	EXPECT_EQ(EOPNOTSUPP, error_of(setxattr(self->f, "nosuch.a", "1", 1, 0)));
	EXPECT_EQ(EOPNOTSUPP, error_of(getxattr(self->f, "nosuch.a", buf, sizeof(buf))));
	EXPECT_EQ(EPERM, error_of(lsetxattr(at(&self->fs, "x/s"), "user.a", "1", 1, 0)));
	EXPECT_EQ(ENOENT, error_of(setxattr(at(&self->fs, "x/none"), "user.a", "1", 1, 0)));
	EXPECT_EQ(ENOENT, error_of(listxattr(at(&self->fs, "x/none"), buf, sizeof(buf))));
}

/* Values of one page and around; a value too large for the host's file system gets that one's answer. */
TEST_F(plain, sizes)
{
	static const int sizes[] = { 1, 7, 8, 1000, 3900 };
	static char value[XATTR_SIZE_MAX], got[XATTR_SIZE_MAX];
	char name[32], code[128], out[64];
	size_t i;
	int n, answer;

	fill(value, 0, sizeof(value), 5);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		n = sizes[i];
		ASSERT_EQ(0, setxattr(self->f, "user.v", value, n, 0));
		memset(got, 0x55, sizeof(got));
		EXPECT_EQ(n, getxattr(self->f, "user.v", got, sizeof(got)));
		EXPECT_EQ(0, memcmp(got, value, n));
		EXPECT_EQ(0x55, got[n]);
		EXPECT_EQ(n, getxattr(self->f, "user.v", NULL, 0));
		EXPECT_EQ(ERANGE, n > 1 ? error_of(getxattr(self->f, "user.v", got, n - 1)) : ERANGE);
	}
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "v=os.getxattr(p,\\\"user.v\\\");print(len(v),v[3896:].hex())"));
	snprintf(code, sizeof(code), "3900 %02x%02x%02x%02x", (unsigned char)value[3896], (unsigned char)value[3897],
		 (unsigned char)value[3898], (unsigned char)value[3899]);
	EXPECT_STREQ(code, out);
	for (n = 20000; n <= XATTR_SIZE_MAX; n += XATTR_SIZE_MAX - 20000) {
		snprintf(name, sizeof(name), "user.big%d", n);
		answer = error_of(setxattr(self->f, name, value, n, 0));
		if (answer) {
			EXPECT_EQ(ENOSPC, answer);
			continue;
		}
		EXPECT_EQ(n, getxattr(self->f, name, got, sizeof(got)));
		EXPECT_EQ(0, memcmp(got, value, n));
	}
}

TEST_F(plain, many)
{
	char name[64], buf[4096], code[128], out[32];
	ssize_t size, want = 0;
	int i, n = 0;
	char *p;

	for (i = 0; i < 40; i++) {
		want += snprintf(name, sizeof(name), "user.%.*s%d", i, "a-long-name-that-grows-longer-each-time-", i) + 1;
		ASSERT_EQ(0, setxattr(self->f, name, name, i, 0));
	}
	EXPECT_EQ(want, listxattr(self->f, NULL, 0));
	size = listxattr(self->f, buf, sizeof(buf));
	ASSERT_EQ(want, size);
	for (p = buf; p < buf + size; p += strlen(p) + 1)
		n += !strncmp(p, "user.", 5);
	EXPECT_EQ(40, n);
	snprintf(code, sizeof(code), "print(len(os.listxattr(p)))");
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), code));
	EXPECT_STREQ("40", out);
}

/* Folders and symbolic links, and the namespaces that only root may use. */
TEST_F(plain, kinds)
{
	char buf[8] = "", out[64];

	EXPECT_EQ(0, setxattr(at(&self->fs, "x"), "user.d", "dir", 3, 0));
	EXPECT_EQ(3, getxattr(at(&self->fs, "x"), "user.d", buf, sizeof(buf)));
	EXPECT_EQ(0, setxattr(self->f, "trusted.t", "tt", 2, 0));
	EXPECT_EQ(2, getxattr(self->f, "trusted.t", buf, sizeof(buf)));
	EXPECT_EQ(0, lsetxattr(at(&self->fs, "x/s"), "trusted.l", "lll", 3, 0));
	EXPECT_EQ(3, lgetxattr(at(&self->fs, "x/s"), "trusted.l", buf, sizeof(buf)));
	EXPECT_EQ(ENODATA, error_of(getxattr(self->f, "trusted.l", buf, sizeof(buf))));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out),
				 "print(*os.listxattr(\\\"x\\\"),*os.listxattr(p),*os.listxattr(\\\"x/s\\\",follow_symlinks=False))"));
	EXPECT_STREQ("user.d trusted.t trusted.l", out);
}

/* Changes of the host are seen at once, also through a file that is open. */
TEST_F(xattr, host_changes)
{
	char buf[8] = "";
	int fd = open(self->f, O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(ENODATA, error_of(fgetxattr(fd, "user.h", buf, sizeof(buf))));
	ASSERT_EQ(0, host_python(&self->fs, NULL, 0, "os.setxattr(p,\\\"user.h\\\",b\\\"one\\\")"));
	EXPECT_EQ(3, fgetxattr(fd, "user.h", buf, sizeof(buf)));
	EXPECT_STREQ("one", buf);
	ASSERT_EQ(0, host_python(&self->fs, NULL, 0, "os.setxattr(p,\\\"user.h\\\",b\\\"four\\\")"));
	EXPECT_EQ(4, fgetxattr(fd, "user.h", buf, sizeof(buf)));
	EXPECT_STREQ("four", buf);
	ASSERT_EQ(0, host_python(&self->fs, NULL, 0, "os.removexattr(p,\\\"user.h\\\")"));
	EXPECT_EQ(ENODATA, error_of(fgetxattr(fd, "user.h", buf, sizeof(buf))));
	/* By the descriptor of a file that has no name any more. */
	ASSERT_EQ(0, unlink(self->f));
	EXPECT_EQ(0, fsetxattr(fd, "user.h", "open", 4, 0));
	EXPECT_EQ(4, fgetxattr(fd, "user.h", buf, sizeof(buf)));
	close(fd);
}

/* Writes do not ask for capabilities each time. */
TEST_F(xattr, writes_do_not_ask)
{
	long asked, start, took;
	int i, fd;

	if (module_is_c())
		SKIP(return, "known difference: the C client asks for security.capability before every write");
	fd = open(self->f, O_RDWR);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	reset_counters(&self->fs);
	start = now_ms();
	for (i = 0; i < 300; i++)
		ASSERT_EQ(4, pwrite(fd, "xxxx", 4, i * 8));
	took = now_ms() - start;
	asked = counter(&self->fs, "GETXATTR");
	TH_LOG("300 writes in %ld ms: asked %ld times", took, asked);
	/* Once in every second, which is how long this server's attributes are good for. */
	EXPECT_GE(asked, 0);
	EXPECT_LE(asked, 2 + took / 1000);
	close(fd);
}

/* Two sets of capabilities in the format of version 2, which needs no user namespace. */
static const unsigned char caps[20] = { 1, 0, 0, 2, 0, 0x20 };

/* Capabilities that the guest sets are there at once, and the next write takes them away. */
TEST_F(xattr, capabilities)
{
	char buf[64], out[64];
	int fd = open(self->f, O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(ENODATA, error_of(fgetxattr(fd, CAPS, buf, sizeof(buf))));
	ASSERT_EQ(0, fsetxattr(fd, CAPS, caps, sizeof(caps), 0));
	EXPECT_EQ(sizeof(caps), fgetxattr(fd, CAPS, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(caps, buf, sizeof(caps)));
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(ENODATA, error_of(fgetxattr(fd, CAPS, buf, sizeof(buf))));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(len(os.listxattr(p)))"));
	EXPECT_STREQ("0", out);
	/* The same when nothing was asked in between. */
	ASSERT_EQ(0, fsetxattr(fd, CAPS, caps, sizeof(caps), 0));
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(len(os.listxattr(p)))"));
	EXPECT_STREQ("0", out);
	close(fd);
}

/* Capabilities that the host sets are seen when the second of belief is over, and a write takes them away then. */
TEST_F(xattr, capabilities_of_host)
{
	char buf[64], out[64];
	int fd = open(self->f, O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(ENODATA, error_of(fgetxattr(fd, CAPS, buf, sizeof(buf))));
	ASSERT_EQ(0, host_python(&self->fs, NULL, 0, "os.setxattr(p,\\\"security.capability\\\",bytes.fromhex(\\\"0100000200200000\\\")+bytes(12))"));
	/* On a machine that has much to do the guest's clock ticks late. */
	EXPECT_TRUE(soon(fgetxattr(fd, CAPS, buf, sizeof(buf)) == sizeof(caps)));
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	EXPECT_EQ(0, host_python(&self->fs, out, sizeof(out), "print(len(os.listxattr(p)))"));
	EXPECT_STREQ("0", out);
	close(fd);
}

/* A server without them: the error that programs know, and it is not asked for values again. */
TEST_F(plain, missing)
{
	char buf[8];

	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault GETXATTR 1 errno:-38"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault SETXATTR 1 errno:-38"));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault LISTXATTR 1 errno:-38"));
	EXPECT_EQ(EOPNOTSUPP, error_of(getxattr(self->f, "user.a", buf, sizeof(buf))));
	EXPECT_EQ(EOPNOTSUPP, error_of(setxattr(self->f, "user.a", "1", 1, 0)));
	EXPECT_EQ(EOPNOTSUPP, error_of(listxattr(self->f, buf, sizeof(buf))));
	ASSERT_EQ(0, device(&self->fs, NULL, 0, "fault REMOVEXATTR 1 errno:-38"));
	EXPECT_EQ(EOPNOTSUPP, error_of(removexattr(self->f, "user.a")));
	reset_counters(&self->fs);
	EXPECT_EQ(EOPNOTSUPP, error_of(getxattr(self->f, "user.a", buf, sizeof(buf))));
	EXPECT_EQ(0, counter(&self->fs, "GETXATTR"));
	EXPECT_EQ(EOPNOTSUPP, error_of(setxattr(self->f, "user.a", "1", 1, 0)));
	EXPECT_EQ(EOPNOTSUPP, error_of(listxattr(self->f, buf, sizeof(buf))));
	EXPECT_EQ(EOPNOTSUPP, error_of(removexattr(self->f, "user.a")));
	EXPECT_EQ(0, counter(&self->fs, "SETXATTR"));
	EXPECT_EQ(0, counter(&self->fs, "LISTXATTR"));
	EXPECT_EQ(0, counter(&self->fs, "REMOVEXATTR"));
}

TEST_HARNESS_MAIN
