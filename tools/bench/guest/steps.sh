# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: each line of /bench/steps is one measurement, "ID MODULE TAG OPTIONS COMMAND...". A mount of its own
# for each, so that all begin alike. What the host reads are the lines that begin with @.
loaded=
load() {
	[ "$loaded" != "$1" ] || return 0
	case $loaded in
	c) rmmod virtiofs fuse ;;
	rust) rmmod rust_fuse ;;
	esac
	loaded=$1
	case $1 in
	c) insmod /lib/modules/fuse.ko && insmod /lib/modules/virtiofs.ko ;;
	rust) insmod /lib/modules/rust_fuse.ko ;;
	esac
}

export LD_LIBRARY_PATH=/bench/lib
while read -r id module tag options command; do
	echo "@step $id"
	if ! load "$module" || ! mount -t virtiofs -o "$options" "$tag" /mnt; then
		echo "@failed $id no mount"
		continue
	fi
	if [ "$BENCH_PROFILE" = 1 ]; then
		grep -E '\[(fuse|virtiofs|rust_fuse)\]' /proc/kallsyms | sed 's/^/@symbol /'
		[ "$module" = c ] || echo "@text $(cat /sys/module/rust_fuse/sections/.text)"
	fi
	ctl "$tag" reset
	# The usual server has no extended attributes and says so when first asked. Otherwise the C client asks for the
	# capabilities of a file before each write.
	[ "$command" != "${command#ops xattr}" ] || ctl "$tag" fault GETXATTR 1 errno:-38
	rm -f /tmp/fio
	# shellcheck disable=SC2086  # words are wanted
	measure $command >/tmp/log 2>&1 </dev/null
	rc=$?
	ctl "$tag" counters | sed 's/^/@count /'
	ctl "$tag" faults clear
	umount /mnt
	[ ! -e /tmp/fio ] || sed 's/^/@fio /' /tmp/fio
	[ $rc = 0 ] || grep -v "no version information" /tmp/log | sed "s/^/@log /"
	echo "@end $id $rc"
done </bench/steps
load none
