#!/usr/bin/env bash
# Makes the toolchain root: Debian 13 with backports, holding compiler, kernel sources, QEMU and the guest's programs.
# Prints its path. The host needs only mmdebstrap (and a keyring that knows Debian 13).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

suite=trixie
# One libelf: what depends on it comes from backports, as QEMU does.
backports="qemu-system-x86 libelf-dev libdw-dev libdebuginfod1t64"
packages="ca-certificates make clang-19 lld-19 llvm-19 libclang-19-dev rustc rust-src bindgen rustfmt rust-clippy cargo
	pkgconf libssl-dev flex bison bc python3 rsync cpio xz-utils zstd kmod patch file gawk libc6-dev gcc
	busybox-static virtiofsd iproute2 procps gdb-minimal util-linux attr acl fio xfsprogs
	linux-libc-dev libglib2.0-dev git"
# The kernel source that everything was tested with; when the archive no longer has it, the newest of the series.
pinned=7.2.12-1~bpo13+1
if [ "${1:-}" = --pinned ]; then
	echo $pinned
	exit
fi
stamp=$(printf '%s' "$suite $packages $backports $(sha256sum <"$0")" | sha256sum | cut -c1-16)

if [ "$(cat "$root/.rust_fuse" 2>/dev/null)" = "$stamp" ]; then
	echo "$root"
	exit
fi
lock_cache
if [ "$(cat "$root/.rust_fuse" 2>/dev/null)" = "$stamp" ]; then
	echo "$root"
	exit
fi

if ! command -v mmdebstrap >/dev/null; then
	[ "$(id -u)" = 0 ] || die "mmdebstrap is missing" "install it: sudo apt-get install mmdebstrap uidmap"
	step "installing mmdebstrap" 20 "$cache/log/apt.log" \
		sh -c 'apt-get update && apt-get install -y --no-install-recommends mmdebstrap uidmap'
fi
if [ "$(id -u)" = 0 ]; then mode=root; else mode=unshare; fi

# The mirror the host itself uses; anything else is the user's to set.
mirror=${RUST_FUSE_MIRROR:-$(apt-get indextargets --format '$(ORIGIN)|$(SITE)' 2>/dev/null |
	sed -n 's/^Debian|//p' | grep -v security | sort | uniq -c | sort -rn | awk 'NR==1{print $2}')}
[ -n "$mirror" ] || die "no Debian mirror found in apt's settings" "set RUST_FUSE_MIRROR to the address of one"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keyring ] || die "$keyring is missing" "install it: apt-get install debian-archive-keyring"

new=$root.new
[ -e "$new" ] && rm -rf --one-file-system "$new"
step "making the toolchain root (Debian 13 with its tools)" 180 "$cache/log/root.log" \
	mmdebstrap --mode=$mode --variant=apt --format=directory --keyring="$keyring" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
	--dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*' \
	--essential-hook="echo deb [signed-by=$keyring] $mirror $suite-backports main >>\"\$1\"/etc/apt/sources.list" \
	--essential-hook='chroot "$1" apt-get update' \
	--customize-hook="chroot \"\$1\" apt-get install -y -t $suite-backports $backports" \
	--customize-hook="chroot \"\$1\" apt-get install -y linux-source-7.2=$pinned ||
		chroot \"\$1\" apt-get install -y -t $suite-backports linux-source-7.2" \
	--customize-hook="chroot \"\$1\" apt-get install -y $(echo $packages)" \
	--customize-hook='for t in clang ld.lld llvm-nm llvm-ar llvm-objcopy llvm-objdump llvm-readelf llvm-strip llvm-link opt; do
		chroot "$1" ln -sf ../lib/llvm-19/bin/$t /usr/bin/$t; done' \
	--customize-hook='chroot "$1" apt-get clean' \
	$suite "$new" "deb [signed-by=$keyring] $mirror $suite main"
mkdir -p "$new/work"
echo "$stamp" >"$new/.rust_fuse"
[ -e "$root" ] && rm -rf --one-file-system "$root"
mv "$new" "$root"
echo "$root"
