#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# install.sh KDIR DEST: builds the collections of this folder and installs them, with run_kselftest.sh, into DEST.
# The kernel's own selftests/Makefile does it; it wants its collections next to itself, so it runs in a folder of links.
set -eu
kdir=$(realpath "$1")
mkdir -p "$2"
dest=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd -P)
source=$kdir
[ ! -e "$kdir/source" ] || source=$(realpath "$kdir/source")
theirs=$source/tools/testing/selftests
[ -r "$theirs/lib.mk" ] || {
	echo "error: $theirs has no lib.mk: $kdir is not a kernel's build folder with its source" >&2
	exit 1
}

# The static libraries that the kernel tree's own tests of FUSE need. Without them those are skipped.
libfuse=${RUST_FUSE_CACHE:-/var/empty}/libfuse
if [ -d "${RUST_FUSE_CACHE:-}" ] && [ ! -d "$libfuse" ] && [ "$(id -u)" = 0 ]; then
	new=$(mktemp -d)
	(cd "$new" && apt-get update && apt-get download libfuse-dev libfuse3-dev &&
		for deb in *.deb; do dpkg -x "$deb" "$libfuse.$$"; done && mv "$libfuse.$$" "$libfuse") ||
		echo "warning: no libfuse: the kernel's own tests of FUSE are left out"
	rm -rf "$new" "$libfuse.$$"
fi

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/tools/testing/selftests" "$stage/build"
ln -s "$source/scripts" "$stage/scripts"
for f in Makefile lib.mk kselftest run_kselftest.sh kselftest.h kselftest_harness.h; do
	ln -s "$theirs/$f" "$stage/tools/testing/selftests/$f"
done
targets=
for c in "$here"/*/Makefile; do
	c=$(basename "$(dirname "$c")")
	ln -s "$here/$c" "$stage/tools/testing/selftests/$c"
	targets="$targets $c"
done
make -C "$stage/tools/testing/selftests" O="$stage/build" KSRC="$source" LIBFUSE="$libfuse" TARGETS="${targets# }" FORCE_TARGETS=1 \
	KSFT_INSTALL_PATH="$dest" install
