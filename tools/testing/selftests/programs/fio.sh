#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio writes and verifies by every way into the kernel: plain calls, two kinds of asynchronous ones, mappings.
. "$(dirname "$0")/lib.sh"
begin
needs fio

# fio_verify NAME OPTIONS...: random writes and reads; every block is verified after it, and again by a second run.
fio_verify() {
	local name=$1 common
	shift
	common="--name=$name --directory=$mnt --size=$(long 3M 48M) --bsrange=4k-64k --verify=crc32c --verify_fatal=1
		--verify_dump=0 --randseed=${SEED:-7} --thread=0 --eta=never $*"
	# shellcheck disable=SC2086  # words are wanted
	quiet fio $common --rw=randrw --rwmixread=30 --do_verify=1 || return
	# shellcheck disable=SC2086
	quiet fio $common --rw=randrw --rwmixread=30 --verify_only
}

for s in $(shares); do
	on "$s" || continue
	check "$s: psync" fio_verify psync --ioengine=psync
	check "$s: psync, O_DIRECT" fio_verify psync-direct --ioengine=psync --direct=1
	check "$s: libaio" fio_verify libaio --ioengine=libaio --iodepth=8
	check "$s: libaio, O_DIRECT" fio_verify libaio-direct --ioengine=libaio --iodepth=8 --direct=1
	check "$s: io_uring" fio_verify uring --ioengine=io_uring --iodepth=8
	check "$s: io_uring, O_DIRECT" fio_verify uring-direct --ioengine=io_uring --iodepth=8 --direct=1
	[ "$s" = direct ] || check "$s: mmap" fio_verify mmap --ioengine=mmap
	check "$s: two jobs, fsync" fio_verify jobs --ioengine=psync --numjobs=2 --fsync=16
	check "$s: unmount" off
done
