#!/usr/bin/env bash
# Makes the programs image: a second Debian 13 with the programs and the FUSE servers that the tests use, as a read-only
# erofs that the guest gets as a disk (tools/vm/run --programs). Prints its path; with --bin the folder of those programs
# that Cargo built.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

suite=trixie
# What works on a file system.
programs="fio stress-ng sqlite3 git rsync tar xz-utils bzip2 attr acl xfsprogs e2fsprogs python3 util-linux procps psmisc
	file patch make gcc libc6-dev kmod iproute2"
# What serves one, and what these need.
servers="fuse3 sshfs openssh-server openssh-client bindfs fuse-overlayfs ntfs-3g gocryptfs mergerfs squashfuse
	squashfs-tools rclone python3-pyfuse3"
# Crates: name, version, and what is built of it.
crates="pjdfstest=0.2.2 fsx=0.3.2 fuser=0.16.0:simple"
# Sources that are compiled in the guest, as Debian has them.
sources="zlib"
here=$cache/programs
stamp=$(sha256sum <"$0" | cut -c1-16)
image=$here/programs-$stamp.erofs
bin=$here/bin-$(printf '%s' "$crates" | sha256sum | cut -c1-16)
result=$image
if [ "${1:-}" = --bin ]; then
	result=$bin/bin
fi
if [ -e "$image" ]; then
	echo "$result"
	exit
fi
"$top/tools/env/root.sh" >/dev/null
# A lock of its own: a kernel may be built meanwhile.
mkdir -p "$here"
exec 8>"$here/.lock"
flock 8
if [ -e "$image" ]; then
	echo "$result"
	exit
fi
if [ "$(id -u)" = 0 ]; then mode=root; else mode=unshare; fi

build_crates() {
	local c name version example
	# What Debian has in libacl1-dev.
	mkdir -p "$here/lib"
	ln -sf /usr/lib/x86_64-linux-gnu/libacl.so.1 "$here/lib/libacl.so"
	for c in $crates; do
		name=${c%%=*} version=${c#*=} example=${c##*:}
		case $c in *:*) example="--example ${c##*:}" ;; *) example= ;; esac
		# shellcheck disable=SC2086  # no word where there is nothing to say
		"$top/tools/env/enter" env CARGO_TARGET_DIR="$here/target" LIBRARY_PATH="$here/lib" nice \
			cargo install --locked --root "$bin.new" --version "${version%%:*}" $example "$name"
	done
	mv "$bin.new" "$bin"
}
[ -e "$bin" ] || step "building pjdfstest, fsx and a fuser server" 150 "$cache/log/crates.log" build_crates
rm -rf "$here/target"

# The examples of libfuse are in no package. They are compiled with what is taken out of the image again.
examples="passthrough passthrough_fh passthrough_ll passthrough_hp hello hello_ll ioctl poll notify_inval_inode
	notify_inval_entry notify_store_retrieve invalidate_path"
# What their configuration finds on this system.
have="FORK FSTATAT OPENAT READLINKAT PIPE2 SPLICE VMSPLICE POSIX_FALLOCATE FDATASYNC UTIMENSAT COPY_FILE_RANGE FALLOCATE
	SETXATTR ICONV STATX STRUCT_STAT_ST_ATIM"
cat >"$here/customize" <<END
set -e
cd /usr/src
sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update
apt-get install -y g++ libfuse3-dev pkgconf
apt-get source --tar-only --download-only fuse3 $(echo $sources)
mkdir fuse3 && tar -xf fuse3_*.orig.tar.* -C fuse3 --strip-components=1
mkdir -p /usr/local/lib/libfuse
for e in $(echo $examples); do
	if [ -e fuse3/example/\$e.cc ]; then cc="g++ -std=c++17" e=\$e.cc; else cc=gcc e=\$e.c; fi
	\$cc -O2 -g0 -w -D_FILE_OFFSET_BITS=64 $(printf -- '-DHAVE_%s ' $have) -Ifuse3/lib -Ifuse3/include -o /usr/local/lib/libfuse/\${e%.*} fuse3/example/\$e \$(pkg-config --cflags --libs fuse3) -lpthread ||
		echo "WARNING: \$e of libfuse does not compile"
done
rm -rf fuse3 fuse3_*
apt-get purge -y --auto-remove g++ libfuse3-dev pkgconf
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
find / -xdev -name __pycache__ -prune -exec rm -rf {} +
END
new=$image.new
# Large and never used: what draws pictures, sanitizers, link-time optimisation.
unused="/usr/share/man/* /usr/share/locale/* /usr/share/doc/* /usr/share/i18n/* /usr/share/X11/* */libLLVM* */libgallium*
	*/libz3.* */lib[atlu]san.* */libhwasan.* */libubsan.* *lto-dump* */lto1"
make_image() {
	local exclude=() f
	set -f
	for f in $unused; do exclude+=(--dpkgopt="path-exclude=$f"); done
	set +f
	mmdebstrap --mode=$mode --variant=apt --format=null \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
		"${exclude[@]}" \
		--include="$(echo $programs $servers erofs-utils | tr ' ' ,)" \
		--customize-hook="copy-in $bin/bin /usr/local" \
		--customize-hook="upload $here/customize /customize" \
		--customize-hook='mv "$1/usr/local/bin/simple" "$1/usr/local/bin/fuser-simple"' \
		--customize-hook='chroot "$1" sh /customize && rm "$1/customize"' \
		--customize-hook='mount --bind "$1" "$1/mnt" && chroot "$1" mkfs.erofs -x -1 --exclude-path=tmp/image /tmp/image /mnt &&
			umount "$1/mnt"' \
		--customize-hook="download /tmp/image $new" \
		"$suite" /dev/null "$1"
}
# The toolchain root knows the mirror.
deb=$(sed -n "s/^\(deb .* $suite main\)$/\1/p" "$root/etc/apt/sources.list" | head -n 1)
step "making the programs image (Debian 13 with real programs and FUSE servers)" 120 "$cache/log/programs.log" make_image "$deb"
rm -f "$here"/programs-*.erofs
mv "$new" "$image"
say "the programs image has $(($(stat -c %s "$image") >> 20)) MiB"
echo "$result"
