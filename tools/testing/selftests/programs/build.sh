#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A C project (zlib, as Debian has its source) is unpacked, configured, compiled by several jobs and tested by its own
# tests; the objects are those that a compilation in memory makes.
. "$(dirname "$0")/lib.sh"
begin
needs gcc make tar
source=$(ls /usr/src/zlib_*.orig.tar.* 2>/dev/null) || skip_all "the guest has no source of zlib"

# test_it DIR: where its memory gets other contents while it is used, what was compiled runs from a copy: QEMU without KVM runs
# what was there before (code.c).
test_it() {
	case $1 in
	*/small/* | */direct/*)
		rm -rf "$dir/copy" && cp -a "$1" "$dir/copy" && quiet make -C "$dir/copy" test
		;;
	*) quiet make -C "$1" test ;;
	esac
}

# build DIR JOBS
build() {
	mkdir -p "$1" && tar -xf "$source" -C "$1" --strip-components=1 && cd "$1" || return
	quiet env CFLAGS="-O0 -ffile-prefix-map=$1=." ./configure --static && quiet make -j"$2" libz.a example minigzip example64 minigzip64 &&
		test_it "$1"
	rc=$?
	cd /
	return $rc
}
objects() { (cd "$1" && sha256sum ./*.o); }
same_objects() { same objects "$(objects "$dir/zlib")" "$(objects "$mnt/zlib")"; }
again() { same "what make finds to do" "make: Nothing to be done for 'libz.a'." "$(make -C "$mnt/zlib" --no-print-directory libz.a 2>&1 | sed "s/'libz.a' is up to date./Nothing to be done for 'libz.a'./")"; }

check "compile in memory" build "$dir/zlib" 2
for s in ${SHARES:-$(long dax "$(shares)")}; do
	[ "$SERVER" = daxfsd ] || s=nodax
	case $s in dax | small)
		not_with_c "$s" "a program that is started anew loses its pages where it runs already, with a warning (G-2)" && continue ;;
	esac
	on "$s" || continue
	check "$s: compile with four jobs" build "$mnt/zlib" 4
	check "$s: the same objects" same_objects
	check "$s: nothing to do for make" again
	check "$s: clean" quiet make -C "$mnt/zlib" distclean
	check "$s: unmount" off
done
