// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/dax.h>, <linux/memremap.h>, <linux/ioport.h> and <linux/memory_hotplug.h>. */

#include <linux/dax.h>
#include <linux/device.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/xarray.h>

/* The last physical address that can get a kernel mapping and page structures. */
u64 rust_fuse_mappable_limit(void);
u64 rust_fuse_mappable_limit(void)
{
	return mhp_get_pluggable_range(true).end;
}

bool rust_fuse_request_mem_region(u64 start, u64 len, const char *name);
bool rust_fuse_request_mem_region(u64 start, u64 len, const char *name)
{
	return request_mem_region(start, len, name);
}

void rust_fuse_release_mem_region(u64 start, u64 len);
void rust_fuse_release_mem_region(u64 start, u64 len)
{
	release_mem_region(start, len);
}

/* Whether any page of the range has page structures of a device. Asked before memremap_pages, which WARNs on that. */
bool rust_fuse_range_has_pagemap(u64 start, u64 len, u64 step);
bool rust_fuse_range_has_pagemap(u64 start, u64 len, u64 step)
{
	u64 at;

	for (at = 0; at < len; at += step) {
		struct dev_pagemap *pgmap = get_dev_pagemap(PHYS_PFN(start + at));

		if (pgmap) {
			put_dev_pagemap(pgmap);
			return true;
		}
	}
	return false;
}

unsigned int rust_fuse_dax_entry_order(struct address_space *mapping, unsigned long index);
unsigned int rust_fuse_dax_entry_order(struct address_space *mapping, unsigned long index)
{
	return xa_get_order(&mapping->i_pages, index);
}

int rust_fuse_dev_to_node(struct device *dev);
int rust_fuse_dev_to_node(struct device *dev)
{
	return dev_to_node(dev);
}
