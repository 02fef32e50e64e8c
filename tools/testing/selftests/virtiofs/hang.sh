#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A server that never answers: who waits for it can be killed.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "faults"
reason="the C client cannot be killed once the request is on its queue"
m=$dir/m

# ended PID SECONDS: whether a process ends in time.
ended() {
	for i in $(seq $(($2 * 10))); do
		grep -q '^State:.*Z' /proc/$1/status 2>/dev/null || [ ! -d /proc/$1 ] && return
		sleep 0.1
	done
	return 1
}

# killed TAG OPTIONS OPCODE CALL FILE: a process that waits for OPCODE dies by SIGKILL, before the device answers.
killed() {
	ctl host "$1" 'rm -rf new; mkdir -p sub; head -c 8192 /dev/urandom >file'
	mount_tag "$1" "$m" "$2" || return
	ctl "$1" fault "$3" 1 hang >/dev/null || return
	$vtool $4 "$m/$5" >/dev/null 2>&1 &
	pid=$!
	alive=$(soon hangs "$1" 1 && [ -d /proc/$pid ] && echo yes)
	kill -9 $pid
	# Those of the C client do not.
	dead=$(ended $pid "$([ "$MODULE" = c ] && echo 5 || echo 30)" && echo yes)
	ctl "$1" faults clear >/dev/null
	ctl "$1" release-hung >/dev/null
	wait $pid
	again=$($vtool call stat "$m/file")
	umount "$m" || umount -l "$m"
	same "it waited for the answer" yes "$alive" && same "it is dead" yes "$dead" &&
		same "the mount works" ok "$again"
}

for t in "LOOKUP call stat:file" "GETATTR call sync:." "OPEN call open:file" "READ call read:file" \
	"OPENDIR call readdir:sub" "READDIRPLUS call readdir:." "MKDIR call mkdir:new"; do
	op=${t%% *} call=${t#* }
	known_difference "$reason"
	check "$op" killed nodax "" "$op" "${call%:*}" "${call#*:}"
done
# unmount_killed TAG: an unmount waits for a page that is being read. Once it is killed it gives the server some time, and
# then has the device started anew.
unmount_killed() {
	ctl host "$1" 'head -c 8192 /dev/urandom >file'
	mount_tag "$1" "$m" "" || return
	ctl "$1" fault READ 1 hang >/dev/null || return
	$vtool call read "$m/file" >/dev/null 2>&1 &
	pid=$!
	soon hangs "$1" 1
	kill -9 $pid
	wait $pid
	umount "$m" &
	pid=$!
	# 166 is umount2(2).
	alive=$(soon sleeps_in $pid 166 && echo yes)
	kill -9 $pid
	dead=$(ended $pid 30 && echo yes)
	ctl "$1" faults clear >/dev/null
	ctl "$1" release-hung >/dev/null
	wait $pid
	gone=$(grep -q " $m " /proc/mounts || echo yes)
	for i in $(seq 300); do
		again=$(mount_tag "$1" "$m" "" && $vtool call stat "$m/file") && break
		sleep 0.1
	done
	umount "$m"
	same "it waited for the page" yes "$alive" && same "it is dead" yes "$dead" &&
		same "it is unmounted" yes "$gone" && same "the next mount works" ok "$again"
}

not_with_c unmount "the C client's unmount cannot be killed" || check unmount unmount_killed nodax
if has_tag dax; then
	known_difference "$reason"
	check "SETUPMAPPING by read" killed dax dax=always SETUPMAPPING "call read" file
	known_difference "$reason"
	check "SETUPMAPPING by a fault" killed dax dax=always SETUPMAPPING mmap file
fi

# A device that is late is given up by all who wait, within the time that the administrator says; the next mount begins anew.
late() {
	ctl host nodax 'head -c 8192 /dev/urandom >file; mkdir -p sub'
	echo 15 >/proc/sys/fs/fuse/max_request_timeout
	mount_tag nodax "$m" ""
	mounted=$?
	echo 0 >/proc/sys/fs/fuse/max_request_timeout
	[ $mounted = 0 ] || return
	ctl nodax fault OPEN 1 hang >/dev/null || return
	ctl nodax fault OPENDIR 1 hang >/dev/null || return
	begin=$(cut -d. -f1 /proc/uptime)
	$vtool call readdir "$m/sub" >"$dir/other" 2>&1 &
	pid=$!
	first=$($vtool call open "$m/file")
	took=$(($(cut -d. -f1 /proc/uptime) - begin))
	wait $pid
	later=$($vtool call stat "$m/file")
	ctl nodax faults clear >/dev/null
	# The C client waits here for what the device still has.
	umount "$m" &
	pid=$!
	gone=$(ended $pid 30 && echo yes)
	ctl nodax release-hung >/dev/null
	wait $pid || umount -l "$m"
	mount_tag nodax "$m" "" || return
	again=$($vtool call stat "$m/file")
	umount "$m" || umount -l "$m"
	same "who waits is told" ECONNABORTED "$first" && same "others as well" ECONNABORTED "$(cat "$dir/other")" &&
		same "nothing is asked for later" ENOTCONN "$later" && same "unmounting does not wait" yes "$gone" &&
		same "the next mount works" ok "$again" &&
		same "it waited for 15 s" yes "$([ $took -ge 14 ] && [ $took -lt 90 ] && echo yes || echo $took)"
}
not_with_c late "the C client ends requests whose memory the device still has (G-14)" ||
	check "late" late
