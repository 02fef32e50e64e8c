#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# rsync -aHAX and tar carry a tree of every kind of entry to the share and back: the same bytes, links, owners, times,
# access control lists and extended attributes come out.
. "$(dirname "$0")/lib.sh"
begin
needs rsync tar python3 setfacl
tree=$here/tree.py

# The stock daemon is started without lists and attributes.
acl=AX
[ "$SERVER" = daxfsd ] || acl=
make_source() {
	mkdir -p "$dir/source" && python3 "$tree" all "$dir/source" 5 || return
	[ -n "$acl" ] || { setfacl -Rbk "$dir/source"; for n in small empty large binary; do
		setfattr -x user.$n "$dir/source/odd" "$dir/source/odd/a b"; done; }
	python3 "$tree" show "$dir/source" >"$dir/want"
}

# equal DIR: a tree is like the source.
equal() {
	python3 "$tree" show "$1" >"$dir/got" || return
	diff "$dir/want" "$dir/got" | head -n 20 | sed 's/^/# /'
	cmp -s "$dir/want" "$dir/got"
}

there() { quiet rsync -aH${acl} --numeric-ids "$dir/source/" "$mnt/copy/" && equal "$mnt/copy"; }
back() {
	rm -rf "$dir/back"
	quiet rsync -aH${acl} --numeric-ids --checksum "$mnt/copy/" "$dir/back/" && equal "$dir/back"
}
# Nothing is left to do for a second run that compares contents.
idle() {
	rsync -aH${acl}nic --numeric-ids --delete "$dir/source/" "$mnt/copy/" >"$dir/todo" || return
	sed 's/^/# to do: /' "$dir/todo" | head
	[ ! -s "$dir/todo" ]
}
# Changes are carried by delta in place, and what is gone is removed.
changed() {
	rm -rf "$dir/changed" && cp -a "$dir/source" "$dir/changed" && python3 "$tree" files "$dir/changed" 6 40 &&
		rm -rf "$dir/changed/d1" && quiet rsync -aH${acl} --numeric-ids --inplace --delete "$dir/changed/" "$mnt/copy/" &&
		python3 "$tree" show "$dir/changed" >"$dir/want2" && python3 "$tree" show "$mnt/copy" >"$dir/got" &&
		diff "$dir/want2" "$dir/got" | head -n 20 | sed 's/^/# /'
	cmp -s "$dir/want2" "$dir/got"
}
tar_there_and_back() {
	rm -rf "$dir/untar" && mkdir "$mnt/untar" "$dir/untar" &&
		quiet tar -C "$dir/source" ${acl:+--xattrs --xattrs-include=* --acls} --numeric-owner --sparse --format=pax -cf "$mnt/t.tar" . &&
		quiet tar -C "$mnt/untar" ${acl:+--xattrs --xattrs-include=* --acls} --numeric-owner -xpf "$mnt/t.tar" && equal "$mnt/untar"
}

check "make a tree in memory" make_source
for s in $(some_shares); do
	on "$s" || continue
	check "$s: rsync there" there
	check "$s: rsync back" back
	check "$s: nothing to do" idle
	check "$s: the same after a new mount" sh -c "umount $mnt && mount -t virtiofs ${options:+-o $options} $s $mnt"
	check "$s: equal after a new mount" equal "$mnt/copy"
	check "$s: changes" changed
	check "$s: tar there and back" tar_there_and_back
	check "$s: unmount" off
done
