#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Every dax mode with and without a window, what /proc/mounts shows, and every way a mount is refused.
. "$(dirname "$0")/lib.sh"
begin
m=$dir/m
mkdir -p "$m"

# mode OPTIONS TAG RESULT SHOWN: mounts TAG with OPTIONS; SHOWN is the dax option that /proc/mounts must then show.
mode() {
	same "mount -o ${1:-(none)} $2" "$3" "$($vtool mount "$2" "$m" "$1")" || { umount "$m" 2>/dev/null; return 1; }
	[ "$3" = ok ] || return 0
	shown=$(dax_option "$m")
	umount "$m" && same "shown in /proc/mounts" "$4" "$shown"
}

# uses OPTIONS TAG READ SETUPMAPPING: reads a file and looks at which requests did it (0 or "some").
uses() {
	ctl host "$2" 'head -c 10000 /dev/urandom >uses'
	mount_tag "$2" "$m" "$1" || return
	reset "$2"
	sum=$(md5sum <"$m/uses" | cut -c1-32)
	read=$(counter "$2" READ) map=$(counter "$2" SETUPMAPPING)
	umount "$m"
	same "content" "$(ctl host "$2" 'md5sum <uses' | cut -c1-32)" "$sum" &&
		same "READ requests" "$3" "$([ "$read" = 0 ] && echo 0 || echo some)" &&
		same "SETUPMAPPING requests" "$4" "$([ "$map" = 0 ] && echo 0 || echo some)"
}

# refused ERRNO PATTERN TAG [OPTIONS]: the mount fails with ERRNO and one line of the log says why.
refused() {
	mark_log
	got=$($vtool mount "$3" "$m" "${4:-}")
	[ "$got" != ok ] || umount "$m"
	same "mount" "$1" "$got" || return
	lines=$(new_log | grep -ciE "$2")
	[ "$lines" = 1 ] && return
	echo "# the log has $lines lines that match \"$2\":"
	new_log | sed 's/^/# /'
	return 1
}

if has_tag dax; then
	check "window, no option" mode "" dax ok ""
	check "window, dax" mode dax dax ok dax=always
	check "window, dax=always" mode dax=always dax ok dax=always
	check "window, dax=inode" mode dax=inode dax ok dax=inode
	check "window, dax=never" mode dax=never dax ok dax=never
	check "dax=always maps and does not read" uses dax=always dax 0 some
	check "dax=never reads and does not map" uses dax=never dax some 0
fi
check "no window, no option" mode "" nodax ok ""
check "no window, dax" mode dax nodax EINVAL
check "no window, dax=always" mode dax=always nodax EINVAL
check "no window, dax=inode" mode dax=inode nodax ok dax=inode
check "no window, dax=never" mode dax=never nodax ok dax=never
if [ "$SERVER" = daxfsd ]; then
	check "no window, no option: reads" uses "" nodax some 0
	check "no window, dax=inode: reads" uses dax=inode nodax some 0
fi
check "dax without a window: EINVAL, logged" refused EINVAL "dax.*(does not support|window)" nodax dax
check "wrong tag: EINVAL, logged" refused EINVAL "nosuchtag.*not found" nosuchtag
check "wrong option: EINVAL, logged" refused EINVAL "nosuchoption" nodax nosuchoption
check "wrong option with a value: EINVAL, logged" refused EINVAL "nosuchoption" nodax nosuchoption=1
check "wrong dax mode: EINVAL, logged" refused EINVAL "(dax.*sometimes|bad value for .?dax)" nodax dax=sometimes
check "no source: EINVAL, logged" refused EINVAL "no (source|tag)" "(null)"

sysfs() {
	want=$(for t in $TAGS; do
		[ "$t" = emptytag ] || [ "$MODULE$t" = csmall ] || echo "$t"
	done | sort)
	same "tags in /sys/fs/virtiofs" "$want" "$(cat /sys/fs/virtiofs/*/tag 2>/dev/null | sort)"
}
check "every tag is in /sys/fs/virtiofs" sysfs

second_mount() {
	mount_tag nodax "$m" && mkdir -p "$dir/m2" || return
	mount_tag nodax "$dir/m2" || { umount "$m"; return 1; }
	a=$(stat -c %D "$m") b=$(stat -c %D "$dir/m2")
	umount "$m" && umount "$dir/m2" && same "device numbers of two mounts" "$a" "$b"
}
check "mounted twice: one super block" second_mount

# The stock daemon gives DESTROY back without an answer, which ends the session as well.
silent_end() {
	if [ "$SERVER" = daxfsd ]; then
		ctl nodax fault DESTROY 1 empty >/dev/null && reset nodax || return
	fi
	mount_tag nodax "$m" && mark_log && umount "$m" || return
	if [ "$SERVER" = daxfsd ]; then
		same "DESTROY requests" 1 "$(counter nodax DESTROY)" || return
	fi
	lines=$(new_log | grep -iE 'fuse|virtio')
	same "what the log says of an unmount" "" "$lines" && mount_tag nodax "$m" && ls "$m" >/dev/null && umount "$m"
}
known_difference "the C driver warns of every answer without a byte"
check "unmount without an answer: nothing is said" silent_end

busy() {
	mount_tag nodax "$m" || return
	(cd "$m" && umount "$m" 2>/dev/null) && { echo "# unmounted under a process's feet"; return 1; }
	umount "$m"
}
check "unmount while in use: refused" busy

many() {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		mount_tag nodax "$m" && ls "$m" >/dev/null && umount "$m" || return
	done
}
check "mounted and unmounted 10 times" many

# The device with the empty tag must not bind, and must say so; the others work beside it.
empty_tag() {
	unload && mark_log && load || return
	bound=0
	for d in /sys/bus/virtio/devices/*; do
		[ "$(cat "$d/device")" = 0x001a ] || continue
		[ -e "$d/driver" ] || bound=$((bound + 1))
	done
	# The C driver gives up the device whose window is too small as well.
	[ "$MODULE" = c ] && has_tag small && bound=$((bound - 1))
	same "devices without a driver" 1 "$bound" || return
	new_log | grep -iE 'empty tag|tag is empty|failed with error -22' >/dev/null && return
	echo "# no line of the log tells of the empty tag"
	return 1
}
if has_tag emptytag; then
	check "empty tag: device refused, logged" empty_tag
fi
