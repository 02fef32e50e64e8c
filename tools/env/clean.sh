#!/usr/bin/env bash
# Removes what was built from this tree; toolchain root, kernels and downloads stay.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
rm -rf "${out:?}"
say "kept: $cache (toolchain and kernels); remove it by hand to start from nothing"
