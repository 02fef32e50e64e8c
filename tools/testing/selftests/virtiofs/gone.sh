#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The life of a mount, and its end when the server has stopped answering: what waits ends with ENOTCONN when the device is
# taken away, what comes later as well; unmounting and unloading work, with and without DAX.
. "$(dirname "$0")/lib.sh"
begin
m=$dir/m other=$dir/other

# Bind mounts are the same file system, and live on without the first.
bind_mounts() {
	mount_tag nodax "$m" || return
	mkdir -p "$m/sub" "$other" && echo x >"$m/sub/f" && mount --bind "$m/sub" "$other" && umount "$m" || return
	got=$(cat "$other/f") && rm "$other/f" && umount "$other" && same "through the bind mount" x "$got"
}
check "bind mount" bind_mounts

remounted() {
	mount_tag nodax "$m" || return
	mount -o remount,ro "$m" || return
	ro=$($vtool call create "$m/gone-new")
	mount -o remount,rw "$m" || return
	rw=$($vtool call create "$m/gone-new")
	rm -f "$m/gone-new"
	umount "$m" && same "read-only" EROFS "$ro" && same "again for writing" ok "$rw"
}
check "remount" remounted

# By force is as without: who uses it keeps it.
forced() {
	mount_tag nodax "$m" || return
	exec 5<"$m"
	umount -f "$m" 2>/dev/null && busy=gone || busy=busy
	got=$($vtool call stat "$m")
	exec 5<&-
	same "in use" busy "$busy" && same "stat" ok "$got" && umount -f "$m"
}
check "umount -f" forced

if [ "$SERVER" = daxfsd ]; then
	at_an_end() { [ "$(counter nodax DESTROY)" != 0 ]; }
	# A lazy unmount ends with the last user.
	lazily() {
		mount_tag nodax "$m" || return
		exec 5>"$m/file"
		reset nodax
		umount -l "$m" && echo late >&5 || return
		before=$(counter nodax DESTROY)
		exec 5>&-
		soon at_an_end
		same "DESTROY while in use" 0 "$before" && same "and then" 1 "$(counter nodax DESTROY)" &&
			same "what was written" late "$(ctl host nodax 'cat file' | head -n 1)"
	}
	check "umount -l" lazily

	reason="the C client's unmount oopses after the device has gone with a window (G-15), and waits without end for answers"
	calls="stat:d/a open:d/b read:d/c create:d/new mkdir:d/dir readdir:d/sub"

	# stopped TAG OPTIONS
	stopped() {
		ctl host "$1" 'rm -rf d; mkdir -p d/sub; for f in a b c; do echo $f >d/$f; done' >/dev/null
		mount_tag "$1" "$m" "$2" || return
		ctl "$1" fault all 1000 hang >/dev/null
		n=0
		for c in $calls; do
			n=$((n + 1))
			$vtool call "${c%:*}" "$m/${c#*:}" >"$dir/out.$n" 2>&1 &
		done
		soon hangs "$1" 6
		dev=$(virtio_of "$1")
		driver=$(realpath "/sys/bus/virtio/devices/$dev/driver")
		echo "$dev" >"$driver/unbind"
		wait
		failed=
		n=0
		for c in $calls; do
			n=$((n + 1))
			same "$c" ENOTCONN "$(cat "$dir/out.$n")" || failed=yes
		done
		for c in $calls; do
			same "$c, later" ENOTCONN "$($vtool call "${c%:*}" "$m/${c#*:}")" || failed=yes
		done
		ctl "$1" faults clear >/dev/null
		ctl "$1" release-hung >/dev/null
		umount "$m" || failed=yes
		unload && load || failed=yes
		[ -n "$(virtio_of "$1" 2>/dev/null)" ] || echo "$dev" >"/sys/bus/virtio/drivers/$(basename "$driver")/bind" || failed=yes
		mount_tag "$1" "$m" "$2" && same "afterwards" c "$(cat "$m/d/c")" && umount "$m" && [ -z "$failed" ]
	}
	for t in nodax: dax:dax=always; do
		has_tag "${t%:*}" || continue
		name="a server that stopped, ${t%:*}"
		not_with_c "$name" "$reason" || check "$name" stopped "${t%:*}" "${t#*:}"
	done

	# An unmount that waits for the server can be killed.
	unanswered() {
		mount_tag nodax "$m" || return
		ctl nodax fault DESTROY 1 hang >/dev/null
		umount "$m" &
		pid=$!
		soon hangs nodax 1
		kill -9 $pid
		wait $pid
		ctl nodax release-hung >/dev/null
		mount_tag nodax "$m" && same "afterwards" ok "$($vtool call stat "$m")" && umount "$m"
	}
	name="an unmount that is not answered"
	not_with_c "$name" "the C client waits for DESTROY without end" || check "$name" unanswered
fi
