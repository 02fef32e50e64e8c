#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# pjdfstest (the crate): what POSIX says of files, test by test. Those that fail are compared with pjdfstest.known.
. "$(dirname "$0")/lib.sh"
begin
needs pjdfstest

grep -q ^tests: /etc/passwd || {
	echo 'tests:x:4321:4321::/:/bin/false' >>/etc/passwd
	echo 'tests:x:4321:' >>/etc/group
}
mkdir -p /tmp/secondary
mount -t tmpfs secondary /tmp/secondary
sed "s,SECONDARY,/tmp/secondary," "$here/pjdfstest.toml" >"$dir/config"

# known TEST: the reason why it fails, if there is one.
known() {
	local who glob hash reason
	while read -r who glob hash reason; do
		[ "$hash" = "#" ] || continue
		# shellcheck disable=SC2053  # a pattern
		if [[ $who = '*' || $who = "$MODULE" ]] && [[ $1 = $glob ]]; then
			echo "$reason"
			return 0
		fi
	done <"$here/pjdfstest.known"
	return 1
}

# report NAME RESULT: one case of ours for each of theirs.
report() {
	local name="$share: $1" reason
	case $2 in
	ok) ktap_test_pass "$name" ;;
	skipped) ktap_test_skip "$name" ;;
	FAILED)
		if reason=$(known "$1"); then
			__ktap_test ok "$name" "XFAIL known: $reason"
			KTAP_CNT_XFAIL=$((KTAP_CNT_XFAIL + 1))
		else
			ktap_test_fail "$name"
		fi
		;;
	esac
}

# run yes|no: those that remount the file system read-only, or the others. The suite leaves files open for writing, which
# is a reason to refuse that, so these run by themselves.
run() {
	local line name= result= patterns=
	[ "$1" = no ] || patterns=erofs
	# A line for the test ends with the verdict; what went wrong stands below it.
	# shellcheck disable=SC2086  # no word where there is nothing to say
	NO_COLOR=1 RUST_BACKTRACE=0 pjdfstest -c "$dir/config" -p "$mnt" $patterns 2>&1 | sed 's/\x1b\[[0-9;]*m//g' >"$dir/out"
	while IFS= read -r line; do
		case $line in
		*" ok" | *" FAILED" | *" skipped")
			report "$name" "$result"
			name=${line%% *} result=${line##* }
			[ "$1" = yes ] || [ "$name" = "${name/erofs/}" ] || name= result=
			;;
		?*) [ "$result" != FAILED ] || echo "# $line" ;;
		esac
	done <"$dir/out"
	report "$name" "$result"
	grep -q '^Summary' "$dir/out"
}

for s in ${SHARES:-$(long nodax "$(shares)")}; do
	on "$s" || continue
	chmod 755 "$mnt"
	check "$s: with remounts" run yes
	check "$s: without" run no
	check "$s: unmount" off
done
umount /tmp/secondary
