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

# A server that is a process, out of the image of real programs, serves a memory file system at /mnt. It shares a CPU with who
# uses it, so that every run has the same switches between them.
serve() {
	if [ ! -e /back/single ]; then
		mkdir -p /rom /back
		mount -t erofs -o ro /dev/vda /rom && mount -t tmpfs -o size=70% back /back || return
		dd if=/dev/zero of=/back/single bs=1M count=64 2>/dev/null
		mkdir /back/names
	fi
	(cd /back/names && seq -w 0 04095 | xargs touch)
	case $1 in
	passthrough_ll) set -- "$1" -o source=/back -f /mnt ;;
	passthrough_hp) set -- "$1" --foreground /back /mnt ;;
	esac
	example=$1
	shift
	lib=/rom/usr/lib/x86_64-linux-gnu
	LD_LIBRARY_PATH='' taskset 1 /rom/usr/lib64/ld-linux-x86-64.so.2 --library-path $lib "/rom/usr/local/lib/libfuse/$example" "$@" \
		>/tmp/server 2>&1 </dev/null &
	server=$!
	for _ in $(seq 100); do
		! grep -q ' /mnt fuse' /proc/mounts || return 0
		sleep 0.1
	done
	sed 's/^/@log /' /tmp/server
	return 1
}

# passthrough_ll keeps a descriptor for each inode.
ulimit -n 65536
export LD_LIBRARY_PATH=/bench/lib
while read -r id module tag options command; do
	echo "@step $id"
	load "$module" && case $tag in
	passthrough_*) serve "$tag" ;;
	*) mount -t virtiofs -o "$options" "$tag" /mnt ;;
	esac
	if [ $? != 0 ]; then
		echo "@failed $id no mount"
		continue
	fi
	if [ "$BENCH_PROFILE" = 1 ]; then
		grep -E '\[(fuse|virtiofs|rust_fuse)\]' /proc/kallsyms | sed 's/^/@symbol /'
		[ "$module" = c ] || echo "@text $(cat /sys/module/rust_fuse/sections/.text)"
	fi
	# Else the kernel chooses anew whenever a module is loaded, and waking another CPU is dear: the same row would have two
	# results, and one module could be measured with the one, the other with the other.
	for irq in /proc/irq/*/virtio*; do
		echo "$BENCH_INTERRUPTS" >"${irq%/*}/smp_affinity"
	done
	process=
	[ "$tag" = "${tag#passthrough_}" ] || process=1
	[ "$process" ] || ctl "$tag" reset
	# The usual server has no extended attributes and says so when first asked. Otherwise the C client asks for the
	# capabilities of a file before each write.
	[ "$command" != "${command#ops xattr}" ] || ctl "$tag" fault GETXATTR 1 errno:-38
	rm -f /tmp/fio
	# shellcheck disable=SC2086  # words are wanted
	measure $command >/tmp/log 2>&1 </dev/null
	rc=$?
	if [ "$process" ]; then
		umount /mnt
		wait "$server"
	else
		ctl "$tag" counters | sed 's/^/@count /'
		ctl "$tag" faults clear
		umount /mnt
	fi
	[ ! -e /tmp/fio ] || sed 's/^/@fio /' /tmp/fio
	[ $rc = 0 ] || grep -v "no version information" /tmp/log | sed "s/^/@log /"
	echo "@end $id $rc"
done </bench/steps
load none
