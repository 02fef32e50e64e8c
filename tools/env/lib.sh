# Shared by the tools/env scripts: where the cache is, how progress is shown, how the toolchain root is entered.
# Sourced by bash scripts only.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${RUST_FUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rust_fuse}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# shellcheck disable=SC2034  # used by the scripts that source this file
root=$cache/root
# What is built from this tree, so that several trees can be built at a time.
out=$top/out

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'error: %s\n' "$1" >&2; shift; for l; do printf '  %s\n' "$l" >&2; done; exit 1; }

# step NAME SECONDS LOG COMMAND...: runs COMMAND with its output in LOG and shows the time taken next to the
# estimate; on failure shows the end of LOG.
step() {
	local name=$1 estimate=$2 log=$3 start=$SECONDS pid rc t
	shift 3
	mkdir -p "$(dirname "$log")"
	say "$name (about $(fmt_time "$estimate")) ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		t=$((SECONDS - start))
		if [ -t 2 ]; then
			printf '\r  %s of about %s   ' "$(fmt_time $t)" "$(fmt_time "$estimate")" >&2
		elif [ $((t % 60)) = 0 ] && [ $t -gt 0 ]; then
			say "  $name: $(fmt_time $t) of about $(fmt_time "$estimate")"
		fi
	done
	[ -t 2 ] && printf '\r\033[K' >&2
	if wait "$pid"; then rc=0; else rc=$?; fi
	if [ $rc != 0 ]; then
		tail -n 30 "$log" >&2
		die "$name failed (exit $rc)" "the whole output is in $log"
	fi
	say "$name: done in $(fmt_time $((SECONDS - start)))"
}

fmt_time() { if [ "$1" -ge 90 ]; then echo "$((($1 + 30) / 60)) min"; else echo "$1 s"; fi; }

# One set-up at a time in a cache folder.
lock_cache() {
	exec 9>"$cache/.lock"
	if ! flock -n 9; then
		say "another set-up is using $cache: waiting for it"
		flock 9
	fi
}
