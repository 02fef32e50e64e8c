// SPDX-License-Identifier: GPL-2.0
/* Shims for <linux/virtio.h>, <linux/virtio_config.h> and <linux/scatterlist.h>. */

#include <linux/interrupt.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

bool rust_fuse_virtio_get_shm_region(struct virtio_device *vdev, struct virtio_shm_region *region, u8 id);
bool rust_fuse_virtio_get_shm_region(struct virtio_device *vdev, struct virtio_shm_region *region, u8 id)
{
	return virtio_get_shm_region(vdev, region, id);
}

/* pre_vectors < 0: the interrupts of the queues are not spread over the CPUs. */
int rust_fuse_virtio_find_vqs(struct virtio_device *vdev, unsigned int nvqs, struct virtqueue **vqs,
			      struct virtqueue_info *info, int pre_vectors);
int rust_fuse_virtio_find_vqs(struct virtio_device *vdev, unsigned int nvqs, struct virtqueue **vqs,
			      struct virtqueue_info *info, int pre_vectors)
{
	struct irq_affinity desc = { .pre_vectors = pre_vectors };

	return virtio_find_vqs(vdev, nvqs, vqs, info, pre_vectors < 0 ? NULL : &desc);
}

/* Whether the CPU handles the interrupt of the queue; negative where the transport does not say. */
int rust_fuse_virtio_vq_on_cpu(struct virtio_device *vdev, int index, unsigned int cpu);
int rust_fuse_virtio_vq_on_cpu(struct virtio_device *vdev, int index, unsigned int cpu)
{
	const struct cpumask *mask = NULL;

	if (vdev->config->get_vq_affinity)
		mask = vdev->config->get_vq_affinity(vdev, index);
	return mask ? cpumask_test_cpu(cpu, mask) : -1;
}

void rust_fuse_virtio_del_vqs(struct virtio_device *vdev);
void rust_fuse_virtio_del_vqs(struct virtio_device *vdev)
{
	vdev->config->del_vqs(vdev);
}

u8 rust_fuse_virtio_get_status(struct virtio_device *vdev);
u8 rust_fuse_virtio_get_status(struct virtio_device *vdev)
{
	return vdev->config->get_status(vdev);
}

void rust_fuse_virtio_device_ready(struct virtio_device *vdev);
void rust_fuse_virtio_device_ready(struct virtio_device *vdev)
{
	virtio_device_ready(vdev);
}

void rust_fuse_virtio_cread_bytes(struct virtio_device *vdev, unsigned int offset, void *buf, size_t len);
void rust_fuse_virtio_cread_bytes(struct virtio_device *vdev, unsigned int offset, void *buf, size_t len)
{
	virtio_cread_bytes(vdev, offset, buf, len);
}

u32 rust_fuse_virtio_cread_le32(struct virtio_device *vdev, unsigned int offset);
u32 rust_fuse_virtio_cread_le32(struct virtio_device *vdev, unsigned int offset)
{
	__le32 v;

	might_sleep();
	vdev->config->get(vdev, offset, &v, sizeof(v));
	return le32_to_cpu(v);
}

/*
 * False when the bytes are not in the linear map, where physical memory is as contiguous as they are. That they are there and
 * in use is for the caller to know, so a comparison tells; virt_addr_valid would go through the tables of sections, twice.
 */
bool rust_fuse_sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len);
bool rust_fuse_sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len)
{
	unsigned long start = (unsigned long)buf, end = (unsigned long)high_memory;

	if (start < PAGE_OFFSET || start >= end || len > end - start)
		return false;
	sg->page_link = 0;
	sg_set_buf(sg, buf, len);
	return true;
}
void rust_fuse_sg_mark_end(struct scatterlist *sg);
void rust_fuse_sg_mark_end(struct scatterlist *sg)
{
	sg_mark_end(sg);
}

/* A virtio device whose parent is a PCI function: the parent of vDPA and MMIO devices is something else. */
bool rust_fuse_virtio_is_pci(struct virtio_device *vdev);
bool rust_fuse_virtio_is_pci(struct virtio_device *vdev)
{
	return vdev->dev.parent && dev_is_pci(vdev->dev.parent);
}

/* Reads the vendor capability that follows the one at pos (0: the first). Returns where it is, 0 after the last. */
int rust_fuse_virtio_pci_next_cap(struct virtio_device *vdev, int pos, u8 *bytes, u8 len);
int rust_fuse_virtio_pci_next_cap(struct virtio_device *vdev, int pos, u8 *bytes, u8 len)
{
	struct pci_dev *pdev = to_pci_dev(vdev->dev.parent);
	u8 i;

	pos = pos ? pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR) : pci_find_capability(pdev, PCI_CAP_ID_VNDR);
	/* A capability near the end of the 256 bytes is shorter than the buffer; the rest stays as it is. */
	for (i = 0; pos && i < len && pos + i < PCI_CFG_SPACE_SIZE; i++)
		pci_read_config_byte(pdev, pos + i, bytes + i);
	return pos;
}

/* False when the BAR is not memory. */
bool rust_fuse_virtio_pci_bar(struct virtio_device *vdev, unsigned int bar, u64 *start, u64 *len);
bool rust_fuse_virtio_pci_bar(struct virtio_device *vdev, unsigned int bar, u64 *start, u64 *len)
{
	struct pci_dev *pdev = to_pci_dev(vdev->dev.parent);

	if (bar >= PCI_STD_NUM_BARS || !(pci_resource_flags(pdev, bar) & IORESOURCE_MEM))
		return false;
	*start = pci_resource_start(pdev, bar);
	*len = pci_resource_len(pdev, bar);
	return *len != 0;
}
