#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fsx (the crate): random reads, writes, mappings, truncations, holes and copies of one file, checked byte by byte.
. "$(dirname "$0")/lib.sh"
begin
needs fsx gcc

seed=${SEED:-$(long 1 "$(date +%s)")}
echo "# seed $seed"
cat >"$dir/all" <<END
flen = 300000
[weights]
close_open = 1
invalidate = 1
mapread = 5
mapwrite = 5
read = 5
write = 5
truncate = 3
fsync = 1
fdatasync = 1
posix_fallocate = 2
punch_hole = 2
sendfile = 2
posix_fadvise = 1
copy_file_range = 2
END
# Over the borders of the ranges of 2 MiB that a window is mapped by.
{ echo "[opsize]"; echo "max = 300000"; cat "$dir/all"; } | sed 's/^flen.*//; 1i flen = 6500000' >"$dir/large"
# Without mappings, as O_DIRECT has none of its own.
sed '/^map/d; /^close_open/d; s/^\[weights\]/&\nmapread = 0\nmapwrite = 0\nclose_open = 1/' "$dir/all" >"$dir/unmapped"
# fsx has no O_DIRECT: open() is made to add it.
cat >"$dir/direct.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
int open64(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (!strncmp(path, "/mnt/", 5) && !strstr(path, ".fsx"))
		flags |= O_DIRECT;
	return next(path, flags, mode);
}
END
gcc -shared -fPIC -o "$dir/direct.so" "$dir/direct.c" || skip_all "gcc does not work"

# run CONFIG OPERATIONS. The file is there before: the stock daemon drops O_DIRECT from an open but not from the creation of a
# file, after which its host takes aligned blocks only.
run() {
	: >"$mnt/file-$1$preload_name" &&
		quiet env ${preload:+LD_PRELOAD=$preload} fsx -f "$dir/$1" -N "$2" -S "$seed" -P /tmp "$mnt/file-$1$preload_name"
}

for s in $(shares); do
	on "$s" || continue
	preload= preload_name=
	check "$s: everything" run all "$(long 1000 20000)"
	check "$s: a large file" run large "$(long 300 5000)"
	preload=$dir/direct.so preload_name=-direct
	check "$s: O_DIRECT" run unmapped "$(long 500 10000)"
	check "$s: O_DIRECT and mappings" run all "$(long 500 10000)"
	preload=
	check "$s: unmount" off
done
