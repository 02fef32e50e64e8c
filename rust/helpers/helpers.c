// SPDX-License-Identifier: GPL-2.0
/* The C shims, one file per header: inline functions and macros that Rust cannot call by name. */

#define RUST_FUSE_HELPER(ret, name, ...)	\
	ret rust_fuse_##name(__VA_ARGS__);	\
	ret rust_fuse_##name(__VA_ARGS__)

#include "inode.c"
#include "names.c"
#include "vfs.c"
#include "lock.c"
#include "block.c"
#include "chardev.c"
#include "pagecache.c"
#include "pipe.c"
#include "backing.c"
#include "stacked.c"
#include "privs.c"
#include "dax.c"
#include "virtio.c"
#include "sync.c"
#include "spinlock.c"
#include "xarray.c"
#include "trace.c"
#include "params.c"
