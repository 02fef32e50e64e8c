// SPDX-License-Identifier: GPL-2.0
/* Open files: opening in every way, closing, duplicating, positions, locks. */
#include <sys/file.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "diff.h"

static const struct {
	int flag;
	const char *name;
	unsigned int one_in;
} extras[] = {
	{ O_CREAT, "creat", 2 },	{ O_EXCL, "excl", 8 },	    { O_TRUNC, "trunc", 6 },	   { O_APPEND, "append", 6 },
	{ O_DIRECT, "direct", 6 },	{ O_DIRECTORY, "dir", 14 }, { O_NOFOLLOW, "nofollow", 10 }, { O_SYNC, "sync", 14 },
	{ O_DSYNC, "dsync", 14 },	{ O_PATH, "path", 25 },	    { O_NOATIME, "noatime", 20 },  { O_NONBLOCK, "nonblock", 1 },
};

static void do_open(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR };
	static const char *const names[] = { "r", "w", "rw", "3" };
	int flags = PICK(modes), s = free_slot(), fd;
	const char *p = one_in(3) ? path() : fresh();
	mode_t mode = one_in(3) ? below(010000) : 0666;
	struct stat st;

	sprintf(what, "open:%s", names[flags & 3]);
	/* FIFOs must not wait for another end, hence always O_NONBLOCK, which other files do not mind. */
	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		if (!one_in(extras[i].one_in))
			continue;
		flags |= extras[i].flag;
		if (extras[i].flag != O_NONBLOCK && strlen(what) < 40)
			sprintf(what + strlen(what), ",%s", extras[i].name);
	}
	if (one_in(20)) {
		/* The other two in their places mean something else to it. */
		flags = (flags & ~(O_CREAT | O_EXCL | O_DIRECTORY | O_PATH | O_NOFOLLOW)) | O_TMPFILE;
		strcpy(what, "open:tmpfile");
	}
	args("%s, %o", p, mode);
	if (s < 0) {
		s = below(SLOTS);
		close(slots[s].fd);
		slots[s].fd = -1;
	}
	fd = open(p, flags | O_CLOEXEC, mode);
	if (fd >= 0) {
		slots[s].fd = fd;
		slots[s].dir = !fstat(fd, &st) && S_ISDIR(st.st_mode);
		/* A number that does not depend on what else is open. */
		result(0, "slot %d %s", s, fstat(fd, &st) ? "?" : show_stat(&st));
	} else {
		result(-1, "%s", "");
	}
}

static void do_seek(int s)
{
	static const int whences[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 9 };
	int whence = PICK(whences);
	off_t to = one_in(10) ? -5 : offset();
	struct stat st;
	off_t at;

	/* A directory's positions are the host's to choose. */
	if (slots[s].dir)
		return;
	sprintf(what, "lseek:%d", whence);
	args("slot %d, %lld", s, (long long)to);
	at = lseek(slots[s].fd, to, whence);
	/*
	 * Where the host has holes is its own matter: a byte that is written makes data of a whole folio of its page cache. That
	 * there is one at the end is not.
	 */
	if ((whence == SEEK_DATA || whence == SEEK_HOLE) && to >= 0 && !fstat(slots[s].fd, &st) && to < st.st_size) {
		bool hole_at_end = whence == SEEK_DATA && at < 0 && errno == ENXIO;

		if (hole_at_end || (at >= to && at <= st.st_size - (whence == SEEK_DATA)))
			at = lseek(slots[s].fd, to, SEEK_SET);
	}
	result(at, "%s", "");
}

static void do_flags(int s)
{
	static const int flags[] = { 0, O_APPEND, O_DIRECT, O_NOATIME, O_APPEND | O_DIRECT };
	int f = PICK(flags);

	strcpy(what, "fcntl:setfl");
	args("slot %d, %x", s, f);
	result(fcntl(slots[s].fd, F_SETFL, f | O_NONBLOCK), "%s", "");
}

static void do_inode_flags(int s)
{
	int flags = 0, rc;

	strcpy(what, "ioctl:getflags");
	args("slot %d", s);
	rc = ioctl(slots[s].fd, FS_IOC_GETFLAGS, &flags);
	/* Extents, and folders by hash: the host's own. */
	result(rc, "%x", rc ? 0 : flags & ~(FS_EXTENT_FL | FS_INDEX_FL | FS_INLINE_DATA_FL));
}

static void do_dup(int s)
{
	int t = free_slot();

	if (t < 0)
		return;
	strcpy(what, "dup");
	args("slot %d, slot %d", s, t);
	slots[t].fd = dup(slots[s].fd);
	slots[t].dir = slots[s].dir;
	result(slots[t].fd < 0 ? -1 : 0, "%s", "");
}

void call_files(uint64_t n)
{
	int s = open_slot(), fd;

	if (s < 0 || below(10) < 5) {
		do_open();
		return;
	}
	switch (below(8)) {
	case 0:
	case 1:
	case 2:
		fd = slots[s].fd;
		slots[s].fd = -1;
		strcpy(what, "close");
		args("slot %d", s);
		result(close(fd), "%s", "");
		break;
	case 3:
	case 4:
		do_seek(s);
		break;
	case 5:
		do_flags(s);
		break;
	case 6:
		do_inode_flags(s);
		break;
	default:
		do_dup(s);
	}
}

void call_locks(uint64_t n)
{
	static const int flocks[] = { LOCK_SH, LOCK_EX, LOCK_UN };
	static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
	int s = open_slot();
	struct flock l = { .l_type = PICK(types), .l_whence = SEEK_SET, .l_start = below(50), .l_len = below(40) };

	if (s < 0)
		return;
	switch (below(4)) {
	case 0: {
		int op = PICK(flocks);

		sprintf(what, "flock:%d", op);
		args("slot %d", s);
		result(flock(slots[s].fd, op | LOCK_NB), "%s", "");
		break;
	}
	case 1:
		sprintf(what, "ofd-setlk:%d", l.l_type);
		args("slot %d, %lld, %lld", s, (long long)l.l_start, (long long)l.l_len);
		result(fcntl(slots[s].fd, F_OFD_SETLK, &l), "%s", "");
		break;
	case 2: {
		int rc;

		if (l.l_type == F_UNLCK)
			l.l_type = F_WRLCK;
		sprintf(what, "ofd-getlk:%d", l.l_type);
		args("slot %d, %lld, %lld", s, (long long)l.l_start, (long long)l.l_len);
		rc = fcntl(slots[s].fd, F_OFD_GETLK, &l);
		result(rc, "type=%d start=%lld len=%lld", l.l_type, l.l_type == F_UNLCK ? 0 : (long long)l.l_start,
		       l.l_type == F_UNLCK ? 0 : (long long)l.l_len);
		break;
	}
	default:
		sprintf(what, "setlk:%d", l.l_type);
		args("slot %d, %lld, %lld", s, (long long)l.l_start, (long long)l.l_len);
		result(fcntl(slots[s].fd, F_SETLK, &l), "%s", "");
	}
}
