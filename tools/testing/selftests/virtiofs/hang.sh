#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A server that never answers: who waits for it can be killed.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "faults"
reason="the C client cannot be killed once the request is on its queue"
m=$dir/m

# killed TAG OPTIONS OPCODE CALL FILE: a process that waits for OPCODE dies within 5 s of SIGKILL.
killed() {
	ctl host "$1" 'rm -rf new; mkdir -p sub; head -c 8192 /dev/urandom >file'
	mount_tag "$1" "$m" "$2" || return
	# What was just fetched is believed for a second.
	[ "$3" != GETATTR ] || sleep 1.2
	ctl "$1" fault "$3" 1 hang >/dev/null || return
	$vtool $4 "$m/$5" >/dev/null 2>&1 &
	pid=$!
	sleep 1
	alive=$([ -d /proc/$pid ] && echo yes)
	kill -9 $pid
	for i in $(seq 50); do
		grep -q '^State:.*Z' /proc/$pid/status 2>/dev/null || [ ! -d /proc/$pid ] && break
		sleep 0.1
	done
	dead=$(grep -q '^State:.*Z' /proc/$pid/status 2>/dev/null || [ ! -d /proc/$pid ] && echo yes)
	ctl "$1" faults clear >/dev/null
	ctl "$1" release-hung >/dev/null
	wait $pid
	again=$($vtool call stat "$m/file")
	umount "$m" || umount -l "$m"
	same "it waited for the answer" yes "$alive" && same "it is dead" yes "$dead" &&
		same "the mount works" ok "$again"
}

for t in "LOOKUP call stat:file" "GETATTR call stat:." "OPEN call open:file" "READ call read:file" \
	"OPENDIR call readdir:sub" "READDIRPLUS call readdir:." "MKDIR call mkdir:new"; do
	op=${t%% *} call=${t#* }
	known_difference "$reason"
	check "$op" killed nodax "" "$op" "${call%:*}" "${call#*:}"
done
if has_tag dax; then
	known_difference "$reason"
	check "SETUPMAPPING by read" killed dax dax=always SETUPMAPPING "call read" file
	known_difference "$reason"
	check "SETUPMAPPING by a fault" killed dax dax=always SETUPMAPPING mmap file
fi
