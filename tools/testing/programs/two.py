#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""two.py ROLE DIR TAG SECONDS: one of two guests that have the same folder mounted. "a" changes things, "b" looks whether it
sees them within SECONDS, which are what the server lets names and attributes live, and more for a slow machine. They wait
for each other by the host, not by the folder. Each prints "ok NAME" or "not ok NAME"."""
import fcntl
import mmap
import os
import subprocess
import sys
import time

role, top, tag, limit = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
other = "b" if role == "a" else "a"
step = 0
COUNT = 150


def meet():
    """Both get here before one goes on."""
    global step
    step += 1
    wait = (f"touch ../meet-{role}-{step}; for i in $(seq 1100); do [ -e ../meet-{other}-{step} ] && exit 0; sleep 0.1; done; exit 1")
    if subprocess.run(["ctl", "host", tag, wait], stdout=subprocess.DEVNULL).returncode:
        print(f"not ok the other guest did not come to step {step}")
        sys.exit(1)


def case(name, good, why=""):
    print(f"{'ok' if good else 'not ok'} {role}: {name}{' # ' + str(why) if why and not good else ''}", flush=True)


def soon(name, what, want):
    """What is seen becomes what is wanted in time."""
    end = time.monotonic() + limit
    while True:
        try:
            got = what()
        except OSError as e:
            got = e
        if got == want:
            return case(name, True)
        if time.monotonic() > end:
            return case(name, False, f"wanted {want!r:.80}, saw {got!r:.80}")
        time.sleep(0.05)


def p(name):
    return os.path.join(top, name)


def put(name, text, mode="w"):
    with open(p(name), mode) as f:
        f.write(text)


def get(name):
    with open(p(name)) as f:
        return f.read()


def counter():
    """Adds under a lock: not one of what both guests add may be lost."""
    for _ in range(COUNT):
        fd = os.open(p("counter"), os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        value = int(os.pread(fd, 20, 0))
        os.pwrite(fd, b"%020d" % (value + 1), 0)
        fcntl.lockf(fd, fcntl.LOCK_UN)
        os.close(fd)


def both(a, b):
    """a does something, then b looks."""
    meet()
    if role == "a":
        a()
    meet()
    if role == "b":
        b()
    meet()


def main():
    exists = lambda n: os.path.lexists(p(n))
    # b has asked before, so that it remembers that there is nothing.
    if role == "b":
        case("nothing there", not exists("new"))
    both(lambda: put("new", "one\n"), lambda: soon("a new file", lambda: get("new"), "one\n"))
    both(lambda: put("new", "two\n", "a"), lambda: soon("appended data", lambda: get("new"), "one\ntwo\n"))
    both(lambda: put("new", "ONE\n", "r+"), lambda: soon("data written over", lambda: get("new"), "ONE\ntwo\n"))
    both(lambda: os.truncate(p("new"), 3), lambda: soon("a cut", lambda: (get("new"), os.stat(p("new")).st_size), ("ONE", 3)))
    both(lambda: os.chmod(p("new"), 0o640), lambda: soon("a mode", lambda: os.stat(p("new")).st_mode & 0o777, 0o640))
    both(lambda: os.rename(p("new"), p("old")), lambda: (soon("a new name", lambda: get("old"), "ONE"),
                                                         soon("the old name is gone", lambda: exists("new"), False)))
    both(lambda: [os.mkdir(p("dir")), [put(f"dir/{i}", str(i)) for i in range(50)]],
         lambda: soon("a folder's entries", lambda: sorted(os.listdir(p("dir")), key=int), [str(i) for i in range(50)]))
    both(lambda: [os.unlink(p(f"dir/{i}")) for i in range(25)],
         lambda: soon("entries that went", lambda: len(os.listdir(p("dir"))), 25))
    both(lambda: os.rename(p("dir"), p("moved")), lambda: soon("a moved folder", lambda: get("moved/30"), "30"))
    both(lambda: os.symlink("moved/31", p("link")), lambda: soon("a symbolic link", lambda: get("link"), "31"))

    # A file that is open while the other guest removes its name, and one that is replaced.
    held = open(p("old")) if role == "b" else None
    both(lambda: os.unlink(p("old")), lambda: (soon("a name that went", lambda: exists("old"), False),
                                               case("the open file stays", held.read() == "ONE")))
    both(lambda: [put("next", "other"), os.rename(p("next"), p("link"))], lambda: soon("a file in place of a link", lambda: get("link"), "other"))

    # Data by mappings.
    both(lambda: put("map", "x" * 8192), lambda: soon("a file to map", lambda: len(get("map")), 8192))
    fd = os.open(p("map"), os.O_RDWR)
    memory = mmap.mmap(fd, 8192)
    first = memory[0:2]
    dax = "dax=always" in open("/proc/mounts").read()
    meet()
    if role == "a":
        memory[0:2] = b"ab"
        memory.flush()
    meet()
    if role == "b":
        if dax:
            soon("stores in a mapping", lambda: memory[0:2], b"ab")
        else:
            # Pages that are mapped stay until the file is opened anew.
            soon("stores in a mapping, read after opening", lambda: get("map")[0:2], "ab")
    meet()
    case("the mapping had what was there", first == b"xx", first)
    memory.close()
    os.close(fd)

    # Locks that the server keeps hold between the guests.
    fd = os.open(p("map"), os.O_RDWR)
    meet()
    if role == "a":
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100)
    meet()
    if role == "b":
        for name, take in (("flock", lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
                           ("fcntl", lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 105))):
            try:
                take()
                case(f"{name} is refused while the other guest has it", False)
            except BlockingIOError:
                case(f"{name} is refused while the other guest has it", True)
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 200)
        case("a lock next to it is given", True)
    meet()
    if role == "a":
        os.close(fd)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100)
        case("locks come when the other guest has closed the file", True)
        os.close(fd)
    meet()
    if role == "a":
        put("counter", "%020d" % 0)
    meet()
    # The name may still be unknown here.
    soon("the counter is there", lambda: exists("counter"), True)
    meet()
    counter()
    meet()
    soon("a counter under a lock", lambda: int(get("counter")), 2 * COUNT)
    meet()


main()
