#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A window of 1 MiB, less than one range: refused with a message; mounts go on without DAX.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "window"
has_tag small || skip_all "no device with a window of 1 MiB"
g9="the C driver takes the window, has no range to give and waits for one forever (G-9)"
m=$dir/m

message() {
	unload && mark_log && load || return
	dev=$(virtio_of small) || return
	new_log | grep "$dev" | grep -iE 'window.*(refused|too small|at least)|(refused|too small).*window' >/dev/null && return
	echo "# no line of the log refuses the window of $dev:"
	new_log | grep "$dev" | sed 's/^/# /'
	return 1
}

without_dax() {
	ctl host small 'echo content >file'
	mount_tag small "$m" "$1" || return
	reset small
	got=$(cat "$m/file")
	maps=$(counter small SETUPMAPPING)
	umount "$m" && same content content "$got" && same "SETUPMAPPING requests" 0 "$maps"
}

known_difference "$g9"
check "refused with a message" message
if ! not_with_c "no option: mounted without DAX" "$g9"; then
	check "no option: mounted without DAX" without_dax ""
	check "dax=inode: mounted without DAX" without_dax dax=inode
	check "dax=never: mounted without DAX" without_dax dax=never
	mkdir -p "$m"
	check "dax=always: EINVAL" same "mount -o dax=always" EINVAL "$($vtool mount small "$m" dax=always)"
fi
