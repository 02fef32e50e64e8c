#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Real FUSE servers at real work: each is started, does all of work.py, ends by umount; then it is started again and
killed in the middle, which must end every caller. Prints KTAP. Arguments (or SERVERS in the environment): only these, "*" for
all. Without, one form of each that is quick does its work, and one is killed.

For the guest of tools/vm/run --programs; a server whose program is missing is skipped.
"""
import collections
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True
import work  # noqa: E402

ROOM = Path("/tmp/servers")
EXAMPLES = Path("/usr/local/lib/libfuse")
# For whatever takes a moment; the guest is emulated and the host has other things to do.
PATIENCE = 60


class Server:
    """One server: how it is started, what it cannot do (names of steps in work.py), and what it does wrong, with the reason."""

    def __init__(self, name, command, without=(), kind="fuse", prepare=None, below="", program=None, reads=False, needs=None,
                 after=None, usual=True, faults=None, ready=""):
        self.name, self.command, self.without, self.kind = name, command, without, kind
        self.prepare, self.below, self.reads, self.needs = prepare, below, reads, needs
        self.after, self.usual, self.faults = after, usual, faults or {}
        # What it says when it may be used.
        self.ready = ready
        self.program = program or command.split()[0]

    def missing(self):
        if shutil.which(self.program) is None and not os.access(self.program, os.X_OK):
            return f"{self.program} is not there"
        if self.needs:
            return self.needs()
        return None


def sh(command, **more):
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE * 3,
                          **more)
    if done.returncode:
        raise work.Wrong(f"{command}: {done.stdout[-1000:]}")
    return done.stdout


def sshd():
    """An sshd on this machine, and a key that it takes."""
    if Path("/run/servers.sshd").exists():
        return
    sh("mkdir -p /run/sshd /root/.ssh && chmod 700 /root/.ssh && ssh-keygen -A && "
       "{ [ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; } && "
       "cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys && chmod 600 /root/.ssh/authorized_keys && chmod 755 / /root && "
       "$(command -v sshd || echo /usr/sbin/sshd) -o PermitRootLogin=yes -o UsePAM=no -o StrictModes=no && touch /run/servers.sshd")


def ntfs():
    # A file of an image would be mounted as "fuse"; that of the run before is let go.
    sh("truncate -s 48M disk && mkntfs -q -F disk && losetup -j disk | cut -d: -f1 | xargs -r -n 1 losetup -d; losetup -f --show disk >loop")


def gocryptfs():
    sh("mkdir -p cipher && echo secret >pass && gocryptfs -q -init -scryptn 10 -passfile pass cipher")


def squash():
    work.tree(make("source"))
    sh("mksquashfs source image -quiet -no-progress")


def make(path):
    Path(path).mkdir(exist_ok=True)
    return path


def no_pyfuse3():
    done = subprocess.run([sys.executable, "-c", "import pyfuse3"], capture_output=True)
    return "pyfuse3 is not there" if done.returncode else None


def no_fuseblk():
    return None if "fuseblk" in Path("/proc/filesystems").read_text() else "the module has no fuseblk"


def passed_through(log):
    """Files were opened and made, and the kernel read and wrote them itself."""
    asked = collections.Counter(re.findall(r"opcode: ([A-Z_]+)", log))
    work.must(asked["CREATE"] + asked["OPEN"] > 50, f"the log does not show what was asked: {asked}")
    work.must("fuse_passthrough_open failed" not in log, "no backing file")
    work.must(asked["READ"] + asked["WRITE"] == 0, f"not passed through: {asked}")


# What these servers do not do is their design, and the same with every client.
SERVERS = [
    Server("passthrough", f"{EXAMPLES}/passthrough -o modules=subdir,subdir=$PWD/source -f mnt", usual=False),
    Server("passthrough_fh", f"{EXAMPLES}/passthrough_fh -o modules=subdir,subdir=$PWD/source -f mnt", usual=False),
    Server("passthrough_ll", f"{EXAMPLES}/passthrough_ll -o source=$PWD/source,xattr -f mnt"),
    Server("passthrough_ll, cached",
           f"{EXAMPLES}/passthrough_ll -o source=$PWD/source,xattr,cache=always,writeback -f mnt", usual=False),
    Server("passthrough_hp", f"{EXAMPLES}/passthrough_hp --debug-fuse --foreground source mnt", after=passed_through),
    Server("passthrough_hp, spliced", f"{EXAMPLES}/passthrough_hp --nopassthrough --foreground source mnt", usual=False),
    Server("passthrough_hp, no splice",
           f"{EXAMPLES}/passthrough_hp --nosplice --nopassthrough --foreground source mnt", usual=False),
    Server("memfs", "/opt/servers/memfs mnt"),
    Server("memfs, direct", "/opt/servers/memfs --direct mnt", without=["mapped"], usual=False),
    Server("fuser-simple",
           "fuser-simple --data-dir data --mount-point mnt", below="top", prepare=lambda: make("data"), usual=False),
    Server("pyfuse3", f"python3 {Path(__file__).parent}/pyfuse3_server.py mnt", needs=no_pyfuse3),
    Server("bindfs", "bindfs -f source mnt"),
    Server("sshfs", "sshfs -f -o StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null,LogLevel=ERROR root@127.0.0.1:$PWD/source mnt",
           without=["link", "xattr"], prepare=sshd),
    Server("fuse-overlayfs", "fuse-overlayfs -f -o lowerdir=lower,upperdir=source,workdir=work mnt",
           prepare=lambda: (make("lower"), make("work"))),
    # It opens a name in its own mount first. Meanwhile a mkdir by somebody else, who has the folder locked until it answers, would have
    # it wait for ever: it takes the caller's ids with all its threads, one of which waits for that lock.
    Server("gocryptfs", "gocryptfs -fg -allow_other -passfile pass cipher mnt", prepare=gocryptfs, ready="mounted and ready"),
    Server("mergerfs", "mergerfs -f -o cache.files=auto-full,category.create=mfs,minfreespace=0,xattr=passthrough one:source mnt",
           prepare=lambda: make("one")),
    Server("rclone", "rclone mount --vfs-cache-mode full --allow-other $PWD/source mnt",
           without=["link", "xattr", "symlink", "unlink_open", "mode"], usual=False,
           # All with the C client as well: what was written lies in its cache until it is carried on, 5 s later.
           faults={"truncate": "a file that is not carried on yet cannot be cut by name (EIO)",
                   "rename_folder": "a file that is not carried on yet is not found when its folder was renamed (rclone#6809)",
                   "copies": "opening a file that is not carried on yet gives it a new time, and tar says that it changed"}),
    Server("squashfuse", "squashfuse -f image mnt", prepare=squash, reads=True),
    Server("ntfs-3g", "ntfs-3g -o no_detach,streams_interface=none,big_writes $(cat loop) mnt", kind="fuseblk", prepare=ntfs,
           needs=no_fuseblk, without=["unlink_open", "xattr", "mode"]),
]


def mounted(at):
    """The types of what is mounted there."""
    lines = (line.split() for line in open("/proc/self/mounts"))
    return [fields[2] for fields in lines if fields[1] == str(at)]


def wait(condition, what):
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > end:
            raise work.Wrong(what)
        time.sleep(0.05)
    return result


class Mount:
    """A running server and its mount."""

    def __init__(self, server):
        self.server = server
        self.at = Path.cwd() / "mnt"
        self.log = open("log", "ab")
        said = self.log.tell()
        self.process = subprocess.Popen(["sh", "-c", f"exec {server.command}"], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        kinds = wait(lambda: mounted(self.at) or self.process.poll() is not None, "nothing is mounted")
        if kinds is True:
            raise work.Wrong(f"the server ends with {self.process.returncode}: {Path('log').read_text()[-800:]}")
        work.must(kinds[0].split(".")[0] == server.kind, f"mounted as {kinds[0]}")
        self.top = self.at / server.below if server.below else self.at
        if server.below:
            self.top.mkdir(exist_ok=True)
        # The first request waits for INIT.
        os.stat(self.at)
        wait(lambda: server.ready in Path("log").read_bytes()[said:].decode(errors="replace"), "the server is never ready")

    def unmount(self):
        end = time.monotonic() + PATIENCE
        while (done := subprocess.run(["umount", self.at], capture_output=True, text=True, timeout=PATIENCE)).returncode:
            work.must(time.monotonic() < end, f"umount: {done.stderr}")
            time.sleep(0.2)
        wait(lambda: self.process.poll() is not None, "the server does not end after umount")
        work.must(self.process.returncode in (0, -signal.SIGTERM), f"the server ended with {self.process.returncode}")

    def abort(self):
        """Ends the session with the server, by its device number: os.stat() would ask the server."""
        numbers = [line.split()[2] for line in open("/proc/self/mountinfo") if line.split()[4] == str(self.at)]
        sh("mountpoint -q /sys/fs/fuse/connections || mount -t fusectl fusectl /sys/fs/fuse/connections")
        for number in numbers:
            major, minor = map(int, number.split(":"))
            Path(f"/sys/fs/fuse/connections/{major << 20 | minor}/abort").write_text("1")

    def clear(self):
        """Whatever happened, nothing is left."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                print("# the server cannot be killed")
                for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                    print("".join(f"# {line}\n" for line in stack(f"{self.process.pid}/task/{task.name}").splitlines()), flush=True)
                self.abort()
                self.process.wait(PATIENCE)
        while mounted(self.at):
            subprocess.run(["umount", "-l", self.at], timeout=PATIENCE)
        self.log.close()


def does_its_work(server):
    mount = Mount(server)
    try:
        if server.reads:
            work.reading(str(mount.top), "source")
        else:
            for step, seconds, wrong in work.work(str(mount.top), server.without, server.faults):
                print(f"# {step} {seconds:.1f} s")
                if wrong:
                    print(f"# known fault of the server in {step} ({wrong}): {server.faults[step]}")
        mount.unmount()
        if server.after:
            server.after(Path("log").read_text(errors="replace"))
    finally:
        mount.clear()


# Calls without end, until one fails; ENOTCONN and its like are what a dead server should give.
CALLER = """
import os, sys, errno, mmap
top, n = sys.argv[1], int(sys.argv[2])
names = [os.path.join(folder, f) for folder, _, files in os.walk(top) for f in files] or [top]
print("begun", flush=True)
try:
    while True:
        os.listdir(top)
        for name in names:
            os.stat(name)
            with open(name, "rb") as f:
                f.read(100000)
            if n == 0 and sys.argv[3] == "w":
                fd = os.open(os.path.join(top, "w"), os.O_WRONLY | os.O_CREAT)
                os.write(fd, bytes(200000))
                os.close(fd)
except OSError as e:
    if e.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV):
        raise
"""


def ends_all_callers(server):
    mount = Mount(server)
    callers = []
    try:
        if not server.reads:
            work.tree(str(mount.top))
        for n in range(3):
            how = "r" if server.reads else "w"
            callers.append(subprocess.Popen([sys.executable, "-c", CALLER, mount.top, str(n), how], stdout=subprocess.PIPE,
                                            stderr=mount.log, text=True))
        for c in callers:
            work.must(c.stdout.readline() == "begun\n", "a caller did not begin")
        time.sleep(0.5)
        os.killpg(mount.process.pid, signal.SIGKILL)
        mount.process.wait(PATIENCE)
        for c in callers:
            try:
                code = c.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                raise work.Wrong(f"a caller goes on after the server's death: {stack(c.pid)}") from None
            work.must(code == 0, f"a caller ended with {code}")
        try:
            os.listdir(mount.top)
        except OSError:
            pass
        else:
            raise work.Wrong("the mount answers without a server")
        sh(f"umount {mount.at}")
        work.must(not mounted(mount.at), "still mounted")
    finally:
        for c in callers:
            c.kill()
        # That may be what ends a caller.
        mount.clear()
        for c in callers:
            c.wait(PATIENCE)


def stack(pid):
    try:
        return Path(f"/proc/{pid}/stack").read_text()
    except OSError as e:
        return str(e)


def kmsg(text):
    with open("/dev/kmsg", "w") as f:
        f.write(f"<6>{text}")


def selected(server, check, only):
    if only:
        return any(fnmatch.fnmatch(server.name, o) for o in only)
    return server.usual and (check == does_its_work or server.name == "passthrough_ll")


def main():
    only = sys.argv[1:] or os.environ.get("SERVERS", "").split(",")
    only = [o for o in only if o]
    cases = [(s, check) for s in SERVERS for check in (does_its_work, ends_all_callers) if selected(s, check, only)]
    kmsg("ksft-begin servers:servers.sh")
    print("TAP version 13")
    print(f"1..{len(cases)}")
    failed = 0
    for number, (server, check) in enumerate(cases, 1):
        name = f"{server.name} {check.__name__.replace('_', ' ')}"
        kmsg(f"ksft-case {name}")
        if why := server.missing():
            print(f"ok {number} {name} # SKIP {why}", flush=True)
            continue
        start = time.monotonic()
        shutil.rmtree(ROOM, ignore_errors=True)
        for folder in ("source", "mnt"):
            (ROOM / folder).mkdir(parents=True)
        os.chdir(ROOM)
        try:
            if server.prepare:
                server.prepare()
            check(server)
        except Exception as e:  # whatever it is, the next server has its turn
            failed += 1
            kmsg(f"ksft-case FAILED {name}")
            text = f"{type(e).__name__}: {e}\n" + Path("log").read_text(errors="replace")[-1500:] if Path("log").exists() else f"{e}"
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
            print(f"not ok {number} {name}", flush=True)
        else:
            print(f"ok {number} {name}\n# {time.monotonic() - start:.0f} s", flush=True)
        os.chdir("/")
    shutil.rmtree(ROOM, ignore_errors=True)
    kmsg("ksft-end servers:servers.sh")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
