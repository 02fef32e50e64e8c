// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/virtio_config.h>. */

#include <linux/virtio.h>
#include <linux/virtio_config.h>

bool rust_fuse_virtio_get_shm_region(struct virtio_device *vdev, struct virtio_shm_region *region, u8 id);
bool rust_fuse_virtio_get_shm_region(struct virtio_device *vdev, struct virtio_shm_region *region, u8 id)
{
	return virtio_get_shm_region(vdev, region, id);
}
