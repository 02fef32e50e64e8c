#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A guest whose devices reach its memory only by way of a small buffer (swiotlb=2048,force: 4 MiB): there is never enough of it
# for all requests at once, and what one device has is missing for the other.
. "$(dirname "$0")/lib.sh"
grep -q swiotlb= /proc/cmdline || skip_all "this guest has no bounce buffer: tools/testing/check bounce"
begin
m=$dir/m

# writer FOLDER N FLAGS: a mebibyte at a time, compared afterwards.
writer() {
	dd if="$dir/data" of="$1/bounce.$2" bs=1M $3 2>/dev/null && cmp -s "$dir/data" "$1/bounce.$2"
}

# passer_by FOLDER: names that come and go meanwhile.
passer_by() {
	for j in $(seq 150); do
		echo "$j" >"$1/passer.$j" && rm "$1/passer.$j" || return
	done
}

# nothing_held TAG: waits until the client has forgotten all inodes but the root, which the device does not count.
none_held() {
	held=$(ctl "$1" nofiles | awk '$1 == "inodes" { print $2 }')
	[ "$held" = 0 ]
}
nothing_held() {
	soon none_held "$1" && return
	echo "# $1: $held inodes are held after all were forgotten"
	return 1
}

many() {
	dd if=/dev/urandom of="$dir/data" bs=1M count=8 2>/dev/null
	mount_tag nodax "$m/a" && mount_tag tiny "$m/b" dax=never || return
	pids=
	for at in a b; do
		for i in 1 2 3 4; do
			writer "$m/$at" "$i" oflag=direct &
			pids="$pids $!"
			writer "$m/$at" "$((i + 4))" conv=fsync &
			pids="$pids $!"
		done
		passer_by "$m/$at" &
		pids="$pids $!"
	done
	bad=0
	for pid in $pids; do
		wait "$pid" || bad=$((bad + 1))
	done
	rm "$m"/?/bounce.*
	echo 3 >/proc/sys/vm/drop_caches
	same "processes that failed" 0 "$bad" && nothing_held nodax && nothing_held tiny || return
	umount "$m/a" && umount "$m/b"
}
known_difference "writes fail while another device has the memory"
check "many at once" many

# all_wait: every process sleeps in a system call, those that came late while their file is opened, and the device has some requests.
all_wait() {
	for pid in $pids; do
		sleeps_in "$pid" "[0-9]*" || return
	done
	hangs tiny 1
}

# What is written back finds no memory, as the other device keeps all of it: that ends, and whoever syncs is told or the data stays.
kept_by_another() {
	ctl nodax enable WRITEBACK_CACHE >/dev/null
	mount_tag nodax "$m/a" && mount_tag tiny "$m/b" dax=never || return
	: >"$m/a/bounce.late"
	ctl tiny fault WRITE 100 hang >/dev/null
	pids=
	for i in 1 2 3 4 5 6 7 8; do
		dd if=/dev/zero of="$m/b/bounce.$i" bs=1M count=1 oflag=direct 2>/dev/null &
		pids="$pids $!"
	done
	soon all_wait
	dd if="$dir/data" of="$m/a/bounce.late" bs=1M count=1 conv=notrunc 2>/dev/null
	timeout -s KILL 60 sync "$m/a/bounce.late"
	[ $? = 137 ] && late=1 || late=0
	ctl tiny faults clear >/dev/null
	ctl tiny release-hung >/dev/null
	wait $pids
	soon grep -q '^Writeback: *0 kB' /proc/meminfo
	same "sync that had to be killed" 0 "$late" && same "written back at last" 0 "$(awk '$1 == "Writeback:" { print $2 }' /proc/meminfo)" || return
	rm "$m"/?/bounce.*
	umount "$m/a" && umount "$m/b" && ctl nodax defaults >/dev/null
}
known_difference "waits for what another device has in ways that no signal ends"
check "kept by another" kept_by_another

too_small() {
	dmesg | grep -q 'swiotlb buffer is full' && return
	echo "# there was room for all: this shows nothing"
	return 1
}
check "the buffer was too small" too_small
