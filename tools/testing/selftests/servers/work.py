# SPDX-License-Identifier: GPL-2.0
"""What a user does on a file system, checked: the common work of all servers. Each step is a function that raises.

What a server cannot do by design it says in its list of features (see servers.py); a step whose feature is missing must
fail in the kernel's usual way, and is not counted.
"""
import errno
import hashlib
import mmap
import os
import random
import shutil
import subprocess
import time

MANY = 60


class Wrong(Exception):
    """The file system did something else than it should."""


def must(condition, what):
    if not condition:
        raise Wrong(what)


def content(name, size):
    """Bytes that only this name has."""
    return random.Random(name).randbytes(size)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while block := f.read(65536):
            h.update(block)
    return h.hexdigest()


def same(path, data):
    must(digest(path) == hashlib.sha256(data).hexdigest(), f"{os.path.basename(path)} has other bytes than were written")
    must(os.stat(path).st_size == len(data), f"{os.path.basename(path)} has another size")


def tree(top):
    """A tree of folders and files of all sizes, read back after everything was closed and dropped."""
    sizes = [0, 1, 100, 4095, 4096, 4097, 70000, 300000, 1 << 20]
    files = {}
    for i, folder in enumerate(["", "a", "a/b", "a/b/c", "d"]):
        os.makedirs(os.path.join(top, folder), exist_ok=True)
        for size in sizes[i::2]:
            name = os.path.join(folder, f"f{size}")
            files[name] = content(name, size)
            with open(os.path.join(top, name), "wb") as f:
                f.write(files[name])
    for name, data in files.items():
        same(os.path.join(top, name), data)
    drop_caches()
    for name, data in files.items():
        same(os.path.join(top, name), data)


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def parts(top):
    """Reads and writes in the middle, behind the end, and appended."""
    path = os.path.join(top, "parts")
    data = bytearray(content("parts", 200000))
    with open(path, "wb") as f:
        f.write(data)
    fd = os.open(path, os.O_RDWR)
    for at, size in ((0, 10), (4090, 12), (65530, 70000), (199990, 10000), (250000, 100)):
        new = content(f"part{at}", size)
        must(os.pwrite(fd, new, at) == size, "a write is short")
        data += bytes(max(0, at + size - len(data)))
        data[at:at + size] = new
        start = max(0, at - 50)
        must(os.pread(fd, size + 100, start) == bytes(data[start:start + size + 100]), "read is not what was written")
    os.fsync(fd)
    os.close(fd)
    same(path, bytes(data))


def append(top):
    path = os.path.join(top, "log")
    for i in range(20):
        with open(path, "ab", buffering=0) as f:
            f.write(b"line %03d\n" % i)
    same(path, b"".join(b"line %03d\n" % i for i in range(20)))


def truncate(top):
    path = os.path.join(top, "cut")
    data = content("cut", 100000)
    with open(path, "wb") as f:
        f.write(data)
    os.truncate(path, 50001)
    same(path, data[:50001])
    os.truncate(path, 60000)
    same(path, data[:50001] + bytes(9999))
    with open(path, "r+b") as f:
        f.truncate(0)
        f.write(b"new")
    same(path, b"new")


def mapped(top):
    """Shared mapping: what is stored is read by others, and the other way round."""
    path = os.path.join(top, "mapped")
    data = bytearray(content("mapped", 100000))
    with open(path, "wb") as f:
        f.write(data)
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 100000) as m:
        must(m[:] == bytes(data), "the mapping has other bytes than the file")
        data[5000:9000] = m[5000:9000] = content("stored", 4000)
        m.flush()
        must(os.pread(fd, 100000, 0) == bytes(data), "what was stored is not read")
    os.close(fd)
    drop_caches()
    same(path, bytes(data))


def rename(top):
    """A file takes another name, and then the name of another file."""
    old, new = os.path.join(top, "from/name"), os.path.join(top, "to/other")
    os.mkdir(os.path.dirname(old))
    os.mkdir(os.path.dirname(new))
    for n in range(2):
        data = content(f"rename{n}", 5000)
        with open(old, "wb") as f:
            f.write(data)
        os.rename(old, new)
        must(not os.path.exists(old), "the old name is still there")
        same(new, data)
    must(os.listdir(os.path.dirname(new)) == ["other"], "the list of the folder is wrong")


def rename_folder(top):
    """A folder moves, with what is in it."""
    old, new = os.path.join(top, "old"), os.path.join(top, "from/moved")
    data = content("folder", 5000)
    os.mkdir(old)
    os.mkdir(os.path.dirname(new))
    with open(os.path.join(old, "file"), "wb") as f:
        f.write(data)
    os.rename(old, new)
    must(os.listdir(top) == ["from"] and os.listdir(os.path.join(top, "from")) == ["moved"], "the folder did not move")
    same(os.path.join(new, "file"), data)


def unlink_open(top):
    path = os.path.join(top, "gone")
    with open(path, "w+b", buffering=0) as f:
        f.write(b"still here")
        os.unlink(path)
        must(not os.path.exists(path), "the name is still there")
        must(os.pread(f.fileno(), 100, 0) == b"still here", "the open file lost its data")


def link(top):
    a, b = os.path.join(top, "a-link"), os.path.join(top, "b-link")
    with open(a, "wb") as f:
        f.write(b"one file")
    os.link(a, b)
    with open(b, "ab") as f:
        f.write(b", two names")
    os.sync()
    same(a, b"one file, two names")
    os.unlink(a)
    same(b, b"one file, two names")


def symlink(top):
    path = os.path.join(top, "points")
    with open(os.path.join(top, "target"), "wb") as f:
        f.write(b"pointed at")
    os.symlink("target", path)
    must(os.readlink(path) == "target", "the link says something else")
    same(path, b"pointed at")


def xattr(top):
    path = os.path.join(top, "attributes")
    open(path, "wb").close()
    os.setxattr(path, "user.a", b"1")
    os.setxattr(path, "user.b", content("xattr", 300))
    must(os.getxattr(path, "user.b") == content("xattr", 300), "another value")
    must({"user.a", "user.b"} <= set(os.listxattr(path)), "a name is missing in the list")
    os.removexattr(path, "user.a")
    try:
        os.getxattr(path, "user.a")
    except OSError as e:
        must(e.errno == errno.ENODATA, f"errno {e.errno} for an attribute that is gone")
    else:
        raise Wrong("an attribute that was removed is still there")


def mode(top):
    path = os.path.join(top, "mode")
    open(path, "wb").close()
    os.chmod(path, 0o640)
    must(os.stat(path).st_mode & 0o7777 == 0o640, "the mode is another")
    os.utime(path, (1000, 2000))
    must(int(os.stat(path).st_mtime) == 2000, "the time is another")


def many(top):
    """Many files in one folder, listed, stated, and removed while they are listed."""
    folder = os.path.join(top, "many")
    os.mkdir(folder)
    names = [f"a file with a longer name, number {i}" for i in range(MANY)]
    for n in names:
        with open(os.path.join(folder, n), "w") as f:
            f.write(n)
    must(sorted(os.listdir(folder)) == sorted(names), "the list is not what was made")
    with os.scandir(folder) as entries:
        must(sum(e.stat().st_size for e in entries) == sum(map(len, names)), "sizes differ")
    with os.scandir(folder) as entries:
        for e in entries:
            os.unlink(e.path)
    must(os.listdir(folder) == [], "files are left")


def copies(top):
    """Programs: cp, tar, find and the like, several at a time."""
    source = os.path.join(top, "source")
    os.mkdir(source)
    for i in range(8):
        with open(os.path.join(source, f"f{i}"), "wb") as f:
            f.write(content(f"copy{i}", 3000 * i))
    run = [subprocess.Popen(["sh", "-c", f"cp -r source copy{i} && tar -cf t{i} copy{i} && mkdir out{i} && tar -xf t{i} -C out{i} && "
                             f"diff -r source out{i}/copy{i}"], cwd=top) for i in range(2)]
    # All end before anything is said or removed.
    must([p.wait(120) for p in run] == [0, 0], "cp, tar or diff failed")


def errors(top):
    """What cannot work fails with the errno it should."""
    os.mkdir(os.path.join(top, "full"))
    open(os.path.join(top, "full/file"), "w").close()
    for want, call in (
            (errno.ENOENT, lambda: os.stat(os.path.join(top, "none"))),
            (errno.ENOENT, lambda: os.unlink(os.path.join(top, "none"))),
            (errno.EEXIST, lambda: os.mkdir(os.path.join(top, "full"))),
            (errno.ENOTEMPTY, lambda: os.rmdir(os.path.join(top, "full"))),
            (errno.ENOTDIR, lambda: os.stat(os.path.join(top, "full/file/below"))),
            (errno.EISDIR, lambda: os.open(os.path.join(top, "full"), os.O_WRONLY)),
    ):
        try:
            call()
        except OSError as e:
            must(e.errno == want, f"errno {errno.errorcode[e.errno]} instead of {errno.errorcode[want]}")
        else:
            raise Wrong(f"{errno.errorcode[want]} was expected")


def statfs(top):
    s = os.statvfs(top)
    must(s.f_bsize > 0 and s.f_namemax > 0, "statfs says nothing")


def reading(top, made):
    """For servers that cannot write: `made` is the folder that was packed."""
    for folder, _, files in os.walk(made):
        at = os.path.join(top, os.path.relpath(folder, made))
        must(sorted(os.listdir(at)) == sorted(os.listdir(folder)), f"the list of {at} differs")
        for f in files:
            with open(os.path.join(folder, f), "rb") as data:
                same(os.path.join(at, f), data.read())
    drop_caches()
    with open(os.path.join(top, "f70000"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        must(m[:] == content("f70000", 70000), "the mapping has other bytes")
    try:
        open(os.path.join(top, "new"), "w")
    except OSError as e:
        must(e.errno in (errno.EROFS, errno.EACCES, errno.ENOSYS, errno.EPERM), f"errno {e.errno} for writing")
    else:
        raise Wrong("a file was made where nothing can be written")


STEPS = [tree, parts, append, truncate, mapped, rename, rename_folder, unlink_open, link, symlink, xattr, mode, many, copies, errors, statfs]


def work(top, without=(), faults=()):
    """All steps but those that this server cannot do; gives each with the time it took. Leaves nothing behind.

    A step of `faults` may fail, as the server does it wrong now and then, whoever the client is: then what went wrong is
    given as well."""
    for step in STEPS:
        name, wrong = step.__name__, None
        if name in without:
            continue
        folder, start = os.path.join(top, name), time.monotonic()
        os.mkdir(folder)
        try:
            step(folder)
        except (OSError, Wrong) as e:
            if name not in faults:
                raise Wrong(f"{name}: {e}") from e
            wrong = str(e)
        shutil.rmtree(folder)
        must(not os.path.exists(folder), f"{name}: the folder is still there")
        yield name, time.monotonic() - start, wrong
