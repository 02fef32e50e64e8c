// SPDX-License-Identifier: GPL-2.0
/*
 * vtool COMMAND...: system calls with their exact errno, for the shell tests.
 *   mount TAG DIR [OPTIONS]   mount(2) of type virtiofs; TAG "(null)" passes no source
 *   call stat|sync|open|read|write|readdir|create|mkdir|flags|statx PATH   one operation (read and write use one page; sync is a stat
 *                             that asks the server, whatever is believed)
 *   mmap PATH                 reads the first byte through a shared mapping
 *   hold PATH HOW GO          maps the first 2 MiB of a file, touches all, says "ready", and when the file GO is there tells how
 *                             each access ends: load, store, read(2), write(2). HOW: pages, huge, private (with a copy of the
 *                             first page, whose load is told before the others), pinned (the first page is in a pipe),
 *                             storm (loads until one fails; only that is told)
 *   pci-shm SYSFS-DIR ID      address and length of shared memory region ID, from the PCI device's own capability
 * Prints "ok" (with a value where there is one) or the errno's name; a fatal signal's name for mmap.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define RANGE (2UL << 20)

static int report(int failed)
{
	printf("%s\n", failed ? strerrorname_np(errno) : "ok");
	return failed ? 1 : 0;
}

static int call_rw(const char *op, const char *path)
{
	static char page[4096];
	int fd = open(path, op[0] == 'r' ? O_RDONLY : O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return report(1);
	n = op[0] == 'r' ? pread(fd, page, sizeof(page), 0) : pwrite(fd, page, sizeof(page), 0);
	return report(n < 0);
}

static int call(const char *op, const char *path)
{
	struct statx stx;
	struct stat st;
	struct dirent *e;
	DIR *d;
	int fd, flags;

	if (!strcmp(op, "stat"))
		return report(stat(path, &st));
	if (!strcmp(op, "sync"))
		return report(statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &stx));
	if (!strcmp(op, "mkdir"))
		return report(mkdir(path, 0755));
	if (!strcmp(op, "open")) {
		fd = open(path, O_RDONLY);
		return report(fd < 0);
	}
	if (!strcmp(op, "statx"))
		return report(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	if (!strcmp(op, "flags")) {
		fd = open(path, O_RDONLY);
		return report(fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags));
	}
	if (!strcmp(op, "create")) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		return report(fd < 0);
	}
	if (!strcmp(op, "readdir")) {
		d = opendir(path);
		if (!d)
			return report(1);
		do {
			errno = 0;
			e = readdir(d);
		} while (e);
		return report(errno != 0);
	}
	if (!strcmp(op, "read") || !strcmp(op, "write"))
		return call_rw(op, path);
	fprintf(stderr, "vtool: unknown call %s\n", op);
	return 2;
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static int map_read(const char *path)
{
	int fd = open(path, O_RDONLY), sig;
	volatile char *p;

	if (fd < 0)
		return report(1);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return report(1);
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	sig = sigsetjmp(fault, 1);
	if (sig) {
		printf("SIG%s\n", sigabbrev_np(sig));
		return 1;
	}
	(void)p[0];
	return report(0);
}

/* How touching this byte ends. */
static const char *touch(volatile char *p, int store)
{
	static char name[16];
	int sig = sigsetjmp(fault, 1);

	if (sig) {
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(sig));
		return name;
	}
	if (store)
		*p = 's';
	else
		(void)*p;
	return "ok";
}

static int hold(const char *path, const char *how, const char *go)
{
	int fd = open(path, O_RDWR), private = !strcmp(how, "private"), pipes[2];
	char *room, *p, buf[16] = "";
	struct iovec page;
	size_t off;

	room = mmap(NULL, 2 * RANGE + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || room == MAP_FAILED)
		return report(1);
	p = (char *)(((uintptr_t)room + RANGE - 1) & ~(RANGE - 1)) + (strcmp(how, "huge") ? 4096 : 0);
	p = mmap(p, RANGE, PROT_READ | PROT_WRITE, MAP_FIXED | (private ? MAP_PRIVATE : MAP_SHARED), fd, 0);
	if (p == MAP_FAILED)
		return report(1);
	for (off = 0; off < RANGE; off += 4096)
		(void)*(volatile char *)(p + off);
	p[1] = 'w';
	if (!strcmp(how, "pinned")) {
		page = (struct iovec){ p, 4096 };
		if (pipe(pipes) || vmsplice(pipes[1], &page, 1, 0) != 4096)
			return report(1);
	}
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	printf("ready\n");
	fflush(stdout);
	if (!strcmp(how, "storm")) {
		for (off = 0; !strcmp(touch(p + off, off & 4096), "ok"); off = (off + 4096) % RANGE)
			madvise(p + off / 65536 * 65536, 65536, MADV_DONTNEED);
		printf("%s\n", touch(p + off, 0));
		return 0;
	}
	while (access(go, F_OK))
		usleep(10000);
	if (private)
		printf("%s ", touch(p, 0));
	printf("%s ", touch(p + RANGE - 4096, 0));
	printf("%s ", touch(p + RANGE - 8192, 1));
	printf("%s ", pread(fd, buf, 8, 8192) < 0 ? strerrorname_np(errno) : "ok");
	printf("%s\n", pwrite(fd, "new", 3, 8192) < 0 ? strerrorname_np(errno) : "ok");
	return 0;
}

/* One line per BAR in "resource": start end flags. */
static uint64_t bar_start(const char *dir, int bar)
{
	char path[512];
	uint64_t start = 0, end;
	unsigned long flags;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "%s/resource", dir);
	f = fopen(path, "r");
	for (i = 0; f && i <= bar; i++)
		if (fscanf(f, "%lx %lx %lx", (unsigned long *)&start, (unsigned long *)&end, &flags) != 3)
			start = 0;
	if (f)
		fclose(f);
	return start;
}

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static int pci_shm(const char *dir, int id)
{
	uint8_t config[256], *cap;
	char path[512];
	uint64_t offset, length;
	int fd, pos, left = 64;

	snprintf(path, sizeof(path), "%s/config", dir);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, config, sizeof(config)) != sizeof(config))
		return report(1);
	for (pos = config[0x34]; pos >= 0x40 && pos <= 0xe8 && left; pos = config[pos + 1], left--) {
		cap = config + pos;
		/* Vendor specific, struct virtio_pci_cap64 of type VIRTIO_PCI_CAP_SHARED_MEMORY_CFG. */
		if (cap[0] != 0x09 || cap[3] != 8 || cap[5] != id)
			continue;
		offset = le32(cap + 8) | (uint64_t)le32(cap + 16) << 32;
		length = le32(cap + 12) | (uint64_t)le32(cap + 20) << 32;
		printf("%#lx %#lx\n", (unsigned long)(bar_start(dir, cap[4]) + offset), (unsigned long)length);
		return 0;
	}
	printf("none\n");
	return 1;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "mount"))
		return report(mount(strcmp(argv[2], "(null)") ? argv[2] : NULL, argv[3], "virtiofs", 0,
				    argc > 4 ? argv[4] : NULL));
	if (argc == 4 && !strcmp(argv[1], "call"))
		return call(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "mmap"))
		return map_read(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "hold"))
		return hold(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "pci-shm"))
		return pci_shm(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: vtool mount|call|mmap|hold|pci-shm ...\n");
	return 2;
}
