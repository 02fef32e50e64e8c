#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel tree's own selftests of FUSE: fusectl_test and fuse_acl_cache_test of selftests/filesystems/fuse, and fuse_test
# of selftests/memfd. Each looks for its server in the current folder.
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
n=0 failed=0
cd "$dir" || exit 1
echo "<6>ksft-begin kernel:theirs.sh" >/dev/kmsg

# case NAME WHAT-IT-NEEDS COMMAND...
case_of() {
	n=$((n + 1))
	name=$1 needs=$2
	shift 2
	if [ -n "$needs" ]; then
		echo "ok $n $name # SKIP $needs"
	elif "$@" >log 2>&1; then
		echo "ok $n $name"
	else
		sed 's/^/# /' log
		echo "not ok $n $name"
		failed=1
	fi
}

has() { [ -x "$here/$1" ] || echo "$1 was not built: no libfuse"; }

fusectl() {
	mounted=
	mount | grep -q 'on /sys/fs/fuse/connections ' || {
		mount -t fusectl fusectl /sys/fs/fuse/connections && mounted=1 || return
	}
	cp "$here/fusectl_mnt" fuse_mnt && "$here/fusectl_test"
	rc=$?
	# Else the module cannot be unloaded by the tests that come after.
	[ -z "$mounted" ] || umount /sys/fs/fuse/connections || return
	return $rc
}

# fuse_test seals a memfd while the server, which takes a second, reads into it.
memfd() {
	mkdir -p mnt && "$here/memfd_mnt" ./mnt || return
	"$here/memfd_fuse_test" ./mnt/memfd
	rc=$?
	umount ./mnt && return $rc
}

no_fusectl=
grep -qw fusectl /proc/filesystems || no_fusectl="the module has no fusectl"
echo "TAP version 13"
case_of fusectl_test "${no_fusectl:-$(has fusectl_mnt)}" fusectl
case_of fuse_acl_cache_test "$(has fuse_acl_cache_test)" "$here/fuse_acl_cache_test"
case_of "memfd fuse_test" "$(has memfd_mnt)" memfd
echo "1..$n"
echo "<6>ksft-end kernel:theirs.sh" >/dev/kmsg
cd /
grep -q " $dir" /proc/mounts || rm -rf "$dir"
exit $failed
