# SPDX-License-Identifier: GPL-2.0
"""compare.py KNOWN C-RUN RUST-RUN SHARE...: lists what differs between two runs of difftest: the calls, the trees as the
guest saw them at the end, and the trees that are on the host."""
import collections
import fnmatch
import hashlib
import os
import re
import stat
import sys

FOLDER_ATIME = re.compile(r" folder_atime=-?\d+")
LINE = re.compile(r"^(\d+ )?([^ (]+)\((.*)\) = (.*)$")


class Known:
    """SHARE-GLOB CALL-GLOB REGEX # REASON: two results are the same where what the expression finds is left out."""

    def __init__(self, line):
        rule, _, self.reason = line.partition(" # ")
        self.share, self.call, pattern = rule.split()
        self.pattern = re.compile(pattern)
        if not self.reason:
            raise SystemExit(f"error: a known difference without a reason: {line}")
        self.used = 0

    def explains(self, share, call, c, rust):
        hit = (fnmatch.fnmatch(share, self.share) and fnmatch.fnmatch(call, self.call)
               and self.pattern.sub("", c) == self.pattern.sub("", rust))
        self.used += hit
        return hit


def read(path):
    """The lines of each share."""
    shares, current = collections.defaultdict(list), None
    for line in open(path, errors="surrogateescape"):
        line = line.rstrip("\n")
        if line.startswith("== "):
            current = shares[line[3:]]
        elif current is not None and (LINE.match(line) or line.startswith("ended with ")):
            current.append(line)
    return shares


def calls(lines):
    """Everything by its key: the number of the call, or the entry of the tree."""
    out = {}
    for line in lines:
        m = LINE.match(line)
        if m:
            key = m[1].strip() if m[1] else f"{m[2]} {m[3]}"
            out[key] = (m[2], m[3], m[4])
    return out


def host_tree(top):
    out = {}
    for folder, dirs, files in os.walk(os.fsencode(top)):
        for name in dirs + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            kind = stat.S_IFMT(s.st_mode)
            body = ""
            if kind == stat.S_IFREG:
                body = hashlib.sha256(open(path, "rb").read()).hexdigest()
            elif kind == stat.S_IFLNK:
                body = os.fsdecode(os.readlink(path))
            attrs = {n: hashlib.sha256(os.getxattr(path, n, follow_symlinks=False)).hexdigest()[:12]
                     for n in sorted(os.listxattr(path, follow_symlinks=False)) if n != "security.selinux"}
            size = 0 if kind == stat.S_IFDIR else s.st_size
            out[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = (
                f"mode={s.st_mode:o} nlink={s.st_nlink} uid={s.st_uid} gid={s.st_gid} size={size} {body} {attrs}")
    return out


def main():
    known_file, c_run, rust_run, *shares = sys.argv[1:]
    known = [Known(l.strip()) for l in open(known_file) if l.strip() and not l.startswith("#")]
    c_all, rust_all = read(c_run + ".log"), read(rust_run + ".log")
    bad = 0
    for share in shares:
        c, rust = calls(c_all[share]), calls(rust_all[share])
        differences, explained = [], 0
        # Somebody else who reads folders of the host gives them new access times.
        alone = all(run.get("witness ", (0, 0, ""))[2] == "asleep" for run in (c, rust))
        if not alone:
            print(f"{share}: folders were read on the host meanwhile: their access times are not compared")
            c, rust = ({k: (n, a, FOLDER_ATIME.sub("", r)) for k, (n, a, r) in run.items() if n != "witness"}
                       for run in (c, rust))
        for key in list(dict.fromkeys([*c, *rust])):
            name, arguments, was = c.get(key) or (*rust[key][:2], "(missing)")
            now = rust[key][2] if key in rust else "(missing)"
            if was == now:
                continue
            if any(k.explains(share, name, was, now) for k in known):
                explained += 1
                continue
            differences.append(f"{key if key.isdigit() else ''} {name}({arguments})\n      c:    {was}\n      rust: {now}")
        hosts = [host_tree(os.path.join(run, "share", share)) for run in (c_run, rust_run)]
        for path in sorted(set(hosts[0]) | set(hosts[1])):
            was, now = hosts[0].get(path, "(missing)"), hosts[1].get(path, "(missing)")
            if was != now and not any(k.explains(share, "host", was, now) for k in known):
                differences.append(f"host:{path}\n      c:    {was}\n      rust: {now}")
        trouble = [l for run in (c_all, rust_all) for l in run[share] if l.startswith("ended with ")]
        numbered = sum(k.isdigit() for k in rust)
        print(f"{share}: {numbered} calls, {len(rust) - numbered} lines of trees, {len(hosts[1])} entries on the host: "
              f"{len(differences)} differences, {explained} known")
        # One difference often makes more: the first ones tell.
        for d in differences[:12]:
            print("    " + d)
        if len(differences) > 12:
            print(f"    and {len(differences) - 12} more")
        bad += len(differences) + len(trouble) + (not numbered)
        for line in trouble:
            print(f"    {line}")
    for k in known:
        if k.used:
            print(f"{k.used} x known, {k.call}: {k.reason}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
