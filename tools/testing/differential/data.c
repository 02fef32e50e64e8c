// SPDX-License-Identifier: GPL-2.0
/* Data: by calls, by mappings, by copies within the kernel. */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <linux/falloc.h>

#include "diff.h"

/* What a read brought is compared by length and hash. */
static void read_result(ssize_t n)
{
	if (n < 0)
		result(-1, "%s", "");
	else
		result(n, "%016llx", (unsigned long long)hash(data, n, 0));
}

/*
 * Whether a read with O_DIRECT would begin behind the end: the C client asks nobody then; we ask the server, as the file may have
 * grown, and that gives the file a new access time.
 */
static bool behind_end(int s, off_t at)
{
	struct stat st;

	return fcntl(slots[s].fd, F_GETFL) & O_DIRECT && !fstat(slots[s].fd, &st) && S_ISREG(st.st_mode) && at >= st.st_size;
}

static void do_read(int s)
{
	off_t at = offset();
	size_t n = length();
	struct iovec v[2] = { { data, n / 3 }, { data + n / 3, n - n / 3 } };

	unsigned int kind = below(3);

	if (behind_end(s, kind ? at : lseek(slots[s].fd, 0, SEEK_CUR)))
		return;
	memset(data, 0xee, n);
	switch (kind) {
	case 0:
		strcpy(what, "read");
		args("slot %d, %zu", s, n);
		read_result(read(slots[s].fd, data, n));
		break;
	case 1:
		strcpy(what, "preadv");
		args("slot %d, %zu, %lld", s, n, (long long)at);
		read_result(preadv(slots[s].fd, v, 2, at));
		break;
	default:
		strcpy(what, "pread");
		args("slot %d, %zu, %lld", s, n, (long long)at);
		read_result(pread(slots[s].fd, data, n, at));
	}
}

static void do_write(int s, uint64_t call)
{
	static const int flags[] = { RWF_DSYNC, RWF_APPEND, RWF_SYNC, RWF_NOWAIT };
	off_t at = offset();
	size_t n = length();
	struct iovec v[2] = { { data, n / 3 }, { data + n / 3, n - n / 3 } };

	fill(n, call);
	switch (below(4)) {
	case 0:
	case 1:
		strcpy(what, "write");
		args("slot %d, %zu", s, n);
		result(write(slots[s].fd, data, n), "%s", "");
		break;
	case 2: {
		int f = one_in(3) ? PICK(flags) : 0;

		/* Whether it can be done without waiting differs from one time to the next. */
		if (f == RWF_NOWAIT)
			f = 0;
		sprintf(what, "pwritev:%x", f);
		args("slot %d, %zu, %lld", s, n, (long long)at);
		result(pwritev2(slots[s].fd, v, 2, at, f), "%s", "");
		break;
	}
	default:
		strcpy(what, "pwrite");
		args("slot %d, %zu, %lld", s, n, (long long)at);
		result(pwrite(slots[s].fd, data, n, at), "%s", "");
	}
}

static void do_fallocate(int s)
{
	static const int modes[] = { 0, 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_PUNCH_HOLE,
				     FALLOC_FL_INSERT_RANGE };
	int mode = PICK(modes);
	off_t at = offset();
	size_t n = length();

	sprintf(what, "fallocate:%x", mode);
	args("slot %d, %lld, %zu", s, (long long)at, n);
	result(fallocate(slots[s].fd, mode, at, n), "%s", "");
}

/*
 * Whether sendfile() would read what it writes: the pipe in between has pages of the file or copies of them, and so the result is
 * the kernel's to choose.
 */
static bool over_itself(int from, int to, const off_t *in, size_t n)
{
	struct stat a, b;
	off_t at, put;

	if (fstat(slots[from].fd, &a) || fstat(slots[to].fd, &b) || a.st_ino != b.st_ino || a.st_dev != b.st_dev)
		return false;
	at = in ? *in : lseek(slots[from].fd, 0, SEEK_CUR);
	put = fcntl(slots[to].fd, F_GETFL) & O_APPEND ? b.st_size : lseek(slots[to].fd, 0, SEEK_CUR);
	return llabs(at - put) < (long long)n;
}

static void do_copy(int from, int to)
{
	off_t in = offset(), out = offset();
	size_t n = length();

	if (one_in(3)) {
		off_t *at = one_in(2) ? &in : NULL;

		if (over_itself(from, to, at, n) || behind_end(from, at ? in : lseek(slots[from].fd, 0, SEEK_CUR)))
			return;
		strcpy(what, "sendfile");
		args("slot %d, slot %d, %lld, %zu", to, from, (long long)in, n);
		result(sendfile(slots[to].fd, slots[from].fd, at, n), "%s", "");
	} else {
		strcpy(what, from == to ? "copy_file_range:same" : "copy_file_range");
		args("slot %d, %lld, slot %d, %lld, %zu", from, (long long)in, to, (long long)out, n);
		result(copy_file_range(slots[from].fd, &in, slots[to].fd, &out, n, 0), "%s", "");
	}
}

static void do_sync(int s)
{
	static const int advice[] = { POSIX_FADV_DONTNEED, POSIX_FADV_WILLNEED, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL };
	int a;

	switch (below(5)) {
	case 0:
		strcpy(what, "fsync");
		args("slot %d", s);
		result(fsync(slots[s].fd), "%s", "");
		break;
	case 1:
		strcpy(what, "fdatasync");
		args("slot %d", s);
		result(fdatasync(slots[s].fd), "%s", "");
		break;
	case 2:
		strcpy(what, "sync_file_range");
		args("slot %d", s);
		result(sync_file_range(slots[s].fd, 0, 0, 7), "%s", "");
		break;
	case 3:
		strcpy(what, "syncfs");
		args("slot %d", s);
		result(syncfs(slots[s].fd), "%s", "");
		break;
	default:
		a = PICK(advice);
		sprintf(what, "fadvise:%d", a);
		args("slot %d", s);
		result(posix_fadvise(slots[s].fd, 0, 0, a), "%s", "");
	}
}

void call_data(uint64_t n)
{
	int s = open_slot(), t = open_slot();

	if (s < 0)
		return;
	switch (below(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		do_read(s);
		break;
	case 4:
	case 5:
	case 6:
		do_write(s, n);
		break;
	case 7:
	case 8:
		do_fallocate(s);
		break;
	case 9:
	case 10:
		do_copy(s, t);
		break;
	default:
		do_sync(s);
	}
}

static sigjmp_buf out;

static void on_signal(int sig) { siglongjmp(out, sig); }

static const struct {
	int prot, flags;
	const char *name;
} kinds[] = {
	{ PROT_READ, MAP_SHARED, "read" },
	{ PROT_READ | PROT_WRITE, MAP_SHARED, "write" },
	{ PROT_READ | PROT_WRITE, MAP_PRIVATE, "private" },
	{ PROT_READ, MAP_SHARED | MAP_POPULATE, "populate" },
	{ PROT_READ | PROT_WRITE, MAP_SHARED, "write" },
};

/* Maps a part of a file, reads or changes it there, and may give it up by another way: msync, madvise, a cut. */
void call_mapping(uint64_t n)
{
	int s = open_slot(), k = below(5), sig, sync = below(5), rc = 0;
	off_t at = offset() & ~4095L;
	size_t len = (length() | 1) % (128 << 10), part = below(len + 1);
	volatile bool mapped = false;
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_NODEFER }, old;
	uint8_t *p;

	if (s < 0)
		return;
	sprintf(what, "mmap:%s", kinds[k].name);
	args("slot %d, %lld, %zu, %d", s, (long long)at, len, sync);
	p = mmap(NULL, len, kinds[k].prot, kinds[k].flags, slots[s].fd, at);
	if (p == MAP_FAILED) {
		result(-1, "%s", "");
		return;
	}
	mapped = true;
	sigaction(SIGBUS, &act, &old);
	sig = sigsetjmp(out, 1);
	if (!sig) {
		if (kinds[k].prot & PROT_WRITE) {
			fill(len - part, n);
			memcpy(p + part, data, len - part);
		}
		if (sync == 0)
			rc = msync(p, len, MS_SYNC);
		else if (sync == 1)
			rc = madvise(p, len, MADV_DONTNEED);
		else if (sync == 2)
			rc = msync(p, len, MS_ASYNC);
		result(rc, "%016llx", (unsigned long long)hash(p, len, 0));
	} else {
		result(0, "signal %d", sig);
	}
	sigaction(SIGBUS, &old, NULL);
	if (mapped)
		munmap(p, len);
}
