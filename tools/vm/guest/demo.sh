#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The tour of `make demo`: a folder of the host in the guest, through a DAX window. Runs in the guest.
say() { printf '\n== %s\n' "$*"; }
show() {
	echo "guest# $*"
	sh -c "$*" || { echo "failed: $*"; exit 1; }
}
on_host() {
	echo "host\$ $*"
	ctl host dax "$*" || { echo "failed on the host: $*"; exit 1; }
}
set -e

say "the module is loaded, and has found the shares that QEMU offers"
show "lsmod | grep -E '^(Module|rust_fuse|virtiofs)'"
show "cat /sys/fs/virtiofs/*/tag"
show "dmesg | grep -iE 'DAX window|Cache len'"

say "the host puts files into the folder, the guest mounts it with DAX"
on_host "mkdir -p letters; echo 'Hello from the host.' >letters/hello; head -c 4M /dev/urandom >data; sha256sum data"
show "mount -t virtiofs -o dax=always dax /mnt"
show "grep virtiofs /proc/mounts"
show "ls -l /mnt /mnt/letters"

say "reading: the host's pages are mapped into the guest, nothing is copied through requests"
ctl dax reset
show "cat /mnt/letters/hello"
show "sha256sum /mnt/data"
ctl dax counters | awk '$1 == "SETUPMAPPING" || $1 == "READ" { n[$1] = $2 }
	END { printf "device: SETUPMAPPING %d, READ %d\n", n["SETUPMAPPING"], n["READ"]; exit !(n["SETUPMAPPING"] > 0 && n["READ"] == 0) }'

say "writing through a shared mapping: the host sees it at once"
show "/bin/mapwrite /mnt/letters/hello 15 guest"
on_host "cat letters/hello"

say "the host changes the file: the guest sees that at once"
on_host "printf HELLO | dd of=letters/hello conv=notrunc status=none"
show "cat /mnt/letters/hello"

say "what the device has mapped, and what is left after unmounting and unloading"
ctl dax mappings | sed 's,/[^ ]*/share/,.../,'
show "umount /mnt"
ctl dax counters | grep live_maps
