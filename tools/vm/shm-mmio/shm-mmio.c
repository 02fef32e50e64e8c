// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin that gives virtio-mmio devices their shared memory region, which QEMU's own virtio-mmio lacks:
 *
 *   -plugin shm-mmio.so,region=ID:REGISTERS:ADDRESS:LENGTH[,region=...]
 *
 * For the device with this id, whose registers begin at REGISTERS, it lays the registers SHMSel, SHMLen and SHMBase
 * (0xac to 0xbf) over QEMU's, and puts region 0 of the device, which must be LENGTH bytes long, at ADDRESS.
 *
 * The plugin interface has no such thing, so QEMU's internal functions are called, which the binary exports for its
 * own modules. There are no headers for them: what is used is declared here, as of QEMU 11.1. Whatever looks
 * different from what was expected ends QEMU with a message.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 16
#define SHM_SEL 0xac
#define SHM_LEN 0xb0
#define SHM_BASE 0xb8
#define SHM_SIZE 20
/* Place of the MemoryRegion in VirtioSharedMemory. */
#define REGION_OFFSET 16
/* Room for a MemoryRegion, which is a good deal smaller. */
#define REGION_ROOM 4096
#define LITTLE_ENDIAN_DEVICE 2

__attribute__((visibility("default"))) int qemu_plugin_version = 7;

struct notifier {
	void (*notify)(struct notifier *n, void *data);
	void *next, *prev;
};

struct region_ops {
	uint64_t (*read)(void *opaque, uint64_t addr, unsigned int size);
	void (*write)(void *opaque, uint64_t addr, uint64_t data, unsigned int size);
	void *read_with_attrs, *write_with_attrs;
	int endianness;
	struct {
		unsigned int min, max;
		bool unaligned;
		void *accepts;
	} valid;
	struct {
		unsigned int min, max;
		bool unaligned;
	} impl;
};

struct device {
	char id[64];
	uint64_t registers, address, length;
	uint32_t selected;
};

static struct device devices[MAX_DEVICES];
static int n_devices;

static void *(*object_resolve_path)(const char *path, bool *ambiguous);
static void *(*object_dynamic_cast)(void *obj, const char *type);
static void *(*virtio_find_shmem_region)(void *vdev, uint8_t id);
static uint64_t (*memory_region_size)(void *mr);
static bool (*memory_region_is_mapped)(void *mr);
static void (*memory_region_init_io)(void *mr, void *owner, const void *ops, void *opaque, const char *name, uint64_t size);
static void (*memory_region_add_subregion)(void *mr, uint64_t offset, void *sub);
static void (*memory_region_add_subregion_overlap)(void *mr, uint64_t offset, void *sub, int priority);
static void *(*get_system_memory)(void);
static void (*qemu_add_machine_init_done_notifier)(struct notifier *n);

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "shm-mmio: %s: %s\n", what, detail);
	fprintf(stderr, "shm-mmio: it was made for QEMU 11.1; use that, or test over PCI\n");
	exit(1);
}

static uint64_t shm_read(void *opaque, uint64_t addr, unsigned int size)
{
	struct device *d = opaque;
	/* All ones say that there is no region with the selected id. */
	uint64_t length = d->selected ? ~0ULL : d->length;
	uint64_t base = d->selected ? ~0ULL : d->address;

	switch (SHM_SEL + addr) {
	case SHM_LEN:
		return (uint32_t)length;
	case SHM_LEN + 4:
		return length >> 32;
	case SHM_BASE:
		return (uint32_t)base;
	case SHM_BASE + 4:
		return base >> 32;
	}
	return 0;
}

static void shm_write(void *opaque, uint64_t addr, uint64_t data, unsigned int size)
{
	struct device *d = opaque;

	if (SHM_SEL + addr == SHM_SEL)
		d->selected = data;
}

static const struct region_ops ops = {
	.read = shm_read,
	.write = shm_write,
	.endianness = LITTLE_ENDIAN_DEVICE,
	.valid = { .min = 4, .max = 4 },
	.impl = { .min = 4, .max = 4 },
};

static void set_up(struct device *d)
{
	char path[100], text[100];
	void *obj, *region, *registers;
	char *found;

	snprintf(path, sizeof(path), "/machine/peripheral/%s", d->id);
	obj = object_resolve_path(path, NULL);
	if (!obj || !object_dynamic_cast(obj, "virtio-device"))
		fail("no virtio device at", path);
	found = virtio_find_shmem_region(obj, 0);
	if (!found)
		fail("the device has no shared memory region 0", d->id);
	region = found + REGION_OFFSET;
	if (memory_region_size(region) != d->length) {
		snprintf(text, sizeof(text), "%#" PRIx64 " instead of %#" PRIx64, memory_region_size(region), d->length);
		fail("the region's size does not look right", text);
	}
	if (memory_region_is_mapped(region))
		fail("the region has a place already", d->id);
	registers = calloc(1, REGION_ROOM);
	if (!registers)
		fail("no memory", d->id);
	memory_region_init_io(registers, obj, &ops, d, "shm-mmio", SHM_SIZE);
	if (memory_region_size(registers) != SHM_SIZE)
		fail("a region of our own does not look right", d->id);
	memory_region_add_subregion_overlap(get_system_memory(), d->registers + SHM_SEL, registers, 10);
	memory_region_add_subregion(get_system_memory(), d->address, region);
}

static void machine_done(struct notifier *n, void *data)
{
	int i;

	for (i = 0; i < n_devices; i++)
		set_up(&devices[i]);
}

static void *find(const char *name)
{
	void *f = dlsym(RTLD_DEFAULT, name);

	if (!f)
		fail("this QEMU has no function", name);
	return f;
}

__attribute__((visibility("default"))) int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	static struct notifier done = { .notify = machine_done };
	struct device *d;
	int i;

	object_resolve_path = find("object_resolve_path");
	object_dynamic_cast = find("object_dynamic_cast");
	virtio_find_shmem_region = find("virtio_find_shmem_region");
	memory_region_size = find("memory_region_size");
	memory_region_is_mapped = find("memory_region_is_mapped");
	memory_region_init_io = find("memory_region_init_io");
	memory_region_add_subregion = find("memory_region_add_subregion");
	memory_region_add_subregion_overlap = find("memory_region_add_subregion_overlap");
	get_system_memory = find("get_system_memory");
	qemu_add_machine_init_done_notifier = find("qemu_add_machine_init_done_notifier");
	for (i = 0; i < argc; i++) {
		d = &devices[n_devices];
		if (n_devices == MAX_DEVICES ||
		    sscanf(argv[i], "region=%63[^:]:%" SCNi64 ":%" SCNi64 ":%" SCNi64, d->id, &d->registers, &d->address,
			   &d->length) != 4)
			fail("not region=ID:REGISTERS:ADDRESS:LENGTH, or too many of them", argv[i]);
		n_devices++;
	}
	qemu_add_machine_init_done_notifier(&done);
	return 0;
}
