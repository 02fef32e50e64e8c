# SPDX-License-Identifier: GPL-2.0
# Shared by the shell tests: cases in KTAP, mount and unmount, the device's counters, the kernel log.
#
# The guest's runner sets MODULE (rust or c), SERVER (daxfsd or virtiofsd), TRANSPORT (pci or mmio) and TAGS, and
# provides ctl, which asks the host (tools/vm/README.md).

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../kselftest/ktap_helpers.sh"
: "${MODULE:=rust}" "${SERVER:=daxfsd}" "${TRANSPORT:=pci}" "${TAGS:=dax nodax}"
vtool=$here/../virtiofs/vtool
dir=$(mktemp -d)
me=$(basename "$here"):$(basename "$0")
difference=
ktap=$(mktemp)

kmsg() { echo "<6>$*" >/dev/kmsg; }

# begin: starts the output. The number of cases is printed at the end, as KTAP allows.
begin() {
	kmsg "ksft-begin $me"
	ktap_print_header
	trap finish EXIT
	if ! command -v ctl >/dev/null; then
		skip_all "the host's agent (ctl) is missing: start with tools/vm/run"
	fi
	# What a case that was killed left mounted or told the devices.
	umount_all
	ctl runner fresh >/dev/null
}

skip_all() {
	echo "1..0 # SKIP $*"
	trap - EXIT
	kmsg "ksft-end $me"
	exit "$KSFT_SKIP"
}

finish() {
	umount_all
	rm -rf "$dir" "$ktap"
	n=$((KTAP_TESTNO - 1))
	echo "1..$n"
	ktap_print_totals
	kmsg "ksft-end $me"
	trap - EXIT
	[ "$KTAP_CNT_FAIL" = 0 ] && [ $n -gt 0 ] || exit "$KSFT_FAIL"
	exit "$KSFT_PASS"
}

# daxfsd_only: skips the whole program where the stock daemon serves, which has no window, counters or faults.
daxfsd_only() {
	[ "$SERVER" = daxfsd ] || skip_all "$SERVER has no $1"
}

# known_difference REASON: the next case may fail with the C modules, for this reason.
known_difference() { difference=$1; }

# soon COMMAND...: waits until it succeeds, as long as the slowest machine may need; whether it does.
soon() {
	deadline=$(($(uptime_s) + 30))
	until "$@"; do
		[ "$(uptime_s)" -lt "$deadline" ] || return
		sleep 0.1
	done
}
uptime_s() { cut -d. -f1 /proc/uptime; }

# hangs TAG N: whether at least N requests wait for the device to be told to answer them.
hangs() { [ "$(ctl "$1" hung)" -ge "$2" ]; }

# sleeps_in PID NUMBER: whether a process sleeps in this system call.
sleeps_in() { grep -q "^$2 " "/proc/$1/syscall" 2>/dev/null; }

# restore: what a case that has failed left behind is put in order for the next. Programs that keep their mounts from one case to the
# next have another one.
restore() {
	ctl runner fresh >/dev/null
	umount_all
}

# check NAME COMMAND...: one case, passed when COMMAND succeeds. CASES=NAME,… (tools/vm/run --append) leaves out all others.
check() {
	name=$1
	shift
	case ",${CASES:-$name}," in
	*",$name,"*) ;;
	*)
		difference=
		return
		;;
	esac
	if "$@"; then
		ktap_test_pass "$name"
		kmsg "ksft-case ok $name"
	elif [ "$MODULE" = c ] && [ -n "$difference" ]; then
		__ktap_test ok "$name" "XFAIL known difference: $difference"
		KTAP_CNT_XFAIL=$((KTAP_CNT_XFAIL + 1))
		kmsg "ksft-case known difference $name"
		restore
	else
		ktap_test_fail "$name"
		kmsg "ksft-case FAILED $name"
		restore
	fi
	difference=
}

# c_is_spared: the C modules are loaded, and this run is not to show what they do wrong (DEFECTS=show, see vfs.h).
c_is_spared() { [ "$MODULE" = c ] && [ -z "$DEFECTS" ]; }

# not_with_c NAME REASON: reports the case as skipped and succeeds when the C client is spared.
not_with_c() {
	c_is_spared || return 1
	__ktap_test ok "$1" "SKIP known difference: $2"
	KTAP_CNT_SKIP=$((KTAP_CNT_SKIP + 1))
}

# same WHAT EXPECTED GOT
same() {
	[ "$2" = "$3" ] && return
	echo "# $1: expected \"$2\", got \"$3\""
	return 1
}

# at_least WHAT LOWEST GOT
at_least() {
	[ "${3:-0}" -ge "$2" ] && return
	echo "# $1: expected at least $2, got \"$3\""
	return 1
}

has_tag() {
	case " $TAGS " in *" $1 "*) return 0 ;; esac
	return 1
}

# mount_tag TAG DIR [OPTIONS]: mounts; what goes wrong is printed.
mount_tag() {
	mkdir -p "$2"
	got=$($vtool mount "$1" "$2" "${3:-}")
	[ "$got" = ok ] && return
	echo "# mount $1 -o ${3:-(none)}: $got"
	return 1
}

umount_all() {
	cd /
	for d in $(awk '$3 == "virtiofs" { print $2 }' /proc/mounts); do
		umount "$d" || umount -l "$d"
	done
}

# options_of DIR: the options that /proc/mounts shows.
options_of() { awk -v d="$1" '$2 == d && $3 == "virtiofs" { print $4 }' /proc/mounts; }

# dax_option DIR: the dax option among them, or nothing.
dax_option() { options_of "$1" | tr , '\n' | grep '^dax'; }

# counter TAG NAME: one of the device's counters.
counter() { ctl "$1" counters | awk -v n="$2" '$1 == n { v = $2 } END { print v + 0 }'; }
reset() { ctl "$1" reset >/dev/null; }

# mark_log, new_log: what the kernel logged in between.
mark_log() {
	marks=$((${marks:-0} + 1))
	mark="ksft-mark $$ $(date +%s) $marks."
	kmsg "$mark"
}
new_log() { dmesg | sed "1,/$mark/d" | grep -v ksft-; }

module_names() { if [ "$MODULE" = c ]; then echo "fuse virtiofs"; else echo rust_fuse; fi; }
load() { for m in $(module_names); do insmod "/lib/modules/$m.ko" || return; done; }
# A super block that was unmounted just now may hold the module for a moment.
unload() {
	for m in $(module_names | tr ' ' '\n' | tac); do
		for try in $(seq 150); do
			said=$(rmmod "$m" 2>&1) && continue 2
			sleep 0.2
		done
		echo "# $said"
		return 1
	done
}

# virtio_of TAG: the virtio device (as in virtio3) that has this tag.
virtio_of() {
	for f in /sys/fs/virtiofs/*/tag; do
		if [ "$(cat "$f" 2>/dev/null)" = "$1" ]; then
			basename "$(realpath "${f%/tag}/device")"
			return
		fi
	done
	echo "# /sys/fs/virtiofs has no tag \"$1\"" >&2
	return 1
}
