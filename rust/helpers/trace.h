/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoints of the module, /sys/kernel/tracing/events/rust_fuse. Offsets are in bytes, a part of a file is 2 MiB. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rust_fuse

#if !defined(RUST_FUSE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RUST_FUSE_TRACE_H

#include <linux/tracepoint.h>

/* A SETUPMAPPING is sent: count adjacent parts of an inode from index on, to window offset moffset on. */
TRACE_EVENT(fuse_dax_setup,
	TP_PROTO(u64 nodeid, u64 index, u32 count, u64 moffset, bool write, bool ahead),
	TP_ARGS(nodeid, index, count, moffset, write, ahead),
	TP_STRUCT__entry(
		__field(u64, nodeid)
		__field(u64, index)
		__field(u64, moffset)
		__field(u32, count)
		__field(bool, write)
		__field(bool, ahead)
	),
	TP_fast_assign(
		__entry->nodeid = nodeid;
		__entry->index = index;
		__entry->moffset = moffset;
		__entry->count = count;
		__entry->write = write;
		__entry->ahead = ahead;
	),
	TP_printk("nodeid=%llu index=%llu count=%u moffset=%#llx %s%s", __entry->nodeid, __entry->index, __entry->count,
		  __entry->moffset, __entry->write ? "rw" : "ro", __entry->ahead ? " ahead" : "")
);

/* Something that was asked of the server ended: for count ranges, with a negative errno or 0. */
DECLARE_EVENT_CLASS(fuse_dax_done,
	TP_PROTO(u32 count, int error),
	TP_ARGS(count, error),
	TP_STRUCT__entry(
		__field(u32, count)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->count = count;
		__entry->error = error;
	),
	TP_printk("count=%u error=%d", __entry->count, __entry->error)
);

DEFINE_EVENT(fuse_dax_done, fuse_dax_setup_done,
	TP_PROTO(u32 count, int error),
	TP_ARGS(count, error)
);

DEFINE_EVENT(fuse_dax_done, fuse_dax_remove_done,
	TP_PROTO(u32 count, int error),
	TP_ARGS(count, error)
);

/* A part of an inode gets the range that another had. */
TRACE_EVENT(fuse_dax_take_over,
	TP_PROTO(u64 nodeid, u64 index, u64 from_nodeid, u64 from_index),
	TP_ARGS(nodeid, index, from_nodeid, from_index),
	TP_STRUCT__entry(
		__field(u64, nodeid)
		__field(u64, index)
		__field(u64, from_nodeid)
		__field(u64, from_index)
	),
	TP_fast_assign(
		__entry->nodeid = nodeid;
		__entry->index = index;
		__entry->from_nodeid = from_nodeid;
		__entry->from_index = from_index;
	),
	TP_printk("nodeid=%llu index=%llu from_nodeid=%llu from_index=%llu", __entry->nodeid, __entry->index,
		  __entry->from_nodeid, __entry->from_index)
);

/* A part of an inode is read or written by request, as the window is full and the part is cold. */
TRACE_EVENT(fuse_dax_fallback,
	TP_PROTO(u64 nodeid, u64 index),
	TP_ARGS(nodeid, index),
	TP_STRUCT__entry(
		__field(u64, nodeid)
		__field(u64, index)
	),
	TP_fast_assign(
		__entry->nodeid = nodeid;
		__entry->index = index;
	),
	TP_printk("nodeid=%llu index=%llu", __entry->nodeid, __entry->index)
);

/* A wait for a range is over. */
TRACE_EVENT(fuse_dax_waited,
	TP_PROTO(u64 ms),
	TP_ARGS(ms),
	TP_STRUCT__entry(
		__field(u64, ms)
	),
	TP_fast_assign(
		__entry->ms = ms;
	),
	TP_printk("ms=%llu", __entry->ms)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
