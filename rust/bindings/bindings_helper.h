/* SPDX-License-Identifier: GPL-2.0 */
/* The headers whose C interfaces the abstraction layer wraps; bindgen's input. */
#include <linux/backing-dev.h>
#include <linux/backing-file.h>
#include <linux/dax.h>
#include <linux/dcache.h>
#include <linux/fileattr.h>
#include <linux/exportfs.h>
#include <linux/fadvise.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/ioport.h>
#include <linux/kstrtox.h>
#include <linux/memremap.h>
#include <linux/huge_mm.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/seq_file.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/sysctl.h>
#include <linux/uio.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/xattr.h>
#include <uapi/linux/fuse.h>
#include <uapi/linux/virtio_fs.h>

#include "../helpers/helpers.c"

/* Constants that bindgen cannot read from macros with casts. */
static const unsigned int RUST_FUSE_TASK_KILLABLE = TASK_KILLABLE;
static const unsigned int RUST_FUSE_TASK_IDLE = TASK_IDLE;
static const unsigned int RUST_FUSE_TASK_INTERRUPTIBLE = TASK_INTERRUPTIBLE;
static const unsigned int RUST_FUSE_TASK_NORMAL = TASK_NORMAL;
static const unsigned long RUST_FUSE_SB_RDONLY = SB_RDONLY;
static const unsigned long RUST_FUSE_SB_ACTIVE = SB_ACTIVE;
static const unsigned long RUST_FUSE_SB_SYNCHRONOUS = SB_SYNCHRONOUS;
static const unsigned long RUST_FUSE_SB_NODEV = SB_NODEV;
static const unsigned long RUST_FUSE_SB_MANDLOCK = SB_MANDLOCK;
static const unsigned int RUST_FUSE_S_NOATIME = S_NOATIME;
static const unsigned int RUST_FUSE_S_NOCMTIME = S_NOCMTIME;
static const unsigned int RUST_FUSE_S_AUTOMOUNT = S_AUTOMOUNT;
static const unsigned int RUST_FUSE_S_DAX = S_DAX;
static const unsigned long RUST_FUSE_SB_NOSEC = SB_NOSEC;
static const unsigned long RUST_FUSE_SB_POSIXACL = SB_POSIXACL;
static const unsigned int RUST_FUSE_S_NOSEC = S_NOSEC;
static const unsigned int RUST_FUSE_FMODE_WRITE = (unsigned int)(unsigned long)FMODE_WRITE;
static const loff_t RUST_FUSE_MAX_LFS_FILESIZE = MAX_LFS_FILESIZE;
static const unsigned int RUST_FUSE_VM_FAULT_ERROR = (unsigned int)VM_FAULT_ERROR;
static const unsigned int RUST_FUSE_TAG_DIRTY = (unsigned int)PAGECACHE_TAG_DIRTY;
static const unsigned int RUST_FUSE_S_DT_MASK = S_DT_MASK;
static const unsigned int RUST_FUSE_LOOKUP_RCU = LOOKUP_RCU;
static const unsigned int RUST_FUSE_LOOKUP_EXCL = LOOKUP_EXCL;
static const unsigned int RUST_FUSE_LOOKUP_REVAL = LOOKUP_REVAL;
static const unsigned int RUST_FUSE_LOOKUP_RENAME_TARGET = LOOKUP_RENAME_TARGET;
static const int RUST_FUSE_IOCB_DIRECT = (int)(unsigned long)IOCB_DIRECT;
static const unsigned int RUST_FUSE_SPLICE_F_MOVE = SPLICE_F_MOVE;
static const int RUST_FUSE_IOCB_APPEND = (int)(unsigned long)IOCB_APPEND;
static const int RUST_FUSE_FADV_WILLNEED = POSIX_FADV_WILLNEED;
static const unsigned int RUST_FUSE_FL_SLEEP = FL_SLEEP;
static const unsigned int RUST_FUSE_FL_OFDLCK = FL_OFDLCK;
static const unsigned int RUST_FUSE_F_CANCELLK = F_CANCELLK;
static const unsigned int RUST_FUSE_FMODE_CREATED = (unsigned int)(unsigned long)FMODE_CREATED;
