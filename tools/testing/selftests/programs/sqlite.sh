#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# SQLite with a write-ahead log: two processes write, one is killed in the middle of it, the other goes on. What was
# committed is there, what was not is not, and the database is whole.
. "$(dirname "$0")/lib.sh"
begin
needs sqlite3 python3
wal=$here/wal.py

two_writers() {
	local db=$mnt/wal.db n=$(long 60 600) a b
	rm -f "$db"* "$dir"/a "$dir"/b
	python3 "$wal" make "$db" || return
	python3 "$wal" write "$db" a "$n" >"$dir/a" 2>"$dir/a.err" &
	a=$!
	python3 "$wal" write "$db" b 1000000 >"$dir/b" 2>"$dir/b.err" &
	b=$!
	# Killed when it has committed some, wherever it is then.
	for i in $(seq 3000); do
		[ "$(wc -l <"$dir/b")" -ge $((n / 3)) ] && break
		kill -0 $b || break
		sleep 0.1
	done
	kill -9 $b
	wait $b
	wait $a || { sed 's/^/# a: /' "$dir/a.err"; return 1; }
	at_least "commits of the one that was killed" $((n / 3)) "$(wc -l <"$dir/b")" || { sed 's/^/# b: /' "$dir/b.err"; return 1; }
	python3 "$wal" check "$db" "$dir/a" "$dir/b" | sed 's/^/# /'
	return "${PIPESTATUS[0]}"
}

# The database that the killed process left is found whole by one that sees it after a new mount, and by the host.
after_mount() {
	off && mount_tag "$share" "$mnt" "$options" || return
	same "integrity" ok "$(sqlite3 "$mnt/wal.db" 'pragma integrity_check')" || return
	python3 "$wal" check "$mnt/wal.db" "$dir/a" "$dir/b" | sed 's/^/# /'
	return "${PIPESTATUS[0]}"
}

# Killed at another place each time.
many_kills() {
	local db=$mnt/kill.db i
	rm -f "$db"* "$dir/all"
	python3 "$wal" make "$db" || return
	for i in $(seq "$(long 3 20)"); do
		python3 "$wal" write "$db" "k$i" 1000000 >"$dir/k" 2>/dev/null &
		a=$!
		for j in $(seq 3000); do
			[ "$(wc -l <"$dir/k")" -ge 2 ] && break
			sleep 0.1
		done
		sleep "0.$((i * 37 % 90 + 10))"
		kill -9 $a
		wait $a 2>/dev/null
		cat "$dir/k" >>"$dir/all"
		python3 "$wal" check "$db" "$dir/all" | sed 's/^/# /'
		[ "${PIPESTATUS[0]}" = 0 ] || return
	done
}

for s in $(some_shares); do
	on "$s" || continue
	check "$s: two writers, one killed" two_writers
	check "$s: whole after a new mount" after_mount
	check "$s: killed again and again" many_kills
	check "$s: unmount" off
done
