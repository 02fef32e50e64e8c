# SPDX-License-Identifier: GPL-2.0
"""Runs measurements in a guest: one boot for as many as go well, another where one takes the guest down with it."""
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HERE = TOP / "tools/bench"
sys.path.insert(0, str(TOP / "tools/vm/runner"))
import agent  # noqa: E402
import image  # noqa: E402
import qemu  # noqa: E402
import servers  # noqa: E402
from progress import Tail, say  # noqa: E402

import rows  # noqa: E402

# A guest that has been silent for so long hangs.
SILENCE = 240
# What fio needs at its start; the rest of its libraries are for engines that are not used here.
LIBRARIES = ("libc.so.6", "libm.so.6", "libaio.so.1t64")
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIB_DIR = Path("/usr/lib/x86_64-linux-gnu")
# Where a kernel without KASLR puts its modules.
MODULES = 0xffffffffa0000000


@dataclass
class Step:
    """One measurement: a row with a module and a number of operations."""
    row: rows.Row
    module: str
    n: int
    error: str = ""
    # Instructions by where they lie, nanoseconds by fio's own clock (else the host's), requests by name.
    user: int = 0
    core: int = 0
    inside: int = 0
    ns: int = 0
    requests: dict = field(default_factory=dict)
    # Of a profile: executed instructions by address, the module's symbols, and where its text is.
    profile: dict = field(default_factory=dict)
    symbols: dict = field(default_factory=dict)
    text: int = 0


def fio_files(cache):
    """fio and what it needs, as (source, name in the guest).

    Debian's fio is linked with some sixty libraries (Ceph, GlusterFS, RDMA, ...), which are more work to load than
    what is measured. Those that no engine here uses are replaced by one stub that has their symbols, and shared memory.
    """
    def run(*command):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    needed = [l.split("[")[1].split("]")[0] for l in run("readelf", "-d", "/usr/bin/fio").splitlines() if "(NEEDED)" in l]
    has = {s.split()[-1].split("@")[0] for name in LIBRARIES for s in run("nm", "-D", "--defined-only", LIB_DIR / name).splitlines()}
    wants = {s.split()[-1].split("@")[0] for s in run("nm", "-D", "--undefined-only", "/usr/bin/fio").splitlines() if " U " in s}
    source = Path(cache) / "vm/fio-stub.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text((HERE / "guest/shm.c").read_text()
                      + "".join(f"void {s}(void) {{ __builtin_trap(); }}\n" for s in sorted(wants - has)))
    stub = image.compiled(cache, source, "-shared", "-fPIC", "-fno-builtin", "-w")
    files = [("/usr/bin/fio", "bin/fio"), (LOADER, LOADER)] + [(LIB_DIR / name, f"bench/lib/{name}") for name in LIBRARIES]
    return files + [(stub, f"bench/lib/{name}") for name in needed if name not in LIBRARIES]


def programs(cache):
    guest = HERE / "guest"
    return [(image.compiled(cache, guest / "measure.c", "-static", "-no-pie"), "bin/measure"),
            (image.compiled(cache, guest / "ops.c", "-static"), "bin/ops")] + fio_files(cache)


# Functions of the kernel in which a CPU turns in a loop until another one has done something.
SPINS = {"queued_spin_lock_slowpath", "native_queued_spin_lock_slowpath", "queued_read_lock_slowpath", "queued_write_lock_slowpath",
         "osq_lock", "timer_delete_sync", "__try_to_del_timer_sync", "mutex_spin_on_owner", "rwsem_spin_on_owner", "smp_call_function_many_cond"}
# And those that they call there.
HELPS = {"_raw_spin_lock_irqsave", "_raw_spin_unlock_irqrestore"}
# A timer interrupt is handled between these; what it leaves to softirqs comes after.
TICK = ("__sysvec_apic_timer_interrupt", "irq_exit_rcu")


def system_map(kdir):
    """Functions of the kernel as (address, name), sorted."""
    words = (l.split() for l in (kdir / "System.map").read_text().splitlines())
    return sorted((int(a, 16), name) for a, sort, name in words if sort in "tTwW")


def spins(kdir):
    """The address ranges of SPINS and HELPS, and the functions of TICK, as the plugin wants them."""
    functions = system_map(kdir)
    at = {name: start for start, name in functions}
    return f",tick={at[TICK[0]]:x}:{at[TICK[1]]:x}" + "".join(f",{'spin' if name in SPINS else 'help'}={start:x}:{end:x}"
                   for (start, name), (end, _) in zip(functions, functions[1:]) if name in SPINS | HELPS)


def write_set(folder):
    """The files that are read and written, with data that is not all zero."""
    folder.mkdir(parents=True, exist_ok=True)
    piece = os.urandom(1 << 20)
    for name, size in rows.FILES.items():
        with open(folder / name, "wb") as f:
            for _ in range(size // len(piece)):
                f.write(piece)
    names = folder / "names"
    names.mkdir(exist_ok=True)
    for i in range(rows.NAMES):
        (names / f"{i:05}").touch()
    listed = folder / "list"
    listed.mkdir(exist_ok=True)
    for i in range(rows.LISTED):
        (listed / f"a-name-of-usual-length-{i:05}").touch()


class Boot:
    """One guest that works through steps."""

    def __init__(self, out, kdir, ko, profile, interrupts):
        self.out, self.kdir, self.ko, self.profile, self.interrupts = out, kdir, ko, profile, interrupts
        self.cache = os.environ["RUST_FUSE_CACHE"]

    def image(self, steps):
        """The initramfs with the jobs and the list of the steps."""
        env = {"MODULE": "none", "VM_LOAD": 0, "VM_MODE": "run", "VM_KMEMLEAK": 0, "VM_WATCHDOG": 1 << 30,
               "BENCH_PROFILE": int(self.profile), "BENCH_INTERRUPTS": 1 << self.interrupts}
        files = programs(self.cache)
        jobs = self.out / "jobs"
        jobs.mkdir(exist_ok=True)
        lines = []
        for i, s in enumerate(steps):
            if s.row.engine != "ops":
                job = jobs / f"{s.row.job}.{s.n}"
                job.write_text(s.row.fio(s.n))
                files.append((job, f"bench/jobs/{job.name}"))
            lines.append(f"{i} {s.module} {s.row.tag} {s.row.setting.options or '-'} {s.row.command(s.n)}")
        (self.out / "steps").write_text("\n".join(lines) + "\n")
        files.append((self.out / "steps", "bench/steps"))
        modules = [self.kdir / "fs/fuse/fuse.ko", self.kdir / "fs/fuse/virtiofs.ko", self.ko]
        image.make(self.out / "initrd.cpio", TOP, self.cache, modules, env, (HERE / "guest/steps.sh").read_text(), files=files)

    def run(self, steps, done):
        """Works through the steps, calls done(step) after each; returns how many were done or failed."""
        self.image(steps)
        for old in ("guest.out", "marks", "profile"):
            (self.out / old).unlink(missing_ok=True)
        shares = servers.read_list(HERE / "devices.list")
        write_set(self.out / "share" / "set")
        process = None
        with tempfile.TemporaryDirectory(prefix="vm.", dir="/tmp") as sock:
            machine = qemu.Machine("pci", 2, "1G", self.kdir / "arch/x86/boot/bzImage", self.out / "initrd.cpio", self.out, sock)
            machine.ports(False)
            if any(s.row.server for s in steps):
                machine.disk(os.environ["RUST_FUSE_PROGRAMS"])
            try:
                os.environ["RUST_LOG"] = "warn"
                for s in shares:
                    s.start("daxfsd", self.out, sock, os.environ["RUST_FUSE_DAXFSD"])
                for n, s in enumerate(shares):
                    s.wait_ready()
                    machine.daxfs(n, s.tag, s.socket, s.queues, s.window)
                plugin = f"{image.compiled(self.cache, HERE / 'count.c', '-shared', '-fPIC')},out={self.out}/marks{spins(self.kdir)}"
                if self.profile:
                    plugin += f",profile={self.out}/profile"
                machine.args += ["-plugin", plugin]
                # On a busy host the guest would take its TSC for broken and go by a clock that is dear to read.
                command = machine.command(qemu.tsc_khz(), False, "tsc=reliable")
                with open(self.out / "qemu.log", "wb") as log:
                    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                agent.Agent(f"{sock}/ctl.sock", shares, machine.windows, self.out / "control.log").start()
                return self.follow(process, steps, done)
            finally:
                if process and process.poll() is None:
                    process.kill()
                    process.wait()
                for s in shares:
                    s.stop()
                (self.out / "initrd.cpio").unlink(missing_ok=True)

    def follow(self, process, steps, done):
        """Reads what the guest prints and gives each step its numbers."""
        guest, marks, profile = Tail(self.out / "guest.out"), Tail(self.out / "marks"), Tail(self.out / "profile")
        heard = time.monotonic()
        current, begun = None, 0
        pairs = []
        while True:
            ended = process.poll() is not None
            for line in guest.lines():
                heard = time.monotonic()
                word, _, rest = line.partition(" ")
                if word == "@step":
                    begun = int(rest) + 1
                    current = steps[int(rest)]
                elif word == "@count":
                    name, _, n = rest.rpartition(" ")
                    if n.isdigit():
                        current.requests[name] = int(n)
                elif word == "@symbol":
                    address, _, name = rest.split()[:3]
                    current.symbols[int(address, 16)] = name
                elif word == "@text":
                    current.text = int(rest, 16)
                elif word == "@fio":
                    # Terse version 3: the error, and how long reading and writing took, in milliseconds.
                    fields = rest.split(";")
                    current.ns = max(int(fields[8]), int(fields[49])) * 1000000
                    if int(fields[4]):
                        current.error = os.strerror(int(fields[4]))
                elif word == "@log":
                    current.error = current.error or rest
                elif word == "@failed":
                    current.error = rest.partition(" ")[2]
                    done(current)
                    current = None
                elif word == "@end":
                    pairs += marks.lines()
                    self.settle(current, pairs, profile, int(rest.split()[1]))
                    done(current)
                    current = None
            if ended or time.monotonic() - heard > SILENCE:
                if current:
                    current.error = "the guest died" if ended else f"hung for {SILENCE} s"
                    done(current)
                return begun
            time.sleep(0.1)

    def settle(self, step, pairs, profile, status):
        begin, end = pairs.pop(0).split(), pairs.pop(0).split()
        assert begin[0] == "begin" and end[0] == "end", "marks out of order"
        wall, step.user, step.core, step.inside = (int(b) - int(a) for a, b in zip(begin[1:], end[1:]))
        step.ns = step.ns or wall
        for line in profile.lines():
            if line:
                address, n = line.split()
                step.profile[int(address, 16)] = int(n)
        if status:
            step.error = step.error or f"exit {status}"


def run(steps, out, kdir, ko, done, profile=False, interrupts=0):
    """All steps, in as many boots as it takes."""
    boot = Boot(out, kdir, ko, profile, interrupts)
    left, boots = list(steps), 0
    while left:
        n = boot.run(left, done)
        boots += 1
        if n == 0:
            raise SystemExit(f"error: the guest does not come up: see {out}/console.log and {out}/qemu.log")
        left = left[n:]
        if left:
            say(f"the guest is gone ({boots}); another one for the {len(left)} measurements that are left")
