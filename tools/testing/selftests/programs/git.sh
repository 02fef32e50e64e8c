#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# git: a history is made, cloned in every way, packed and verified; the same commits and files come out.
. "$(dirname "$0")/lib.sh"
begin
needs git python3
git config --global user.name t
git config --global user.email t@example.org
git config --global init.defaultBranch main
git config --global safe.directory '*'
git config --global advice.detachedHead false
git config --global gc.auto 0

# A repository in the guest's memory, whose commits are the same every time.
origin=$dir/origin
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
make_origin() {
	git init -q "$origin" && cd "$origin" || return
	for n in $(seq "$(long 4 25)"); do
		python3 "$here/tree.py" files . "$n" "$(long 15 60)" && git add -A && git commit -qm "commit $n" || return
	done
	git tag -a -m tag v1
	head=$(git rev-parse HEAD)
}

clone() {
	quiet git clone -q "$@" || return
	local d=${*: -1}
	same "HEAD" "$head" "$(git -C "$d" rev-parse HEAD)" && same "status" "" "$(git -C "$d" status --porcelain)"
}

work() {
	cd "$mnt/clone" || return
	quiet git checkout -q -b side HEAD~2 && python3 "$here/tree.py" files . 99 20 && git add -A && git commit -qm side &&
		quiet git merge -q -X theirs -m merge main && quiet git mv d1 moved && git commit -qam moved &&
		quiet git stash list && quiet git rebase -q -X theirs main side~1 && quiet git checkout -q main &&
		quiet git worktree add -q "$mnt/worktree" side && quiet git -C "$mnt/worktree" fsck --full --strict
	rc=$?
	cd /
	return $rc
}

check "make a history in memory" make_origin
for s in $(some_shares); do
	case $s in dax | small)
		not_with_c "$s" "git writes from a mapping of a DAX file, whose pages that client hands to the device" && continue ;;
	esac
	on "$s" || continue
	check "$s: clone from memory" clone --no-hardlinks "$origin" "$mnt/clone"
	check "$s: fsck" quiet git -C "$mnt/clone" fsck --full --strict
	check "$s: clone by hard links" clone "$mnt/clone" "$mnt/second"
	check "$s: clone by the protocol, bare" quiet git clone -q --bare "file://$mnt/clone" "$mnt/bare.git"
	check "$s: branch, merge, rebase, worktree" work
	check "$s: repack" quiet git -C "$mnt/clone" repack -qadf
	check "$s: fsck after a new mount" sh -c "cd / && umount $mnt && mount -t virtiofs ${options:+-o $options} $s $mnt &&
		git -C $mnt/clone fsck --full --strict >/dev/null && git -C $mnt/bare.git fsck --full --strict >/dev/null &&
		git -C $mnt/second status --porcelain"
	check "$s: unmount" off
done
