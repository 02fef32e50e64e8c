#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sizes.sh FUSE_H: prints sizes, offsets and constants of the C header, as the C compiler sees them. Renew the table with
#   ./sizes.sh KERNEL/include/uapi/linux/fuse.h >sizes.txt
# A line is "NAME size", "NAME.FIELD offset size" or "CONSTANT = value"; flexible arrays, function-like macros and ioctl
# numbers are left out.
set -euo pipefail

header=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

{
	echo '#include <stddef.h>'
	echo '#include <stdio.h>'
	echo '#define PAGE_SIZE 4096'
	printf '#include "%s"\n' "$header"
	echo '#define VALUE(x) ((x) < 0 ? (unsigned long long)(unsigned int)(x) : (unsigned long long)(x))'
	echo 'int main(void) {'
	# Comments out, continued lines together, then one line per declaration.
	sed -e ':a;/\\$/{N;s/\\\n//;ba}' "$header" | awk '
		{
			line = $0
			while (1) {
				if (comment) {
					end = index(line, "*/")
					if (!end) { line = ""; break }
					line = substr(line, end + 2); comment = 0
				}
				start = index(line, "/*")
				if (!start) break
				rest = substr(line, start + 2)
				line = substr(line, 1, start - 1)
				end = index(rest, "*/")
				if (end) line = line " " substr(rest, end + 2)
				else { comment = 1; break }
			}
			print line
		}' | awk '
		/^#define (FUSE|FOPEN|FATTR|CUSE)_[A-Z0-9_]+[ \t]/ && !/FUSE_DEV_IOC_[BCS]/ {
			printf "\tprintf(\"%s = %%llu\\n\", VALUE(%s));\n", $2, $2
		}
		/^enum / { inside = "enum"; next }
		/^struct [a-z0-9_]+ \{/ {
			inside = $2
			printf "\tprintf(\"%s %%zu\\n\", sizeof(struct %s));\n", $2, $2
			next
		}
		/^};/ { inside = ""; next }
		inside == "enum" && /=/ {
			printf "\tprintf(\"%s = %%llu\\n\", VALUE(%s));\n", $1, $1
		}
		inside != "" && inside != "enum" && /;/ && !/\[\]/ {
			field = $0
			sub(/\[.*/, "", field); sub(/;.*/, "", field); sub(/.*[ \t]/, "", field)
			printf "\tprintf(\"%s.%s %%zu %%zu\\n\", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));\n",
				inside, field, inside, field, inside, field
		}'
	echo 'return 0; }'
} >"$work/sizes.c"
# shellcheck disable=SC2086  # CC may carry options.
${CC:-cc} -w -o "$work/sizes" "$work/sizes.c"
"$work/sizes"
