/* SPDX-License-Identifier: GPL-2.0 */
/* The headers whose C interfaces the abstraction layer wraps; bindgen's input. */
#include <linux/backing-dev.h>
#include <linux/dax.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/seq_file.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/uio.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/xattr.h>
#include <uapi/linux/fuse.h>
#include <uapi/linux/virtio_fs.h>

#include "../helpers/helpers.c"
