# SPDX-License-Identifier: GPL-2.0
"""Where instructions were spent: by function of the kernel and the modules, and by line of the Rust module's sources."""
import bisect
import os
import subprocess
from collections import Counter

import guest
import rows

TOP_FUNCTIONS, TOP_LINES = 50, 40


def namer(functions, symbols):
    """Tells the function that an address is in; those of modules are in brackets."""
    found = sorted(functions + [(a, f"[{n}]") for a, n in symbols.items()])
    addresses = [a for a, _ in found]

    def name(address):
        # A block of the core kernel is known by 16 bytes: the function that begins in them is meant.
        slack = 15 if address < guest.MODULES else 0
        return found[bisect.bisect_right(addresses, address + slack) - 1][1]

    return name


def per_op(steps, module):
    """Instructions per operation by address: the run with 2N less the one with N."""
    short, long = sorted((s for s in steps if s.module == module), key=lambda s: s.n)
    diff = Counter({a: n / (long.n - short.n) for a, n in long.profile.items()})
    for a, n in short.profile.items():
        diff[a] -= n / (long.n - short.n)
    return diff


def frames(ko, offsets):
    """The inlined calls at each offset of the module's text, innermost first, as (function, file, line)."""
    text = "".join(f"0x{o:x}\n" for o in offsets)
    done = subprocess.run(["/usr/lib/llvm-19/bin/llvm-symbolizer", f"--obj={ko}", "--inlines", "--output-style=LLVM"], input=text,
                          capture_output=True, text=True, check=True)
    found = []
    for block in done.stdout.strip().split("\n\n"):
        lines = block.splitlines()
        stack = []
        for function, place in zip(lines[::2], lines[1::2]):
            file, line, _ = place.rsplit(":", 2)
            stack.append((function, file, int(line)))
        found.append(stack)
    return found


def ours(stack):
    """The innermost line of this tree: what the standard library and the kernel crate do is charged to who called them."""
    top = str(guest.TOP) + "/"
    for function, file, line in stack:
        if file.startswith(top) or file.startswith(("fs/", "rust/", "drivers/")):
            return f"{os.path.normpath(file).removeprefix(top)}:{line}  ({function.split('>::')[-1].split('::<')[0]})"
    return stack[-1][0]


def show(steps, kdir):
    functions = guest.system_map(kdir)
    for row in dict.fromkeys(s.row.name for s in steps):
        mine = [s for s in steps if s.row.name == row and s.profile]
        print(f"\n== {row}: instructions per operation\n")
        by, inside, base = {}, {}, 0
        for m in dict.fromkeys(s.module for s in mine):
            last = [s for s in mine if s.module == m][-1]
            name = namer(functions, last.symbols)
            for a, n in per_op(mine, m).items():
                by.setdefault(name(a), Counter())[m] += n
                if m == "rust" and a >= guest.MODULES and n > 0.001:
                    inside[a], base = n, last.text
        print(f"{'C':>9} {'Rust':>9}  function ([...]: of the module)")
        for function, n in sorted(by.items(), key=lambda x: -max(x[1].values()))[:TOP_FUNCTIONS]:
            print(f"{n['c']:9,.1f} {n['rust']:9,.1f}  {function}")
        if inside:
            lines = Counter()
            addresses = sorted(inside)
            for a, stack in zip(addresses, frames(os.environ["RUST_FUSE_KO"], [a - base for a in addresses])):
                lines[ours(stack)] += inside[a]
            print(f"\n{'Rust':>9}  line of the module, library code charged to its caller; {sum(inside.values()):,.0f} in all")
            for line, n in lines.most_common(TOP_LINES):
                print(f"{n:9,.1f}  {line}")
