#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# stress-ng's file system class, each stressor for a limited time, with its own verification.
. "$(dirname "$0")/lib.sh"
begin
needs stress-ng

# Those that look at other file systems (/proc, /sys, binderfs, ...) or at the whole machine say nothing about this one.
elsewhere="binderfs procfs sysfs dev-shm io-uring mmapaddr ramfs sysbadaddr tmpfs touch-proc unlink-proc iomix-proc"
few="access chattr chdir chmod chown copy-file dir dirdeep dup fallocate fcntl fiemap file-ioctl flock
	fpunch hdd inode-flags io locka lockf lockofd mknod open rename revio seek sync-file touch
	utime xattr"
all=$(stress-ng --class 'filesystem?' | sed 's/^.*: *//')
# It ends its child, which waits for a lock that it holds itself, by a signal: that client waits on, and neither ends.
# The stock virtiofsd keeps no locks.
c_stands=
[ "$SERVER" = virtiofsd ] || c_stands=lockf

limits="--hdd-bytes 4m --iomix-bytes 4m --fallocate-bytes 4m --seek-size 4m --revio-bytes 4m --sync-file-bytes 4m --dentries 200
	--verify --no-rand-seed --oom-avoid"

# stress SECONDS OPTIONS...: what failed is shown.
stress() {
	local rc
	mkdir -p "$mnt/tmp" && chmod 777 "$mnt/tmp" || return
	# shellcheck disable=SC2086  # words are wanted
	timeout -k 60 $(($1 + 300)) stress-ng --temp-path "$mnt/tmp" --timeout "$1" $limits "${@:2}" >"$ktap" 2>&1
	rc=$?
	# 2: something failed; 3: no resources; 4: not implemented here.
	if [ $rc = 3 ] || [ $rc = 4 ]; then
		echo "# not possible here: $(grep -m 1 -E 'skipp|not impl|unsupp' "$ktap" | sed 's/^stress-ng: *//')"
		return 0
	fi
	[ $rc = 0 ] && return
	grep -E 'fail|error|unsuccess' "$ktap" | head -n 20 | sed 's/^/# /'
	echo "# stress-ng ended with $rc"
	return 1
}

for s in $(some_shares); do
	on "$s" || continue
	each=
	for t in $(long "$few" "$all"); do
		case " $(echo $elsewhere) " in *" $t "*) continue ;; esac
		case " $c_stands " in *" $t "*)
			not_with_c "$s: $t" "who waits for a lock of the server gets no signals (U-10), so stress-ng does not end" && continue ;;
		esac
		# metamix looks at the time after thousands of calls only: 28 s by itself where each asks the host.
		# inotify waits 10 s in vain for the end of a file, most likely as another one holds it; with the C modules as well.
		case " $all " in *" $t "*) [ "$t" = metamix ] || [ "$t" = inotify ] || each="$each --$t 1" ;; esac
		[ "$PROGRAMS_LONG" != 1 ] || check "$s: $t" stress 6 "--$t" 2
	done
	# shellcheck disable=SC2086
	check "$s: all at once" stress "$(long 10 60)" $each
	check "$s: nothing is left" sh -c "rm -rf $mnt/tmp && [ -z \"\$(ls -A $mnt)\" ]"
	check "$s: unmount" off
done
