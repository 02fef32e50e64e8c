#!/usr/bin/env bash
# module.sh [KDIR]: builds the module against the prepared kernel in KDIR (without it: our own release kernel, which is
# built first where necessary) and prints the path of rust_fuse.ko. MAKE_TARGET=... asks for something else than modules.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

kdir=${1:-}
own=
if [ -z "$kdir" ]; then
	kdir=$("$top/tools/env/kernel.sh" release)
fi
[ -d "$kdir" ] || die "$kdir is no folder" "KDIR=... names the build folder of a kernel, such as /lib/modules/\$(uname -r)/build"
kdir=$(cd "$kdir" && pwd -P)
case $kdir in "$cache"/*) own=1 ;; esac

# Refuse in words what would end in a page of compiler errors.
config=$kdir/.config
[ -r "$config" ] || die "$kdir has no .config: the kernel there is not prepared" "build it first, or run plain \`make\` for our own kernel"
has() { grep -qx "CONFIG_$1=[ym]" "$config"; }
has RUST || die "the kernel in $kdir has no Rust (CONFIG_RUST)" \
	"take one with CONFIG_RUST=y, or run plain \`make\` for our own kernel"
missing=
for o in MODULES VIRTIO FS_DAX DAX ZONE_DEVICE FS_IOMAP FS_POSIX_ACL FS_STACK; do
	has $o || missing="$missing CONFIG_$o"
done
[ -z "$missing" ] || die "the kernel in $kdir lacks:$missing" \
	"FS_IOMAP, FS_POSIX_ACL and FS_STACK come with CONFIG_FUSE_FS=m, CONFIG_FUSE_DAX=y, CONFIG_FUSE_PASSTHROUGH=y and CONFIG_VIRTIO_FS=m"
[ -e "$kdir/rust/libkernel.rmeta" ] || die "the kernel in $kdir was not built with its Rust libraries (rust/libkernel.rmeta)" \
	"packages of kernel headers often lack them; build the kernel itself in that folder"

if [ -n "$own" ]; then run=("$top/tools/env/enter"); else run=(); fi
wants=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$config")
got=$("${run[@]}" sh -c "${RUSTC:-rustc} --version" 2>/dev/null || true)
[ "$wants" = "$got" ] || die "the kernel in $kdir was built with \"$wants\", but this is \"${got:-no rustc}\"" \
	"Rust modules need the very same compiler: put it first in PATH, or say RUSTC=/path/to/rustc"

llvm=
if has CC_IS_CLANG; then llvm=LLVM=1; fi
built=${RUST_FUSE_OUT:-$out/module/$(basename "$kdir")-$(printf '%s' "$kdir" | sha256sum | cut -c1-8)}
log=$out/log/module.log
mkdir -p "$built"
# shellcheck disable=SC2086  # no word where there is nothing to say
step "building the module" 25 "$log" "${run[@]}" nice \
	make -C "$kdir" M="$top" MO="$built" $llvm ${RUSTC:+RUSTC="$RUSTC"} ${RUST_FUSE_SAMPLES:+CONFIG_RUST_FUSE_SAMPLES=m} -j"$(nproc)" ${MAKE_TARGET:-modules}
grep -E '^warning' -A 6 "$log" >&2 || true
echo "$built/rust_fuse.ko"
