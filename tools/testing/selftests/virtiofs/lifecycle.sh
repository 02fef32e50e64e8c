#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading and unloading, and devices that come and go. tools/vm/run --kmemleak scans for leaks after it.
. "$(dirname "$0")/lib.sh"
begin
m=$dir/m
window=$(has_tag dax && echo dax)

# use TAG [OPTIONS]: mounts, writes, maps, unmounts.
use() {
	mount_tag "$1" "$m" "$2" || return
	rm -f "$m/lifecycle"
	echo content >"$m/lifecycle" && [ "$(cat "$m/lifecycle")" = content ] && rm "$m/lifecycle"
	rc=$?
	umount "$m" && return $rc
}

fifty() {
	for i in $(seq 50); do
		unload && load || { echo "# round $i"; return 1; }
		if [ $((i % 10)) = 0 ]; then
			use nodax || { echo "# round $i"; return 1; }
			[ -z "$window" ] || use dax dax=always || { echo "# round $i, with dax"; return 1; }
		fi
	done
}
check "50 times rmmod and insmod" fifty

in_use() {
	mount_tag nodax "$m" || return
	rmmod "$(module_names | awk '{ print $NF }')" 2>/dev/null && { echo "# unloaded while mounted"; return 1; }
	umount "$m"
}
check "rmmod while mounted: refused" in_use

gone() {
	before=$(wc -l </proc/filesystems)
	unload || return
	left=$(grep -cwE 'virtiofs' /proc/filesystems)
	[ -e /sys/fs/virtiofs ] && sys=there || sys=gone
	load || return
	same "entries of virtiofs in /proc/filesystems" 0 "$left" && same "/sys/fs/virtiofs" gone "$sys" &&
		same "lines of /proc/filesystems after reload" "$before" "$(wc -l </proc/filesystems)"
}
check "rmmod leaves nothing behind" gone

# rebind TAG [OPTIONS]
rebind() {
	dev=$(virtio_of "$1") || return
	driver=$(realpath "/sys/bus/virtio/devices/$dev/driver")
	echo "$dev" >"$driver/unbind" || return
	mkdir -p "$m"
	same "mount without the device" EINVAL "$($vtool mount "$1" "$m" "$2")" || return
	[ -z "$(virtio_of "$1" 2>/dev/null)" ] || { echo "# the tag is still in /sys/fs/virtiofs"; return 1; }
	echo "$dev" >"$driver/bind" || return
	use "$1" "$2"
}
check "unbind, bind, mount" rebind nodax ""
[ -z "$window" ] || check "unbind, bind, mount with dax" rebind dax dax=always

several() {
	for i in 1 2 3 4 5; do
		rebind nodax "" || { echo "# round $i"; return 1; }
	done
}
check "5 times unbind and bind" several
