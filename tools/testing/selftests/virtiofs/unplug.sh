#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A device goes while it is mounted with DAX, with and without live mappings: who touches one gets SIGBUS, system calls
# ENOTCONN; unmounting and unloading work, and so does the device when it is back.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "window"
has_tag dax || skip_all "no device with a window"
c_is_spared &&
	skip_all "known difference: the C client's unmount oopses after the device has gone, and its window stays in page tables (G-15)"
m=$dir/m

# gone TAG, back TAG: by the driver; pulled and found again: the PCI device as a whole.
gone() {
	dev=$(virtio_of "$1") || return
	driver=$(realpath "/sys/bus/virtio/devices/$dev/driver")
	echo "$dev" >"$driver/unbind"
}
back() { echo "$dev" >"$driver/bind"; }
pulled() {
	dev=$(virtio_of "$1") || return
	echo 1 >"$(realpath "/sys/bus/virtio/devices/$dev/..")/remove"
}
found() { echo 1 >/sys/bus/pci/rescan; }

# hold NAME HOW: a process with a mapping of the file; it is ready when this returns.
hold() {
	$vtool hold "$m/${held:-file}" "$2" "$dir/go" >"$dir/out.$1" 2>&1 &
	eval "pid_$1=$!"
	soon grep -q ready "$dir/out.$1" && return
	echo "# $1 is not ready: $(cat "$dir/out.$1")"
	return 1
}

# ended NAME EXPECTED: what it says of its accesses, soon.
ended() {
	eval "pid=\$pid_$1"
	soon over "$pid" || echo "# $1 did not end"
	kill -9 "$pid" 2>/dev/null
	wait "$pid"
	same "$1" "$2" "$(tail -n 1 "$dir/out.$1" | sed 's/ *$//')"
}

over() { ! kill -0 "$1" 2>/dev/null; }

start() {
	rm -f "$dir/go" "$dir"/out.*
	ctl host dax 'rm -f file other; head -c 8388608 /dev/zero >file; head -c 8388608 /dev/zero >other' >/dev/null
	mount_tag dax "$m" dax=always
}

# restore: what a case that has failed left behind is put in order for the next.
restore() {
	touch "$dir/go"
	held=
	for name in a b c; do
		eval "pid=\$pid_$name"
		[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
	done
	ctl runner fresh >/dev/null
	wait
	umount_all
	ctl host dax 'busybox umount -l inside 2>/dev/null; rm -rf inside' >/dev/null
	[ -n "$(virtio_of dax 2>/dev/null)" ] && return
	back 2>/dev/null
	[ "$TRANSPORT" != pci ] || found
}

# works: the device is used as if nothing had been.
works() {
	mount_tag dax "$m" dax=always || return
	reset dax
	echo again >"$m/new" && [ "$($vtool mmap "$m/new")" = ok ] && maps=$(counter dax SETUPMAPPING)
	umount "$m" && at_least "SETUPMAPPING afterwards" 1 "$maps" && rm -f "$dir/go"
}

idle() {
	start && cat "$m/file" >/dev/null && "$1" dax || return
	same "stat" ENOTCONN "$($vtool call stat "$m/other")" && same "create" ENOTCONN "$($vtool call create "$m/c")" &&
		umount "$m" && "$2" && works
}
check "unbound while idle" idle gone back

BAD="SIGBUS SIGBUS ENOTCONN ENOTCONN"
mapped() {
	start && hold a pages && hold b huge && hold c private && "$1" dax || return
	touch "$dir/go"
	ended a "$BAD" && ended b "$BAD" && ended c "ok $BAD" || return
	umount "$m" && "$2" && works
}
check "unbound with mappings: pages, huge, private" mapped gone back

# Files of a mount below the one that is unbound.
below() {
	ctl dax enable SUBMOUNTS >/dev/null && start &&
		ctl host dax 'mkdir inside && busybox mount -t tmpfs none inside && head -c 8388608 /dev/zero >inside/file' >/dev/null || return
	held=inside/file
	hold a pages && hold b huge && "$1" dax || return
	held=
	touch "$dir/go"
	ended a "$BAD" && ended b "$BAD" || return
	umount "$m" && "$2" && ctl dax defaults >/dev/null && works && ctl host dax 'busybox umount -l inside && rmdir inside' >/dev/null
}
check "unbound with mappings of a mount below" below gone back

# Processes that fault all the while.
storm() {
	start && hold a storm && hold b storm && hold c storm || return
	cat "$m/other" "$m/other" "$m/other" >/dev/null 2>&1 &
	reader=$!
	"$1" dax || return
	ended a SIGBUS && ended b SIGBUS && ended c SIGBUS || return
	wait $reader
	umount "$m" && "$2" && works
}
check "unbound while processes fault" storm gone back

# A page is in a pipe: who has it keeps it, and the unmount waits until it is given up.
pinned() {
	start && hold a pinned && hold b pages && "$1" dax || return
	umount -l "$m"
	touch "$dir/go"
	ended b "$BAD" && ended a "$BAD" && "$2" && works
}
check "unbound with a pinned page" pinned gone back

# Unmounted already; only mappings keep the mount. The device's going may then be what ends it.
detached() {
	start && hold a pages && hold b huge && umount -l "$m" && "$1" dax || return
	touch "$dir/go"
	ended a "$BAD" && ended b "$BAD" && "$2" && works
}
check "unbound after umount -l" detached gone back

# A fault and a read wait for the device when it goes.
waiting() {
	start && ctl dax 'fault SETUPMAPPING 2 hang' >/dev/null || return
	$vtool mmap "$m/file" >"$dir/out.a" &
	a=$!
	$vtool call read "$m/other" >"$dir/out.b" &
	b=$!
	soon hangs dax 2
	"$1" dax || return
	wait $a
	wait $b
	ctl dax faults clear >/dev/null
	ctl dax release-hung >/dev/null
	same "a fault that waited" SIGBUS "$(cat "$dir/out.a")" && same "a read that waited" ENOTCONN "$(cat "$dir/out.b")" || return
	umount "$m" && "$2" && works
}
check "unbound while the device is waited for" waiting gone back

# The device comes back while the old mount is there: it is mountable, without DAX as long as the old pages are in use.
early() {
	start && hold a pages && gone dax && back || return
	same "dax=always" EINVAL "$($vtool mount dax "$dir" dax=always)" && mount_tag dax "$dir/second" && cat "$dir/second/file" >/dev/null || return
	umount "$dir/second"
	touch "$dir/go"
	ended a "$BAD" && umount "$m" && gone dax && back && works
}
check "bound again before the unmount" early

if [ "$TRANSPORT" = pci ]; then
	check "PCI device removed while idle" idle pulled found
	check "PCI device removed with mappings" mapped pulled found
fi

unloads() {
	start && hold a pages && gone dax || return
	touch "$dir/go"
	ended a "$BAD" && umount "$m" && unload && load && works
}
check "rmmod without the device" unloads
