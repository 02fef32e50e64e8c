#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A server that lies: an answer that is too short, too long, empty, of another request or with an errno that is none
# gives EIO to who asked, one line in the log, and leaves the mount usable.
. "$(dirname "$0")/lib.sh"
begin
daxfsd_only "faults"
m=$dir/m

# lies TAG OPTIONS OPCODE KIND CALL PATH RESULT
lies() {
	ctl host "$1" 'mkdir -p sub; touch sub/a; head -c 8192 /dev/zero >file; rm -rf new'
	[ "$3" != READDIR ] || ctl "$1" disable DO_READDIRPLUS >/dev/null || return
	mount_tag "$1" "$m" "$2" || return
	# More than one: reading ahead fails in silence and is tried again.
	ctl "$1" fault "$3" 100 "$4" >/dev/null || return
	got=$($vtool $5 "$m/$6")
	ctl "$1" faults clear >/dev/null
	# What the fault hid may have been done by the server all the same.
	case $5 in *create | *mkdir) ctl host "$1" 'rm -rf new' ;; esac
	again=$($vtool $5 "$m/$6")
	umount "$m" || { echo "# umount failed"; return 1; }
	ctl "$1" defaults >/dev/null
	same "with the fault" "$7" "$got" && same "afterwards" ok "$again"
}

difference_of() {
	case $1 in
	unique) echo "the C virtiofs driver does not look at the unique of an answer" ;;
	long | length) echo "the C virtiofs driver does not compare lengths of answer, header and buffer" ;;
	errno*) echo "the C virtiofs driver hands any errno of the server to the caller" ;;
	*) echo "the C virtiofs driver does not check the length of this answer" ;;
	esac
}

# row OPCODE CALL PATH KIND...: one case for each kind.
row() {
	op=$1 call=$2 path=$3
	shift 3
	for kind; do
		name="$op, $kind"
		case $kind in errno*)
			# Some of these become wild pointers in the C client.
			not_with_c "$name" "$(difference_of "$kind")" && continue ;;
		esac
		known_difference "$(difference_of "$kind")"
		check "$name" lies nodax "" "$op" "$kind" "$call" "$path" EIO
	done
}

mark_log
wrong="length unique empty errno:5 errno:-512"
row LOOKUP "call stat" file short long $wrong
row GETATTR "call sync" . short long $wrong
row OPEN "call open" file short long $wrong
row CREATE "call create" new short long $wrong
row MKDIR "call mkdir" new short long $wrong
row OPENDIR "call readdir" sub short long $wrong
row IOCTL "call flags" file short long $wrong
row STATX "call statx" file short long $wrong
# A part of the data is a proper answer to these two.
row READ "call read" file long $wrong
row READDIRPLUS "call readdir" sub $wrong
row READDIR "call readdir" sub $wrong
if has_tag dax; then
	for kind in short long $wrong; do
		not_with_c "SETUPMAPPING, $kind" "$(difference_of "$kind")" && continue
		check "SETUPMAPPING by read, $kind" lies dax dax=always SETUPMAPPING "$kind" "call read" file EIO
		check "SETUPMAPPING by a fault, $kind" lies dax dax=always SETUPMAPPING "$kind" mmap file SIGBUS
	done
fi

logged() {
	lines=$(new_log | grep -ciE 'fuse|virtio')
	at_least "lines of the log about bad answers" 1 "$lines"
}
known_difference "the C virtiofs driver believes bad answers in silence"
check "bad answers are logged" logged
