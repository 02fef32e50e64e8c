// SPDX-License-Identifier: GPL-2.0
/* Calls on attributes: status, mode, owner, times, size, access, file system. */
#include <sys/statfs.h>
#include <sys/time.h>

#include "diff.h"

static void do_stat(void)
{
	struct stat s;
	int slot = open_slot(), rc;
	const char *p = path();

	if (one_in(3) && slot >= 0) {
		strcpy(what, "fstat");
		args("slot %d", slot);
		rc = fstat(slots[slot].fd, &s);
	} else {
		bool follow = one_in(3);

		strcpy(what, follow ? "stat" : "lstat");
		args("%s", p);
		rc = follow ? stat(p, &s) : lstat(p, &s);
	}
	result(rc, "%s", rc ? "" : show_stat(&s));
}

static void do_statx(void)
{
	static const int syncs[] = { AT_STATX_SYNC_AS_STAT, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC };
	static const unsigned int masks[] = { STATX_BASIC_STATS, STATX_ALL, STATX_SIZE, STATX_BTIME, STATX_MODE | STATX_NLINK, 0 };
	struct statx s = { 0 };
	const char *p = path();
	int flags = PICK(syncs) | AT_SYMLINK_NOFOLLOW | (one_in(4) ? AT_NO_AUTOMOUNT : 0), rc;
	unsigned int mask = PICK(masks);

	sprintf(what, "statx:%x", mask);
	args("%s, %x", p, flags);
	rc = statx(AT_FDCWD, p, flags, mask, &s);
	/* Who asks for nothing may get anything: only what was asked for counts. */
	result(rc, "%s", "");
	if (!rc)
		result(rc, "mask=%x mode=%o nlink=%u size=%llu attributes=%llx", s.stx_mask & mask, mask & STATX_MODE ? s.stx_mode : 0,
		       mask & STATX_NLINK ? s.stx_nlink : 0,
		       (mask & STATX_SIZE) && !S_ISDIR(s.stx_mode) ? (unsigned long long)s.stx_size : 0,
		       (unsigned long long)s.stx_attributes);
}

static void do_chmod(void)
{
	static const mode_t modes[] = { 0777, 0700, 0, 0444, 0644, 04755, 02755, 01777, 06777, 0111 };
	mode_t m = PICK(modes);
	int s = open_slot();
	const char *p = path();

	if (one_in(3) && s >= 0) {
		strcpy(what, "fchmod");
		args("slot %d, %o", s, m);
		result(fchmod(slots[s].fd, m), "%s", "");
	} else {
		strcpy(what, "chmod");
		args("%s, %o", p, m);
		result(chmod(p, m), "%s", "");
	}
}

static void do_chown(void)
{
	static const int ids[] = { 0, 1001, 1001, 1002, -1, -1 };
	int u = PICK(ids), g = PICK(ids), s = open_slot();
	const char *p = path();

	if (one_in(3) && s >= 0) {
		strcpy(what, "fchown");
		args("slot %d, %d, %d", s, u, g);
		result(fchown(slots[s].fd, u, g), "%s", "");
	} else {
		strcpy(what, "lchown");
		args("%s, %d, %d", p, u, g);
		result(lchown(p, u, g), "%s", "");
	}
}

static void do_times(void)
{
	static const long nsec[] = { 0, 1, 999999999, UTIME_NOW, UTIME_OMIT, UTIME_OMIT, 1000000000 };
	struct timespec t[2] = { { below(1000000), PICK(nsec) }, { below(1000000), PICK(nsec) } };
	int s = open_slot();
	const char *p = path();

	if (one_in(3) && s >= 0) {
		strcpy(what, "futimens");
		args("slot %d, %ld.%ld, %ld.%ld", s, t[0].tv_sec, t[0].tv_nsec, t[1].tv_sec, t[1].tv_nsec);
		result(futimens(slots[s].fd, t), "%s", "");
	} else {
		strcpy(what, "utimensat");
		args("%s, %ld.%ld, %ld.%ld", p, t[0].tv_sec, t[0].tv_nsec, t[1].tv_sec, t[1].tv_nsec);
		result(utimensat(AT_FDCWD, p, one_in(6) ? NULL : t, AT_SYMLINK_NOFOLLOW), "%s", "");
	}
}

static void do_truncate(void)
{
	off_t size = one_in(12) ? -1 : offset();
	int s = open_slot();
	const char *p = path();

	if (one_in(2) && s >= 0) {
		strcpy(what, "ftruncate");
		args("slot %d, %lld", s, (long long)size);
		result(ftruncate(slots[s].fd, size), "%s", "");
	} else {
		strcpy(what, "truncate");
		args("%s, %lld", p, (long long)size);
		result(truncate(p, size), "%s", "");
	}
}

static void do_statfs(void)
{
	struct statfs s;
	const char *p = path();
	int rc;

	strcpy(what, "statfs");
	args("%s", p);
	rc = statfs(p, &s);
	result(rc, "%s", "");
	if (!rc)
		result(rc, "type=%lx bsize=%ld frsize=%ld namelen=%ld flags=%lx", s.f_type, s.f_bsize, s.f_frsize, s.f_namelen, s.f_flags);
}

void call_attributes(uint64_t n)
{
	const char *p = path();
	int mode;

	switch (below(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
		do_stat();
		break;
	case 4:
	case 5:
		do_statx();
		break;
	case 6:
	case 7:
		do_chmod();
		break;
	case 8:
		do_chown();
		break;
	case 9:
	case 10:
		do_times();
		break;
	case 11:
	case 12:
	case 13:
		do_truncate();
		break;
	case 14:
		do_statfs();
		break;
	default:
		mode = below(8);
		strcpy(what, "access");
		args("%s, %d", p, mode);
		result(faccessat(AT_FDCWD, p, mode, AT_EACCESS), "%s", "");
	}
}
