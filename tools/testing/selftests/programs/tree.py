#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""tree.py files DIR SEED N: makes or changes N regular files in folders. tree.py all DIR SEED: a tree of every kind of
entry that rsync and tar carry. tree.py show DIR: one line per entry with all that should be the same in a copy."""
import errno
import hashlib
import os
import random
import stat
import subprocess
import sys


def files(top, seed, count):
    r = random.Random(seed)
    for _ in range(count):
        folder = os.path.join(top, f"d{r.randrange(4)}", f"e{r.randrange(5)}")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"f{r.randrange(20)}")
        data = r.randbytes(r.choice((0, 1, 100, 4095, 4096, 4097, 20000))) if r.random() < 0.3 else \
            "".join(f"line {r.randrange(1000)}\n" for _ in range(r.randrange(400))).encode()
        with open(path, "wb") as f:
            f.write(data)


def everything(top, seed):
    r = random.Random(seed)
    files(top, seed, 60)
    os.makedirs(f"{top}/odd", exist_ok=True)
    odd = f"{top}/odd"
    for i, name in enumerate(("a b", "ü", "new\nline", "x" * 255, "-n", "*", ".hidden", "\\")):
        with open(f"{odd}/{name}", "w") as f:
            f.write(name)
        os.chmod(f"{odd}/{name}", (0o644, 0o600, 0o4755, 0o2755, 0o1777, 0o000, 0o444, 0o777)[i])
        os.utime(f"{odd}/{name}", ns=(10 ** 18 + i, 10 ** 18 * (i % 2) + 123456789 + i))
    os.makedirs(f"{top}/deep/" + "/".join("d" * 40 for _ in range(20)))
    with open(f"{top}/sparse", "wb") as f:
        f.truncate(5 << 20)
        f.seek(3 << 20)
        f.write(r.randbytes(10000))
    os.symlink("/nowhere", f"{top}/dangling")
    os.symlink("odd/a b", f"{top}/symlink")
    os.symlink("y" * 1000, f"{top}/long-symlink")
    for i in range(3):
        os.link(f"{odd}/a b", f"{top}/hard{i}")
    os.mkfifo(f"{top}/fifo", 0o640)
    os.mknod(f"{top}/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(f"{top}/block", 0o660 | stat.S_IFBLK, os.makedev(7, 200))
    os.mkdir(f"{top}/sticky", 0o1777)
    os.chmod(f"{top}/sticky", 0o3777)
    os.chown(f"{odd}/.hidden", 1234, 4321)
    os.chown(f"{top}/symlink", 77, 88, follow_symlinks=False)
    for name, value in (("user.small", b"x"), ("user.empty", b""), ("user.large", b"v" * 2000), ("user.binary", bytes(range(256)))):
        os.setxattr(f"{odd}/a b", name, value)
        os.setxattr(odd, name, value)
    for args in (["-m", "u:1001:rwx,g:1002:r", f"{odd}/ü"], ["-m", "u:1001:rwx,d:u:1003:rwx,d:g::r", odd]):
        subprocess.run(["setfacl", *args], check=True)


def names_of(path):
    """The attributes of an entry: none where the server has none."""
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:
            raise
        return []


def show(top):
    ids = {}
    for folder, dirs, names in sorted(os.walk(top)):
        dirs.sort()
        for name in sorted(dirs + names):
            path = os.path.join(folder, name)
            s = os.lstat(path)
            link = ids.setdefault(s.st_ino, os.path.relpath(path, top)) if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode) else ""
            body = ""
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as f:
                    body = hashlib.sha256(f.read()).hexdigest()[:16]
            elif stat.S_ISLNK(s.st_mode):
                body = os.readlink(path)
            elif not stat.S_ISDIR(s.st_mode):
                body = s.st_rdev
            attrs = {n: hashlib.sha256(os.getxattr(path, n, follow_symlinks=False)).hexdigest()[:8]
                     for n in sorted(names_of(path))}
            size = s.st_size if not stat.S_ISDIR(s.st_mode) else "-"
            mtime = s.st_mtime_ns
            print(repr(os.path.relpath(path, top)), f"{s.st_mode:o}", s.st_uid, s.st_gid, size, mtime, repr(link), repr(body), attrs)


if __name__ == "__main__":
    what, top, *rest = sys.argv[1:]
    if what == "files":
        files(top, int(rest[0]), int(rest[1]))
    elif what == "all":
        everything(top, int(rest[0]))
    else:
        show(top)
