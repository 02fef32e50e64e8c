/* SPDX-License-Identifier: GPL-2.0 */
/* Loop devices, and folders on a disk file system or in memory. Nothing of them outlives who uses them. Include after server.h. */
#ifndef DISK_H
#define DISK_H

#include <linux/loop.h>
#include <sys/sysmacros.h>

/* A loop device on a new file in memory, which goes with its last user; a descriptor of it, and its name. */
static inline int disk_make(char *name, size_t len, off_t size)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n = ioctl(control, LOOP_CTL_GET_FREE), device, fd = -1;
	struct loop_config c = { .fd = memfd_create("disk", MFD_CLOEXEC), .info.lo_flags = LO_FLAGS_AUTOCLEAR };

	snprintf(name, len, "/dev/loop%d", n);
	mknod(name, S_IFBLK | 0600, makedev(7, n));
	device = open(name, O_RDWR | O_CLOEXEC);
	/* A device that somebody may write to is not mounted. */
	if (n >= 0 && !ftruncate(c.fd, size) && !ioctl(device, LOOP_CONFIGURE, &c))
		fd = open(name, O_RDONLY | O_CLOEXEC);
	close(device);
	close(c.fd);
	close(control);
	return fd;
}

static inline bool place_make(const char *dir, bool disk)
{
	char name[32], cmd[64];
	bool made;
	int fd;

	mkdir(dir, 0755);
	if (!disk)
		return !mount("tmpfs", dir, "tmpfs", 0, "");
	fd = disk_make(name, sizeof(name), 64 << 20);
	snprintf(cmd, sizeof(cmd), "mke2fs -F %s >/dev/null", name);
	made = fd >= 0 && !system(cmd) && !mount(name, dir, "ext4", 0, "");
	close(fd);
	return made;
}

static inline int place_end(const char *dir)
{
	int e = unmount_soon(dir);

	rmdir(dir);
	return e;
}

#endif
