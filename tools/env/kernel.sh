#!/usr/bin/env bash
# kernel.sh release|debug: builds the guest's kernel once and prints its build folder (bzImage, modules, everything an
# out-of-tree module needs). Cached under a hash of source version, configuration and toolchain.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

flavour=${1:?usage: kernel.sh release|debug}
fragments=("$top/tools/env/kernel/base.config" "$top/tools/env/kernel/$flavour.config")
[ -r "${fragments[1]}" ] || die "no kernel flavour \"$flavour\"" "there are: release, debug"
"$top/tools/env/root.sh" >/dev/null
versions=$("$top/tools/env/enter" sh -c 'dpkg-query -W -f "\${Version} " linux-source-7.2; rustc --version; clang --version | head -n 1; bindgen --version')
hash=$(printf '%s' "$versions $(cat "${fragments[@]}")" | sha256sum | cut -c1-12)
out=$cache/kernel/$flavour-$hash
if [ -e "$out/.done" ]; then
	echo "$out"
	exit
fi
lock_cache
if [ -e "$out/.done" ]; then
	echo "$out"
	exit
fi

package=${versions%% *}
[ "$package" = "$("$top/tools/env/root.sh" --pinned)" ] ||
	say "linux-source-7.2 $package is used: the pinned version is gone from the archive"
src=$cache/src/linux-${package//[~:+]/-}
if [ ! -e "$src/.unpacked" ]; then
	rm -rf "$src" && mkdir -p "$src"
	step "unpacking the kernel source" 15 "$cache/log/unpack.log" \
		tar -xf "$root/usr/src/linux-source-7.2.tar.xz" -C "$src" --strip-components=1
	touch "$src/.unpacked"
fi

mkdir -p "$out"
cat "${fragments[@]}" >"$out/fragment"
step "configuring the $flavour kernel" 20 "$cache/log/$flavour-config.log" "$top/tools/env/enter" \
	make -C "$src" O="$out" LLVM=1 KCONFIG_ALLCONFIG="$out/fragment" allnoconfig
# Kconfig drops what it cannot grant without a word.
lost=$(grep '^CONFIG' "$out/fragment" | while IFS= read -r want; do
	case $want in
	*=n) grep -q "^${want%=n}=" "$out/.config" && echo "$want" ;;
	*) grep -qxF "$want" "$out/.config" || echo "$want" ;;
	esac
done || true)
[ -z "$lost" ] || die "the kernel's configuration dropped options" $lost "see ${out}/.config"
case $flavour in debug) minutes=25 ;; *) minutes=15 ;; esac
step "building the $flavour kernel" $((minutes * 60 * 2 / $(nproc))) "$cache/log/$flavour-kernel.log" "$top/tools/env/enter" \
	make -C "$out" LLVM=1 -j"$(($(nproc) + 1))" bzImage modules
touch "$out/.done"
echo "$out"
