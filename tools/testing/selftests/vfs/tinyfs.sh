#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The sample file system: found, read, listed, refused changes, unloaded.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../kselftest/ktap_helpers.sh"
ko=/lib/modules/tinyfs.ko
m=$(mktemp -d)

ktap_print_header
if [ ! -e $ko ]; then
	echo "1..0 # SKIP no $ko: start with RUST_FUSE_SAMPLES=1"
	exit "$KSFT_SKIP"
fi

check() {
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}
says() {
	got=$(eval "$1" 2>&1)
	[ "$got" = "$2" ] && return
	echo "# $1: expected \"$2\", got \"$got\""
	return 1
}
refused() { ! eval "$1" 2>/dev/null; }

check load insmod $ko
check mount mount -t tinyfs none "$m"
check list says "ls -A $m | tr '\n' ' '" "empty folder hello "
check read says "cat $m/hello" "Hello from the kernel"
check read_part says "dd if=$m/hello bs=1 skip=6 count=4 2>/dev/null" from
check read_empty says "wc -c <$m/empty" 0
check below says "cat $m/folder/inside" "One level down"
check link says "readlink $m/folder/up" ../hello
check link_followed says "cat $m/folder/up" "Hello from the kernel"
check dots says "ls -a $m/folder | tr '\n' ' '" ". .. inside up "
check mode says "stat -c '%A %i %s' $m/hello" "-r--r--r-- 2 22"
check missing refused "cat $m/nothing"
check write_refused refused "echo x >$m/hello"
check create_refused refused "mkdir $m/new"
check remove_refused refused "rm $m/hello"
check shown_read_only says "awk '\$3 == \"tinyfs\" { print \$4 }' /proc/mounts | cut -c1-2" ro
echo 3 >/proc/sys/vm/drop_caches
check read_again says "cat $m/folder/up" "Hello from the kernel"
check busy refused "rmmod tinyfs"
check umount umount "$m"
check unload rmmod tinyfs
rmdir "$m"
echo "1..$((KTAP_TESTNO - 1))"
ktap_print_totals
[ "$KTAP_CNT_FAIL" = 0 ] || exit "$KSFT_FAIL"
exit "$KSFT_PASS"
