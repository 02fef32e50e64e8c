# SPDX-License-Identifier: GPL-2.0
"""The guest's initramfs: an uncompressed cpio of busybox, the module, the kselftests and the script of this run.

Writing it takes a fraction of a second, so it is made anew for every run; compiled programs and the installed kselftests
are kept in the cache folder and rebuilt when their sources change.
"""
import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path


class Cpio:
    """A writer of the "newc" format, which needs neither root nor a staging folder."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.ino = 0
        self.dirs = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        name = name.lstrip("/").encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + name
        self.file.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def _parents(self, name):
        parent = os.path.dirname(name.lstrip("/"))
        if parent:
            self.mkdir(parent)

    def mkdir(self, name):
        name = name.strip("/")
        if name and name not in self.dirs:
            self._parents(name)
            self.dirs.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def data(self, name, data, mode=0o644):
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def copy(self, source, name, mode=None):
        mode = stat.S_IMODE(os.stat(source).st_mode) if mode is None else mode
        self.data(name, Path(source).read_bytes(), mode)

    def symlink(self, target, name):
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def node(self, name, major, minor):
        self._parents(name)
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def tree(self, source, name):
        for folder, _, files in sorted(os.walk(source)):
            for f in sorted(files):
                path = os.path.join(folder, f)
                self.copy(path, os.path.join(name, os.path.relpath(path, source)))

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.file.close()


def digest(*paths):
    """Hash of names and contents of files and folders."""
    h = hashlib.sha256()
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for f in files:
            h.update(f"{f.name} {stat.S_IMODE(f.stat().st_mode):o} ".encode())
            h.update(f.read_bytes())
    return h.hexdigest()[:16]


def compiled(cache, source, *flags):
    """The program made from one C file, compiled when source or flags changed."""
    key = hashlib.sha256((digest(source) + " ".join(flags)).encode()).hexdigest()[:16]
    out = Path(cache) / "vm" / f"{Path(source).stem}-{key}"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        new = f"{out}.{os.getpid()}"
        subprocess.run(["gcc", "-O2", "-Wall", "-Wno-format-truncation", "-Werror", "-o", new, str(source), *flags], check=True)
        os.rename(new, out)
    return out


def kselftests(top, cache, kdir):
    """The folder with the installed kselftests (run_kselftest.sh and collections), made by the kernel's own Makefile."""
    source = Path(top) / "tools/testing/selftests"
    out = Path(cache) / "vm" / f"kselftest-{digest(source)}"
    if not (out / "kselftest-list.txt").exists():
        new = Path(f"{out}.{os.getpid()}")
        log = Path(cache) / "log" / "kselftest.log"
        log.parent.mkdir(exist_ok=True)
        with open(log, "wb") as f:
            done = subprocess.run(["sh", str(source / "install.sh"), str(kdir), str(new)], stdout=f, stderr=f)
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            raise SystemExit(f"error: the kselftests do not build: see {log}\n" + "".join(open(log).readlines()[-15:]))
        shutil.rmtree(out, ignore_errors=True)
        os.rename(new, out)
    return out


TIMEOUT = """#!/bin/sh
# kselftest's runner calls "timeout --foreground N timeout N TEST"; busybox does not know --foreground, and the inner
# timeout does the work.
[ "$1" != --foreground ] || { shift 2; exec "$@"; }
exec busybox timeout -k 10 "$@"
"""


def make(path, top, cache, modules, env, script, tests=None, files=()):
    """Writes the initramfs: modules are .ko files, env the guest's settings, script what it runs, files more (source, name)."""
    guest = Path(top) / "tools/vm/guest"
    image = Cpio(path)
    image.node("dev/console", 5, 1)
    image.node("dev/null", 1, 3)
    for d in ("bin", "proc", "sys", "tmp", "run", "mnt", "root", "lib/modules", "etc", "usr"):
        image.mkdir(d)
    for d in ("sbin", "usr/bin", "usr/sbin"):
        image.symlink("/bin", d)
    image.copy("/usr/bin/busybox", "bin/busybox")
    applets = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet not in ("busybox", "timeout"):
            image.symlink("busybox", f"bin/{applet}")
    image.data("bin/timeout", TIMEOUT, 0o755)
    for program in ("ctl", "mapwrite"):
        image.copy(compiled(cache, guest / f"{program}.c", "-static"), f"bin/{program}", 0o755)
    image.copy(guest / "init", "init", 0o755)
    image.data("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    image.data("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    image.data("etc/vm.env", "".join(f"export {k}='{v}'\n" for k, v in env.items()))
    image.data("run.sh", script)
    for ko in modules:
        image.copy(ko, f"lib/modules/{Path(ko).name}", 0o644)
    if tests:
        image.tree(tests, "opt/kselftest")
    for source, name in files:
        image.copy(source, name)
    image.close()
