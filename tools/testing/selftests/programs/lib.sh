# SPDX-License-Identifier: GPL-2.0
# Shared by the tests with real programs: which programs they need, and on which shares they run.
#
# SHARES narrows the shares, PROGRAMS_LONG=1 makes everything run longer, SEED replays a run; tools/vm/run hands them over
# with --append.

. "$(dirname "$0")/../virtiofs/lib.sh"
export LC_ALL=C.UTF-8 HOME=/root
: "${PROGRAMS_LONG:=0}"

# The cases of a share have one mount.
restore() { ctl runner fresh >/dev/null; }

# needs PROGRAM...: the guest must have these.
needs() {
	for p; do
		command -v "$p" >/dev/null || skip_all "the guest has no $p: start with tools/vm/run --programs"
	done
}

# shares: those that programs run on. dax is all DAX, small has a window that is too small for the data, nodax goes by the
# page cache, direct by requests alone.
shares() {
	if [ "$SERVER" = virtiofsd ]; then echo "${SHARES:-nodax}"; else echo "${SHARES:-dax small nodax direct}"; fi
}

# some_shares: the two that differ most, for what takes long; all of them with PROGRAMS_LONG=1.
some_shares() {
	if [ -z "${SHARES:-}" ] && [ "$SERVER" != virtiofsd ] && [ "$PROGRAMS_LONG" != 1 ]; then echo "dax nodax"; else shares; fi
}

# on SHARE: mounts it at $mnt, empty.
on() {
	share=$1 mnt=/mnt/$1
	case $1 in
	dax | small) options=dax=always ;;
	*) options= ;;
	esac
	mount_tag "$1" "$mnt" "$options" && find "$mnt" -mindepth 1 -delete
}

# off: unmounts it, which must be possible: nothing is in use.
off() {
	cd / || return
	umount "$mnt"
}

# long SHORT LONG: one of both, by PROGRAMS_LONG.
long() { if [ "$PROGRAMS_LONG" = 1 ]; then echo "$2"; else echo "$1"; fi; }

# quiet COMMAND...: its output is shown only when it fails.
quiet() {
	"$@" >"$ktap" 2>&1 && return
	rc=$?
	tail -n 40 "$ktap" | sed 's/^/# /'
	echo "# \"$*\" ended with $rc"
	return 1
}
