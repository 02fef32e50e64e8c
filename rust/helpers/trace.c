// SPDX-License-Identifier: GPL-2.0
/* The module's tracepoints, and calls of them. Bindgen sees only the calls. */

#include <linux/types.h>

void rust_fuse_trace_dax_setup(u64 nodeid, u64 index, u32 count, u64 moffset, bool write, bool ahead);
void rust_fuse_trace_dax_setup_done(u32 count, int error);
void rust_fuse_trace_dax_remove_done(u32 count, int error);
void rust_fuse_trace_dax_take_over(u64 nodeid, u64 index, u64 from_nodeid, u64 from_index);
void rust_fuse_trace_dax_fallback(u64 nodeid, u64 index);
void rust_fuse_trace_dax_waited(u64 ms);

#ifndef __BINDGEN__
#define CREATE_TRACE_POINTS
#include "trace.h"

void rust_fuse_trace_dax_setup(u64 nodeid, u64 index, u32 count, u64 moffset, bool write, bool ahead)
{
	trace_fuse_dax_setup(nodeid, index, count, moffset, write, ahead);
}

void rust_fuse_trace_dax_setup_done(u32 count, int error)
{
	trace_fuse_dax_setup_done(count, error);
}

void rust_fuse_trace_dax_remove_done(u32 count, int error)
{
	trace_fuse_dax_remove_done(count, error);
}

void rust_fuse_trace_dax_take_over(u64 nodeid, u64 index, u64 from_nodeid, u64 from_index)
{
	trace_fuse_dax_take_over(nodeid, index, from_nodeid, from_index);
}

void rust_fuse_trace_dax_fallback(u64 nodeid, u64 index)
{
	trace_fuse_dax_fallback(nodeid, index);
}

void rust_fuse_trace_dax_waited(u64 ms)
{
	trace_fuse_dax_waited(ms);
}
#endif
