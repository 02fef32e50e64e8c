// SPDX-License-Identifier: GPL-2.0
/*
 * vtool COMMAND...: system calls with their exact errno, for the shell tests.
 *   mount TAG DIR [OPTIONS]   mount(2) of type virtiofs; TAG "(null)" passes no source
 *   call stat|open|read|write|readdir|create|mkdir PATH   one operation (read and write use one page)
 *   mmap PATH                 reads the first byte through a shared mapping
 *   pci-shm SYSFS-DIR ID      address and length of shared memory region ID, from the PCI device's own capability
 * Prints "ok" (with a value where there is one) or the errno's name; a fatal signal's name for mmap.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

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
	struct stat st;
	struct dirent *e;
	DIR *d;
	int fd;

	if (!strcmp(op, "stat"))
		return report(stat(path, &st));
	if (!strcmp(op, "mkdir"))
		return report(mkdir(path, 0755));
	if (!strcmp(op, "open")) {
		fd = open(path, O_RDONLY);
		return report(fd < 0);
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
	if (argc == 4 && !strcmp(argv[1], "pci-shm"))
		return pci_shm(argv[2], atoi(argv[3]));
	fprintf(stderr, "usage: vtool mount|call|mmap|pci-shm ...\n");
	return 2;
}
