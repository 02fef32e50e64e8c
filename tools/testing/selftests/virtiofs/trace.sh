#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What can be seen of the DAX window: tracepoints, counters, and samples/dax-top.
. "$(dirname "$0")/lib.sh"
begin
m=$dir/m
t=/sys/kernel/tracing
[ -d $t/events ] || mount -t tracefs tracefs $t
[ "$MODULE" != c ] || skip_all "known difference: the C client has no tracepoints for DAX"
has_tag dax || skip_all "no device with a window"

traced() {
	ctl host dax "truncate -s 8M traced" && mount_tag dax "$m" dax=always || return
	echo >$t/trace && echo 1 >$t/events/rust_fuse/enable || return
	dd if="$m/traced" of=/dev/null bs=4096 count=1 2>/dev/null && rm "$m/traced"
	rc=$?
	umount "$m"
	echo 0 >$t/events/rust_fuse/enable
	[ $rc = 0 ] || return
	for line in 'fuse_dax_setup: nodeid=[0-9]* index=0 count=1 moffset=0x0 ro' 'fuse_dax_setup_done: count=1 error=0' \
		'fuse_dax_remove_done: count=1 error=0'; do
		grep -q "$line" $t/trace || { echo "# no line \"$line\" in:"; sed 's/^/# /' $t/trace; return 1; }
	done
}
check "tracepoints tell of a map and an unmap" traced

viewer() {
	mount_tag dax "$m" dax=always || return
	"$here/dax-top" -n 1 dax >"$dir/top"
	rc=$?
	umount "$m"
	[ $rc = 0 ] && grep -q "^dax: 32 ranges: 0 mapped" "$dir/top" && return
	sed 's/^/# /' "$dir/top"
	return 1
}
check "dax-top shows the window" viewer

no_viewer() { ! "$here/dax-top" -n 1 nosuchtag 2>/dev/null; }
check "dax-top without a device says so" no_viewer

# The window's counters of the device with the tag "dax".
numbers() {
	for d in /sys/fs/virtiofs/*/; do
		[ "$(cat "$d/tag")" = dax ] && cat "$d/dax"
	done
}

anew() {
	ctl host dax "truncate -s 8M traced" && mount_tag dax "$m" dax=always || return
	dd if="$m/traced" of=/dev/null bs=4096 count=1 2>/dev/null && rm "$m/traced"
	umount "$m"
	# What the last mount did can still be read.
	numbers | grep -q '^maps [1-9]' && mount_tag dax "$m" dax=always || return
	numbers | grep -q '^maps 0$'
	rc=$?
	umount "$m"
	return $rc
}
check "counters are of the mount" anew
