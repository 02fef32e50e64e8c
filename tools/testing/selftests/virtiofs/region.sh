#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The window that the driver uses is the one that the transport describes: on PCI the device's own capability and BAR,
# on MMIO the shared memory registers as the host set them up.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "window"

# described TAG VIRTIO: "address length" by the transport.
described() {
	if [ "$TRANSPORT" = pci ]; then
		$vtool pci-shm "$(realpath "/sys/bus/virtio/devices/$2")/.." 0
	else
		ctl runner window "$1" | awk '{ v[NR] = $2 } END { print v[1], v[2] }'
	fi
}

# agrees TAG LENGTH: /proc/iomem has the very region for the device, and the module's own line names it.
agrees() {
	dev=$(virtio_of "$1") || return
	set -- "$1" "$2" $(described "$1" "$dev")
	same "length of the window of $1" "$2" "$(($4))" || return
	range=$(printf '%08x-%08x' "$(($3))" "$(($3 + $4 - 1))")
	if ! grep -qE "^ *$range : .*$dev" /proc/iomem; then
		echo "# /proc/iomem has no line \"$range : $dev\":"
		grep -E "virtio|$range" /proc/iomem | sed 's/^/# /'
		return 1
	fi
	[ "$MODULE" = c ] && return
	address=$(printf '0x%x' "$(($3))")
	new_log | grep -F "$dev" | grep -iE "DAX window: $(($4 >> 20)) MiB at $address\$" >/dev/null && return
	echo "# the log does not report $(($4 >> 20)) MiB at $address:"
	new_log | grep -F "$dev" | sed 's/^/# /'
	return 1
}

absent() {
	dev=$(virtio_of "$1") || return
	[ "$TRANSPORT" = mmio ] || same "capability of $1" none "$(described "$1" "$dev")" || return
	if grep "$dev" /proc/iomem; then
		echo "# /proc/iomem has a region for $1, which has no window"
		return 1
	fi
}

unload && mark_log && load || ktap_exit_fail_msg "the module does not reload"
check "64 MiB" agrees dax $((64 << 20))
check "2 MiB" agrees tiny $((2 << 20))
check "16 MiB" agrees second $((16 << 20))
check "none" absent nodax

# After unloading nobody may own the region any more.
released() {
	devs=$(for t in dax tiny second; do virtio_of "$t"; done)
	unload || return
	left=
	for d in $devs; do
		# On MMIO the transport's own registers carry the same name.
		left="$left$(grep " : $d\$" /proc/iomem)"
	done
	load
	same "regions left" "" "$left"
}
check "released by rmmod" released
