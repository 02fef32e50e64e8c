#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Real FUSE servers at work: see servers.py, which needs the guest of tools/vm/run --programs.
if ! command -v python3 >/dev/null; then
	echo "1..0 # SKIP a guest without servers: start it with tools/vm/run --programs"
	exit 4
fi
exec python3 "$(dirname "$0")/servers.py" "$@"
